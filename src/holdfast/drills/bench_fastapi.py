"""The stack of `bench serve`'s comparison: a FastAPI app that keeps viewers in Redis and takes a dot product.

    BENCH_VIDEOS=N BENCH_REDIS=PORT python -m uvicorn --factory holdfast.drills.bench_fastapi:app

A request reads the viewer's last 50 videos and what they have seen from Redis, averages the vectors, multiplies with
all videos, takes out what was seen and answers the best ten as JSON. It is what a team writes in an afternoon.
"""

import os
from typing import Any

import numpy as np

from holdfast.drills.bench_stack import vectors

VIEWERS = 4000
PAST = 50
SEEN = 200


def app() -> Any:
    """Return the ASGI app, its Redis filled."""
    videos, redis_port = int(os.environ["BENCH_VIDEOS"]), int(os.environ["BENCH_REDIS"])
    import redis  # pyright: ignore[reportMissingImports]
    import redis.asyncio  # pyright: ignore[reportMissingImports]
    from fastapi import FastAPI  # pyright: ignore[reportMissingImports]

    items = vectors(videos)
    dice = np.random.default_rng(3)
    with redis.Redis(port=redis_port) as filling:
        pipe = filling.pipeline(transaction=False)
        for viewer in range(VIEWERS):
            seen = dice.integers(0, videos, SEEN).tolist()
            pipe.rpush(f"past:v{viewer}", *seen[:PAST])
            pipe.sadd(f"seen:v{viewer}", *seen)
        pipe.execute()
    held = redis.asyncio.Redis(port=redis_port)
    api = FastAPI()

    async def feed(viewer: str) -> dict[str, Any]:
        asked: Any = held.pipeline(transaction=False)
        asked.lrange(f"past:{viewer}", -PAST, -1)
        asked.smembers(f"seen:{viewer}")
        past, seen = await asked.execute()
        rows = np.array([int(x) for x in past], np.int64)
        scores = items @ items[rows].mean(0)
        scores[np.array([int(x) for x in seen], np.int64)] = -np.inf
        best = np.argpartition(-scores, 10)[:10]
        best = best[np.argsort(-scores[best])]
        return {"items": [{"item": f"clip-{i:07d}", "score": float(scores[i])} for i in best.tolist()]}

    api.post("/feed/{viewer}")(feed)
    return api
