"""When a learner releases, and when it leaves that to another of its jurisdiction. Times are seconds of a steady clock.

Each learner of a jurisdiction has a rank by hash. There is no vote: a learner rests while a better-ranked one is at
work, and "at work" is judged by what is *owed*. Lessons are owed from the moment they are folded here until a release
of the better-ranked covers them. Who has nothing to teach is not silent, and who owes something gets REST_S for it, or
twice what it took lately: a solve may be long, a stand-by may read late. Judging by the age of the last release instead
let two learners release beside each other whenever an evening was quiet, a solve long or the reading behind.
"""

from dataclasses import dataclass, replace

EVERY_S = 3.0  # between two releases: a viewer's new liking reaches the model within this and a solve
SOLVE_SHARE = 0.1  # of the time may go into solving and judging: 1 s of that is followed by 9 s of rest
HURRY_SHARE = 0.4  # … while more than NEWS of all lessons wait for a release: a young model, or a log read fast
NEWS = 0.01
LATEST_S = 12.0  # but never longer than this: with a solve of `learn.SOLVE_S` on a core of its own 19 s apart at most
REST_S = 30.0  # a better-ranked learner that owes for so long is taken over from
REST_MAX_S = 120.0


def rest_s(spent_s: float, news: float) -> float:
    """Return how long to rest after a release that took `spent_s`. `news`: which share of all lessons waits for one."""
    share = HURRY_SHARE if news > NEWS else SOLVE_SHARE
    return min(max(EVERY_S, spent_s * (1 - share) / share), LATEST_S)


@dataclass(frozen=True, slots=True)
class StandBy:
    """What a learner knows of those ranked better. `since_s`: since when they owe something, None if nothing.

    One that has better-ranked neighbours begins as if it had just heard of them.
    """

    behind: bool = False  # is there a better-ranked learner at all?
    heard: bool = False  # was one heard of in this life?
    covered: int = 0  # newest stamp that their releases learned from
    learned: int = 0  # newest stamp of the lessons folded here
    since_s: float | None = None
    patience_s: float = REST_S

    def learn(self, learned_to: int, now_s: float) -> "StandBy":
        """Lessons up to a stamp are folded here."""
        if learned_to <= self.learned:
            return self
        owed = self.since_s if self.since_s is not None or learned_to <= self.covered else now_s
        return replace(self, learned=learned_to, since_s=owed)

    def hear(self, learned_to: int, now_s: float) -> "StandBy":
        """A better-ranked learner released what it learned up to a stamp."""
        took_s = now_s - self.since_s if self.since_s is not None else 0.0
        patience_s = min(max(REST_S, 2 * took_s, 0.9 * self.patience_s), REST_MAX_S)
        covered = max(self.covered, learned_to)
        return StandBy(True, True, covered, self.learned, now_s if self.learned > covered else None, patience_s)

    def reading(self, now_s: float) -> "StandBy":
        """Something of theirs lies here unread, a release perhaps: while that is so, nobody is silent."""
        return replace(self, since_s=now_s) if self.since_s is not None else self

    def resting(self, now_s: float) -> bool:
        """Say whether releasing is left to a better-ranked learner."""
        return self.behind and (self.since_s is None or now_s - self.since_s < self.patience_s)
