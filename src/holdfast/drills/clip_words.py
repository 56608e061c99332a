"""What the drawn clips are called, by whom, and how they are tagged: one row per theme.

Captions are what people write under a short video: a remark, a question, half a thought. Twenty a theme, so that 240
clips have 240 captions; clip 241 begins again with the first.
"""

from typing import NamedTuple


class Words(NamedTuple):
    """`tags` beside the theme's own; each clip gets one or two of them, by variant."""

    creators: tuple[str, ...]
    tags: tuple[str, ...]
    captions: tuple[str, ...]


WORDS: dict[str, Words] = {
    "tides": Words(
        ("mira.offshore", "old_pier", "noor.b"), ("sea", "calm", "evening"), (
            "Low tide in nine minutes", "The water forgets everything by morning", "Stayed until the light went",
            "That storm from last week, finally posted", "Same bench, different sea",
            "Counted the seventh wave. It is a myth", "Nobody on the beach but us",
            "The lighthouse keeper waved back", "Salt on everything, worth it",
            "First swim of the year (from a distance)", "How the bay looks before breakfast",
            "Grey days are underrated", "Ferry is late, view is not", "Slow pan because I was cold",
            "The tide table was wrong again", "Gulls, for those who asked for gulls",
            "You can hear the stones roll back", "Found the sunset by accident", "Six seconds of nothing happening",
            "Take a breath, then scroll on",
        ),
    ),
    "fireworks": Words(
        ("bang.collective", "lucia_v", "nightshift"), ("night", "bright", "festival"), (
            "The heart one was for my grandmother", "From the roof across the river", "Finale, no sound needed",
            "New year, same harbour", "The dog slept through all of it", "Count the rings",
            "Somebody spent real money on this", "My favourite is the willow", "Wait for the palm",
            "Reflections were the better half", "Village fair, tiny budget, big sky",
            "We saw it from the night bus", "Tested the new camera", "Third burst is the good one",
            "Two seconds late on every shot", "A quiet one to end on", "Smoke drifted the right way for once",
            "They do this every Tuesday in August", "The gold takes for ever to fall", "Goodbye, summer",
        ),
    ),
    "city lights": Words(
        ("kasimir.k", "rooftop_club", "dana.walks"), ("night", "town", "bright"), (
            "Every window is someone not sleeping", "Tram line 4, upper deck, front seat",
            "The moon is following the bus", "That one office that never goes dark", "Night shift starts here",
            "Ferris wheel season is back", "Red one way, white the other", "Blue hour lasted eleven minutes",
            "My flat is the dark one", "Walking home the long way", "They changed the neon, I am in mourning",
            "Still awake? Me too", "The skyline from platform 9", "Rent is high but so is the view",
            "Listening to the traffic like it is rain", "Which window would you pick?", "First night in a new city",
            "After the concert, before the last train", "Hazy morning, everyone late", "The city hums in B flat",
        ),
    ),
    "kelp": Words(
        ("deep.garden", "tomasz_dives", "holdfast.lab"), ("sea", "underwater", "calm"), (
            "What holds on, holds", "The forest under the pier", "Fish doing fish things",
            "Ten metres down and very quiet", "Kelp grows half a metre a day, look it up",
            "Light through the canopy at noon", "They all sway together, I checked", "A current came through",
            "The holdfast is the foot that grips the rock", "Green season", "Met the same orange fish again",
            "No wind down here", "Breathing out slowly", "After the storm it was all still there",
            "My desk view now (wish)", "Someone tag the shy one at the back", "Golden kelp in the afternoon",
            "The one frond that dances off beat", "Bubbles are mine, sorry", "Come for the fish, stay for the sway",
        ),
    ),
    "planets": Words(
        ("orbit.desk", "ines.telescope", "second_moon"), ("space", "night", "slow"), (
            "One day here is nine minutes", "The rings are mostly ice and patience",
            "Moon number two is the shy one", "I would miss the weather", "A storm older than your city",
            "Comet at the end, do not blink", "Rotation, unhurried", "Imagine the tides",
            "Painted this one in violet because I can", "Nobody lives here (yet?)",
            "Left side: night. Always has been", "Someone asked for the small green one", "Gas giant, gentle giant",
            "What is your favourite ring gap?", "Blue, but not that blue", "It takes light an hour to get there",
            "Postcard from very far", "Both moons in one shot", "Dust storm season", "Good night from orbit",
        ),
    ),
    "rain": Words(
        ("drizzle.daily", "hana_w", "window.seat"), ("calm", "town", "slow"), (
            "Race you: left drop against right drop", "Umbrellas always find each other",
            "The pond is writing something", "Stayed in, listened", "Forecast said sunny",
            "Every ring meets another ring", "Somebody's yellow umbrella made my day",
            "Rain on glass, ten out of ten", "The frogs are delighted", "Bus stop thoughts",
            "Lights look softer like this", "It rained until the tea was cold", "Water lilies do not mind",
            "Nobody hurries in the warm kind", "That smell, though", "Petrichor, but make it pixels",
            "Forgot my umbrella, learned nothing", "Puddles at golden hour", "For falling asleep to",
            "Third day of this and I am fine",
        ),
    ),
    "dominoes": Words(
        ("topple.works", "two.hands", "marek_sets"), ("craft", "satisfying", "colour"), (
            "Four hours to set, six seconds to fall", "Do not sneeze", "The heart took three tries",
            "Wait for the corner", "My sister started it. On purpose this time",
            "Eighty-one pieces, one mistake, can you see it?", "Spiral in, spiral out",
            "The sound is the best part", "New colours arrived", "A star, for the patient",
            "Cat was locked out for this", "First domino is always the hardest", "Reset in progress, back tomorrow",
            "Figure of eight, no collisions", "Slow is smooth", "Who else holds their breath?",
            "The last one wobbles", "For my physics class", "Down the winding road", "And again from the start",
        ),
    ),
    "origami": Words(
        ("paper.crane.co", "yuki_folds", "one.sheet"), ("craft", "calm", "colour"), (
            "One sheet, no scissors", "A thousand minus nine hundred and ninety-three", "The boats actually float",
            "Butterflies from old maps", "Fold, unfold, breathe", "My grandfather's pattern", "Hills are paper too",
            "The red koi is the difficult one", "Migration day", "Made on the train, flew by evening",
            "Wind from the left", "Valley fold, mountain fold, moon", "Small fleet leaving harbour",
            "Square paper, round sun", "Tutorial soon, promise", "Some creases are mistakes I kept",
            "It is all triangles in the end", "The yellow boat is winning", "Wings need two more folds",
            "Kept the one that would not fly",
        ),
    ),
    "trains": Words(
        ("platform.nine", "elif_rails", "slow.journeys"), ("travel", "calm", "evening"), (
            "Window seat, wrong side, great view", "The 17:42 across the viaduct", "Snow, and still on time",
            "My stop is after the bridge", "Steam on Sundays only", "Count the carriages",
            "Somebody waved, I waved back", "Between two towns and two moods", "The bridge is older than the line",
            "Slept through my stop for this light", "Night train, lamps on", "Going home the scenic way",
            "Rails sing before you see it", "The dining car has the good windows", "Last one before the strike",
            "Hills doing their slow dance", "A model? No. A Tuesday", "Green valley express",
            "The river keeps up for a while", "Tickets, please",
        ),
    ),
    "flowers": Words(
        ("bloom.diary", "agnes.green", "four_pm_garden"), ("garden", "calm", "colour"), (
            "Blink and it opened", "Planted in March, forgotten, here it is", "The shy one opens last",
            "Bees were early today", "Daisies do their own thing", "My balcony is four square metres of this",
            "Grown from a single bulb", "Night bloomers, worth the wait", "Everything leans to the left here",
            "The orange ones are volunteers", "No filter, just June", "Petals everywhere, sorry neighbours",
            "For Agnes, who taught me pruning", "A good year for blue", "I did nothing and it worked",
            "Time lapse, nine hours", "Named this one Gerald", "Soft morning in the garden",
            "Somebody water my plants next week?", "They close again at eight",
        ),
    ),
    "labyrinths": Words(
        ("dead.end.club", "ariadne.t", "hedge_and_seek"), ("puzzle", "satisfying", "night"), (
            "Left hand on the wall, always works", "It never turns back, watch", "Can you beat the light?",
            "The hedge maze at closing time", "There is exactly one way", "I would be lost at the second corner",
            "Pause and solve it first", "Bigger than it looks", "The long way is the way",
            "Drawn by a very patient computer", "Follow the glow", "So close at the start, did you see?",
            "Paper maze for a rainy day", "Red room, no exit, one exit", "My brain before coffee",
            "Someone always asks: yes, it is fair", "Turn, turn, turn, turn", "Small maze, big feelings",
            "Thread not included", "Out by dawn",
        ),
    ),
    "jellyfish": Words(
        ("soft.drift", "pelagia.m", "tank_seven"), ("sea", "underwater", "slow"), (
            "No brain, no worries", "Ninety-five percent water, five percent grace", "Slow dancer of tank seven",
            "They have done this for 500 million years", "Pulse, glide, repeat",
            "The pink ones are the noisy ones (they are silent)", "Night swim, from behind glass",
            "A bloom is a group of them. Perfect word", "Breathe with the big one", "It glows because it can",
            "Up, always up", "Tentacles, tastefully", "Little lanterns", "My screensaver came to life",
            "Do not touch, do admire", "Orange bloom at dusk", "Drifting is also a direction",
            "She has no idea she is famous", "Two of them, one mood", "For when the day was loud",
        ),
    ),
}  # fmt: skip
