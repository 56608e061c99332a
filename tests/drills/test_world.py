"""The audience's world is a function of its seed, and the experiment's arithmetic is right."""

from holdfast.drills.bench_learning import RUNGS, Seat, summary
from holdfast.drills.world import Viewer, World, clips


def test_the_same_seed_does_the_same_and_another_does_not():
    made = clips(1)
    a, b, other = World(1, made), World(1, made), World(2, made)
    watched = [[w.watch(w.viewer(k), c.item) for k in range(5) for c in made] for w in (a, b, other)]
    assert watched[0] == watched[1] != watched[2]


def test_tastes_show_in_what_is_watched():
    world = World(3, clips(3))
    viewers = [world.viewer(k) for k in range(40)]
    share = {"loved": [0, 0], "minded": [0, 0]}
    for v in viewers:
        for clip in world.clips.values():
            mood = v.moods[clip.theme]
            if mood in share:
                share[mood][0] += world.watch(v, clip).long
                share[mood][1] += 1
    assert share["loved"][0] / share["loved"][1] > 0.65 and share["minded"][0] / share["minded"][1] < 0.15
    assert all(len(v.loves()) == 2 for v in viewers)


def test_lift_and_its_interval():
    def seat(linear: tuple[int, int], regional: tuple[int, int]) -> Seat:
        return Seat(Viewer("v", {}), shown=dict(zip(RUNGS, (list(linear), list(regional)), strict=True)))

    same = summary([seat((k % 5, 10), ((k + 2) % 5, 10)) for k in range(60)])
    assert same["lift_low"] < 0 < same["lift_high"]
    better = summary([seat((4 + k % 3, 10), (2 + k % 3, 10)) for k in range(60)])
    assert better["lift"] == round(5 / 3 - 1, 4) and better["lift_low"] > 0.2
