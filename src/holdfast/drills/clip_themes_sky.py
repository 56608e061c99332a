"""Clips of the sky: fireworks, planets, rain. Shapes as in `clip_themes_sea`."""

from collections.abc import Iterator

import numpy as np

from holdfast.drills.clip_canvas import (
    RATE,
    XS,
    YS,
    H,
    W,
    below,
    clouds,
    disc,
    dots,
    enlarge,
    glow,
    mix,
    polygon,
    ramp,
    rgb,
    sky,
    stroke,
    to_bytes,
)  # fmt: skip

FIREWORKS = (  # sky from top to horizon; bursts
    ("#050716 #101a3c #2a2f5f", "#ffcf5c #ff6b6b #6bd6ff #ffffff"),
    ("#0a0414 #2a0f3f #6a2f5f", "#ff8fd0 #c79bff #ffe08a #8affd0"),
    ("#020a12 #06283a #14566a", "#7affd8 #b8ff7a #ffffff #5fc8ff"),
    ("#0f0606 #3a1410 #7a3418", "#ffb347 #ff5e3a #fff1b8 #ff8fa3"),
    ("#05060a #15171f #30343f", "#ffffff #d8e4ff #ffe9b8 #b8ffe9"),
    ("#04061c #14145a #3a3aa0", "#ff5ec4 #5effe0 #ffe45e #a05eff"),
)


PRELUDE = RATE  # frames of fireworks that nobody sees


def fireworks(rng: np.random.Generator, variant: int, frames: int) -> Iterator[np.ndarray]:
    """Shells that climb and burst into spheres, rings, willows and hearts, over water that mirrors them."""
    air, colors = (([rgb(c) for c in part.split()]) for part in FIREWORKS[variant % len(FIREWORKS)])
    shore = 500 if variant % 3 else 560
    back = np.vstack([sky(air, shore), np.zeros((H - shore, W, 3), np.float32)])
    stars = rng.uniform(0, 1, (80, 3))
    dots(back, stars[:, 0] * W, stars[:, 1] * shore * 0.8, 0.5 * stars[:, 2:] * np.ones(3))
    roofs = np.repeat(shore - rng.integers(6, 46, 40), 9)[:W].astype(np.float32)
    if variant % 2:
        roofs = shore - 14 - 22 * clouds(rng, 2, W, 5)[0]
    below(back, roofs.astype(np.float32), air[0] * 0.5, shore)
    shells = _shells(rng, colors, frames, variant)
    light = np.zeros((H // 2, W // 2, 3), np.float32)  # half size: embers are soft anyway
    ripple = rng.uniform(0, 6.28, 3)
    for f in range(-PRELUDE, frames):  # the first picture, which is the cover, finds the show under way
        t = f / RATE
        light *= np.float32(0.80)
        light[1:] += 0.06 * light[:-1]
        bloom: list[tuple[float, float, float, np.ndarray, float]] = []
        for burst_s, x, y, speed, color, sparkle in shells:
            age = t - burst_s
            if -0.9 < age < 0:  # the shell climbs
                dots_half(light, np.array([x + 6 * age]), np.array([y + (shore - y) * age * age]), color * 1.2)
            elif 0 <= age < 2.6:
                fade = max(0.0, 1 - age / 2.4) ** 1.4 * (0.6 + 0.4 * np.sin(age * 30 + sparkle))
                tone = mix(rgb("#ffffff"), color, min(1, 0.4 + age * 4)) * fade[:, None] * 0.75
                for past in (age, age - 0.022, age - 0.044):  # three points a frame: a trail, not a row of beads
                    drag = (1 - np.exp(-2.2 * max(0.0, past))) / 2.2
                    dots_half(light, x + speed[:, 0] * drag, y + speed[:, 1] * drag + 26 * past * past, tone)
                bloom.append((x, y, 150 * min(1, 0.3 + age * 2), color, 0.30 * max(0.0, 1 - age / 1.2)))
        if f < 0:
            continue
        img = back.copy()
        for x, y, r, color, strength in bloom:
            glow(img, x, y, r, color, strength)
        bright = np.minimum(light, 1.6).repeat(2, axis=0).repeat(2, axis=1)
        img[:shore] += bright[:shore] * (YS[:shore, :, None] < roofs[None, :, None])
        depth = np.arange(H - shore)
        wave = (2 + depth * 0.06) * np.sin(depth * 0.55 + 3 * t + ripple[0])
        mirror = np.clip(shore - 1 - depth * 2.6 + wave, 0, shore - 1).astype(int)
        img[shore:] = img[mirror] * np.float32(0.42) + air[0] * 0.25
        yield to_bytes(img)


def dots_half(light: np.ndarray, x: np.ndarray, y: np.ndarray, color: np.ndarray) -> None:
    """Add points to a canvas of half size, clipped at its border."""
    ix, iy = (x * 0.5).astype(np.intp), (y * 0.5).astype(np.intp)
    inside = (ix >= 0) & (iy >= 0) & (ix < W // 2) & (iy < H // 2)
    np.add.at(light, (iy[inside], ix[inside]), np.broadcast_to(color, (len(ix), 3))[inside])


def _shells(
    rng: np.random.Generator, colors: list[np.ndarray], frames: int, variant: int
) -> list[tuple[float, float, float, np.ndarray, np.ndarray, np.ndarray]]:
    shells: list[tuple[float, float, float, np.ndarray, np.ndarray, np.ndarray]] = []
    count = 6 + variant % 5
    for k in range(count):
        n = int(rng.integers(150, 260))
        angle, up = rng.uniform(0, 2 * np.pi, n), rng.uniform(-1, 1, n)
        style = (variant + k) % 5
        speed = np.stack([np.cos(angle) * np.sqrt(1 - up * up), np.sin(angle) * np.sqrt(1 - up * up)], 1)
        if style == 1:  # a ring, seen at a slant
            speed = np.stack([np.cos(angle), 0.45 * np.sin(angle)], 1)
        elif style == 2:  # a heart
            s = np.sin(angle)
            heart = 13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle)
            speed = np.stack([s**3, -heart / 16], 1)
        elif style == 3:  # palm: few thick arms
            arm = np.round(angle / (2 * np.pi) * 9) / 9 * 2 * np.pi
            speed = np.stack([np.cos(arm), np.sin(arm)], 1) * rng.uniform(0.3, 1, (n, 1))
        power = float(rng.uniform(150, 330)) * (0.7 if style == 2 else 1)
        at = -0.75 + k * (frames / RATE - 0.6) / count + float(rng.uniform(0, 0.25))
        shells.append((at, float(rng.uniform(70, W - 70)), float(rng.uniform(110, 290)), speed * power,
                       colors[k % len(colors)], rng.uniform(0, 6.28, n)))
    return shells


PLANETS = (  # space from top to bottom; the planet's bands; its air
    ("#05060f #0d1230 #1a1440", "#d9a066 #f2d3a0 #a8663f #e8b87a #8f4f30", "#ffd9a0"),
    ("#020812 #06202f #0a3a4a", "#2f7fd0 #6fc3ff #1a4fa0 #bfeaff #3f8f6a", "#a0e0ff"),
    ("#0a0512 #240a33 #3f1450", "#ff7fa8 #ffd0dc #b84f8f #ff9f7f #6a2f7f", "#ffc0e0"),
    ("#04070a #101c20 #1f3430", "#7fd8a8 #d0ffe0 #3f8f7a #a8e8c0 #1f5f5a", "#c0ffe0"),
    ("#0a0806 #2a1a10 #4a2a18", "#ff9f3f #ffe08a #c84f1f #ff7f2f #7a2410", "#ffc070"),
    ("#06060c #16182a #2a2e48", "#c8ccd8 #ffffff #8a90a8 #dfe4f0 #5a607a", "#e8eeff"),
    ("#030512 #0a0f3f #1f1f7a", "#8f7fff #d8d0ff #5f3fd0 #b0a0ff #2f1f8f", "#c8c0ff"),
)


def planets(rng: np.random.Generator, variant: int, frames: int) -> Iterator[np.ndarray]:
    """A turning planet, ringed or not, moons on their way round, a comet now and then."""
    space, bands, (air,) = (([rgb(c) for c in part.split()]) for part in PLANETS[variant % len(PLANETS)])
    back = sky(space)
    mist = np.clip(clouds(rng, H, W) - 0.45, 0, 1)[..., None]
    back += mist * mix(bands[0], space[2], 0.4) * 0.7
    stars = rng.uniform(0, 1, (260, 3))
    dots(back, stars[:, 0] * W, stars[:, 1] * H, stars[:, 2:] ** 3 * np.ones(3))
    r = float((128, 92, 168, 70)[variant % 4])
    x, y = float(rng.uniform(120, 240)), float(rng.uniform(240, 400))
    skin = _skin(rng, bands, variant)
    u, v = (XS - x) / r, (YS - y) / r
    inside = u * u + v * v < 1.02
    rows, columns = np.nonzero(inside)
    pu, pv = u[columns], v[rows, 0]
    depth = np.sqrt(np.clip(1 - pu * pu - pv * pv, 0, 1))
    tilt = float(rng.uniform(-0.5, 0.5))
    tu, tv = pu * np.cos(tilt) - pv * np.sin(tilt), pu * np.sin(tilt) + pv * np.cos(tilt)
    latitude = ((np.arcsin(np.clip(tv, -1, 1)) / np.pi + 0.5) * (skin.shape[0] - 1)).astype(int)
    longitude = np.arctan2(tu, depth) / (2 * np.pi) * skin.shape[1]
    side = float(rng.choice([-1, 1]))
    lit = np.clip(0.62 * side * pu - 0.42 * pv + 0.66 * depth, 0.03, 1)[:, None]
    rim = (np.clip(1 - depth, 0, 1) ** 3)[:, None] * air * lit
    cover = np.clip((1 - np.hypot(pu, pv)) * r + 0.5, 0, 1)[:, None]
    turn = side * float(rng.uniform(10, 20))
    glow(back, x, y, r * 1.55, air, 0.30)
    ringed = variant % 3 != 1
    hoop = _hoop(rng, u, v, tilt + 0.1) if ringed else None
    moons = [(float(rng.uniform(1.35, 2.1)) * r, float(rng.uniform(5, 15)), float(rng.uniform(0, 6.28)),
              float(rng.uniform(0.35, 0.8))) for _ in range(1 + variant % 3)]
    for f in range(frames):
        t = f / RATE
        img = back.copy()
        spots = [(d, m, phase + pace * t) for d, m, phase, pace in moons]
        for d, m, a in spots:
            if np.sin(a) < 0:
                _moon(img, x + d * np.cos(a), y + 0.34 * d * np.sin(a), m, air, side)
        color = skin[latitude, (longitude + turn * t).astype(int) % skin.shape[1]] * lit + rim * 0.6
        img[rows, columns] += (color - img[rows, columns]) * cover
        if hoop is not None:
            ring_rows, ring_columns, alpha, tone = hoop
            old = img[ring_rows, ring_columns]
            img[ring_rows, ring_columns] = old + (mix(air, bands[0], 0.35) * tone - old) * alpha
        for d, m, a in spots:
            if np.sin(a) >= 0:
                _moon(img, x + d * np.cos(a), y + 0.34 * d * np.sin(a), m, air, side)
        if variant % 2 == 0:
            _comet(img, t, side, air)
        yield to_bytes(img)


def _skin(rng: np.random.Generator, bands: list[np.ndarray], variant: int) -> np.ndarray:
    """The planet's surface unrolled: (96, 256, 3)."""
    field = clouds(rng, 96, 256, 6, period=True)
    if variant % 3 == 1:  # continents and seas
        return ramp([bands[2], bands[0], bands[1], bands[4], bands[3]])[(field * 255).astype(int)]
    rows = np.linspace(0, float(rng.uniform(3, 6)), 96)[:, None]
    stripes = (rows + 0.9 * field * (1 + 0.4 * np.sin(rows * 5))) % 1.0
    table = ramp([*bands, bands[0]])
    skin = table[(stripes * 255).astype(int)]
    sx, sy = int(rng.integers(60, 200)), int(rng.integers(40, 66))  # a storm
    d = np.hypot((np.arange(256) - sx) / 17, (np.arange(96)[:, None] - sy) / 6.5)
    return skin + (bands[1] - skin) * np.clip(1.3 - d, 0, 0.85)[..., None]


def _hoop(
    rng: np.random.Generator, u: np.ndarray, v: np.ndarray, tilt: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A ring's pixels in front of or beside the planet: rows, columns, alpha (n, 1), brightness (n, 1)."""
    a, b = u * np.cos(tilt) - v * np.sin(tilt), u * np.sin(tilt) + v * np.cos(tilt)
    d = np.hypot(a, b / 0.30)
    grain = np.interp(d, np.linspace(1.3, 2.15, 40), rng.uniform(0.25, 1, 40)).astype(np.float32)
    behind = (b < 0) & (u * u + v * v < 1)
    alpha = np.clip((d - 1.3) * 30, 0, 1) * np.clip((2.15 - d) * 30, 0, 1) * grain * ~behind
    rows, columns = np.nonzero(alpha > 0.01)
    return rows, columns, 0.85 * alpha[rows, columns, None], (0.55 + 0.55 * grain[rows, columns, None])


def _moon(img: np.ndarray, x: float, y: float, r: float, light: np.ndarray, side: float) -> None:
    disc(img, x, y, r, light * 0.35)
    disc(img, x + side * r * 0.22, y - r * 0.15, r * 0.82, mix(light, rgb("#ffffff"), 0.3), 0.85, 2.0)


def _comet(img: np.ndarray, t: float, side: float, light: np.ndarray) -> None:
    x, y = W / 2 - side * (210 - 110 * t), 40 + 34 * t
    along = np.arange(0, 90, 1.0)
    fade = (1 - along / 90)[:, None] ** 2
    for spread in (-1, 0, 1):
        dots(img, x - side * along, y - along * (0.31 + 0.012 * spread), light * fade * 0.8)
    glow(img, x, y, 13, light, 1.2)


RAIN = (  # dusk from top to bottom; lamps
    ("#0d1b2a #1b3a4b #274c5e", "#ffd27a #ff8c5a #7ad0ff"),
    ("#1a1025 #3b1f4a #5a2f5f", "#ff7ad9 #7affee #ffe07a"),
    ("#10201a #1f4a3a #2f6a52", "#c8ff8a #ffe9a0 #8affd8"),
    ("#20242c #454d5a #6a7482", "#ffe0b0 #ffffff #ff9a7a"),
    ("#0a0f24 #1a2a6a #2f4fa0", "#ffb0d0 #fff0b0 #9ad0ff"),
    ("#24140f #5a3320 #8a5a38", "#ffd9a0 #ffb060 #fff3d8"),
)


def rain(rng: np.random.Generator, variant: int, frames: int) -> Iterator[np.ndarray]:
    """Rain as seen through a window, on a pond, or under umbrellas."""
    air, lamps = (([rgb(c) for c in part.split()]) for part in RAIN[variant % len(RAIN)])
    yield from (_window, _pond, _umbrellas)[variant % 3](rng, air, lamps, frames)


def _streaks(img: np.ndarray, falling: np.ndarray, t: float, color: np.ndarray, strength: float) -> None:
    """Rain in the air; falling (n, 3): place, phase, depth."""
    pace = 520 + 500 * falling[:, 2]
    y = (falling[:, 1] * (H + 80) + t * pace) % (H + 80) - 40
    x = (falling[:, 0] * (W + 60) - y * 0.09) % (W + 20) - 10
    for k in range(0, 26, 2):
        long = (8 + 18 * falling[:, 2]) > k
        dots(img, x[long] - 0.09 * k, y[long] + k, color * (strength * (0.3 + 0.7 * falling[long, 2:])))


def _window(
    rng: np.random.Generator, air: list[np.ndarray], lamps: list[np.ndarray], frames: int
) -> Iterator[np.ndarray]:
    back = sky(air)
    lights = [(rng.uniform(0, W), rng.uniform(120, H - 60), rng.uniform(14, 40), lamps[int(rng.integers(len(lamps)))],
               rng.uniform(0, 6.28)) for _ in range(20)]
    for x, y, r, color, _ in lights:
        disc(back, x, y, r, color, 0.25, 3.0)
    beads = rng.uniform(0, 1, (150, 3))
    for bx, by, size in beads:
        _bead(back, bx * W, by * H, 1.3 + 3.2 * size**2, lamps[1])
    drops = [(rng.uniform(10, W - 10), rng.uniform(0, H), rng.uniform(4, 7.5), rng.uniform(50, 190), rng.uniform(0, 6))
             for _ in range(17)]
    for f in range(frames):
        t = f / RATE
        img = back.copy()
        for x, y, r, color, phase in lights:
            disc(img, x + 9 * np.sin(0.3 * t + phase), y, r, color, 0.16 + 0.14 * np.sin(0.9 * t + phase), 3.0)
        for x, y, r, pace, phase in drops:
            creep = t * pace + 26 * np.sin(1.3 * t + phase)
            dy = (y + creep) % (H + 120) - 60
            dx = x + 5 * np.sin(dy * 0.021 + phase)
            for k in range(1, 9):
                back_y = dy - k * 9
                disc(
                    img,
                    x + 5 * np.sin(back_y * 0.021 + phase),
                    back_y,
                    r * (0.62 - 0.05 * k),
                    air[1],
                    0.34 - 0.03 * k,
                    2,
                )
            _bead(img, dx, dy, r, lamps[0])
        yield to_bytes(img)


def _bead(img: np.ndarray, x: float, y: float, r: float, light: np.ndarray) -> None:
    disc(img, x, y, r, light * 0.22, 0.75, 1.5)
    disc(img, x, y + r * 0.25, r * 0.7, light, 0.28, 2.0)
    disc(img, x - r * 0.3, y - r * 0.35, max(0.8, r * 0.28), rgb("#ffffff"), 0.85)


def _pond(
    rng: np.random.Generator, air: list[np.ndarray], lamps: list[np.ndarray], frames: int
) -> Iterator[np.ndarray]:
    table = ramp([air[0], air[1], air[2], mix(air[2], lamps[0], 0.6), lamps[0]])
    hits = rng.uniform(0, 1, (44, 3))
    gx, gy = np.meshgrid(np.arange(0, W, 3, dtype=np.float32), np.arange(0, H, 3, dtype=np.float32))
    mood = clouds(rng, gy.shape[0], gy.shape[1], 3)
    leaves = [(rng.uniform(30, W - 30), rng.uniform(60, H - 60), rng.uniform(22, 46), rng.uniform(0, 6.28))
              for _ in range(6)]
    falling = rng.uniform(0, 1, (60, 3))
    seconds = frames / RATE
    for f in range(frames):
        t = f / RATE
        height = np.zeros_like(gx)
        for hx, hy, when in hits:
            age = (t - when * seconds) % seconds
            if age < 1.9:
                d = np.hypot(gx - hx * W, (gy - hy * H) * 1.25)
                front = d - 78 * age
                height += np.exp(-((front / 13) ** 2)) * np.sin(front * 0.42) * (1 - age / 1.9)
        field = enlarge(0.30 + 0.34 * mood + 0.36 * height)
        img = table[np.clip(field * 255, 0, 255).astype(np.intp)]
        for x, y, r, a in leaves:
            _lily(img, x + 3 * np.sin(t + a), y + 2 * np.cos(1.2 * t + a), r, a, lamps)
        _streaks(img, falling, t, lamps[2], 0.28)
        yield to_bytes(img)


def _lily(img: np.ndarray, x: float, y: float, r: float, a: float, lamps: list[np.ndarray]) -> None:
    green = rgb("#2f7a55")
    disc(img, x + 3, y + 5, r, rgb("#04140f"), 0.35, 5)
    disc(img, x, y, r, green)
    disc(img, x - r * 0.1, y - r * 0.1, r * 0.8, mix(green, rgb("#8fd08a"), 0.35), 0.8, 4)
    tip = (x + r * 1.1 * np.cos(a), y + r * 1.1 * np.sin(a))
    stroke(img, (x, y), tip, r * 0.16, rgb("#12382c"))
    if a > 3.6:
        for k in range(6):
            b = a + k * 1.047
            disc(img, x + r * 0.3 * np.cos(b), y + r * 0.3 * np.sin(b), r * 0.2, mix(lamps[1], rgb("#ffffff"), 0.45))
        disc(img, x, y, r * 0.17, lamps[0])


def _umbrellas(
    rng: np.random.Generator, air: list[np.ndarray], lamps: list[np.ndarray], frames: int
) -> Iterator[np.ndarray]:
    street = 520
    back = np.vstack([sky(air, street), sky([air[2], air[0]], H - street)])
    for k in range(7):
        x = k * 62 - 20 + float(rng.uniform(-8, 8))
        top = float(rng.uniform(150, 330))
        back[int(top) : street, max(0, int(x)) : int(x) + 54] *= np.float32(0.62)
        for wy in range(int(top) + 16, street - 40, 30):
            for wx in range(int(x) + 8, int(x) + 46, 15):
                if rng.random() < 0.5 and 0 <= wx < W - 8:
                    back[wy : wy + 13, wx : wx + 8] = mix(
                        air[1], lamps[int(rng.integers(3))], float(rng.uniform(0.3, 0.9))
                    )
    walkers = [(float(rng.uniform(0, 1)), float(rng.uniform(0, 1)), lamps[k % 3] * float(rng.uniform(0.75, 1)),
                1 if rng.random() < 0.5 else -1) for k in range(5)]
    walkers.sort(key=lambda w: w[1])
    falling = rng.uniform(0, 1, (150, 3))
    for f in range(frames):
        t = f / RATE
        img = back.copy()
        for place, near, color, way in walkers:
            size = 0.75 + 0.75 * near
            x = (place * (W + 200) + way * t * (26 + 30 * near)) % (W + 200) - 100
            _walker(img, x, street - 6 + 84 * near, size, t * 5 + place * 20, color, air[0])
        _streaks(img, falling, t, lamps[2], 0.34)
        yield to_bytes(img)


def _walker(img: np.ndarray, x: float, y: float, s: float, step: float, color: np.ndarray, dark: np.ndarray) -> None:
    coat, bob = dark * 0.6, 2.5 * s * abs(np.sin(step))
    y0 = y - bob
    disc(img, x, y + 3, 30 * s, color, 0.12, 26 * s)
    for k in (-1, 1):
        stroke(img, (x, y0 - 44 * s), (x + 13 * s * np.sin(step) * k, y), 7 * s, coat)
    polygon(
        img,
        [(x - 9 * s, y0 - 92 * s), (x + 9 * s, y0 - 92 * s), (x + 16 * s, y0 - 38 * s), (x - 16 * s, y0 - 38 * s)],
        coat,
    )
    disc(img, x, y0 - 102 * s, 9 * s, coat)
    stroke(img, (x + 9 * s, y0 - 72 * s), (x + 9 * s, y0 - 150 * s), 2.2 * s, dark)
    cx, cy, r = x + 9 * s, y0 - 112 * s, 50 * s
    for k in range(6):
        a, b = np.pi * (1 + k / 6), np.pi * (1 + (k + 1) / 6)
        shade = mix(color, dark, 0.08 + 0.12 * (k % 2) + 0.04 * k)
        polygon(img, [(cx, cy - r * 0.1), (cx + r * np.cos(a), cy + r * 0.78 * np.sin(a)),
                      (cx + r * np.cos(b), cy + r * 0.78 * np.sin(b))], shade)
        middle = (a + b) / 2
        polygon(img, [(cx + r * np.cos(a), cy + r * 0.78 * np.sin(a)), (cx + r * np.cos(b), cy + r * 0.78 * np.sin(b)),
                      (cx + r * 1.06 * np.cos(middle), cy + r * 0.82 * np.sin(middle))], shade)
    stroke(img, (cx, cy - r * 0.8), (cx, cy - r * 0.92), 2.2 * s, dark)
