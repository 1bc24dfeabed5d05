"""What the fleet is asked to do: the tables MONITORING and TRADE, read, merged, compared, followed."""

from fleet.tasks.files import read_tasks
from fleet.tasks.model import Diff, Problem, Task, TaskSet, Wanted, diff, merge
from fleet.tasks.poller import PollerStats, TaskPoller
from fleet.tasks.store import TaskStore

__all__ = [
    "Diff",
    "PollerStats",
    "Problem",
    "Task",
    "TaskPoller",
    "TaskSet",
    "TaskStore",
    "Wanted",
    "diff",
    "merge",
    "read_tasks",
]
