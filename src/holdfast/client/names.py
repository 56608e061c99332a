"""Names a team may use: its own, if it fits in a path, else a hash of it; the same here and in the importers."""

import hashlib
import re

PLAIN = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
LENGTH_MAX = 64


def own_name(text: str, length_max: int = LENGTH_MAX) -> str:
    """Return `text` if Holdfast takes it as an item's or viewer's name, else `x-` and 20 hex digits of its sha256."""
    if len(text) <= length_max and PLAIN.match(text):
        return text
    return "x-" + hashlib.sha256(text.encode()).hexdigest()[:20]
