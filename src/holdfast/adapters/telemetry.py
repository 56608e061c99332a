"""Logs: one JSON line to stderr per thing worth saying. This module alone imports structlog.

Nothing personal is ever logged: no alias, no token, no address. A line says which process spoke, about what, and the
figures; data goes to stdout or into the log of entries, never here.
"""

import contextlib
import sys
from typing import TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger

INFO = 20


class _Steady:
    """A stream that a full disk does not turn against its writer: what cannot be logged is not, and work goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def start(role: str, region: str) -> FilteringBoundLogger:
    """Set logging up for this process, once, and return its logger."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(INFO),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Steady(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role, region=region)
    return logger()


def logger() -> FilteringBoundLogger:
    """The logger of this process."""
    return structlog.get_logger()
