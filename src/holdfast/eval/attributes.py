"""Attributes of items, for a network that may know content: a JSON object, item name → list of attribute numbers."""

import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import Refused
from holdfast.model.network import TAGS

Array = NDArray[Any]


def read(path: Path, names: list[str]) -> Array:
    """Return tags int32[N, K] for items by name, K ≤ TAGS, 0 = none; attributes are numbered by first appearance.

    Raises Refused for a file that is not such an object, or that names none of the items.
    """
    try:
        data = path.read_bytes()
        found = json.loads(lzma.decompress(data) if path.suffix == ".xz" else data)
    except OSError as e:
        raise Refused(f"cannot open {path}: {e.strerror}", field="attributes") from e
    except (lzma.LZMAError, ValueError) as e:
        raise Refused(f"{path} is not JSON: {e}", field="attributes") from e
    if not isinstance(found, dict) or not all(isinstance(v, list) for v in found.values()):
        raise Refused(f"{path} is not an object of lists", field="attributes", hint='{"12": [3, 7], "901": [3]}')
    width = min(TAGS, max((len(v) for v in found.values()), default=0))
    tags = np.zeros((len(names), max(width, 1)), np.int32)
    of: dict[str, int] = {}
    for row, name in zip(tags, names, strict=True):
        for k, tag in enumerate(found.get(name, [])[:width]):
            row[k] = of.setdefault(str(tag), len(of) + 1)
    if not of:
        raise Refused(f"{path} names none of the items", field="attributes", hint="its keys are item names")
    return tags
