"""Exit codes, and one line for whatever is wrong."""

import subprocess
import sys

import pytest
import typer

from fleet.errors import FleetError, LayoutMismatch, Unreachable
from ops.cli import run as cli
from tests.support.commands import assert_one_line, run_fleet

NOWHERE = "redis://user:hidden-word@127.0.0.1:1/0"


@pytest.fixture
def failing(monkeypatch):
    """`failing(error)`: the exit code of a command line whose only command raises `error`."""

    def run(error: BaseException) -> int:
        app = typer.Typer()

        @app.command()
        def only() -> None:
            raise error

        monkeypatch.setattr("ops.cli.app.app", app)
        return cli.run([])

    return run


HEAVY = ("sqlalchemy", "redis", "websockets", "asynch", "aiomysql", "pydantic", "httpx", "apscheduler", "google")


def test_help_loads_nothing_heavy():
    """It comes at once: 0.15 s on a quiet machine."""
    code = f"import sys; from ops.cli.run import run; run(['--help']); sys.exit(str(sorted(sys.modules.keys() & {set(HEAVY)})))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.strip() == "[]"


def test_help_names_every_command_and_ends_with_0():
    ended = run_fleet("--help")
    assert ended.code == 0
    for command in (
        "init",
        "status",
        "book",
        "key",
        "watch",
        "top",
        "tasks",
        "doctor",
        "config",
        "sim",
        "rebalance",
        "drain",
        "explain",
        "chaos",
    ):
        assert f" {command} " in ended.out


@pytest.mark.parametrize("command", ["history", "trader", "halt"])
def test_what_does_not_exist_yet_is_not_offered(command):
    assert_one_line(run_fleet(command), 2, f"No such command '{command}'")


def test_version_is_printed():
    assert run_fleet("--version").out.strip()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["stauts"], ["'stauts'", "'status'", "`fleet --help`"]),
        (["status", "--jsn"], ["--jsn", "--json", "`fleet status --help`"]),
        (["book", "binance", "spot"], ["Missing argument 'PAIR'", "`fleet book --help`"]),
        (["book", "binance", "spot", "BTC/USDT", "--depth", "many"], ["--depth"]),
        (["book", "binance", "spot", "BTC/USDT", "--depth", "0"], ["--depth"]),
        (["tasks", "ad"], ["'ad'", "`fleet tasks --help`"]),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_one_line(arguments, words):
    assert_one_line(run_fleet(*arguments), 2, *words)


def test_no_command_shows_the_help():
    ended = run_fleet()
    assert ended.code == 2
    assert "status" in ended.out + ended.err


@pytest.mark.parametrize(
    "command", [["status"], ["book", "okx", "spot", "BTC/USDT"], ["watch", "okx", "spot", "BTC/USDT"]]
)
def test_a_redis_that_is_not_there_is_one_line_with_the_mend_and_without_the_password(command):
    ended = run_fleet(*command, FLEET_REDIS_URL=NOWHERE)
    assert_one_line(ended, Unreachable.exit_code, "127.0.0.1:1", "is redis-server running there?")
    assert "hidden-word" not in ended.err


def test_a_password_that_is_wrong_is_said_in_one_line(redis_url):
    ended = run_fleet("status", FLEET_REDIS_URL=redis_url.replace("redis://", "redis://nobody:hidden-word@"))
    assert_one_line(ended, Unreachable.exit_code, "login refused", "FLEET_REDIS_URL")
    assert "hidden-word" not in ended.err


def test_a_setting_that_does_not_exist_names_the_nearest():
    assert_one_line(run_fleet("status", FLEET_REDIS_ULR="x"), 2, "FLEET_REDIS_ULR", "did you mean FLEET_REDIS_URL?")


async def test_a_fleet_of_another_version_is_not_read(redis_url, fleet_in_redis):
    await fleet_in_redis.client.hset(fleet_in_redis.keys.layout(), "wire_version", "99")
    ended = run_fleet("status", FLEET_REDIS_URL=redis_url)
    assert_one_line(ended, LayoutMismatch.exit_code, "wire version 99", "use the program of that version")


@pytest.mark.parametrize("error", [Unreachable("no answer"), LayoutMismatch("other shards"), FleetError("odd")])
def test_our_errors_end_with_their_code(failing, capsys, error):
    assert failing(error) == error.exit_code
    assert capsys.readouterr().err == f"fleet: {error}\n"


def test_an_error_of_several_lines_is_shown_as_one(failing, capsys):
    failing(FleetError("one\n  two\nthree"))
    assert capsys.readouterr().err == "fleet: one two three\n"


def test_a_bug_is_one_line_and_says_how_to_see_more(failing, capsys):
    assert failing(ZeroDivisionError("division by zero")) == 1
    err = capsys.readouterr().err
    assert err.startswith("fleet: unexpected ZeroDivisionError: division by zero")
    assert "FLEET_LOG_LEVEL=debug" in err
    assert "Traceback" not in err


def test_a_bug_has_a_traceback_when_asked_for(failing, capsys, monkeypatch):
    monkeypatch.setenv("FLEET_LOG_LEVEL", "debug")
    assert failing(ZeroDivisionError("division by zero")) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.rstrip().endswith("fleet: unexpected ZeroDivisionError: division by zero")


def test_our_error_out_of_a_task_group_is_still_our_error(failing, capsys):
    assert failing(ExceptionGroup("parts", [ExceptionGroup("inner", [Unreachable("no answer")])])) == 4
    assert capsys.readouterr().err == "fleet: no answer\n"


def test_a_group_with_a_bug_in_it_is_a_bug(failing, capsys):
    assert failing(ExceptionGroup("parts", [Unreachable("no answer"), KeyError("x")])) == 1
    assert "unexpected ExceptionGroup" in capsys.readouterr().err


def test_ctrl_c_ends_with_130_and_silence(failing, capsys):
    assert failing(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == ""


def test_an_exit_code_that_a_command_chose_is_kept(failing):
    assert failing(typer.Exit(5)) == 5
