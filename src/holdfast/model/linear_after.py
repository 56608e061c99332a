"""What is watched after what, one video at a time: a LINEAR model's followers, bound to one catalogue.

Beyond the videos that the closed form holds, a model lists for a video those that most often came next (`cowatch`).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.catalogue import Catalogue
from holdfast.model.linear_release import Followers

Array = NDArray[Any]

NONE = (np.zeros(0, np.int64), np.zeros(0, np.float32))


class After:
    """By catalogue row, where its followers stand and what share of its viewers went on to each."""

    def __init__(self, followers: Followers, catalogue: Catalogue) -> None:
        self._followers, self._catalogue = followers, catalogue
        self._rows: Array = np.full(len(followers.videos), -1, np.int64)  # of each video
        self._starts = np.searchsorted(followers.sources, np.arange(len(followers.videos) + 1))
        self._video: Array = np.full(0, -1, np.int32)  # of each row

    def refresh(self, n: int) -> None:
        """Find the rows, of the first `n`, of videos that came since."""
        of, videos = self._catalogue.items.of, self._followers.videos
        if not videos:
            return
        self._video = np.concatenate([self._video, np.full(n - self._video.size, -1, np.int32)])
        for i in np.flatnonzero(self._rows < 0).tolist():
            row = of.get(videos[i], -1)
            if 0 <= row < n:
                self._rows[i] = row
                self._video[row] = i

    def _lists(self, rows: Array) -> tuple[Array, Array, Array]:
        """Return of all followers of int64[H] rows: the place in `rows`, the row of the follower (or −1), its share."""
        known = np.flatnonzero(rows < self._video.size)
        video = self._video[rows[known]]
        known, video = known[video >= 0], video[video >= 0]
        first = self._starts[video]
        many = self._starts[video + 1] - first
        ends = np.cumsum(many)
        flat = np.repeat(first - ends + many, many) + np.arange(ends[-1] if ends.size else 0)
        return np.repeat(known, many), self._rows[self._followers.targets[flat]], self._followers.shares[flat]

    def of(self, rows: Array, fade: Array) -> tuple[Array, Array]:
        """Return (rows, each once, ascending; float32 what is added) after a history's rows."""
        if not self._video.size:
            return NONE
        at, targets, shares = self._lists(rows)
        if not at.size:
            return NONE
        found, place = np.unique(targets, return_inverse=True)
        sums = np.bincount(place, fade[at] * shares, found.size).astype(np.float32)
        return found[found >= 0], sums[found >= 0]

    def toward(self, rows: Array, asked: Array) -> Array:
        """Return float32[H, R]: the share of each row's viewers who went on to each of int64[R] `asked` rows."""
        said: Array = np.zeros((rows.size, asked.size), np.float32)
        if self._video.size and asked.size:
            at, targets, shares = self._lists(rows)
            order = np.argsort(asked, kind="stable")
            place = order[np.minimum(np.searchsorted(asked, targets, sorter=order), asked.size - 1)]
            hit = asked[place] == targets
            np.add.at(said, (at[hit], place[hit]), shares[hit])
        return said
