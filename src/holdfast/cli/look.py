"""Commands that look and change nothing: doctor, status, media probe, log show."""

import asyncio
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from holdfast.adapters import natsconf, system
from holdfast.adapters.aio.calls import Calls
from holdfast.adapters.home import Home
from holdfast.cli import words
from holdfast.core.errors import Degraded, Refused
from holdfast.core.topology import DEFAULT, resolve

MEMORY_MIN_BYTES = 4_000_000_000  # thirteen small processes; measured in docs/operating.md
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def doctor(root: Path, json: bool) -> None:
    """Print one row per check; exit 2 if one fails that `up` needs."""
    from holdfast.region.supervisor import DISK_MIN_BYTES, ports

    home = Home(root)
    top = home.load() if home.topology_file.exists() else resolve(DEFAULT)
    busy = [f"{port} ({what})" for what, host, port in ports(top) if not system.port_is_free(host, port)]
    taken = f"in use: {busy[0]}{f' and {len(busy) - 1} more' if busy[1:] else ''}" if busy else "all free"
    free, memory = system.disk_free_bytes(root), system.memory_bytes()
    pages = (Path(words.__file__).parent.parent / "webapp" / "index.html").exists()
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), "")
    rows = [
        _row("Python", sys.version_info >= (3, 11), sys.version.split()[0], "install Python 3.11 or newer"),
        _server(),
        _usable(root),
        _row("disk", free >= DISK_MIN_BYTES, f"{free / 1e9:.1f} GB free", "free some space, or pass --dir"),
        _row("memory", memory >= MEMORY_MIN_BYTES, f"{memory / 1e9:.1f} GB", "fewer regions: pass --topology"),
        _row("ports", not busy, taken, "Holdfast may be running already; if not, pass --dir and --port"),
        _row("web app", pages, "built" if pages else "not built", "make setup"),
        _row("browser", bool(browser), browser or "none found", "only tests need it: apt-get install chromium"),
    ]  # fmt: skip
    needed = all(row["ok"] for row in rows if row["check"] not in ("browser", "ports", "web app"))
    if json:
        words.as_json({"ok": needed, "checks": rows})
    else:
        verdicts = [("well", "") if r["ok"] else ("look", f"hint: {r['hint']}") for r in rows]
        shown = [(r["check"], verdict, r["found"], hint) for r, (verdict, hint) in zip(rows, verdicts, strict=True)]
        words.table("", ["check", "verdict", "found", ""], shown)
    if not needed:
        sys.exit(2)


def _row(check: str, ok: bool, found: str, hint: str) -> dict[str, Any]:
    return {"check": check, "ok": ok, "found": found, "hint": hint}


def _server() -> dict[str, Any]:
    try:
        return _row("log server", True, natsconf.find_server(), "")
    except Refused as e:
        return _row("log server", False, str(e), e.hint)


def _usable(root: Path) -> dict[str, Any]:
    try:
        there = root.exists()
        system.usable_directory(root)
        if not there:
            root.rmdir()
        return _row("directory", True, str(root), "")
    except Refused as e:
        return _row("directory", False, str(e), e.hint)


def status(root: Path, json: bool) -> None:
    """Print what each region says of itself, and where it is. Raises Degraded if none answers."""
    top = Home(root).load()
    found = asyncio.run(_statuses([r.url for r in top.regions]))
    if json:
        words.as_json({r.name: {"url": r.url, **s} for r, s in zip(top.regions, found, strict=True)})
    if not any(s.get("region") for s in found):
        places = ", ".join(r.url for r in top.regions)
        raise Degraded(f"no region answers at {places}", hint=f"start it: holdfast up --dir {shlex.quote(str(root))}")
    if json:
        return
    rows = [_status_row(r.name, r.url, s) for r, s in zip(top.regions, found, strict=True)]
    said: dict[str, list[str]] = {}
    for r, s in zip(top.regions, found, strict=True):
        said.setdefault(s.get("reason") or s.get("error", ""), []).append(r.name)
    words.table("", ["region", "at", "rung", "slates/s", "entries/s", "p99 ms", "allowed", "peers' lag"], rows)
    for reason, regions in said.items():  # once per sentence: most of the time all regions say the same
        words.out.print(f"\n{', '.join(regions)}: {reason}", markup=False)


def _status_row(name: str, url: str, s: dict[str, Any]) -> tuple[object, ...]:
    if not s.get("region"):
        return name, url, "dark", "", "", "", "", ""
    rates, peers = s["rates"], s["peers"]
    lags = ", ".join(f"{p} {v['lag_s']:.1f} s" if v["reachable"] else f"{p} out of reach" for p, v in peers.items())
    slates, entries = f"{rates['slates_per_s']:.1f}", f"{rates['entries_per_s']:.0f}"
    p99 = f"{s['latency_ms']['slate_p99']:.0f}"
    return name, url, s["rung"], slates, entries, p99, s["items"]["allowed"], lags


async def _statuses(urls: list[str]) -> list[dict[str, Any]]:
    async def one(url: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(2.0):
                return await calls.call("GET", f"{url}/v1/status")
        except (Degraded, Refused, TimeoutError) as e:
            return {"error": str(e) or f"{url} does not answer in time"}

    async with Calls() as calls:
        return list(await asyncio.gather(*(one(url) for url in urls)))


def probe(file: Path, json: bool) -> None:
    """Print what a media file's headers say. Raises Refused, with the reason, if they say that it cannot be taken."""
    from holdfast.adapters.media import probe as it

    if not file.is_file():
        raise Refused(f"there is no file {file}", field="file", hint="name a video file")
    facts = asyncio.run(it(file))
    shown = {"duration_s": facts.duration_ms / 1000, "width": facts.width, "height": facts.height,
             "video": facts.video_codec, "audio": facts.audio_codec or "none"}  # fmt: skip
    words.show(shown, json, title=file.name)
    if not json:
        words.out.print("We would take it; what it shows is looked at when it is published.")


def chain(root: Path, name: str, region: str, last: int) -> None:
    """Print the last blocks of a chain as a region holds them."""
    from holdfast.core.classes import parse_chain

    home = Home(root)
    try:
        cls, origin = parse_chain(name)
    except ValueError as e:
        raise Refused(f"`{name}` is not a chain", field="chain", hint="for example personal/us-east") from e
    at = home.load().region(region or origin).name
    for line in asyncio.run(_tail(home, at, cls, name, max(1, last))):
        words.out.print(line, markup=False)


async def _tail(home: Home, at: str, cls: Any, name: str, last: int) -> list[str]:
    from holdfast.adapters.log import LogClient
    from holdfast.core.chain import digest_of, unseal

    lines: list[str] = []
    try:
        async with asyncio.timeout(10.0):
            client = await LogClient.open(home, at, role="show")
            for head in (await client.heads(cls, [name])).chains.get(name, []):
                lines.append(f"{name} epoch {head.epoch}: blocks {head.first}–{head.last}")
                first = max(head.first, head.last - last + 1)
                for run in (await client.range(cls, name, head.epoch, first, head.last)).runs:
                    for message in run.messages:
                        block = unseal(message)
                        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(block.hlc / 1e6))
                        lines.append(f"  block {block.n}  {when} UTC  {digest_of(message).hex()[:16]}")
                        lines += ["    " + _entry(bytes(raw)) for raw in block.entries]
            await client.close()
    except TimeoutError as e:
        raise Degraded(f"{at} does not answer") from e
    return lines


def _entry(raw: bytes) -> str:
    entry = msgspec.msgpack.decode(raw)
    kind, device, number = entry.pop("kind", "?"), entry.pop("device", "?"), entry.pop("outbox", "?")
    entry.pop("stamp", None)
    rest = msgspec.json.encode(entry).decode()
    return f"{kind} {device}#{number} {rest if len(rest) <= 300 else rest[:300] + '…'}"
