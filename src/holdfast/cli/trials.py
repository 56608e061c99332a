"""`holdfast experiment`: begin, end and read experiments, by the API that any team uses."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter

from holdfast.core.errors import Refused

Dir = Annotated[Path, Parameter(name="--dir", help="where this installation lives")]
Json = Annotated[bool, Parameter(name="--json", negative=(), help="print one JSON object as the last line")]
Key = Annotated[str, Parameter(name="--key", help="a team's key with scope `experiments` (default: the platform's)")]
DIR = Path("holdfast-data")
OWN_KEY, OWN_TEAM = "experiments.key", "experimenter"  # the platform's own, made on first use

group = App(name="experiment", help="Compare ways to serve, on live viewers; look at the results as often as you like.")


@group.command(name="list")
def experiment_list(*, key: Key = "", dir: Dir = DIR, json: Json = False) -> None:
    """All experiments, with their arms."""
    from holdfast.cli import words

    found = _call("GET", "/v1/experiments", None, key, dir)
    if json:
        words.as_json(found)
        return
    rows = [
        (e["name"], ", ".join(a["name"] for a in e["arms"]), e["outcome"], "ended" if e["stopped"] else "runs")
        for e in found["experiments"]
    ]
    words.table("", ["experiment", "arms", "outcome", "state"], rows)


@group.command(name="start")
def experiment_start(
    name: str, plan: Annotated[str, Parameter(help="JSON, or a file of it")], *,
    outcome: Literal["long_view_share", "long_views", "likes"] = "long_view_share", window_s: int = 86_400,
    effect: float = 0.05, key: Key = "", dir: Dir = DIR, json: Json = False,
) -> None:  # fmt: skip
    """Begin an experiment. PLAN lists the arms: the first is what the others are compared with.

    Parameters
    ----------
    plan
        for example '[{"name": "as-is"}, {"name": "warm", "weights": {"heat": 2.0}}]'.
    outcome
        the one number that each viewer becomes.
    window_s
        how long after a viewer's first exposure their outcome is counted.
    effect
        the size of change hoped for: it decides how soon a difference shows, not how often wrongly.
    """
    from holdfast.cli import words

    text = Path(plan).read_text() if not plan.lstrip().startswith("[") and Path(plan).is_file() else plan
    try:
        arms = msgspec.json.decode(text)
    except msgspec.MsgspecError as e:
        raise Refused(f"the plan is not JSON: {e}", field="plan", hint="a list of arms, each with a name") from e
    body = {"arms": arms, "outcome": outcome, "window_s": window_s, "effect": effect}
    begun = _call("PUT", f"/v1/experiments/{name}", body, key, dir)
    if json:
        words.as_json(begun)
    else:
        words.out.print(*told(begun), sep="\n", markup=False)


@group.command(name="stop")
def experiment_stop(name: str, *, key: Key = "", dir: Dir = DIR, json: Json = False) -> None:
    """End an experiment: everyone is served alike again, and the results stay."""
    from holdfast.cli import words

    ended = _call("POST", f"/v1/experiments/{name}/stop", {}, key, dir)
    if json:
        words.as_json(ended)
    else:
        words.out.print(*told(ended), sep="\n", markup=False)


@group.command(name="results")
def experiment_results(name: str, *, key: Key = "", dir: Dir = DIR, json: Json = False) -> None:
    """What may be said now: intervals that hold however often one looks."""
    from holdfast.cli import words

    found = _call("GET", f"/v1/experiments/{name}/results", None, key, dir)
    if json:
        words.as_json(found)
        return
    rows = [
        (a["arm"], a["viewers"], a["waiting"], f"{a['mean']:.4f}", _change(a), a["surely"] or "not said yet")
        for a in found["arms"]
    ]
    rows[0] = (*rows[0][:4], "", "compared with")
    words.table(f"{name}: {found['experiment']['outcome']}, {found['confidence']:.0%} at every look",
                ["arm", "viewers", "waiting", "mean", "change", "surely"], rows)  # fmt: skip
    if not found["shares_hold"]:
        words.err.print("The arms are not as large as their shares promise: exposures are lost, believe none of this.")


def told(line: dict[str, Any]) -> list[str]:
    """Say an experiment as it is defined: one line, then one for each arm. `line`: an ExperimentLine of the API."""
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(line["stopped"] / 1e6))
    state = f"ended at {when}; its results stay" if line["stopped"] else "runs"
    hours = f"{line['window_s'] / 3600:.3g} h after a viewer's first exposure"
    said = [f"{line['name']} {state}", f"  counts {line['outcome'].replace('_', ' ')}, {hours}"]
    return said + [f"  {arm['name']} (share {arm['share']}): {_arm(arm)}" for arm in line["arms"]]


def _arm(arm: dict[str, Any]) -> str:
    rules = [name.replace("_", " ") for name, value in (arm["rules"] or {}).items() if value]
    changes = [f"{part} counts {factor:g} times" for part, factor in arm["weights"].items()]
    changes += [f"no higher than {arm['at_most']}"] if arm["at_most"] else []
    changes += [f"with rules on {', '.join(rules)}"] if rules else []
    return "; ".join(changes) or "as everyone is served"


def _change(arm: dict[str, Any]) -> str:
    if arm["low"] is None:
        return "too few viewers"
    return f"{arm['change']:+.4f} [{arm['low']:+.4f}, {arm['high']:+.4f}]"


def _call(method: str, path: str, body: object, key: str, root: Path) -> Any:
    """Ask the installation's regions in turn."""
    from holdfast.adapters.aio.calls import Calls
    from holdfast.adapters.home import Home
    from holdfast.cli.people import kept_key
    from holdfast.core.errors import Degraded

    home = Home(root.resolve())
    urls = [region.url for region in home.load().regions]
    bearer = key or kept_key(home, OWN_KEY, OWN_TEAM, ("experiments",))

    async def ask() -> Any:
        failure = "no region answers"
        async with Calls() as calls:
            for url in urls:
                try:
                    async with asyncio.timeout(5.0):
                        return await calls.call(method, f"{url}{path}", body, bearer=bearer)
                except (Degraded, TimeoutError) as e:
                    failure = str(e) or f"{url} does not answer"
        raise Degraded(failure)

    return asyncio.run(ask())
