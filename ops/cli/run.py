"""Run a command and turn every end of it into an exit code and, where something is wrong, one line on stderr.

0    done                       2    a wrong argument, option or setting
1    an error without a code    130  interrupted
3-7  see fleet.errors
"""

import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import typer

from fleet.errors import ConfigError, FleetError

PROGRAM = "fleet"
INTERRUPTED = 130

# The parser's own errors. Typer carries its own copy of click in new versions and uses the package in old ones: the base
# class is reached through the one name that both export.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The `fleet` script."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; the exit code. Errors are printed, never raised."""
    from ops.cli.app import app

    command = typer.main.get_command(app)
    try:
        code = command.main(list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except FleetError as error:
        return _fail(_line(error), error.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except typer.Abort:
        return _fail("aborted", 1)
    except Exception as error:  # noqa: BLE001 - the last line of defence: whatever it is, people get one line
        if isinstance(error, _UsageError):
            return _usage(error)
        return _unexpected(error)
    return code if isinstance(code, int) else 0


def _fail(line: str, code: int) -> int:
    print(f"{PROGRAM}: {line}", file=sys.stderr)
    return code


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _usage(error: Exception) -> int:
    context = getattr(error, "ctx", None)
    path = getattr(context, "command_path", PROGRAM)
    if type(error).__name__ == "NoArgsIsHelpError":
        if text := str(error):  # with rich the help was printed already
            print(text, file=sys.stderr)
        return ConfigError.exit_code
    message = " ".join(str(getattr(error, "format_message", lambda: error)()).split()).rstrip(".")
    return _fail(f"{message}; see `{path} --help`", ConfigError.exit_code)


def _unexpected(error: Exception) -> int:
    if isinstance(error, BaseExceptionGroup) and (ours := _ours(error)) is not None:
        return _fail(_line(ours), ours.exit_code)
    line = f"unexpected {type(error).__name__}: {_line(error)[:300]}"
    if _debugging():
        traceback.print_exception(error)
        return _fail(line, 1)
    return _fail(f"{line} (set FLEET_LOG_LEVEL=debug to see where)", 1)


def _ours(group: BaseExceptionGroup[BaseException]) -> FleetError | None:
    """Our error out of a task group that failed with nothing else."""
    known, others = group.split(FleetError)
    if known is None or others is not None:
        return None
    first: BaseException = known
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first if isinstance(first, FleetError) else None


def _debugging() -> bool:
    from fleet import config

    try:
        return config.load().log_level == "debug"
    except ConfigError:
        return False
