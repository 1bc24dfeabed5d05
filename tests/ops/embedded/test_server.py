"""What every embedded server does about its port, its start and its end; shown with redis-server, the quickest."""

import socket

import pytest

from ops.embedded import server as embedded_server
from ops.embedded.errors import ServerStartError
from ops.embedded.redis import EmbeddedRedis


async def test_the_stop_of_a_paused_server_ends_in_sigkill_after_the_deadline(own_redis):
    server = await own_redis()
    server.pause()
    await server.process.stop(deadline_s=0.05)
    assert not server.process.is_running


async def test_a_port_lost_to_a_stranger_is_chosen_anew(tmp_path, monkeypatch, free_port):
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken, free = stranger.getsockname()[1], free_port()
        ports = iter([taken, free])
        monkeypatch.setattr(embedded_server, "free_port", lambda: next(ports))
        async with EmbeddedRedis(tmp_path) as server:
            assert server.port == free


async def test_a_port_that_the_caller_wants_and_a_stranger_has_is_an_error_in_the_servers_words(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as stranger, pytest.raises(ServerStartError) as failure:
        await EmbeddedRedis(tmp_path, stranger.getsockname()[1]).start()
    assert str(failure.value).startswith("redis-server did not start: it ended with exit code 1. Its last words: ")
    assert "Address already in use" in failure.value.log_tail


async def test_another_redis_on_our_port_is_not_taken_for_ours(own_redis, tmp_path):
    """The stranger answers PONG; our own process fails to bind and that is what counts."""
    stranger = await own_redis()
    with pytest.raises(ServerStartError):
        await EmbeddedRedis(tmp_path, stranger.port).start()
    assert stranger.process.is_running


async def test_before_its_start_a_server_has_no_process_and_may_be_stopped(tmp_path):
    server = EmbeddedRedis(tmp_path)
    await server.stop()
    with pytest.raises(RuntimeError, match="redis-server was not started"):
        assert server.pid


async def test_a_running_server_is_not_started_twice(own_redis):
    server = await own_redis()
    pid = server.pid
    with pytest.raises(RuntimeError, match=f"runs already as process {pid}"):
        await server.start()
    assert server.pid == pid


async def test_the_server_ends_with_its_block_even_when_the_block_fails(tmp_path):
    server = EmbeddedRedis(tmp_path)
    with pytest.raises(ZeroDivisionError):
        async with server:
            raise ZeroDivisionError
    assert not server.process.is_running
