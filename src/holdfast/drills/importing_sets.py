"""Known data sets as loads: KuaiRand, MovieLens in its four layouts, and what a Gorse installation exports.

**KuaiRand** (`kuairand-pure`): impressions, and each viewer's earlier views before them (in order, a minute apart).

**MovieLens**: `u.data`/`u.item` (100k), `ratings.dat`/`movies.dat` (1M, 10M), `ratings.csv`/`movies.csv` (20M and
later), or sequences in a line each (`train_input.txt`). A rating says little of watching: 5 is taken as liked, 4 as
watched to its end, 3 as watched for a while, less as swiped on. Genres become tags.

**Gorse**: `items.csv` and `feedback.csv` as its dashboard exports them (`users.csv` is not needed: labels of users say
nothing to Holdfast). What each feedback type means is the team's own choice there, and so it is here:
`star=like,read=view`. Categories and labels become tags; a hidden item is left out.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from holdfast.adapters import kuairand
from holdfast.core.errors import Refused
from holdfast.drills.importing_records import KINDS, STAYED_MS, Deed, Load, counted, fault, finish
from holdfast.drills.importing_tables import Row, item_of, millis, opened, rows, stamp_of

STEP_US = 60 * 1_000_000  # between two views that have an order but no time
GORSE_TYPES = {
    "read": "view", "view": "view", "click": "view", "seen": "view", "watch": "long", "complete": "long",
    "play": "long", "like": "like", "star": "like", "favorite": "like", "upvote": "like", "share": "share",
    "skip": "skip", "dislike": "hide", "hide": "hide", "downvote": "hide",
}  # fmt: skip
GO_TIME = re.compile(r"^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)? ([+-]\d\d)(\d\d) \S+.*$")
NO_TIME = "0001-01-01"
GENRES = 19  # flags at the end of a line of u.item


def read_kuairand(folder: Path) -> Load:
    """Read KuaiRand-Pure. Raises Refused."""
    notes: list[str] = []
    videos = kuairand.read_videos(folder)
    items = [
        item_of(f"kuairand-{video}", [f"tag-{t}" for t in row["tag"].split(",") if t.strip().isdigit()],
                creator=f"author-{row['author_id']}", duration_ms=millis(row["video_duration"]))
        for video, row in videos.items()
    ]  # fmt: skip
    deeds: list[Deed] = []
    for past in kuairand.read_pasts(folder / kuairand.HISTORY):
        begin = past.last_time_ms * 1000 - (len(past.watch_seq) - 1) * STEP_US
        long, liked = set(past.long_watch_seq), set(past.like_seq)
        for i, video in enumerate(past.watch_seq):
            kind = "like" if video in liked else "long" if video in long else "view"
            deeds.append(Deed(begin + i * STEP_US, str(past.user_id), f"kuairand-{video}", kind))
    notes.append(f"{len(deeds)} earlier views have an order but no times: a minute apart, up to the viewer's last")
    log = kuairand.read_log(folder / kuairand.LOG)
    if log.repeats:
        notes.append(f"{log.repeats} impressions stand in the log twice and count once")
    deeds += _impressions(log)
    return finish(items, deeds, notes, folder.name)


def _impressions(log: kuairand.Log) -> Iterator[Deed]:
    names = ("time_ms", "user_id", "video_id", "play_time_ms", "duration_ms", "is_like", "is_hate", "is_forward")
    for at, user, video, dwell, duration, like, hate, forward in zip(
        *(log.column[name].tolist() for name in names), strict=True
    ):
        viewer, item = str(user), f"kuairand-{video}"
        kind = "hide" if hate else "like" if like else "view"
        yield Deed(at * 1000, viewer, item, "view" if hate else kind, min(dwell, 3_600_000), min(duration, 3_600_000))
        if hate or forward:
            yield Deed(at * 1000, viewer, item, "hide" if hate else "share")


def read_movielens(path: Path) -> Load:
    """Read a MovieLens folder (or a file of sequences). Raises Refused."""
    for ratings, movies, sep in (
        ("u.data", "u.item", "\t"), ("ratings.dat", "movies.dat", "::"), ("ratings.csv", "movies.csv", ",")
    ):  # fmt: skip
        found = _packed(path, ratings)
        if found is not None:
            listed = _packed(path, movies)
            items = list(_movies(listed)) if listed else []
            notes = ["ratings became showings: 5 liked, 4 watched to the end, 3 watched for a while, less swiped on"]
            return finish(items, list(_ratings(found, sep)), notes, path.name)
    sequences = path if path.is_file() else _packed(path, "train_input.txt")
    if sequences is None:
        raise Refused(f"{path} holds no ratings", field="path",
                      hint="u.data, ratings.dat, ratings.csv or train_input.txt, also .xz or .gz")  # fmt: skip
    notes = ["the sequences have an order but no times: a minute apart, each beginning a second after the one before"]
    return finish([], list(_sequences(sequences)), notes, path.name)


def _packed(folder: Path, name: str) -> Path | None:
    return next((p for suffix in ("", ".xz", ".gz") if (p := folder / f"{name}{suffix}").is_file()), None)


def _ratings(path: Path, sep: str) -> Iterator[Deed]:
    with opened(path) as f:
        for line, text in enumerate(f, 1):
            values = text.rstrip("\r\n").split(sep)
            if line == 1 and values[0] == "userId":
                continue
            try:
                user, movie, rating, at = values[:4]
                score, stamp = float(rating), stamp_of(at)
                if not 0 < score <= 5:
                    raise ValueError(f"a rating of {score}")
            except ValueError as e:
                raise fault(path.name, line, f"not a rating ({e})", f"viewer, movie, rating, time, by `{sep}`") from e
            kind = "like" if score >= 5 else "long" if score >= 4 else "view"
            yield Deed(stamp, user, movie, kind, -1 if kind != "view" or score >= 3 else STAYED_MS // 5)


def _movies(path: Path) -> Iterator[dict[str, Any]]:
    if ".csv" in path.suffixes:
        for _, row in rows(path, ("movieId", "title", "genres")):
            yield item_of(row["movieId"], row["genres"].lower().split("|"), caption=row["title"])
        return
    genres = _genres(path.parent)
    text = _latin(path)
    for line, said in enumerate(text.splitlines(), 1):
        values = said.split("::") if "::" in said else said.split("|")
        if len(values) == 3:
            yield item_of(values[0], values[2].lower().split("|"), caption=values[1])
        elif len(values) >= 5 + GENRES:
            flags = zip(genres, values[-GENRES:], strict=False)
            yield item_of(values[0], [name for name, flag in flags if flag == "1"], caption=values[1])
        else:
            raise fault(path.name, line, "not a movie", "number, title and genres")


def _latin(path: Path) -> str:
    """The older sets are written in Latin-1."""
    import gzip
    import lzma

    data = path.read_bytes()
    data = lzma.decompress(data) if path.suffix == ".xz" else gzip.decompress(data) if path.suffix == ".gz" else data
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _genres(folder: Path) -> list[str]:
    found = _packed(folder, "u.genre")
    if found is None:
        return [f"genre-{k}" for k in range(GENRES)]
    return [line.partition("|")[0].lower() for line in _latin(found).splitlines() if "|" in line]


def _sequences(path: Path) -> Iterator[Deed]:
    with opened(path) as f:
        for line, text in enumerate(f, 1):
            items = text.split()
            if not items:
                raise fault(path.name, line, "the line is empty")
            for i, item in enumerate(items):
                yield Deed(line * 1_000_000 + i * STEP_US, f"viewer-{line}", item, "long")


def read_gorse(folder: Path, types: dict[str, str]) -> Load:
    """Read an export of Gorse. `types`: feedback type → kind, beside GORSE_TYPES. Raises Refused."""
    for name, kind in types.items():
        if kind not in (*KINDS, "ignore"):
            raise Refused(f"`{name}={kind}`: no such kind", field="map", hint=f"one of {', '.join(KINDS)}, ignore")
    notes: list[str] = []
    found = {name: _packed(folder, f"{name}.csv") for name in ("items", "feedback")}
    items = list(_gorse_items(found["items"], notes)) if found["items"] else []
    deeds = _gorse_feedback(found["feedback"], {**GORSE_TYPES, **types}, notes) if found["feedback"] else []
    if not items and not deeds:
        raise Refused(f"{folder} holds neither items.csv nor feedback.csv of Gorse", field="path",
                      hint="export both from Gorse's dashboard")  # fmt: skip
    return finish(items, deeds, notes, folder.name)


def _gorse_items(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    hidden, seen = 0, set[str]()
    for line, row in rows(path, ("item_id",)):
        item = row["item_id"]
        if not item or item in seen:
            raise fault(path.name, line, f"`{item}` stands in the file twice" if item else "`item_id` is empty")
        seen.add(item)
        if row.get("is_hidden", "").lower() in ("true", "1"):
            hidden += 1
            continue
        tags = [*row.get("categories", "").split("|"), *_labels(path, line, row.get("labels", ""))]
        yield item_of(item, tags, caption=row.get("description", row.get("comment", "")))
    if hidden:
        notes.append(f"{counted(hidden, 'hidden item is', 'hidden items are')} left out")


def _labels(path: Path, line: int, text: str) -> list[str]:
    """Return the labels of an item: JSON of any shape (0.4 on), or separated by `|` (before)."""
    if not text.lstrip().startswith(("{", "[", '"')) and text != "null":
        return text.split("|")
    try:
        return list(_leaves(json.loads(text)))
    except ValueError as e:
        raise fault(path.name, line, f"`labels` is not JSON: {e}") from e


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inside in value.values():
            yield from _leaves(inside)
    elif isinstance(value, list):
        if not any(isinstance(v, float) for v in value):  # an embedding is no label
            for inside in value:
                yield from _leaves(inside)
    elif isinstance(value, str):
        yield value


def _gorse_feedback(path: Path, types: dict[str, str], notes: list[str]) -> list[Deed]:
    deeds: list[Deed] = []
    undated = 0
    for line, row in rows(path, ("feedback_type", "user_id", "item_id")):
        name = row["feedback_type"]
        kind = types.get(name)
        if kind is None:
            raise fault(path.name, line, f"what the feedback type `{name}` means is not known",
                        f"--map {name}=like (or {', '.join(KINDS)}, ignore)")  # fmt: skip
        if kind == "ignore":
            continue
        stamp = _gorse_time(path, line, row)
        if stamp < 0:  # without a time: just after the row above
            undated += 1
            stamp = deeds[-1].stamp + 1 if deeds else 0
        deeds.append(Deed(stamp, row["user_id"], row["item_id"], kind))
    if undated:
        notes.append(f"{counted(undated, 'row', 'rows')} of {path.name} without a time: each follows the row above it")
    return deeds


def _gorse_time(path: Path, line: int, row: Row) -> int:
    text = row.get("time_stamp", "")
    if not text or text.startswith(NO_TIME):
        return -1
    match = GO_TIME.match(text)
    try:
        return stamp_of(f"{match[1]}T{match[2]}{(match[3] or '')[:7]}{match[4]}:{match[5]}" if match else text)
    except ValueError as e:
        raise fault(path.name, line, f"`time_stamp` is `{text[:40]}`, which is no time") from e
