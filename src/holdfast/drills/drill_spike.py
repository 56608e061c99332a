"""The load spike among all drills: a process of its own, since it pins itself and its region to cores.

What it does and why is in `spike`; here its verdict becomes a row of the table.
"""

import asyncio
import sys
import time

import msgspec

from holdfast.drills.drill_stage import Say
from holdfast.drills.verdict import Verdict

HYPOTHESIS = (
    "While low-priority traffic is ten times the usual, people's feeds and writes come in time; at four times what the "
    "region can bear, nine tenths of what it can is served; ten seconds after either all is as before."
)
SECONDS = 12.0
SHOWN = ("capacity_per_s", "spike_feed_ok", "spike_write_ok", "spike_normal_s", "goodput", "overload_normal_s",
         "retry_amplification")  # fmt: skip


async def verdict(seed: int, say: Say) -> Verdict:
    """Carry it out and wait for its verdict."""
    out = Verdict(name="spike", hypothesis=HYPOTHESIS, passed=False, seed=seed)
    begun_s = time.monotonic()
    say("spike: one region on one core, the generator on another")
    argv = [sys.executable, "-m", "holdfast.cli.main", "drill", "spike", "--seconds", str(SECONDS), "--json"]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE, process_group=0)
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    out.seconds = round(time.monotonic() - begun_s, 1)
    try:
        result = msgspec.json.decode(said.strip().rpartition(b"\n")[2], type=dict[str, object])
    except msgspec.MsgspecError:
        out.ran, out.why_not = False, f"it ended without a verdict (exit code {process.returncode})"
        return out
    out.passed = bool(result["passed"])
    out.broken = [str(what) for what in result["broken"]] if isinstance(result["broken"], list) else []
    out.more = {name: value for name in SHOWN if isinstance(value := result[name], float | int)}
    return out
