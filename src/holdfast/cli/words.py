"""How the terminal speaks: tables, one line of JSON, a progress bar on stderr."""

import sys
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

FILE_WIDTH = 240  # columns, where there is no terminal that would break a line

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else FILE_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def as_json(result: object) -> None:
    """Print one JSON object as the last line of stdout."""
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    sys.stdout.flush()


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; columns of numbers stand right. Nothing is cut short: a key or a path is there to be copied."""
    drawn = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="dim")
    for k, head in enumerate(heads):
        numeric = bool(rows) and all(isinstance(row[k], int | float) for row in rows)
        drawn.add_column(head, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(_cell(value) for value in row))
    out.print(drawn)


def _cell(value: object) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else str(value)


def show(result: object, json: bool, *, title: str = "") -> None:
    """Print a flat result for people, and as JSON if asked."""
    if json:
        as_json(result)
        return
    plain = msgspec.to_builtins(result)
    assert isinstance(plain, dict)
    table(title, ["", ""], [(key.replace("_", " "), _flat(value)) for key, value in plain.items()])


def _flat(value: object) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_flat(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(str(_flat(v)) for v in value)
    return round(value, 3) if isinstance(value, float) else value
