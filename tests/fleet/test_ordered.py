"""fleet/ordered.py on a real server."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import redis.asyncio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.exceptions import AskError, MovedError, NoScriptError, ResponseError, TryAgainError

from fleet.errors import ConfigError, ConnectionLost, Unreachable
from fleet.ordered import OrderedConnection, pack


@pytest.fixture
async def ordered(redis_url: str) -> AsyncIterator[OrderedConnection]:
    connection = OrderedConnection(redis_url, name="ordered-under-test")
    await connection.connect()
    yield connection
    await connection.close()


async def connection_id(ordered: OrderedConnection) -> int:
    return await ordered.call(pack("CLIENT", "ID"))


async def test_replies_come_in_the_order_of_the_commands(ordered: OrderedConnection) -> None:
    answers = [ordered.send(pack("ECHO", str(number))) for number in range(2000)]
    assert ordered.in_flight == 2000
    assert [await answer for answer in answers] == [str(number).encode() for number in range(2000)]
    assert ordered.in_flight == 0


async def test_commands_of_one_turn_leave_in_one_write(ordered: OrderedConnection, monkeypatch) -> None:
    transport = ordered._wire._transport
    writes: list[bytes] = []

    class Counting:
        def write(self, data: bytes) -> None:
            writes.append(data)
            transport.write(data)

    monkeypatch.setattr(ordered._wire, "_transport", Counting())
    answers = [ordered.send(pack("PING")) for _ in range(20)]
    for answer in answers:
        assert await answer == b"PONG"
    monkeypatch.undo()
    assert writes == [pack("PING") * 20]


async def test_more_than_the_bound_waits_and_keeps_its_order(redis_url: str) -> None:
    connection = OrderedConnection(redis_url, max_in_flight=3)
    await connection.connect()
    answers = [connection.send(pack("RPUSH", "list", number)) for number in range(50)]
    assert [await answer for answer in answers] == list(range(1, 51))
    assert await connection.call(pack("LRANGE", "list", 0, -1)) == [b"%d" % number for number in range(50)]
    await connection.close()


async def test_an_error_is_raised_by_its_own_call_only(ordered: OrderedConnection) -> None:
    before, wrong, after = (ordered.send(packed) for packed in (pack("PING"), pack("NO", "SUCH"), pack("PING")))
    assert await before == b"PONG"
    with pytest.raises(ResponseError, match="unknown command"):
        await wrong
    assert await after == b"PONG"


async def test_errors_have_their_types(ordered: OrderedConnection) -> None:
    with pytest.raises(NoScriptError):
        await ordered.call(pack("EVALSHA", "0" * 40, 0))
    for word, kind in (
        ("MOVED 7 10.0.0.1:7000", MovedError),
        ("ASK 7 10.0.0.1:7000", AskError),
        ("TRYAGAIN x", TryAgainError),
    ):
        with pytest.raises(kind) as caught:
            await ordered.call(pack("EVAL", f"return redis.error_reply('{word}')", 0))
        assert getattr(caught.value, "node_addr", None) in {None, ("10.0.0.1", 7000)}


@pytest.mark.parametrize("said", ["READONLY replica", "ERR Error running script: -READONLY replica"])
async def test_a_primary_that_has_become_a_replica_is_a_lost_connection(ordered: OrderedConnection, said: str) -> None:
    refused, after = (
        ordered.send(packed) for packed in (pack("EVAL", f"return redis.error_reply('{said}')", 0), pack("PING"))
    )
    for answer in (refused, after):
        with pytest.raises(ConnectionLost, match="the server has become a replica"):
            await answer
    assert not ordered.connected


async def test_a_killed_connection_fails_all_calls_in_flight_and_nothing_is_sent_again(
    ordered: OrderedConnection, redis: redis.asyncio.Redis
) -> None:
    mine = await connection_id(ordered)
    assert ordered.generation == 1
    answers = [ordered.send(pack("BLPOP", "nothing", 0)), *(ordered.send(pack("INCR", "count")) for _ in range(300))]
    await redis.client_kill_filter(_id=mine)
    for answer in answers:
        with pytest.raises(ConnectionLost, match="connection lost with 301 commands unanswered"):
            await answer
    assert not ordered.connected
    with pytest.raises(ConnectionLost):
        await ordered.call(pack("PING"))

    await ordered.connect()
    assert ordered.generation == 2
    assert await ordered.call(pack("GET", "count")) is None
    assert await connection_id(ordered) != mine


async def test_connecting_while_connected_changes_nothing(ordered: OrderedConnection) -> None:
    mine = await connection_id(ordered)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(ordered.connect())
    assert (ordered.generation, await connection_id(ordered)) == (1, mine)


async def test_a_cancelled_call_does_not_shift_the_replies_of_the_others(ordered: OrderedConnection) -> None:
    async with asyncio.TaskGroup() as group:
        cancelled = group.create_task(ordered.call(pack("ECHO", "one")))
        kept = group.create_task(ordered.call(pack("ECHO", "two")))
        await asyncio.sleep(0)
        cancelled.cancel()
    assert kept.result() == b"two"


async def test_a_call_cancelled_before_it_left_is_never_sent(redis_url: str) -> None:
    connection = OrderedConnection(redis_url, max_in_flight=1)
    await connection.connect()
    first, second, third = (connection.send(pack("RPUSH", "list", text)) for text in "abc")
    second.cancel()
    await first
    assert await third == 2
    await connection.close()


async def test_no_answer_in_time_breaks_the_connection(own_redis) -> None:
    server = await own_redis()
    connection = OrderedConnection(server.url, reply_timeout_s=0.05)
    await connection.connect()
    server.pause()
    with pytest.raises(ConnectionLost, match=r"no answer within 0\.05 s"):
        await connection.call(pack("PING"))
    server.resume()
    await connection.connect()
    assert await connection.call(pack("PING")) == b"PONG"
    await connection.close()


async def test_it_logs_in_selects_its_database_and_says_its_name(own_redis) -> None:
    server = await own_redis({"requirepass": "hush"})
    url = server.url.removesuffix("/0") + "/3"
    connection = OrderedConnection(url, name="publisher")
    await connection.connect()
    info = (await connection.call(pack("CLIENT", "INFO"))).decode()
    assert " name=publisher " in info
    assert " db=3 " in info
    assert "hush" not in repr(connection)
    await connection.close()


async def test_a_wrong_password_is_told_without_it(own_redis) -> None:
    server = await own_redis({"requirepass": "hush"})
    for url in (server.url.replace("hush", "wr0ng"), server.url.replace(":hush@", "")):
        connection = OrderedConnection(url)
        with pytest.raises(Unreachable, match="login refused") as caught:
            await connection.connect()
        assert "wr0ng" not in str(caught.value)
        assert not connection.connected
        assert connection.generation == 0


def make_certificate(folder: Path) -> None:
    """A certificate for 127.0.0.1 that signs itself: cert.pem, key.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fleet test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


async def test_it_speaks_tls_and_refuses_a_certificate_it_does_not_know(own_redis, free_port, tmp_path: Path) -> None:
    make_certificate(tmp_path)
    port = free_port()
    await own_redis(
        {
            "tls-port": str(port),
            "tls-cert-file": f"{tmp_path}/cert.pem",
            "tls-key-file": f"{tmp_path}/key.pem",
            "tls-ca-cert-file": f"{tmp_path}/cert.pem",
            "tls-auth-clients": "no",
        }
    )
    connection = OrderedConnection(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path}/cert.pem")
    await connection.connect()
    answers = [connection.send(pack("ECHO", "x" * 100_000)) for _ in range(20)]
    assert [len(await answer) for answer in answers] == [100_000] * 20
    await connection.close()
    with pytest.raises(Unreachable, match="TLS failed"):
        await OrderedConnection(f"rediss://127.0.0.1:{port}/0").connect()


async def test_nobody_there_is_told_with_the_mend(free_port) -> None:
    with pytest.raises(Unreachable, match="connection refused; is redis-server running there"):
        await OrderedConnection(f"redis://127.0.0.1:{free_port()}/0").connect()


async def test_a_server_that_is_no_redis_is_told() -> None:
    answered = asyncio.Event()

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()
        answered.set()

    async with await asyncio.start_server(babble, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unreachable, match="not a Redis"):
            await OrderedConnection(f"redis://127.0.0.1:{port}/0").connect()
        await answered.wait()


def test_a_cluster_is_not_one_connection() -> None:
    with pytest.raises(ConfigError, match="a Cluster has no one server"):
        OrderedConnection("redis+cluster://127.0.0.1")


async def test_closing_twice_is_fine_and_it_may_be_opened_again(redis_url: str) -> None:
    connection = OrderedConnection(redis_url)
    await connection.close()
    await connection.connect()
    await connection.close()
    await connection.close()
    await connection.connect()
    assert connection.generation == 2
    assert await connection.call(pack("PING")) == b"PONG"
    await connection.close()
