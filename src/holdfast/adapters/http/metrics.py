"""A region's figures for a scraper: the text format of Prometheus, version 0.0.4, written from the status.

https://prometheus.io/docs/instrumenting/exposition_formats/ . Counters end in `_total`, as the format's readers expect;
nothing here names a person.
"""

from collections.abc import Iterator, Sequence

from holdfast.adapters.http.shapes import Status

TEXT = "text/plain; version=0.0.4; charset=utf-8"


def text(status: Status) -> str:
    """Return the whole page."""
    return "\n".join(_lines(status)) + "\n"


def _lines(status: Status) -> Iterator[str]:
    yield from _family("holdfast_up_seconds", "gauge", [("", status.up_s)])
    yield from _family("holdfast_viewers", "gauge", [("", status.viewers)])
    yield from _family("holdfast_rung", "gauge", [(f'rung="{status.rung}"', 1)])
    yield from _family("holdfast_items", "gauge", [(f'state="{k}"', v) for k, v in status.items.items()])
    yield from _family("holdfast_counted_total", "counter", [(f'what="{k}"', v) for k, v in status.counters.items()])
    yield from _family("holdfast_latency_ms", "gauge", [(f'what="{k}"', v) for k, v in status.latency_ms.items()])
    yield from _family("holdfast_lag_seconds", "gauge", [(f'peer="{k}"', p.lag_s) for k, p in status.peers.items()])
    gate = status.admission
    yield from _family("holdfast_admission_limit", "gauge", [("", gate.limit)])
    yield from _family("holdfast_admission_open", "gauge", [("", gate.open)])
    yield from _family("holdfast_admission_waiting", "gauge", [("", gate.waiting)])
    admitted = [(f'priority="{k}"', n) for k, n in gate.admitted.items()]
    yield from _family("holdfast_admitted_total", "counter", admitted)
    yield from _family("holdfast_shed_total", "counter", [
        (f'priority="{k}",why="{why}"', n) for k, counts in gate.refused.items() for why, n in counts.items()
    ])  # fmt: skip


def _family(name: str, kind: str, samples: Sequence[tuple[str, float]]) -> Iterator[str]:
    """One metric: its type, then a line for each set of labels."""
    yield f"# TYPE {name} {kind}"
    for labels, value in samples:
        yield f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"
