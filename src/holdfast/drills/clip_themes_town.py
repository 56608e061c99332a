"""Clips of the town: city lights, trains, labyrinths. Shapes as in `clip_themes_sea`."""

from collections.abc import Iterator

import numpy as np

from holdfast.drills.clip_canvas import (
    RATE,
    XS,
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
    rgb,
    ring,
    sky,
    stroke,
    to_bytes,
)  # fmt: skip

CITY = (  # sky from top to horizon; far and near houses; windows and signs
    ("#0b1030 #2a2560 #a0507f #ffb080", "#3a2f66 #120f2a", "#ffd98a #ff8f6b #8fe0ff"),
    ("#02060f #0a1c3a #1f4a7a", "#16305a #050c1c", "#ffe9a0 #7affee #ff6bd0"),
    ("#1a0a2a #5a1f6a #ff5f9f", "#4a1f66 #160822", "#ffd0f0 #6bfff0 #ffe45e"),
    ("#3f6f9f #a0c8dc #f8e0c0", "#7f9fb8 #2f4458", "#fff3c8 #ffb86b #ffffff"),
    ("#06140f #0f3f33 #3f8f6a", "#1a4a40 #051410", "#d8ff8a #ffe9a0 #8affd8"),
    ("#140a05 #5a2410 #ff8f3f", "#5a2a1a #1a0a05", "#ffe0a0 #ffb347 #ff6b4f"),
)


def city_lights(rng: np.random.Generator, variant: int, frames: int) -> Iterator[np.ndarray]:
    """A skyline that glides by, windows going on and off, traffic below, now and then a neon sign or a wheel."""
    air, (far, near), lamps = (([rgb(c) for c in part.split()]) for part in CITY[variant % len(CITY)])
    street = 545
    back = sky(air)
    stars = rng.uniform(0, 1, (70, 3))
    dots(back, stars[:, 0] * W, stars[:, 1] * 260, 0.6 * stars[:, 2:] * np.ones(3))
    moon_x, moon_y = float(rng.uniform(60, 300)), float(rng.uniform(70, 170))
    glow(back, moon_x, moon_y, 110, lamps[0], 0.35)
    disc(back, moon_x, moon_y, float(rng.uniform(16, 34)), mix(lamps[0], rgb("#ffffff"), 0.6))
    rows = [_row(rng, depth, mix(far, near, depth), lamps, street) for depth in (0.0, 0.5, 1.0)]
    cars = rng.uniform(0, 1, (16, 4))
    wheel_x = float(rng.uniform(90, 270)) if variant % 4 == 1 else None
    way = 1 if variant % 2 else -1
    for f in range(frames):
        t = f / RATE
        img = back.copy()
        for k, (house, solid, flicker) in enumerate(rows):
            shift = int((40 + way * t * (5, 12, 26)[k]) % (house.shape[1] - W))
            window = slice(shift, shift + W)
            if k == 1 and wheel_x is not None:
                _wheel(img, wheel_x - way * t * 8, 330, 105, t, lamps)
            np.copyto(img[:street], house[:, window], where=solid[:, window, None])
            for wx, wy, color, phase in flicker:
                if shift <= wx < shift + W - 6 and np.sin(1.1 * t + phase) > 0:
                    img[wy : wy + 7, wx - shift : wx - shift + 5] = color
        img[street:] = mix(near, air[0], 0.3) * 0.8
        img[street + 6 : street + 10] = mix(near, lamps[0], 0.25)
        for cx, lane, pace, tone in cars:
            going = lane > 0.5
            speed = (70 + 120 * pace) * (1 if going else -1)
            x, y = (cx * (W + 160) + speed * t) % (W + 160) - 80, street + (62 if going else 34) + 10 * tone
            color = mix(lamps[0], rgb("#ffffff"), 0.5) if going else rgb("#ff4a3a")
            for part in range(0, 46, 3):
                dots(img, np.array([x - part * np.sign(speed)]), np.array([y]), color * (0.8 * (1 - part / 46)))
            glow(img, x, y, 15, color, 0.9)
            glow(img, x, y + 16, 20, color, 0.22)
        yield to_bytes(img)


def _row(
    rng: np.random.Generator, depth: float, color: np.ndarray, lamps: list[np.ndarray], street: int
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int, np.ndarray, float]]]:
    """One row of houses, twice as wide as the screen: pixels, where they are solid, and windows that flicker."""
    wide = 2 * W + 120
    house = np.zeros((street, wide, 3), np.float32)
    solid = np.zeros((street, wide), bool)
    flicker: list[tuple[int, int, np.ndarray, float]] = []
    x = 0
    while x < wide:
        w = int(rng.integers(26, int(50 + 34 * depth)))
        top = int(street - rng.uniform(120, 400 - 190 * depth))
        house[top:, x : x + w] = color * float(rng.uniform(0.85, 1.1))
        house[top:, x : x + 2] = mix(color, lamps[1], 0.25)
        solid[top:, x : x + w] = True
        if rng.random() < 0.3:
            solid[max(0, top - 30) : top, x + w // 2 : x + w // 2 + 2] = True
            house[max(0, top - 30) : top, x + w // 2 : x + w // 2 + 2] = color
        step_x, step_y = (8, 12) if depth < 0.4 else (10, 15)
        for wy in range(top + 9, street - 14, step_y):
            for wx in range(x + 5, x + w - 7, step_x):
                luck = rng.random()
                if luck < 0.42:
                    shade = mix(
                        color, lamps[int(rng.integers(len(lamps)))], float(rng.uniform(0.35, 1)) * (0.5 + 0.5 * depth)
                    )
                    house[wy : wy + 7, wx : wx + 5] = shade
                    if luck < 0.03:
                        flicker.append((wx, wy, color, float(rng.uniform(0, 6.28))))
        if depth > 0.9 and rng.random() < 0.35 and w > 34:
            sign = lamps[1 + int(rng.integers(len(lamps) - 1))]
            house[top + 20 : top + 90, x + w - 12 : x + w - 3] = sign
            house[top + 24 : top + 86 : 12, x + w - 10 : x + w - 5] = color
        x += w + int(rng.integers(0, 8))
    return house, solid, flicker


def _wheel(img: np.ndarray, x: float, y: float, r: float, t: float, lamps: list[np.ndarray]) -> None:
    ring(img, x, y, r, 3.0, lamps[1], 0.9)
    ring(img, x, y, r - 10, 1.5, lamps[2], 0.8)
    for k in range(12):
        a = k * np.pi / 6 + 0.25 * t
        px, py = x + r * np.cos(a), y + r * np.sin(a)
        stroke(img, (x, y), (px, py), 1.4, lamps[0], 0.55)
        disc(img, px, py + 6, 6, lamps[k % 3])
        glow(img, px, py + 6, 15, lamps[k % 3], 0.5)
    for side in (-1, 1):
        stroke(img, (x, y), (x + side * 62, y + 240), 4, lamps[1], 0.6)


TRAINS = (  # sky from top to horizon; hills far and near; train body, stripe, windows
    ("#2a3f7a #d08a9a #ffd9b0", "#8a7aa8 #2f3a5a", "#c8402f #fff0d8 #ffe9a0"),
    ("#5fb0e8 #c0e4f4 #f4f8f0", "#8fc0a8 #2f7a4a", "#1f6fa8 #ffffff #d8f4ff"),
    ("#0a1030 #1f2f6a #4a5aa0", "#2a3a70 #0a1230", "#3a4a8f #ffd27a #ffe08a"),
    ("#f0c890 #f8e4c0 #fdf4e0", "#c8a878 #7a5a3a", "#2f6a5a #f4d8a0 #fff8e0"),
    ("#7fa8b8 #c8d8dc #eef2f0", "#a8bcc0 #e8f0f2", "#d84a3a #ffffff #fff3c0"),
    ("#3a1f4a #b04f7a #ffa07a", "#7a3f6a #2a1a3a", "#f0b040 #5a2a3f #fff0c8"),
    ("#0f3f4a #3f8f8a #d0ecc8", "#4f9a88 #0f4a4a", "#f4f0e4 #d8584a #8fd0e0"),
)


def trains(rng: np.random.Generator, variant: int, frames: int) -> Iterator[np.ndarray]:
    """A train over a bridge: hills behind, water or meadow below, snow, steam or lamps by season and hour."""
    air, (far, near), body = (([rgb(c) for c in part.split()]) for part in TRAINS[variant % len(TRAINS)])
    rail, deck = 372, 30
    back = sky([*air, air[-1]])
    sun_x = float(rng.uniform(70, 290))
    glow(back, sun_x, 200, 150, air[-1], 0.35)
    disc(back, sun_x, 200, float(rng.uniform(20, 40)), mix(air[-1], rgb("#ffffff"), 0.6))
    ranges = [
        (clouds(rng, 2, 1440, 6, period=True)[0], 300 + 34 * k, 130 - 34 * k, mix(far, near, k / 2.2)) for k in range(3)
    ]
    style, way = variant % 3, (1 if variant % 2 else -1)
    water = style != 1
    ground = mix(air[1], near, 0.55) if water else near
    speed = float(rng.uniform(80, 130))
    cars = 3 + variant % 4
    snow = rng.uniform(0, 1, (120, 3)) if variant % 7 == 4 else None
    ripples = rng.uniform(0, 1, (26, 2))
    bridge = _bridge(style, rail + deck, mix(near, rgb("#3a3034"), 0.45), mix(near, air[2], 0.25))
    for f in range(frames):
        t = f / RATE
        img = back.copy()
        for k, (shape, base, tall, color) in enumerate(ranges):
            at = (np.arange(W) + way * t * (6, 14, 30)[k] + 700 + 200 * k).astype(int) % 1440
            below(img, (base - tall * (shape[at] - 0.35)).astype(np.float32), color, 560)
        img[500:] = ground
        if water:
            img[500:] = 0.55 * img[499:359:-1] + 0.45 * ground
            for rx, ry in ripples:
                y = int(505 + ry * 128)
                x = int(rx * W)
                img[y : y + 1, x : x + 14 + int(30 * ry)] += 0.07
        below(
            img,
            (H - 26 + 8 * np.sin(XS * 0.05 + way * t * 5) + 5 * np.sin(XS * 0.13 + way * t * 5)).astype(np.float32),
            near * 0.6,
        )
        shift = int(way * t * speed * 0.8) % 180
        pixels, solid = bridge
        window = slice(180 - shift, 180 - shift + W)
        np.copyto(img[rail + deck - 8 : 600], pixels[:, window], where=solid[:, window, None])
        front = W * 0.5 - way * 40 + 46 * np.sin(0.5 * t) + way * (cars - 3) * 30
        _train(img, front, rail + deck - 8, way, cars, t, body, style == 0 and variant % 2 == 0)
        if snow is not None:
            y = (snow[:, 1] * H + t * (60 + 70 * snow[:, 2])) % H
            x = (snow[:, 0] * W - way * t * 60 + 8 * np.sin(2 * t + snow[:, 2] * 9)) % W
            for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
                dots(img, x + dx, y + dy, rgb("#ffffff") * (0.3 + 0.5 * snow[:, 2:]))
        yield to_bytes(img)


def _bridge(style: int, top: int, stone: np.ndarray, lit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arches, an embankment or piers, three spans wide: pixels and where they are solid, from `top` - 8 to 600."""
    tall, wide = 600 - (top - 8), W + 360
    y, x = np.arange(tall, dtype=np.float32)[:, None], np.arange(wide, dtype=np.float32) % 180 - 90
    deck = (y >= 0) & (y < 22) & (x < 1e9)
    if style == 0:
        arch = ((x / 72) ** 2 + ((y - 138) / 104) ** 2 < 1) | ((np.abs(x) < 72) & (y > 138))
        solid = deck | ~arch
    elif style == 1:
        solid = deck | (np.abs(x) < 13 + 0.02 * y)
    else:
        brace = np.abs(np.abs(x) - y * 0.82 + 20) < 5
        solid = deck | (np.abs(np.abs(x) - 84) < 7) | (brace & (y < 130)) | ((y > 125) & (y < 133))
    pixels = np.broadcast_to(stone, (tall, wide, 3)).copy()
    pixels *= (1 - 0.0016 * y)[..., None]
    pixels[2:6] = lit
    pixels[(y + 0 * x) % 16 < 1.2] *= np.float32(0.9)
    return pixels, solid & (y < tall)


def _train(
    img: np.ndarray, front: float, rail: int, way: int, cars: int, t: float, body: list[np.ndarray], steam: bool
) -> None:
    paint, stripe, glass = body
    long, gap, tall = 96, 6, 54
    for k in range(cars):
        x = front - way * k * (long + gap)
        left, right = x - long / 2, x + long / 2
        y = rail - 10 + 0.8 * np.sin(9 * t + 2 * k)
        nose = 22 if k == 0 else 2
        a, b = (right, left) if way > 0 else (left, right)
        polygon(img, [(b, y), (a, y), (a, y - tall * 0.45), (a - way * nose, y - tall), (b, y - tall)], paint)
        polygon(img, [(b, y - 12), (a, y - 12), (a, y - 18), (b, y - 18)], stripe)
        polygon(img, [(b, y - tall + 4), (a - way * nose, y - tall + 4), (a - way * nose, y - tall), (b, y - tall)],
                mix(paint, rgb("#ffffff"), 0.3))
        for w in range(4 if k else 3):
            wx = b + way * (10 + 22 * w)
            polygon(
                img, [(wx, y - tall + 12), (wx + way * 15, y - tall + 12), (wx + way * 15, y - 24), (wx, y - 24)], glass
            )
        if k == 0:
            glow(img, a + way * 6, y - 12, 42, glass, 0.55)
        for w in (-30, -14, 14, 30):
            disc(img, x + w, y + 4, 6.5, rgb("#20242c"))
            disc(img, x + w, y + 4, 2.4, rgb("#8a929c"))
    if steam:
        stack = front + way * 26
        polygon(
            img,
            [(stack - 6, rail - 62), (stack + 6, rail - 62), (stack + 8, rail - 86), (stack - 8, rail - 86)],
            paint * 0.6,
        )
        for k in range(15):
            age = (t * 2.2 + k / 15 * 2.6) % 2.6
            disc(img, stack - way * age * 62, rail - 92 - age * 36 + 5 * np.sin(7 * k), 7 + 13 * age,
                 rgb("#f4f4f0"), 0.5 * (1 - age / 2.6), 8)


LABYRINTH = (  # ground; walls; walker and trail
    ("#0b1416 #10282c", "#2a5a58", "#7affd0 #ffe08a"),
    ("#1a1030 #2a1a4f", "#5a3f9f", "#ff9ad8 #8ad8ff"),
    ("#f4efe4 #e4dccb", "#4a4038", "#e0503a #2f7f9f"),
    ("#0f2a12 #17401c", "#4f9a3f", "#fff0a0 #ff7f5f"),
    ("#2a0f10 #45181a", "#a04038", "#ffd27a #ffffff"),
    ("#dcecf4 #c4dce8", "#2f5f8a", "#ff8f3f #5f3fa0"),
    ("#08080c #14141c", "#505068", "#f4f4ff #8affb8"),
)


def labyrinths(rng: np.random.Generator, variant: int, frames: int) -> Iterator[np.ndarray]:
    """A maze from above, and a light that finds the way through it."""
    ground, (wall,), (walker, trail) = (
        ([rgb(c) for c in part.split()]) for part in LABYRINTH[variant % len(LABYRINTH)]
    )
    columns = (7, 9, 12, 5)[variant % 4]
    cell = W // columns
    rows = H // cell
    left, top = (W - columns * cell) / 2, (H - rows * cell) / 2
    opened = _carve(rng, rows, columns)
    path = _solve(opened, rows, columns)
    back = sky(ground)
    thick = max(3.0, cell * (0.34 if variant % 3 == 0 else 0.12))
    for row in range(rows + 1):
        for column in range(columns + 1):
            here = (left + column * cell, top + row * cell)
            if column < columns and ((row - 1, column), (row, column)) not in opened:
                stroke(back, here, (here[0] + cell, here[1]), thick, wall)
            if row < rows and ((row, column - 1), (row, column)) not in opened:
                stroke(back, here, (here[0], here[1] + cell), thick, wall)
    if variant % 3 == 0:  # hedges get leaves
        specks = rng.uniform(0, 1, (5200, 3))
        x, y = specks[:, 0] * (W - 2), specks[:, 1] * (H - 2)
        on_wall = np.abs(back[y.astype(int), x.astype(int)] - wall).sum(axis=1) < 0.05
        dots(back, x[on_wall], y[on_wall], wall * (specks[on_wall, 2:] - 0.35) * 0.8)
    points = np.array([(left + (c + 0.5) * cell, top + (r + 0.5) * cell) for r, c in path], np.float32)
    dark = float(ground[0].mean()) < 0.4
    gx, gy = np.meshgrid(np.arange(0, W, 8, dtype=np.float32), np.arange(0, H, 8, dtype=np.float32))
    goal = points[-1]
    img = back.copy()
    drawn = 0.0
    for f in range(frames):
        t = f / RATE
        at = min(1.0, f / (frames - 6)) * (len(points) - 1)
        while drawn < at:  # the trail stays: it is drawn once, a little at a time
            to = min(at, drawn + 0.25)
            stroke(img, _along(points, drawn), _along(points, to), cell * 0.16, trail, 0.85)
            drawn = to
        x, y = _along(points, at)
        out = img.copy()
        ring(out, goal[0], goal[1], cell * (0.20 + 0.08 * np.sin(5 * t)), 3, walker)
        if dark:
            near = np.exp(-((gx - x) ** 2 + (gy - y) ** 2) / (2 * 105.0**2))
            out *= enlarge(0.42 + 0.85 * near)[..., None]
            glow(out, x, y, cell * 1.5, walker, 0.75)
        disc(out, x, y, cell * 0.22, walker)
        yield to_bytes(out)


def _along(points: np.ndarray, at: float) -> tuple[float, float]:
    k = min(int(at), len(points) - 2)
    x, y = points[k] + (points[k + 1] - points[k]) * (at - k)
    return float(x), float(y)


Cell = tuple[int, int]


def _carve(rng: np.random.Generator, rows: int, columns: int) -> set[tuple[Cell, Cell]]:
    """Open walls so that exactly one way leads from any cell to any other (depth-first)."""
    opened: set[tuple[Cell, Cell]] = set()
    stack, seen = [(0, 0)], {(0, 0)}
    while stack:
        row, column = stack[-1]
        around = [(row + a, column + b) for a, b in ((0, 1), (1, 0), (0, -1), (-1, 0))]
        free = [c for c in around if 0 <= c[0] < rows and 0 <= c[1] < columns and c not in seen]
        if not free:
            stack.pop()
            continue
        cell = free[int(rng.integers(len(free)))]
        opened.add(((row, column), cell) if (row, column) < cell else (cell, (row, column)))
        seen.add(cell)
        stack.append(cell)
    return opened


def _solve(opened: set[tuple[Cell, Cell]], rows: int, columns: int) -> list[Cell]:
    """The way from the upper left to the lower right (breadth-first)."""
    came: dict[Cell, Cell] = {(0, 0): (0, 0)}
    edge = [(0, 0)]
    while edge:
        row, column = edge.pop(0)
        for cell in ((row, column + 1), (row + 1, column), (row, column - 1), (row - 1, column)):
            pair = ((row, column), cell) if (row, column) < cell else (cell, (row, column))
            if cell not in came and pair in opened:
                came[cell] = (row, column)
                edge.append(cell)
    path = [(rows - 1, columns - 1)]
    while path[-1] != (0, 0):
        path.append(came[path[-1]])
    return path[::-1]
