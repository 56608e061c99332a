"""Suspicion: how odd is this silence, given how quickly this region used to answer?

A dark data centre does not refuse connections, it says nothing. A fixed time-out is either too short for a busy
region or too long for a dead one, so we keep a running mean and deviation of the answer times and express a silence
as phi = -log10 P(an answer still comes this late) (Hayashibara et al., "The phi accrual failure detector", 2004).
Phi 8 means: wrong once in a hundred million answers, if answer times were normal. They are not, hence the floor under
the deviation; and a person is waiting, hence the cap on patience.

Silence is measured from the last thing heard, not from the question: a region that answers others of our calls is
slow, not gone. But *slow* is no excuse where another region answered the very same question (`beaten`): health checks
that pass while requests hang are the gray failure (Huang et al., "Gray failure: the Achilles' heel of cloud-scale
systems", 2017), and only who asks both sees it. And a sick observer must not accuse (Dadgar et al., "Lifeguard",
2018): the time in which we ourselves could not listen does not count, up to DEAF_MAX_S.
"""

import math
from dataclasses import dataclass

PHI_SUSPECT = 8.0
GAIN = 0.125  # weight of the newest answer time; TCP's choice for its round-trip estimate (RFC 6298)
DEVIATION_FLOOR_S = 0.05  # answers on a busy laptop scatter by this much without anything being wrong
PATIENCE_MIN_S = 0.5  # a lost packet's retransmission (Linux: 200 ms) and a busy machine's pause are no reason to leave
PATIENCE_MAX_S = 0.9  # the promise is a slate within 2 s of the cut: suspicion may take half of that
OWED, OWED_MAX = 3, 12  # answers in a row of the kind that it left unanswered; one in ten come by luck, three do not
RELAPSE_S = 60.0  # beaten again this soon after it was believed, it owes twice as many
DEAF_MAX_S = 0.5  # of a silence, at most this much is put down to ourselves: a viewer waits all the same
REST_MAX_S = 10.0  # whatever a region asks for: beyond, it would be a way to send everybody away for good
_Y_AT_SUSPECT = 5.612  # where the logistic tail below gives phi = 8; patience is mean + this many deviations


@dataclass(slots=True)
class Vantage:
    """What one client has seen of one region: answer times and the share of calls that brought something (goodput)."""

    mean_s: float = 0.05
    deviation_s: float = 0.05
    goodput: float = 1.0
    heard_s: float = -math.inf  # when anything last came from it, were it "not now"
    bad_at_s: float = -math.inf  # when it last failed or fell silent
    good_since_s: float = -math.inf  # start of the unbroken run of good answers
    suspected: bool = False
    rest_until_s: float = -math.inf  # it said that it has too much to do: not before this
    owed: int = 0  # answers that it must give in a row before it is believed again; 0: one will do
    owes: int = 0  # how many that were at the last gray failure

    def good(self, took_s: float, now_s: float) -> None:
        """An answer came after `took_s`; while it owes answers, one of the kind that it owes."""
        self.heard_s = now_s
        error = took_s - self.mean_s
        self.mean_s += GAIN * error
        self.deviation_s += GAIN * (abs(error) - self.deviation_s)
        self.goodput += GAIN * (1.0 - self.goodput)
        if self.owed and now_s - took_s >= self.bad_at_s:  # asked before that, it proves nothing
            self.owed -= 1
        if self.suspected and not self.owed:
            self.suspected, self.good_since_s = False, now_s

    def bad(self, now_s: float) -> bool:
        """A call failed, or its silence became suspicious. Return whether this is the first suspicion."""
        first = not self.suspected
        self.suspected, self.bad_at_s = True, now_s
        if self.owed:
            self.owed = self.owes
        self.poor()
        return first

    def beaten(self, now_s: float) -> bool:
        """Another region answered what this one leaves unanswered. Return whether this is the first suspicion."""
        first = self.bad(now_s)
        if first:
            again = self.owes and now_s - self.good_since_s < RELAPSE_S
            self.owes = min(OWED_MAX, 2 * self.owes) if again else OWED
        self.owed = self.owes = self.owes or OWED
        return first

    def poor(self) -> float:
        """It answered, but could not serve. Return the goodput left."""
        self.goodput -= GAIN * self.goodput
        return self.goodput

    def rest(self, retry_after_s: float, now_s: float) -> None:
        """It has too much to do, and asks to be left alone for so long (at most REST_MAX_S)."""
        self.rest_until_s = max(self.rest_until_s, now_s + min(retry_after_s, REST_MAX_S))

    def silence_s(self, asked_s: float, now_s: float, deaf_s: float) -> float:
        """Silence of a call made at `asked_s`, less the part of it (`deaf_s`) in which we could not listen."""
        return now_s - max(asked_s, self.heard_s) - min(deaf_s, DEAF_MAX_S)

    def phi(self, silence_s: float) -> float:
        """Suspicion of a call unanswered for `silence_s`; logistic approximation of the normal tail."""
        y = (silence_s - self.mean_s) / max(self.deviation_s, DEVIATION_FLOOR_S)
        exponent = min(y * (1.5976 + 0.070566 * y * y), 700.0)  # exp(-700) is the smallest that does not vanish
        if exponent < -30:
            return 0.0
        e = math.exp(-exponent)
        return -math.log10(e / (1.0 + e))

    def patience_s(self) -> float:
        """Silence after which phi reaches PHI_SUSPECT, within the bounds above."""
        silence_s = self.mean_s + _Y_AT_SUSPECT * max(self.deviation_s, DEVIATION_FLOOR_S)
        return min(max(silence_s, PATIENCE_MIN_S), PATIENCE_MAX_S)
