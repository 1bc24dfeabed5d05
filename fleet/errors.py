"""Every error of ours, for people: what was expected, what was seen, what to do.

    FleetError              1   anything below, or an unexpected refusal
    ├── ConfigError         2   a setting, argument or task that cannot be right
    ├── NotLive             3   the book asked for is stale or missing
    ├── NotFound            3   what was asked about is not there: a member, a pair
    ├── Unreachable         4   a server does not answer, or refuses the login
    │   └── ConnectionLost  4   it broke while commands were unanswered: whether they were carried out is unknown
    ├── SchemaMissing       5   a table is not there: `fleet init` makes it
    ├── LayoutMismatch      6   this Redis belongs to a fleet of another layout or version
    └── Fenced              7   another daemon owns what we tried to write
        └── LeaseLost       7   the lease that this work needs is gone

The number is the exit code of the command that ends with it. A message is one line and names the mend.
"""


class FleetError(Exception):
    """Base of all our errors; `exit_code` is what the command line exits with."""

    exit_code = 1


class ConfigError(FleetError):
    """A setting, a command line argument or a task row that cannot be right."""

    exit_code = 2


class NotLive(FleetError):
    """The book asked for is stale, resyncing or missing."""

    exit_code = 3


class NotFound(FleetError):
    """What was asked about is not there: a member, or a pair that nobody knows."""

    exit_code = 3


class Unreachable(FleetError):
    """A server does not answer, or refuses the login. The text never holds a password."""

    exit_code = 4


class ConnectionLost(Unreachable):
    """A connection broke while commands were unanswered: whether they were carried out is unknown."""


class SchemaMissing(FleetError):
    """A table or database is missing; `fleet init` creates it."""

    exit_code = 5


class LayoutMismatch(FleetError):
    """The layout kept in Redis (shards, key and wire version) is not ours."""

    exit_code = 6


class Fenced(FleetError):
    """A write was refused because a newer owner holds the token."""

    exit_code = 7


class LeaseLost(Fenced):
    """The lease that this work needs is gone, or can no longer be proved to be ours."""
