"""How much of the true best does the index find? Over the vectors of the release that the bench's own learner made.

The release's blob is read from the region's folder and bound to the same catalogue, so the vectors and the index are
those that the node serves from; the viewers are vectors of real histories. Exact search looks at every vector.
"""

import msgspec
import numpy as np

from holdfast.adapters.blobs import BlobStore
from holdfast.adapters.home import Home
from holdfast.core.catalogue import Catalogue
from holdfast.core.classes import Class
from holdfast.core.entries import Publication
from holdfast.core.errors import Degraded
from holdfast.core.feed.predict import Eligible
from holdfast.core.feed.shapes import FeedRequest
from holdfast.core.feed.viewer import history
from holdfast.core.profile import Profile
from holdfast.core.tenants import inner
from holdfast.drills.bench_region import NAME
from holdfast.drills.bench_town import Town
from holdfast.model import release
from holdfast.model.full import Full
from holdfast.model.sizes import FullModel

VIEWERS = 200
BEST = 100


def catalogue(town: Town, team: str) -> Catalogue:
    """Return the town's videos as a region knows them, those of `team`."""
    found = Catalogue()
    for at, item in enumerate(town.items(0, town.videos)):
        name, creator = inner(team, item["item"]), inner(team, item["creator"])
        rest = {key: item[key] for key in ("caption", "tags", "duration_ms")}
        found.publish(Publication(device="n-bench", outbox=at + 1, stamp=at, item=name, creator=creator, **rest))
    return found


def released(home: Home, sha: str) -> FullModel:
    """Read a network from the region's blobs. Raises Degraded if it, or the one it builds upon, is not there."""
    blobs = BlobStore(home.region(NAME) / "blobs")

    def blob(name: str) -> bytes:
        found = blobs.get(Class.PERSONAL, name)
        if found is None:
            raise Degraded(f"the release {name} is not in the region's blobs any more")
        return found

    data = blob(sha)
    base = release.base_of(data)
    return release.load(data, release.load(blob(base)) if base else None)


def measure(model: FullModel, town: Town, team: str) -> dict[str, float]:
    """Return `recall_at_100` of the index over a release's vectors, for VIEWERS viewers who have seen what they did."""
    known = catalogue(town, team)
    full = Full(model, known)
    full.warm()
    of, asks = known.items.of, msgspec.json.Decoder(FeedRequest)
    past = []
    for viewer in range(min(VIEWERS, town.viewers)):
        ask = asks.decode(town.asks(viewer, 10, "recall"))
        ask.context = [msgspec.structs.replace(e, item=inner(team, e.item)) for e in ask.context]
        past.append(history(Profile(), ask, known, 0))
    everything = np.ones(len(of), bool)
    eligible = [Eligible(everything, one.rows.astype(np.int64)) for one in past]
    return {"recall_at_100": round(full.recall_of(past, BEST, eligible), 4)}
