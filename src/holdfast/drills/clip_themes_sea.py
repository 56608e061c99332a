"""Clips of the sea: tides, kelp, jellyfish.

Each function draws one variant: `theme(rng, variant, frames)` yields uint8 (H, W, 3) pictures. `variant` picks palette
and motif in turn, so that neighbours differ plainly; `rng` moves everything else.
"""

from collections.abc import Iterator

import numpy as np

from holdfast.drills.clip_canvas import (
    RATE,
    XS,
    YS,
    H,
    W,
    band,
    below,
    disc,
    dots,
    ellipse,
    enlarge,
    glow,
    mix,
    polygon,
    rgb,
    ribbon,
    ring,
    sky,
    stroke,
    to_bytes,
)  # fmt: skip

TIDES = (  # sky from top to horizon; far water, near water, foam; the sun
    ("#1b2a4e #7a4a78 #f2926b #ffd9a0", "#c9827a #1d3b5c #ffe9d2", "#fff0c9"),
    ("#3f8fd1 #9fd3ee #eaf6f4", "#7fc9d6 #0c5f86 #ffffff", "#fffbe6"),
    ("#070b1f #14224d #32487c", "#31487d #050d22 #bcd2ff", "#eef2ff"),
    ("#0f5257 #3aa39a #c8ecd0", "#79cdb9 #07464e #eafff5", "#fdffe0"),
    ("#4b5563 #8b97a3 #c7ced3", "#93a1a9 #27343d #f4f7f8", "#f3f3ee"),
    ("#3a1d4f #a3437d #ff8f8a #ffd7b5", "#d6739a #3b1d5b #ffe3ec", "#ffe9c9"),
    ("#f4c6a5 #f8e0c8 #fdf3e4", "#e7c9b1 #5b8c97 #ffffff", "#ffffff"),
)


def tides(rng: np.random.Generator, variant: int, frames: int) -> Iterator[np.ndarray]:
    """Waves in layers under a low sun or a moon; now and then a sail, a lighthouse, birds."""
    air, water, light = (([rgb(c) for c in part.split()]) for part in TIDES[variant % len(TIDES)])
    horizon = float(rng.uniform(0.34, 0.5)) * H
    sun_x, sun_y, sun_r = float(rng.uniform(80, 280)), horizon - float(rng.uniform(30, 130)), float(rng.uniform(22, 46))
    back = np.vstack([sky(air, int(horizon)), np.full((H - int(horizon), W, 3), water[0], np.float32)])
    glow(back, sun_x, sun_y, sun_r * 4.5, light[0], 0.4)
    disc(back, sun_x, sun_y, sun_r, light[0])
    layers = 8
    swell = float(rng.uniform(5, 11)) * (1.9 if variant % 7 == 4 else 1.0)
    phases, speeds = rng.uniform(0, 6.28, (layers, 3)), rng.uniform(0.7, 1.3, (layers, 3))
    motif = variant % 4
    motif_x, drift = float(rng.uniform(70, 230)), float(rng.uniform(6, 14))
    birds = rng.uniform(0, 1, (7, 3))
    glints = rng.uniform(0, 1, (90, 3))
    for f in range(frames):
        t = f / RATE
        img = back.copy()
        if motif == 2:
            _lighthouse(img, motif_x, horizon, t, light[0], mix(water[1], water[0], 0.3))
        for k in range(layers):
            near = (k / (layers - 1)) ** 1.25
            a, b, c = phases[k] + speeds[k] * t * (1.0 + 0.5 * near)
            long = XS * (0.030 - 0.016 * near)
            tide = 14 * near * np.sin(0.9 * t + k)
            line = horizon + 4 + near * (H - horizon) * 0.80 + tide
            line = line + swell * (0.25 + 1.6 * near) * (
                np.sin(long + a) + 0.45 * np.sin(2.3 * long - b) + 0.2 * np.sin(5.1 * long + c))
            if motif == 1 and k == 3:
                _sail(
                    img, motif_x + drift * t, float(line[int(motif_x) % W]) + 4, t, water[2], mix(water[1], air[0], 0.2)
                )
            below(img, line.astype(np.float32), mix(water[0], water[1], near))
            foam = (2 + 15 * near) * (0.55 + 0.45 * np.sin(long * 3.7 + 2 * b + k))
            band(img, line.astype(np.float32), foam.astype(np.float32) + 1, water[2], 0.28 + 0.5 * near)
        spread = glints[:, 1] ** 1.5
        x = sun_x + (glints[:, 0] - 0.5) * (40 + 190 * spread)
        y = horizon + 4 + spread * (H - horizon) * 0.62
        twinkle = np.clip(np.sin(t * 5 + glints[:, 2] * 40), 0, 1)[:, None] * light[0] * 0.7
        for shift in (-1, 0, 1):
            dots(img, x + shift, y, twinkle)
        if motif == 3:
            for bx, by, phase in birds:
                _bird(
                    img, (bx * W + 26 * t) % (W + 60) - 30, 60 + by * (horizon - 120), np.sin(5 * t + phase * 9), air[0]
                )
        yield to_bytes(img)


def _sail(img: np.ndarray, x: float, y: float, t: float, sail: np.ndarray, hull: np.ndarray) -> None:
    tilt = 4 * np.sin(1.4 * t)
    polygon(img, [(x + tilt, y - 78), (x + 2, y - 12), (x + 38, y - 12)], sail)
    polygon(img, [(x - 3 + tilt, y - 66), (x - 4, y - 12), (x - 26, y - 12)], sail, 0.85)
    polygon(img, [(x - 32, y - 8), (x + 42, y - 8), (x + 26, y + 8), (x - 20, y + 8)], hull)


def _lighthouse(img: np.ndarray, x: float, horizon: float, t: float, light: np.ndarray, rock: np.ndarray) -> None:
    top = horizon - 96
    sweep = np.sin(t * 1.6)
    polygon(img, [(x, top), (x + 300 * sweep, top - 40), (x + 300 * sweep, top + 40)], light, 0.22)
    polygon(img, [(x - 70, horizon + 8), (x - 30, horizon - 26), (x + 34, horizon - 22), (x + 84, horizon + 8)], rock)
    polygon(img, [(x - 13, horizon - 20), (x - 8, top + 8), (x + 8, top + 8), (x + 13, horizon - 20)], rgb("#f2ece2"))
    polygon(img, [(x - 11, horizon - 50), (x - 9.5, horizon - 66), (x + 9.5, horizon - 66), (x + 11, horizon - 50)],
            rgb("#c8503c"))
    polygon(img, [(x - 10, top + 8), (x - 6, top - 12), (x + 6, top - 12), (x + 10, top + 8)], rgb("#40353a"))
    glow(img, x, top, 46, light, 0.9)


def _bird(img: np.ndarray, x: float, y: float, flap: float, color: np.ndarray) -> None:
    for side in (-1, 1):
        stroke(img, (x, y), (x + 9 * side, y - 5 - 5 * flap), 2.2, color, 0.85)


KELP = (  # water from top to bottom; far fronds, near fronds; fish
    ("#bfeee0 #3fa796 #0a3f4d #041f2b", "#2b7a5a #0f4a33", "#ffb86b"),
    ("#9fe0ff #2f86b8 #0d3a66 #061a35", "#2d6f7a #0d3f4d", "#ffd35c"),
    ("#f4f0b0 #7fbf6a #1f6a4d #0a2f2a", "#5f8f2f #23531f", "#ff7a6b"),
    ("#ffd9c0 #d08a7a #5a4a6a #1f1f3a", "#7a5a3f #3a2f2a", "#8fe3ff"),
    ("#c8f7ff #4fc3c9 #1a6f8a #0a2f4f", "#a8792f #5a3f17", "#ff9ecb"),
    ("#8fa8d8 #3a4f8f #161f4a #080a22", "#3a6f6a #12303a", "#bfffd0"),
)


def kelp(rng: np.random.Generator, variant: int, frames: int) -> Iterator[np.ndarray]:
    """A kelp forest seen from within: fronds that sway together, shafts of light, fish, bubbles."""
    water, green, (fish,) = (([rgb(c) for c in part.split()]) for part in KELP[variant % len(KELP)])
    back = sky(water)
    count = 4 + variant % 4
    fronds = sorted(
        (
            float(rng.uniform(0.15, 1.0)),
            float((k + rng.uniform(0.1, 0.9)) / count * W * 1.1 - 18),
            float(rng.uniform(0, 6)),
        )
        for k in range(count)
    )
    tops = rng.uniform(-60, 220, count)
    lean, school = float(rng.uniform(0.25, 0.6)), 5 + (variant * 3) % 9
    swim = rng.uniform(0, 1, (school, 4))
    bubbles = rng.uniform(0, 1, (16, 4))
    grid_x, grid_y = np.meshgrid(np.linspace(0, 1, 45), np.linspace(0, 1, 80))
    way = 1 if variant % 2 else -1
    for f in range(frames):
        t = f / RATE
        img = back.copy()
        along = grid_x - lean * grid_y
        shafts = np.sin(9 * along + 0.5 * t) + np.sin(17 * along - 0.8 * t + 1) + np.sin(29 * along + 0.6 * t)
        light = np.clip(shafts * 0.5 + 0.15, 0, 1) * (1 - grid_y) ** 1.3
        img += enlarge(light.astype(np.float32))[..., None] * water[0] * 0.33
        for k, (depth, x, phase) in enumerate(fronds):
            if k == count // 2:
                for bx, by, size, wobble in swim:
                    fx = (bx * (W + 120) + way * t * (24 + 30 * size)) % (W + 120) - 60
                    fy = 130 + by * 330 + 8 * np.sin(2 * t + wobble * 9)
                    _fish(img, fx, fy, 7 + 8 * size, way, t * 8 + wobble * 9, mix(fish, water[1], 0.5 * (1 - size)))
            color = mix(mix(water[1], green[0], 0.55), green[1], depth)
            _frond(img, x, float(tops[k]), 8 + 15 * depth, t, phase, color, mix(color, water[0], 0.35))
        for bx, by, size, wobble in bubbles:
            y = (by * H - t * (40 + 60 * size)) % H
            ring(img, bx * W + 6 * np.sin(3 * t + 9 * wobble), y, 2 + 4 * size, 1.4, water[0], 0.55)
        yield to_bytes(img)


def _frond(
    img: np.ndarray, x: float, top: float, leaf: float, t: float, phase: float, color: np.ndarray, lit: np.ndarray
) -> None:
    rows = np.arange(max(0, int(top)), H, dtype=np.float32)
    up = (H - rows) / (H - top)
    centre = x + 46 * up**1.5 * np.sin(1.1 * t + phase - 2.2 * up) + 12 * np.sin(0.031 * rows + 1.7 * t + phase)
    taper = np.clip((rows - top) / 130, 0.04, 1)
    pace = leaf * 2.6
    saw_left, saw_right = ((((rows + half * pace) / pace) % 1.0) ** 0.8 for half in (0.0, 0.5))
    left, right = (leaf * taper * (0.35 + 1.5 * saw * (1 - saw**6)) for saw in (saw_left, saw_right))
    ribbon(img, int(rows[0]), centre, (left, right), (color, lit))


def _fish(img: np.ndarray, x: float, y: float, size: float, way: int, beat: float, color: np.ndarray) -> None:
    tail = 0.3 * size * np.sin(beat)
    polygon(img, [(x - way * size * 0.8, y), (x - way * size * 1.9, y - size * 0.7 + tail),
                  (x - way * size * 1.9, y + size * 0.7 + tail)], color, 0.9)
    ellipse(img, x, y, size * 1.15, size * 0.55, color)
    disc(img, x + way * size * 0.65, y - size * 0.12, max(1.0, size * 0.11), rgb("#10202a"))


JELLYFISH = (  # water from top to bottom; bell, rim, plankton
    ("#0a1030 #12205a #06081c", "#8f7bff #ffb3f0 #9fd8ff"),
    ("#031a24 #06414f #02121a", "#4fd8c8 #e6fff2 #8fffe0"),
    ("#2a0a2f #5a1550 #16041c", "#ff6fae #ffe0c0 #ffb0e0"),
    ("#06122a #0b3b7a #030a1a", "#5fb0ff #ffffff #c0e0ff"),
    ("#1d0f05 #5a2a10 #0f0602", "#ff9d4f #fff0b0 #ffd9a0"),
    ("#0a1f14 #1a5a3a #04100a", "#a8ff7f #fffed0 #d0ffb0"),
    ("#6fb4dc #2f76b4 #123a6a", "#ff7f7a #ffe9e0 #ffffff"),
)


def jellyfish(rng: np.random.Generator, variant: int, frames: int) -> Iterator[np.ndarray]:
    """Bells that pulse and rise, with tentacles that follow; plankton drifts by."""
    water, (bell, rim, plankton) = (([rgb(c) for c in part.split()]) for part in JELLYFISH[variant % len(JELLYFISH)])
    back = sky(water)
    count = (1, 3, 5, 2, 7)[variant % 5]
    size = (118, 66, 50, 84, 40)[variant % 5]
    spread = rng.permutation(count)
    ones = [
        (
            float((k + rng.uniform(0.3, 0.7)) / count * W),
            float(rng.uniform(0, 1) if count > 1 else 0.45) * 0.2 * H + H * (0.30 + 0.5 * float(spread[k]) / count),
            size * float(rng.uniform(0.75, 1.1)),
            float(rng.uniform(0, 6.28)),
            float(rng.uniform(0.8, 1.2)),
        )
        for k in range(count)
    ]
    drift = rng.uniform(0, 1, (130, 3))
    for f in range(frames):
        t = f / RATE
        img = back.copy()
        x = (drift[:, 0] * W + 5 * np.sin(t + drift[:, 2] * 9)) % W
        dots(img, x, (drift[:, 1] * H + t * (6 + 14 * drift[:, 2])) % H, plankton * (0.2 + 0.6 * drift[:, 2:]))
        for jx, jy, r, phase, pace in ones:
            beat = 2.4 * pace * t + phase
            y = (jy - 14 * t * pace - 9 * np.sin(beat + 0.8) + 150) % (H + 300) - 150
            _jelly(img, jx + 16 * np.sin(0.5 * t + phase), y, r, beat, (bell, rim))
        yield to_bytes(img)


def _jelly(img: np.ndarray, x: float, y: float, r: float, beat: float, colors: tuple[np.ndarray, np.ndarray]) -> None:
    bell, rim = colors
    squeeze = np.sin(beat)
    rx, ry = r * (0.86 - 0.13 * squeeze), r * (0.80 + 0.12 * squeeze)
    glow(img, x, y, r * 2.1, bell, 0.33)
    length = r * 2.7
    top, bottom = max(0, int(y)), min(H, int(y + length))
    left, right = max(0, int(x - r * 1.3)), min(W, int(x + r * 1.3))
    if top < bottom and left < right:
        down = (YS[top:bottom] - y) / length  # (rows, 1)
        threads = np.linspace(-0.8, 0.8, 9, dtype=np.float32)
        place = x + threads * rx * (1 - 0.25 * down) + r * 0.22 * down * np.sin(6 * down - beat + 2.1 * threads)
        apart = XS[None, left:right, None] - place[:, None, :]  # (rows, columns, threads)
        thin = 0.9 + r * 0.022 * (1 - down) * np.where(np.abs(threads) < 0.45, 2.6, 1.0)
        light = np.exp(-((apart / thin[:, None, :]) ** 2)).sum(axis=2) * (1 - down) ** 0.8
        img[top:bottom, left:right] += light[..., None] * mix(bell, rim, 0.4) * 0.45
    top, bottom = max(0, int(y - ry) - 1), min(H, int(y + ry * 0.5) + 2)
    left, right = max(0, int(x - rx) - 2), min(W, int(x + rx) + 3)
    if top >= bottom or left >= right:
        return
    u, v = (XS[left:right] - x) / rx, (YS[top:bottom] - y) / ry
    hem = 0.16 + 0.07 * np.cos(u * 12) - 0.16 * u * u  # the scalloped lower edge
    d = np.hypot(u, np.where(v < 0, v, v * 0.0))
    inside = np.clip((1 - d) * r * 0.5, 0, 1) * np.clip((hem - v) * ry * 0.5, 0, 1)
    edge = np.clip(d, 0, 1) ** 5
    ribs = 0.07 * np.cos(u * 16 / (0.35 + np.sqrt(np.clip(1 - np.minimum(v, 0) ** 2, 0.02, 1))))
    shade = np.clip(0.30 + 0.55 * edge + ribs + 0.35 * np.clip(-v - 0.35, 0, 1), 0, 1)
    patch = img[top:bottom, left:right]
    color = bell + (rim - bell) * np.clip(edge + 0.5 * np.clip(-v - 0.2, 0, 1), 0, 1)[..., None]
    patch += (color - patch) * (inside * shade)[..., None]
