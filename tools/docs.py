"""Write what the docs take from the code: `python tools/docs.py` (all), `python tools/docs.py reference` (tables only).

Tables appear once, in the code; docs/reference.md is printed from them, and a test fails when it is stale.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference.md"
CONFIG = ROOT / "docs" / "config.md"


def table(head: list[str], rows: Iterable[Iterable[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def sentence(doc: str | None) -> str:
    return " ".join((doc or "").split("\n\n")[0].split())


def reference() -> str:
    """Return docs/reference.md: entries, rungs, filters, sources, policy."""
    from holdfast.core import entries, policy
    from holdfast.core.classes import class_of
    from holdfast.core.feed import filters, ladder, sources

    kinds = []
    for record in entries.AnyEntry.__args__:
        config = record.__struct_config__
        fields = [f for f in record.__struct_fields__ if f not in {"device", "outbox", "stamp"}]
        cls = "of its chain" if config.tag in {"segment", "snapshot"} else str(class_of(str(config.tag)))
        kinds.append((f"`{config.tag}`", cls, ", ".join(f"`{f}`" for f in fields), sentence(record.__doc__)))
    rungs = [(row.rung.name, row.needs, row.gives, row.words) for row in ladder.TABLE]
    ruled = ("`ruled`", "Not live, not ruled here, ruled away, of another tenant or over a year old.")
    removes = [ruled, *((f"`{name}`", sentence(f.__doc__)) for name, f in (*filters.MASKS, *filters.LISTS))]
    rules = [(f"`{row.name}`", row.verdict, row.reason) for row in policy.TABLE]
    return f"""# Reference

Printed from the code by `make docs`; do not edit.

## Entries

Every entry also carries `device`, `outbox` (together its id) and `stamp` (hybrid logical clock, µs).

{table(["kind", "class", "fields", "what"], kinds)}

## Rungs

{table(["rung", "needs", "gives", "words for people"], rungs)}

## Sources

{", ".join(f"`{name}`" for name in sources.NAMES)}: see `src/holdfast/core/feed/sources.py`.

## Filters

{table(["filter", "removes a video that was or is"], removes)}

## Policy

The first version of the policy table (digest `{policy.DIGEST[:16]}…`). The strictest row that applies rules.

{table(["row", "verdict", "reason"], rules)}
"""


def config() -> str:
    """Return docs/config.md."""
    from holdfast.cli import settings

    lead = "Printed from the code by `make docs`; the same table as `holdfast config`."
    return f"# Settings\n\n{lead}\n\n{settings.markdown()}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["all", "reference"], default="all")
    what = parser.parse_args().what
    REFERENCE.write_text(reference())
    CONFIG.write_text(config())
    sys.stdout.write(f"wrote {REFERENCE.name}, {CONFIG.name}\n")
    if what == "all":
        from holdfast.drills import tour

        tour.main(ROOT / "docs" / "tour.webp")
    return 0


if __name__ == "__main__":
    sys.exit(main())
