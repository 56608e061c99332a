"""The cost table: which optional stages fit, decided before the call, from what each was measured to cost.

A stage that is dropped half-way saves nothing. So the sum is done first, dearest optional stage out until the rest
fits, and the slate says which are missing.
"""

# microseconds per query, and per query and thousand items; measured on one core (docs/performance.md)
FIXED_US = 400.0
OPTIONAL: dict[str, tuple[float, float]] = {
    "next": (400.0, 5.0),  # next-item scores: without them the slate is REGIONAL
    "network": (1500.0, 3.0),  # without it the slate is LINEAR
    "debut": (40.0, 0.0),
    "why": (700.0, 0.0),  # explanations: words come with each video or are left out
}
ITEMS_READ = 500_000  # a network looks into lists of a larger catalogue, which costs as much as reading so many


def plan(budget_us: float, queries: int, items: int) -> frozenset[str]:
    """Return the names of the optional stages that must be dropped for `queries` over `items` to fit.

    Beside a network the next-item scores are asked of its candidates only, whatever the catalogue holds.
    """
    dropped: set[str] = set()
    for name in ("why", "debut", "network", "next"):  # the least missed first
        kept = OPTIONAL.keys() - dropped
        read = {"network": min(items, ITEMS_READ), "next": 0 if "network" in kept else items}
        each = FIXED_US + sum(OPTIONAL[n][0] + OPTIONAL[n][1] * read.get(n, 0) / 1000 for n in kept)
        if queries * each <= budget_us:
            break
        dropped.add(name)
    return frozenset(dropped)
