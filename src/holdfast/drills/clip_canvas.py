"""A small box of brushes: just enough to draw pleasant clips with numpy, fast.

A canvas is float32 (H, W, 3) in 0..1. The trick behind every brush is to touch only the pixels it covers: a star is a
9×9 patch, a hill is one comparison per column edge. A whole clip then costs about a second. Edges are soft by one pixel
(the distance to the edge, clipped to 0..1, is the coverage), which is what makes small pictures look drawn.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

W, H = 360, 640
RATE = 15  # frames per second: enough for calm motion, half the work of 30
Color = np.ndarray  # (3,) float32
XS = np.arange(W, dtype=np.float32)
YS = np.arange(H, dtype=np.float32)[:, None]


def rgb(code: str) -> Color:
    """Read `#rrggbb`."""
    return np.array([int(code[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255


def mix(a: Color, b: Color, t: float) -> Color:
    """Go from `a` to `b` by `t` in 0..1."""
    return a + (b - a) * np.float32(t)


def ramp(stops: Sequence[Color], n: int = 256) -> np.ndarray:
    """A palette of n colours through the stops: (n, 3)."""
    at = np.linspace(0, len(stops) - 1, n)
    low = np.minimum(at.astype(int), len(stops) - 2)
    table = np.asarray(stops, np.float32)
    return table[low] + (table[low + 1] - table[low]) * (at - low).astype(np.float32)[:, None]


def sky(stops: Sequence[Color], height: int = H) -> np.ndarray:
    """A canvas with a vertical gradient, finely dithered so that it does not band."""
    rows = ramp(stops, height)[:, None, :]
    dither = np.random.default_rng(7).uniform(-0.006, 0.006, (height, W, 1)).astype(np.float32)
    return np.clip(rows + dither, 0, 1)


def to_bytes(canvas: np.ndarray) -> np.ndarray:
    """Turn a canvas into uint8 pixels."""
    return (np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)


def _box(x0: float, y0: float, x1: float, y1: float) -> tuple[slice, slice] | None:
    top, bottom = max(0, int(y0)), min(H, int(y1) + 2)
    left, right = max(0, int(x0)), min(W, int(x1) + 2)
    return (slice(top, bottom), slice(left, right)) if top < bottom and left < right else None


def blend(canvas: np.ndarray, box: tuple[slice, slice], cover: np.ndarray, color: Color) -> None:
    """Lay `color` over a box by coverage (h, w) in 0..1."""
    patch = canvas[box]
    patch += (color - patch) * cover[..., None]


def disc(
    canvas: np.ndarray, x: float, y: float, r: float, color: Color, alpha: float = 1.0, soft: float = 1.0
) -> None:
    """A filled circle; `soft` is the width of its edge in pixels."""
    reach = r + soft
    if box := _box(x - reach, y - reach, x + reach, y + reach):
        distance = np.hypot(XS[box[1]] - x, YS[box[0]] - y)
        blend(canvas, box, np.clip((r - distance) / soft + 0.5, 0, 1) * np.float32(alpha), color)


def ellipse(canvas: np.ndarray, x: float, y: float, rx: float, ry: float, color: Color, alpha: float = 1.0) -> None:
    """A filled ellipse with upright axes."""
    if box := _box(x - rx - 1, y - ry - 1, x + rx + 1, y + ry + 1):
        distance = np.hypot((XS[box[1]] - x) / rx, (YS[box[0]] - y) / ry)
        blend(canvas, box, np.clip((1 - distance) * min(rx, ry) + 0.5, 0, 1) * np.float32(alpha), color)


def ring(canvas: np.ndarray, x: float, y: float, r: float, width: float, color: Color, alpha: float = 1.0) -> None:
    """A circle's line."""
    reach = r + width
    if box := _box(x - reach, y - reach, x + reach, y + reach):
        distance = np.abs(np.hypot(XS[box[1]] - x, YS[box[0]] - y) - r)
        blend(canvas, box, np.clip(width / 2 - distance + 0.5, 0, 1) * np.float32(alpha), color)


@lru_cache(maxsize=64)
def _halo(r: int) -> np.ndarray:
    d = np.hypot(*np.mgrid[-r : r + 1, -r : r + 1].astype(np.float32)) / r
    return (np.clip(1 - d, 0, 1) ** 2.2).astype(np.float32)[..., None]


def glow(canvas: np.ndarray, x: float, y: float, r: float, color: Color, strength: float = 1.0) -> None:
    """Add a soft light of radius r."""
    r = max(2, int(r))
    left, top = round(x) - r, round(y) - r
    x0, y0, x1, y1 = max(0, left), max(0, top), min(W, left + 2 * r + 1), min(H, top + 2 * r + 1)
    if x0 < x1 and y0 < y1:
        canvas[y0:y1, x0:x1] += _halo(r)[y0 - top : y1 - top, x0 - left : x1 - left] * (color * np.float32(strength))


def polygon(canvas: np.ndarray, points: Sequence[tuple[float, float]], color: Color, alpha: float = 1.0) -> None:
    """A filled convex polygon, corners in either turning."""
    p = np.asarray(points, np.float32)
    if box := _box(p[:, 0].min() - 1, p[:, 1].min() - 1, p[:, 0].max() + 1, p[:, 1].max() + 1):
        x, y = XS[box[1]], YS[box[0]]
        q = np.roll(p, -1, axis=0)
        area = float(np.sum(p[:, 0] * q[:, 1] - q[:, 0] * p[:, 1]))
        side = np.float32(1 if area > 0 else -1)
        cover: np.ndarray | None = None
        for (ax, ay), (bx, by) in zip(p, q, strict=True):
            length = np.hypot(bx - ax, by - ay)
            if length < 1e-3:
                continue
            edge = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) * (side / length) + np.float32(0.5)
            cover = edge if cover is None else np.minimum(cover, edge)
        if cover is not None:
            blend(canvas, box, np.clip(cover, 0, 1) * np.float32(alpha), color)


def stroke(
    canvas: np.ndarray, a: tuple[float, float], b: tuple[float, float], width: float, color: Color, alpha: float = 1.0
) -> None:
    """A straight line with round ends."""
    (ax, ay), (bx, by) = a, b
    reach = width / 2 + 1
    if box := _box(min(ax, bx) - reach, min(ay, by) - reach, max(ax, bx) + reach, max(ay, by) + reach):
        x, y = XS[box[1]] - ax, YS[box[0]] - ay
        dx, dy = bx - ax, by - ay
        along = np.clip((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-6), 0, 1)
        distance = np.hypot(x - along * dx, y - along * dy)
        blend(canvas, box, np.clip(width / 2 - distance + 0.5, 0, 1) * np.float32(alpha), color)


def below(canvas: np.ndarray, height: np.ndarray, color: Color, bottom: int = H) -> None:
    """Fill everything below a line; `height` (W,) is its y per column."""
    top, flat = max(0, int(height.min())), min(bottom, int(height.max()) + 2)
    if top < flat:
        cover = np.clip(YS[top:flat] - height + 0.5, 0, 1)
        blend(canvas, (slice(top, flat), slice(0, W)), cover, color)
    canvas[max(flat, 0) : bottom] = color


def band(canvas: np.ndarray, height: np.ndarray, width: np.ndarray | float, color: Color, alpha: float = 1.0) -> None:
    """A line of its own thickness per column, fading downwards: foam on a wave."""
    top, bottom = max(0, int(height.min()) - 1), min(H, int((height + width).max()) + 2)
    if top < bottom:
        y = YS[top:bottom] - height
        cover = np.clip(y + 0.5, 0, 1) * np.clip(1 - y / width, 0, 1)
        blend(canvas, (slice(top, bottom), slice(0, W)), cover * np.float32(alpha), color)


def ribbon(
    canvas: np.ndarray, top: int, centre: np.ndarray, reach: tuple[np.ndarray, np.ndarray], colors: tuple[Color, Color]
) -> None:
    """An upright ribbon: per row from `top`, its middle (n,), how far it reaches left and right, a color for each side.

    Only a window that follows the middle is touched: a swaying frond covers a tenth of the box round it.
    """
    n = min(len(centre), H - top)
    middle = centre[:n, None]
    wide = int(max(reach[0].max(), reach[1].max())) + 2
    x = middle.astype(np.intp) + np.arange(-wide, wide + 1)
    apart = (x - middle).astype(np.float32)
    cover = np.clip(np.where(apart < 0, reach[0][:n, None] + apart, reach[1][:n, None] - apart) + 0.5, 0, 1)
    cover *= (x >= 0) & (x < W)
    x = np.clip(x, 0, W - 1)
    y = np.arange(top, top + n)[:, None]
    color = np.where(apart[..., None] < 0, colors[0], colors[1])
    old = canvas[y, x]
    new = old + (color - old) * cover[..., None]
    touched = cover > 0  # clipped columns repeat at the border: only what is covered may be written
    rows, columns = np.nonzero(touched)
    canvas[top + rows, x[rows, columns]] = new[rows, columns]


def dots(canvas: np.ndarray, x: np.ndarray, y: np.ndarray, color: np.ndarray) -> None:
    """Add many points of light at once, each spread over the four pixels round it; color (n, 3) or (3,)."""
    inside = (x >= 0) & (y >= 0) & (x < W - 1) & (y < H - 1)
    x, y = x[inside].astype(np.float32), y[inside].astype(np.float32)
    color = np.broadcast_to(color, (len(inside), 3))[inside]
    ix, iy = x.astype(np.intp), y.astype(np.intp)
    fx, fy = x - ix, y - iy
    for dx, wx in ((0, 1 - fx), (1, fx)):
        for dy, wy in ((0, 1 - fy), (1, fy)):
            np.add.at(canvas, (iy + dy, ix + dx), color * (wx * wy)[:, None])


@lru_cache(maxsize=64)
def _stretch(small: int, large: int) -> tuple[np.ndarray, np.ndarray]:
    at = np.clip((np.arange(large, dtype=np.float32) + 0.5) * small / large - 0.5, 0, small - 1)
    low = np.minimum(at.astype(np.intp), small - 2)
    return low, (at - low).astype(np.float32)


def enlarge(field: np.ndarray, height: int = H, width: int = W) -> np.ndarray:
    """Stretch a small field (h, w) to the canvas, linearly. (A matrix product is shorter, but wakes every core.)"""
    low, part = _stretch(field.shape[0], height)
    tall = field[low] + (field[low + 1] - field[low]) * part[:, None]
    low, part = _stretch(field.shape[1], width)
    return tall[:, low] + (tall[:, low + 1] - tall[:, low]) * part


def clouds(rng: np.random.Generator, height: int, width: int, octaves: int = 4, period: bool = False) -> np.ndarray:
    """Smooth random field in 0..1; with `period` it repeats sideways."""
    field = np.zeros((height, width), np.float32)
    for k in range(octaves):
        w = 2 ** (k + 1) + 1
        grid = rng.random((max(2, round(w * min(2.0, height / width))), w)).astype(np.float32)
        if period:
            grid[:, -1] = grid[:, 0]
        field += enlarge(grid, height, width) * 0.55**k
    field -= field.min()
    return field / max(float(field.max()), 1e-6)
