"""The errors that a runbook can end with; the tree decides what is tried again."""

from __future__ import annotations


class RunbookError(Exception):
    """What failed, on what target, in what state it was left, and what to do next."""


class TransientError(RunbookError):
    """The target did not answer, or said "later": the same call may succeed in a minute."""


class PermanentError(RunbookError):
    """The same call would fail the same way."""


class ConfigurationError(PermanentError):
    """A connection, a setting or a parameter is wrong; the text names it and the way out."""


class RefusedError(PermanentError):
    """A guard said no: a limit, a lock that is held, a protected target."""


class VerificationError(PermanentError):
    """Changed, but the look afterwards did not find what was wanted: never repeat blindly."""


class OutcomeUnknownError(PermanentError):
    """Sent, and no answer came: read back by operation id before anything else."""


class VerdictError(PermanentError):
    """Looked, told, and it is bad: the run is red so that its colour tells the truth."""
