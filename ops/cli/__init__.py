"""The command line: `fleet COMMAND …`. One module a group of commands; what a command needs is imported when it runs."""

from ops.cli.run import main

__all__ = ["main"]
