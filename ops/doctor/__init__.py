"""`fleet doctor`: every dependency, version, permission and setting that matters, each with its mend. Changes nothing."""

from ops.doctor.check import Check, Verdict
from ops.doctor.examination import examine

__all__ = ["Check", "Verdict", "examine"]
