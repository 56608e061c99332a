"""The verdict is a function of the set of rulings heard, and unknown is not shown."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.entries import Ruling
from holdfast.core.rulings import STRICTNESS, UNKNOWN, VERDICTS, Case, may_be_shown, resolve


def ruling(n: int, verdict: str, stamp: int, supersedes: tuple[int, ...] = ()) -> Ruling:
    ids = [("desk", m) for m in supersedes]
    return Ruling(device="desk", outbox=n, stamp=stamp, item="i", verdict=verdict, supersedes=ids, reasons=[verdict])


rulings = st.lists(
    st.builds(
        ruling,
        st.integers(1, 9),
        st.sampled_from(VERDICTS),
        st.integers(1, 9),
        st.lists(st.integers(1, 9), max_size=3).map(tuple),
    ),
    max_size=8,
    unique_by=lambda r: r.outbox,
)


@given(rulings, st.randoms())
def test_order_and_repetition_change_nothing(heard: list[Ruling], rng) -> None:
    shuffled = heard * 2
    rng.shuffle(shuffled)
    assert resolve(shuffled) == resolve(heard)


@given(rulings)
def test_without_supersession_the_strictest_wins(heard: list[Ruling]) -> None:
    plain = [ruling(r.outbox, r.verdict, r.stamp) for r in heard]
    worst = max((STRICTNESS[r.verdict] for r in plain), default=None)
    assert resolve(plain) == (UNKNOWN if worst is None else VERDICTS[worst])


def test_a_later_ruling_may_soften_only_what_it_names() -> None:
    removed = ruling(1, "remove", stamp=10)
    assert resolve([removed, ruling(2, "allow", stamp=20)]) == "remove"
    assert resolve([removed, ruling(2, "allow", stamp=20, supersedes=(1,))]) == "allow"


def test_an_earlier_ruling_cannot_supersede_a_later_one() -> None:
    assert resolve([ruling(1, "remove", stamp=30), ruling(2, "allow", stamp=20, supersedes=(1,))]) == "remove"


def test_superseding_what_has_not_been_heard_yet_counts_when_it_arrives() -> None:
    case = Case()
    case.add(ruling(2, "limit", stamp=20, supersedes=(1,)))
    case.add(ruling(1, "remove", stamp=10))
    assert case.verdict() == "limit" and case.reasons() == ["limit"]


def test_unknown_and_asked_are_not_shown() -> None:
    assert resolve([]) == UNKNOWN
    assert [v for v in (UNKNOWN, *VERDICTS) if may_be_shown(v)] == ["allow", "limit", "age"]
