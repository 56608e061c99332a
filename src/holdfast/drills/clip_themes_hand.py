"""Clips of things made by hand: dominoes, origami, flowers. Shapes as in `clip_themes_sea`."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from holdfast.drills.clip_canvas import (
    RATE,
    XS,
    YS,
    H,
    W,
    below,
    disc,
    dots,
    glow,
    mix,
    polygon,
    ramp,
    rgb,
    ring,
    sky,
    stroke,
    to_bytes,
)  # fmt: skip

DOMINOES = (  # table from top to bottom; dominoes from first to last
    ("#f4ead8 #e8d4b4", "#e0503a #f0a83a #3a9a8a #2f5f9f"),
    ("#1f2f3f #0f1a24", "#7affd0 #5fb0ff #b07aff #ff7ad0"),
    ("#dcecf0 #b8d4dc", "#1f4a6a #3f8fb0 #f4f4f0 #f0b040"),
    ("#2f1f3a #180f20", "#ffe08a #ff9f5f #ff5f7a #c04fd0"),
    ("#e8f0dc #c4d8a8", "#2f6a3a #8fb03f #f4d84a #e8703a"),
    ("#3a2018 #20100a", "#fff0d8 #ffd08a #f09040 #d04f2a"),
    ("#f8dce4 #ecb4c4", "#ffffff #d84f7a #7a2f5f #3f2f5a"),
)


def dominoes(rng: np.random.Generator, variant: int, frames: int) -> Iterator[np.ndarray]:
    """A row of dominoes that falls, along a spiral, a wave, a heart, a circle or a star."""
    table, colors = (([rgb(c) for c in part.split()]) for part in DOMINOES[variant % len(DOMINOES)])
    back = sky(table)
    glow(back, float(rng.uniform(60, 300)), 120, 330, rgb("#ffffff"), 0.10)
    count = int(rng.integers(60, 84))
    way = _way((variant + variant // 5) % 5, count)
    if variant % 2:
        way = way[::-1].copy()
    run = np.gradient(way, axis=0)
    run /= np.hypot(run[:, 0], run[:, 1])[:, None]
    shades = ramp(colors, count)
    tall, thick, broad = float(rng.uniform(36, 46)), 7.0, 22.0
    order = np.argsort(way[:, 1])
    last = frames - 18
    scene = back.copy()
    for k in order:
        _domino(scene, way[k], run[k], 0.0, (tall, thick, broad), shades[k])
    leaning = np.zeros(count)
    for f in range(frames):
        front = (f - 4) / (last - 4) * (count + 5)
        fall = np.clip((front - np.arange(count)) / 5, 0, 1) ** 1.6 * 1.36  # leaning angle, radians
        moved = way[fall != leaning]
        leaning = fall
        if len(moved):  # draw again what moved and its neighbours, and take over only the window round what moved
            (left, top), (right, bottom) = moved.min(axis=0) - 75, moved.max(axis=0) + 75
            near = (
                (way[:, 0] > left - 75) & (way[:, 0] < right + 75) & (way[:, 1] > top - 75) & (way[:, 1] < bottom + 75)
            )
            sheet = back.copy()
            for k in order[near[order]]:
                _domino(sheet, way[k], run[k], float(fall[k]), (tall, thick, broad), shades[k])
            window = (slice(max(0, int(top)), max(0, int(bottom))), slice(max(0, int(left)), max(0, int(right))))
            scene[window] = sheet[window]
        img = scene.copy()
        hit = int(np.clip(front, 0, count - 1))
        if 0 <= front < count:
            glow(img, way[hit, 0], way[hit, 1] - tall * 0.5, 46, mix(colors[1], rgb("#ffffff"), 0.5), 0.16)
        yield to_bytes(img)


def _way(style: int, count: int) -> np.ndarray:
    """Places along a curve, evenly apart: (count, 2)."""
    s = np.linspace(0, 1, 900)
    if style == 0:  # a spiral
        a, r = s * 4.6 * np.pi, 26 + 128 * s
        x, y = r * np.cos(a), r * 1.5 * np.sin(a)
    elif style == 1:  # a winding road
        x, y = 128 * np.sin(s * 3.5 * np.pi), -250 + 500 * s
    elif style == 2:  # a heart
        a = s * 2 * np.pi * 0.985 + 0.05
        x = 9.0 * 16 * np.sin(a) ** 3
        y = -11.5 * (13 * np.cos(a) - 5 * np.cos(2 * a) - 2 * np.cos(3 * a) - np.cos(4 * a))
    elif style == 3:  # two loops
        a = s * 2 * np.pi * 0.98
        x, y = 140 * np.sin(2 * a), 225 * np.cos(a)
    else:  # a flower
        a = s * 2 * np.pi * 0.985
        r = 108 + 42 * np.cos(5 * a)
        x, y = r * np.cos(a), 1.5 * r * np.sin(a)
    long = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    at = np.linspace(0, long[-1], count)
    return np.stack([W / 2 + np.interp(at, long, x), H / 2 + 20 + np.interp(at, long, y)], 1)


def _domino(
    img: np.ndarray, at: np.ndarray, run: np.ndarray, lean: float, size: tuple[float, float, float], color: np.ndarray
) -> None:
    """One domino in a slanted view: height goes up the screen, falling lays it along `run`."""
    tall, thick, broad = size
    up = np.array([0.0, -1.0]) * tall * np.cos(lean) + run * tall * np.sin(lean) * np.array([1, 0.8])
    half = np.array([-run[1], run[0] * 0.8]) * broad / 2
    deep = run * thick * np.array([1, 0.8])
    a, b = at - half, at + half
    if lean < 0.2:
        polygon(img, [tuple(p) for p in (a, b, b + (14, 7), a + (14, 7))], rgb("#000000"), 0.12)
    front_near = run[1] >= 0  # the face towards us is the leading one when it runs down the screen
    face = deep if front_near else np.zeros(2)
    ends = (a, a + deep) if half[1] < 0 else (b, b + deep)
    ends = (b, b + deep) if ends[0][1] < at[1] else ends
    polygon(img, [tuple(p) for p in (ends[0], ends[1], ends[1] + up, ends[0] + up)], color * 0.62)
    polygon(
        img,
        [tuple(p) for p in (a + face, b + face, b + face + up, a + face + up)],
        color * (0.82 + 0.14 * np.sin(lean)),
    )
    polygon(img, [tuple(p) for p in (a + up, b + up, b + up + deep, a + up + deep)], mix(color, rgb("#ffffff"), 0.35))
    if lean < 0.9:
        middle = at + face + up * 0.5
        stroke(img, tuple(middle - half * 0.8), tuple(middle + half * 0.8), 1.2, mix(color, rgb("#ffffff"), 0.6), 0.7)


ORIGAMI = (  # sky from top to bottom; hills; paper
    ("#f8e4d0 #f4c8a8 #e89a80", "#d87a6a #a84f5a", "#ffffff #e0503a #f4b04a"),
    ("#d8ecf4 #a8d4e8 #78b0d8", "#5f98c8 #2f5f98", "#ffffff #f4e04a #ff8f7a"),
    ("#2a2f5f #4a4f8f #8a7fb0", "#3a3f78 #1f2450", "#fff0d8 #ff9fb0 #8fe0ff"),
    ("#e4f0d8 #b8d8a8 #88b888", "#5f9870 #2f6a50", "#ffffff #f47a5a #ffd86a"),
    ("#f4e4f4 #dcb8e0 #b088c8", "#8f68b0 #5a3f88", "#ffffff #6ad0c8 #ffd07a"),
    ("#fdf4e0 #f8dc98 #f0b850", "#d8903a #a8602a", "#c8402f #ffffff #2f6a8a"),
)


def origami(rng: np.random.Generator, variant: int, frames: int) -> Iterator[np.ndarray]:
    """Folded paper: cranes that fly, boats that sail, butterflies, fish, over hills of paper."""
    air, hills, papers = (([rgb(c) for c in part.split()]) for part in ORIGAMI[variant % len(ORIGAMI)])
    fold: Callable[..., None] = (_crane, _boat, _butterfly, _koi)[(variant + variant // 4) % 4]
    afloat = fold in (_boat, _koi)
    back = sky(air)
    disc(back, float(rng.uniform(90, 270)), float(rng.uniform(120, 210)), float(rng.uniform(44, 80)),
         mix(papers[1], air[0], 0.25))
    shapes = rng.uniform(0, 6.28, (4, 3))
    count = (7, 4, 9, 6)[(variant + variant // 4) % 4]
    places = sorted(
        (float(rng.uniform(0.45, 1.0)), float((k + rng.uniform(0.2, 0.8)) / count), float(rng.uniform(0, 6.28)))
        for k in range(count)
    )
    way = 1 if variant % 2 else -1
    for f in range(frames):
        t = f / RATE
        img = back.copy()
        for k in range(4):
            base, tall = 400 + 62 * k, 46 - 6 * k
            a, b, _ = shapes[k]
            drift = way * t * (5 + 7 * k)
            saw = np.abs(((XS + drift + 60 * a) / (74 + 12 * k)) % 2 - 1)  # folded hills have creases, not curves
            line = base - tall * saw - 12 * np.sin((XS + drift) * 0.012 + b)
            if afloat:
                line = base - 30 - 9 * np.abs(np.sin((XS + drift * 2.2) * 0.028 + a)) + 4 * np.sin(2 * t + k)
            color = mix(hills[0], hills[1], k / 3)
            below(img, (line + 5).astype(np.float32), color * 0.86)
            below(img, (line + 9).astype(np.float32), color)
            if afloat:
                _afloat(img, fold, [p for p in places if int(p[0] * 7.2 - 3.2) == k], base, way, t, papers)
        if not afloat:
            for depth, place, phase in places:
                x = (place * (W + 160) + way * t * (26 + 46 * depth)) % (W + 160) - 80
                y = 110 + 330 * ((place * 2.3 + phase) % 1.0) + 12 * np.sin(1.3 * t + phase)
                fold(img, x, y, 44 * depth, way, 4.5 * t + phase * 3, papers[int(phase * 7) % 3])
        yield to_bytes(img)


def _afloat(
    img: np.ndarray,
    fold: Callable[..., None],
    places: list[tuple[float, float, float]],
    base: float,
    way: int,
    t: float,
    papers: list[np.ndarray],
) -> None:
    for depth, place, phase in places:
        x = (place * (W + 200) + way * t * (16 + 26 * depth)) % (W + 200) - 100
        fold(
            img, x, base - 34 + 5 * np.sin(1.7 * t + phase), 54 * depth, way, 2 * t + phase, papers[int(phase * 7) % 3]
        )


def _crane(img: np.ndarray, x: float, y: float, s: float, way: int, beat: float, paper: np.ndarray) -> None:
    lift = np.sin(beat)
    dark, mid = paper * 0.72, paper * 0.87

    def p(u: float, v: float) -> tuple[float, float]:
        return x + way * u * s, y + v * s

    polygon(img, [p(-0.25, 0.05), p(-1.35, -0.75), p(-0.45, 0.32)], mid)  # tail
    polygon(img, [p(-0.1, -0.1), p(-0.55, -0.2 - 1.15 * lift), p(0.4, 0.05)], dark)  # far wing
    polygon(img, [p(-0.5, 0.0), p(0.55, 0.0), p(0.05, 0.45)], mid)  # body
    polygon(img, [p(0.3, 0.1), p(1.05, -0.85), p(0.55, 0.2)], paper)  # neck
    polygon(img, [p(1.05, -0.85), p(1.42, -0.62), p(0.98, -0.66)], dark)  # head
    polygon(img, [p(-0.35, 0.05), p(0.1, 0.05 - 1.4 * lift), p(0.45, 0.1)], paper)  # near wing
    polygon(img, [p(0.1, 0.05 - 1.4 * lift), p(0.45, 0.1), p(0.15, 0.08)], mid)


def _boat(img: np.ndarray, x: float, y: float, s: float, way: int, beat: float, paper: np.ndarray) -> None:
    tilt = 0.10 * np.sin(beat)

    def p(u: float, v: float) -> tuple[float, float]:
        return x + way * (u * s - v * s * tilt), y + v * s + u * s * tilt * 0.6

    polygon(img, [p(-0.02, -1.15), p(0.5, -0.1), p(-0.02, -0.1)], paper * 0.86)
    polygon(img, [p(-0.02, -1.15), p(-0.5, -0.1), p(-0.02, -0.1)], paper)
    polygon(img, [p(-1.25, -0.42), p(0, -0.2), p(-0.62, 0.38)], paper * 0.93)
    polygon(img, [p(1.25, -0.42), p(0, -0.2), p(0.62, 0.38)], paper * 0.78)
    polygon(img, [p(0, -0.2), p(0.62, 0.38), p(-0.62, 0.38)], paper * 0.86)


def _butterfly(img: np.ndarray, x: float, y: float, s: float, way: int, beat: float, paper: np.ndarray) -> None:
    spread = 0.30 + 0.70 * abs(np.sin(beat))
    for side, shade in ((-1, 1.0), (1, 0.82)):
        def p(u: float, v: float, side: int = side) -> tuple[float, float]:
            return x + side * u * s * spread, y + v * s - 0.2 * s * u

        polygon(img, [p(0, 0.05), p(1.15, -0.85), p(1.0, 0.0)], paper * shade)
        polygon(img, [p(0, 0.05), p(1.0, 0.0), p(0.55, 0.2)], paper * shade * 0.84)
        polygon(img, [p(0, 0.05), p(0.8, 0.85), p(0.2, 0.6)], paper * shade * 0.92)
    stroke(img, (x, y - 0.3 * s), (x, y + 0.45 * s), 0.09 * s, paper * 0.5)


def _koi(img: np.ndarray, x: float, y: float, s: float, way: int, beat: float, paper: np.ndarray) -> None:
    wag = 0.3 * np.sin(beat * 2)

    def p(u: float, v: float) -> tuple[float, float]:
        return x + way * u * s, y + v * s - 0.35 * s

    polygon(img, [p(-0.7, 0), p(-1.5, -0.5 + wag), p(-1.15, 0 + wag * 0.6)], paper * 0.8)
    polygon(img, [p(-0.7, 0), p(-1.5, 0.5 + wag), p(-1.15, 0 + wag * 0.6)], paper * 0.68)
    polygon(img, [p(-0.85, 0), p(0.25, -0.55), p(0.2, 0.05)], paper)
    polygon(img, [p(-0.85, 0), p(0.25, 0.5), p(0.2, 0.05)], paper * 0.82)
    polygon(img, [p(0.25, -0.55), p(1.15, 0), p(0.2, 0.05)], paper * 0.92)
    polygon(img, [p(0.25, 0.5), p(1.15, 0), p(0.2, 0.05)], paper * 0.74)
    polygon(img, [p(-0.1, -0.4), p(0.1, -0.95), p(0.3, -0.5)], paper * 0.7)
    disc(img, *p(0.72, -0.1), 0.07 * s, rgb("#20242c"))


FLOWERS = (  # garden from top to bottom; petals outer and inner; heart
    ("#fdf0e4 #f8d8c8 #c8d8a8", "#f4708a #ffd0dc", "#ffd24a"),
    ("#1f2a4a #2f4a6a #1f4a4a", "#b08aff #f0e4ff", "#ffe08a"),
    ("#e4f4fc #c8e8f0 #a8d0b0", "#ff9f4a #fff0b8", "#8f4a2a"),
    ("#fcf8e0 #f0e8a8 #a8c078", "#ffffff #fff4d8", "#ffc02f"),
    ("#2a1024 #5a1f3f #2f3a2a", "#ff5f7a #ffc08a", "#fff0b8"),
    ("#e8e0f8 #c8b8e8 #98b8a8", "#5f7aff #c8e0ff", "#fff4a8"),
    ("#0f2a24 #1f5a44 #0f3a2a", "#ff8fd0 #ffffff", "#ffe45e"),
)


def flowers(rng: np.random.Generator, variant: int, frames: int) -> Iterator[np.ndarray]:
    """Buds that open one after the other and sway; petals or pollen in the air."""
    garden, (outer, inner), (heart,) = (([rgb(c) for c in part.split()]) for part in FLOWERS[variant % len(FLOWERS)])
    back = sky(garden)
    for _ in range(16):
        disc(back, float(rng.uniform(0, W)), float(rng.uniform(0, H * 0.8)), float(rng.uniform(12, 46)),
             mix(garden[1], inner, 0.5), 0.16, 5)
    count = (1, 3, 5, 7)[variant % 4]
    size = (138, 84, 64, 50)[variant % 4]
    petals = (5, 8, 6, 13, 10)[variant % 5]
    pointed = (0.55, 0.9, 0.35)[variant % 3]
    leaf = mix(rgb("#2f7a3f"), garden[2], 0.35)
    spread = rng.permutation(count)
    blooms = sorted(
        (
            (0.30 + 0.5 * float(spread[k]) / max(1, count - 1)) * H if count > 1 else 0.42 * H,
            (k + float(rng.uniform(0.3, 0.7))) / count * W,
            size * float(rng.uniform(0.75, 1.1)),
            float(rng.uniform(0, 6.28)),
            float(rng.uniform(0, 0.32)),
            float(rng.uniform(-0.12, 0.12)),
        )
        for k in range(count)
    )
    air = rng.uniform(0, 1, (34, 4))
    for f in range(frames):
        t = f / RATE
        img = back.copy()
        for y, x, r, phase, wait, tint in blooms:
            bx = x + 9 * np.sin(0.9 * t + phase)
            _stem(img, bx, y, x, r, t, phase, leaf)
            opened = np.clip(
                (f / frames + 0.25 - wait) / 0.70, 0, 1
            )  # half open at once: the first picture is the cover
            opened = opened * opened * (3 - 2 * opened)
            turn = phase + 0.25 * opened + 0.05 * np.sin(t + phase)
            shades = (mix(outer, garden[0], max(0.0, tint)), mix(inner, outer, max(0.0, -tint)), heart)
            _bloom(img, bx, y, r * (0.34 + 0.66 * opened), float(opened), turn, petals, pointed, shades)
        for px, py, pace, phase in air:
            x = (px * W + 22 * np.sin(0.8 * t + 9 * phase)) % W
            y = (py * H + t * (16 + 34 * pace)) % H
            stroke(img, (x, y), (x + 6 * np.cos(2 * t + 9 * phase), y + 4 * np.sin(2 * t + 9 * phase)), 3.4 + 2 * pace,
                   mix(outer, inner, pace), 0.75)
        yield to_bytes(img)


def _stem(
    img: np.ndarray, x: float, y: float, foot: float, r: float, t: float, phase: float, leaf: np.ndarray
) -> None:
    width = 3 + r * 0.05
    bend = [(x + (foot - x) * s * s + 10 * np.sin(3 * s + phase) * s, y + (H - y) * s) for s in np.linspace(0, 1.02, 8)]
    for a, b in itertools.pairwise(bend):
        stroke(img, a, b, width, leaf)
    for k, side in ((3, -1), (5, 1)):
        lx, ly = bend[k]
        tip = (lx + side * r * 0.85, ly - r * 0.42 + 3 * np.sin(1.4 * t + phase + k))
        middle = (lx + side * r * 0.42, ly - r * 0.46)
        polygon(img, [(lx, ly), middle, tip], mix(leaf, rgb("#ffffff"), 0.14))
        polygon(img, [(lx, ly), tip, (lx + side * r * 0.5, ly + r * 0.02)], leaf * 0.9)


def _bloom(
    img: np.ndarray, x: float, y: float, r: float, opened: float, turn: float, petals: int, pointed: float,
    shades: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """A flower seen from the front: three wreaths of petals, each a curve in polar coordinates."""
    outer, inner, heart = shades
    top, bottom, left, right = max(0, int(y - r)), min(H, int(y + r) + 2), max(0, int(x - r)), min(W, int(x + r) + 2)
    if top >= bottom or left >= right:
        return
    u, v = XS[left:right] - x, YS[top:bottom] - y
    d, a = np.hypot(u, v) / np.float32(r), np.arctan2(v, u)
    patch = img[top:bottom, left:right]
    for wreath in range(3):
        reach = (1.0, 0.74, 0.47)[wreath] * (0.5 + 0.5 * opened ** (1 + wreath))
        wave = np.abs(np.cos((a - turn - wreath * np.pi / petals * 0.9) * petals / 2))
        edge = reach * (0.30 + 0.70 * wave**pointed)
        cover = np.clip((edge - d) * r, 0, 1)
        shade = np.clip(0.25 + 0.75 * d / reach, 0, 1)
        color = (
            mix(inner, outer, 0.9 - 0.4 * wreath) * np.float32(0.72)
            + (inner - outer * 0.25) * (0.32 * (1 - shade))[..., None]
        )
        color = np.clip(color + 0.28 * outer * (wave**2)[..., None] * shade[..., None], 0, 1)
        patch += (color - patch) * cover[..., None]
        line = np.clip(1 - np.abs(edge - d) * r * 0.5, 0, 1) * cover
        patch += (inner - patch) * (line * 0.35)[..., None]
    disc(img, x, y, r * (0.10 + 0.07 * opened), heart)
    ring(img, x, y, r * (0.10 + 0.05 * opened), 2, heart * 0.7, 0.7)
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False) + turn
    dots(img, x + r * 0.2 * opened * np.cos(angle), y + r * 0.2 * opened * np.sin(angle), heart * 0.9)
