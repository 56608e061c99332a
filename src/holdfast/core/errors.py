"""Errors say who must act.

    HoldfastError
    ├── Refused    the caller must change something (HTTP 4xx, exit code 2); names the field, offers a hint
    ├── Degraded   expected trouble: a rung absorbs it, a counter counts it (HTTP 503)
    └── Broken     an invariant is lost: stop, and restart through recovery
"""


class HoldfastError(Exception):
    """Root of every error that Holdfast raises on purpose."""


class Refused(HoldfastError):
    """The caller must change something. `field` names it, `hint` says how."""

    def __init__(self, message: str, *, field: str = "", hint: str = "", code: str = "refused") -> None:
        super().__init__(message)
        self.field = field
        self.hint = hint
        self.code = code


class Degraded(HoldfastError):
    """Something expected is missing for now; try elsewhere or later. `hint`: what to do, if there is more to do."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0, hint: str = "") -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.hint = hint


class Broken(HoldfastError):
    """An invariant no longer holds. The process must stop and come back through recovery."""
