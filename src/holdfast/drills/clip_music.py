"""What the drawn clips sound like: one short function per theme, on the instruments of `clip_sound`."""

from collections.abc import Callable

import numpy as np

from holdfast.drills.clip_sound import (
    BELL,
    HIRAJOSHI,
    KEYS,
    LYDIAN,
    MAJOR,
    MARIMBA,
    MINOR,
    PAD,
    PLUCK,
    Timbre,
    Track,
    arpeggio,
    chord,
    pitch,
    steady,
    swells,
)  # fmt: skip

ROOTS = (110.0, 123.47, 130.81, 146.83, 164.81, 98.0)  # Hz: A2 B2 C3 D3 E3 G2; a variant's key


def tune(theme: str, rng: np.random.Generator, variant: int, seconds: float) -> np.ndarray:
    """Compose the sound of a clip: float32 (2, seconds · 48000)."""
    track = Track(seconds, rng)
    PIECES[theme](track, ROOTS[variant % len(ROOTS)], seconds)
    return track.finish()


def _chords(track: Track, root: float, seconds: float, scale: tuple[int, ...], timbre: Timbre, beat_s: float) -> None:
    steps = [0, int(track.rng.integers(2, 4)), int(track.rng.integers(1, 3)), 4]
    for k in range(int(seconds / beat_s) + 1):
        low = steps[k % 4]
        hz = [pitch(root, scale, low + step) for step in (0, 2, 4, 6)]
        chord(track, 0.02 + k * beat_s, hz, timbre, 0.5, 0.25 if timbre is PAD else 0.01)


def _tides(track: Track, root: float, seconds: float) -> None:
    track.noise(0.55, 0.5, swells(3.1))
    track.noise(1.0, 0.6, swells(4.3, 0.4))
    _chords(track, root, seconds, MAJOR, PAD, 2.4)
    track.room(1.8, 0.5)


def _fireworks(track: Track, root: float, seconds: float) -> None:
    at = 0.15
    while at < seconds - 0.3:
        burst = at
        track.noise(0.9, 0.9, lambda t, b=burst: np.where(t > b, np.exp(-np.maximum(t - b, 0) * 5.0), 0))
        for _ in range(int(track.rng.integers(8, 18))):
            track.note(
                at + 0.15 + float(track.rng.exponential(0.35)),
                float(track.rng.uniform(1800, 5200)),
                MARIMBA,
                0.10,
                float(track.rng.uniform(-1, 1)),
            )
        track.note(at, 55.0, MARIMBA, 1.3)
        at += float(track.rng.uniform(0.55, 1.1))
    chord(track, 0.0, [pitch(root, MAJOR, d) for d in (0, 2, 4)], PAD, 0.5, 0.5)
    track.room(2.4, 0.6)


def _city(track: Track, root: float, seconds: float) -> None:
    track.noise(1.1, 0.25, swells(5.0))
    _chords(track, root, seconds, MINOR, KEYS, 1.5)
    arpeggio(track, seconds, 0.375, [pitch(root * 4, MINOR, d) for d in (0, 2, 4, 3, 5, 4, 2, 1)], KEYS, 0.28)
    track.room(1.4, 0.4)


def _kelp(track: Track, root: float, seconds: float) -> None:
    track.noise(1.5, 1.0, swells(4.0))
    _chords(track, root * 0.5, seconds, LYDIAN, PAD, 3.0)
    for _ in range(int(seconds * 2.2)):
        track.note(
            float(track.rng.uniform(0, seconds)),
            pitch(root * 4, LYDIAN, int(track.rng.integers(0, 9))),
            BELL,
            0.16,
            float(track.rng.uniform(-1, 1)),
        )
    track.room(2.6, 0.8)


def _planets(track: Track, root: float, seconds: float) -> None:
    chord(track, 0.0, [pitch(root / 2, LYDIAN, d) for d in (0, 4, 7, 9)], PAD, 0.8, 1.2)
    chord(track, seconds * 0.5, [pitch(root / 2, LYDIAN, d) for d in (2, 4, 6, 11)], PAD, 0.8, 1.0)
    arpeggio(track, seconds, 0.9, [pitch(root * 4, LYDIAN, d) for d in (0, 4, 2, 6)], BELL, 0.25)
    track.room(3.0, 1.0)


def _rain(track: Track, root: float, seconds: float) -> None:
    track.noise(0.25, 0.45, steady, 300.0)
    track.noise(0.8, 0.3, swells(6.0))
    for _ in range(int(seconds * 9)):
        track.note(float(track.rng.uniform(0, seconds)), float(track.rng.uniform(700, 2400)), MARIMBA, 0.12,
                   float(track.rng.uniform(-1, 1)))
    _chords(track, root, seconds, MINOR, KEYS, 2.2)
    track.room(1.2, 0.4)


def _dominoes(track: Track, root: float, seconds: float) -> None:
    count = 72
    for k in range(count):
        at = 0.3 + (seconds - 1.7) * k / count
        track.note(at, pitch(root * 4, MAJOR, k * 15 // count) * float(track.rng.uniform(0.995, 1.005)), MARIMBA, 0.5,
                   float(np.sin(k * 0.3)) * 0.7)
    chord(track, seconds - 1.2, [pitch(root * 2, MAJOR, d) for d in (0, 2, 4, 5)], KEYS, 0.7)
    track.room(0.6, 0.3)


def _origami(track: Track, root: float, seconds: float) -> None:
    steps = [int(track.rng.integers(0, 9)) for _ in range(9)]
    arpeggio(track, seconds, 0.42, [pitch(root * 2, HIRAJOSHI, d) for d in steps], PLUCK, 0.7)
    for k in range(int(seconds / 1.68) + 1):
        track.note(k * 1.68, pitch(root, HIRAJOSHI, (0, 3, 2, 4)[k % 4]), PLUCK, 0.7)
    track.noise(0.7, 0.05, swells(2.0))
    track.room(1.6, 0.5)


def _trains(track: Track, root: float, seconds: float) -> None:
    track.noise(1.2, 0.7, steady)
    at = 0.1
    while at < seconds:
        for offset, volume in ((0.0, 0.5), (0.11, 0.4), (0.30, 0.45), (0.41, 0.35)):
            track.note(at + offset, 190 + 40 * volume, MARIMBA, volume, -0.2)
        at += 0.84
    chord(track, float(track.rng.uniform(0.8, 2.0)), [311.1, 370.0, 466.2, 554.4], PAD, 0.35, 0.08)
    _chords(track, root, seconds, MAJOR, KEYS, 1.68)
    track.room(1.0, 0.35)


def _flowers(track: Track, root: float, seconds: float) -> None:
    up = [pitch(root * 4, MAJOR, d) for d in (0, 2, 4, 5, 7, 5, 4, 2, 1, 3, 5, 6)]
    arpeggio(track, seconds, 0.28, up, BELL, 0.35)
    _chords(track, root, seconds, MAJOR, PAD, 2.24)
    track.room(1.8, 0.6)


def _labyrinths(track: Track, root: float, seconds: float) -> None:
    walk, at = 0, 0.05
    while at < seconds:
        walk = int(np.clip(walk + track.rng.integers(-2, 3), -2, 10))
        track.note(at, pitch(root * 2, MINOR, walk), MARIMBA, 0.6, 0.5 * float(np.sin(at * 2)))
        at += 0.19
    _chords(track, root, seconds, MINOR, PAD, 2.28)
    track.room(1.1, 0.4)


def _jellyfish(track: Track, root: float, seconds: float) -> None:
    track.noise(1.6, 0.6, swells(2.6))
    _chords(track, root, seconds, LYDIAN, PAD, 2.6)
    arpeggio(track, seconds, 0.65, [pitch(root * 2, LYDIAN, d) for d in (0, 4, 7, 5, 9, 6)], KEYS, 0.35)
    track.room(2.8, 0.9)


PIECES: dict[str, Callable[[Track, float, float], None]] = {
    "tides": _tides, "fireworks": _fireworks, "city lights": _city, "kelp": _kelp, "planets": _planets, "rain": _rain,
    "dominoes": _dominoes, "origami": _origami, "trains": _trains, "flowers": _flowers, "labyrinths": _labyrinths,
    "jellyfish": _jellyfish,
}  # fmt: skip
