"""What a team would otherwise write: bare retrieval libraries, and FastAPI + Redis + a dot product, on one core.

Beside `holdfast bench serve`, on as many vectors of the same width. None of it learns, filters by rulings, explains,
records exposures or survives its machine: it is the floor under a slate's cost, not a like for like.
"""

import asyncio
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from ast import literal_eval
from collections.abc import Callable
from typing import Any

import numpy as np

from holdfast.adapters import system
from holdfast.core.errors import Degraded
from holdfast.core.feed.predict import Eligible
from holdfast.drills.bench_region import JSON, Http
from holdfast.model.index import Index
from holdfast.region.roles import ENV

WIDTH = 48  # as the live network
K = 200
QUERIES = 256
HNSW_MAX = 100_000  # beyond, building a graph outlasts the bench
CONNECTIONS = 32
MISSING = "not installed: pip install holdfast[bench]"
NO_REDIS = "no redis-server on the PATH: apt-get install redis-server"


def vectors(n: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return float32[n, WIDTH] of length 1, clustered by two themes each, as learned ones are."""
    dice = np.random.default_rng(seed)
    themes = np.random.default_rng(1).standard_normal((200, WIDTH))
    v = themes[dice.integers(0, 200, n)] + 0.7 * themes[dice.integers(0, 200, n)]
    v = v + 0.8 * dice.standard_normal((n, WIDTH))
    return (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)


def _ms(work: Callable[[], object], queries: int) -> float:
    work()
    began = time.process_time()
    work()
    return round(1000 * (time.process_time() - began) / queries, 4)


def retrieval(n: int) -> dict[str, Any]:
    """Run `measure` in a process of its own, with one thread for BLAS."""
    command = [sys.executable, "-c", f"from holdfast.drills import bench_stack as b; print(b.measure({n}))"]
    done = subprocess.run(command, env=os.environ | ENV, capture_output=True, check=False, text=True)
    if done.returncode:
        raise Degraded(f"retrieval could not be measured: {done.stderr[-500:]}")
    return literal_eval(done.stdout.splitlines()[-1])


def measure(n: int) -> dict[str, Any]:
    """Return CPU ms per query for the best K of n, one at a time and in batches of 16, and recall at 100."""
    items, users = vectors(n), vectors(QUERIES, 7)
    none, allowed = np.zeros(0, np.int64), np.ones(n, bool)
    ours = Index(WIDTH)
    ours.put(np.arange(n), items)
    one = [Eligible(allowed, none)]
    found: dict[str, Any] = {
        "holdfast_ms": _ms(lambda: [ours.search(u[None], K, one) for u in users], QUERIES),
        "holdfast_batched_ms": _ms(lambda: ours.search(users, K, one * QUERIES), QUERIES),
        "holdfast_recall_at_100": round(ours.recall(users, 100, one * QUERIES), 4),
    }
    found |= _usearch(items, users)
    found |= _implicit(items, users)
    return found


def _usearch(items: Any, users: Any) -> dict[str, Any]:
    if importlib.util.find_spec("usearch") is None:
        return {"usearch": MISSING}
    if len(items) > HNSW_MAX:
        return {"usearch": f"a graph of more than {HNSW_MAX} takes minutes to build"}
    from usearch.index import Index as Graph

    graph, began = Graph(ndim=WIDTH, metric="ip", dtype="f16", connectivity=16, expansion_add=128), time.process_time()
    graph.add(np.arange(len(items)), items, threads=1)
    built_s = time.process_time() - began
    graph.expansion_search = 256
    keys: Any = graph.search(users, K, threads=1)
    true = np.argpartition(-(users @ items.T), 100, axis=1)[:, :100]
    hits = [np.isin(true[i], keys[i].keys[:100]).mean() for i in range(len(users))]
    return {
        "usearch_build_s": round(built_s, 1), "usearch_recall_at_100": round(float(np.mean(hits)), 4),
        "usearch_ms": _ms(lambda: [graph.search(u, K, threads=1) for u in users], len(users)),
    }  # fmt: skip


def _implicit(items: Any, users: Any) -> dict[str, Any]:
    if importlib.util.find_spec("implicit") is None:
        return {"implicit": MISSING}
    # what every `recommend` of implicit's CPU models ends in
    from implicit.cpu.topk import topk  # pyright: ignore[reportMissingImports]

    return {
        "implicit_ms": _ms(lambda: [topk(items, u[None], K, num_threads=1) for u in users], len(users)),
        "implicit_batched_ms": _ms(lambda: topk(items, users, K, num_threads=1), len(users)),
    }


async def stack(n: int, seconds: float) -> dict[str, Any]:
    """Return slates a second of FastAPI + Redis + a dot product on core 0; one line if a part is missing."""
    if importlib.util.find_spec("fastapi") is None or importlib.util.find_spec("redis") is None:
        return {"stack": MISSING}
    server = shutil.which("redis-server")
    if server is None:
        return {"stack": NO_REDIS}
    base = system.free_base("127.0.0.1", 10)

    def place() -> None:
        os.sched_setaffinity(0, {0})

    commands = [
        [server, "--port", str(base), "--save", "", "--appendonly", "no"],
        [
            sys.executable,
            "-m",
            "uvicorn",
            "--factory",
            "holdfast.drills.bench_fastapi:app",
            "--port",
            str(base + 1),
            "--log-level",
            "error",
            "--loop",
            "uvloop",
            "--http",
            "httptools",
        ],
    ]
    env = os.environ | ENV | {"BENCH_VIDEOS": str(n), "BENCH_REDIS": str(base)}
    quiet = subprocess.DEVNULL
    children = [
        subprocess.Popen(c, stdout=quiet, stderr=quiet, env=env, preexec_fn=place)  # noqa: PLW1509, ASYNC220
        for c in commands
    ]
    try:
        return await _drive(base + 1, seconds)
    finally:
        for child in children:
            child.kill()
            child.wait()


async def _drive(port: int, seconds: float) -> dict[str, Any]:
    deadline, http = time.monotonic() + 60.0, Http("127.0.0.1", port)
    while True:
        try:
            await http.open()
            break
        except OSError:
            if time.monotonic() > deadline:
                raise Degraded("the FastAPI stack did not start") from None
            await asyncio.sleep(0.2)
    until, times = time.monotonic() + seconds, list[float]()

    async def one(k: int) -> None:
        mine = Http("127.0.0.1", port)
        await mine.open()
        while time.monotonic() < until:
            began = time.monotonic()
            status, _ = await mine.call("POST", f"/feed/v{k}", b'{"n":10}', kind=JSON)
            if status == 200:
                times.append(1000 * (time.monotonic() - began))
            k = (k + CONNECTIONS) % 4000
        mine.close()

    await asyncio.gather(*(one(k) for k in range(CONNECTIONS)))
    return {"stack_slates_per_s": round(len(times) / seconds, 1), "stack_p50_ms": round(float(np.median(times)), 2)}
