"""JetStream's streams as they really behave on a failing disk: a stand-in that shows the server's faults.

Everything here was measured on the real server (docs/log.md; tests/sim/test_contract_streams.py compares the two):

- a publish is written and fsynced, one after the other, before its answer (`sync_interval: always`);
- a power cut loses the message that was being written, or tears it, or keeps it unanswered;
- one flipped bit cuts its message file off there at the next start, without a word: messages go missing from the end,
  or from the middle (a gap in the sequence), and reading passes over the gap;
- a flipped bit in a metafile hides the stream, and creating it anew wipes its files;
- once a write failed, a stream takes nothing more until the server starts anew, however well the disk is by then;
- recently written messages are served from memory, whatever happened to the disk.

Message files hold FILE_ROWS messages each, as the real ones hold some megabytes.
"""

import json
from dataclasses import dataclass, field
from random import Random

from holdfast.sim.disk import flipped

FILE_ROWS = 8
WINDOW_S = 120.0  # of duplicate detection
WRONG_LAST, WRONG_LAST_ID, NOT_FOUND, EXISTS, NO_SPACE = 10071, 10070, 10059, 10058, 10047


@dataclass(slots=True)
class Stream:
    """One stream. `rows`: what the server gives; `disk`: the same as it lies in files, where a bit may be flipped."""

    first: int = 1
    last: int = 0
    rows: dict[int, bytes] = field(default_factory=dict[int, bytes])
    disk: dict[int, bytes] = field(default_factory=dict[int, bytes])
    bad: set[int] = field(default_factory=set[int])  # rows with a flipped bit on disk
    torn: bytes = b""  # what a power cut left of the next message
    hidden: bool = False
    stuck: bool = False  # a write failed once: it takes nothing more until the server starts anew
    last_id: str = ""
    ids: dict[str, tuple[int, float]] = field(default_factory=dict[str, tuple[int, float]])

    def files(self) -> dict[int, bytes]:
        """Its message files as bytes, by number."""
        out: dict[int, list[bytes]] = {}
        for n, row in sorted(self.disk.items()):
            out.setdefault(n // FILE_ROWS, []).append(b"\x16head%d" % n + row)
        if self.torn:
            out.setdefault((self.last + 1) // FILE_ROWS, []).append(b"\x16head" + self.torn)
        return {k: b"".join(rows) for k, rows in out.items()}

    @property
    def size(self) -> int:
        return sum(map(len, self.rows.values()))

    def put(self, row: bytes, msg_id: str, now_s: float) -> int:
        """Store one message durably; return its number."""
        self.last += 1
        self.rows[self.last] = self.disk[self.last] = row
        self.last_id = msg_id
        if msg_id:
            self.ids[msg_id] = (self.last, now_s)
        return self.last

    def purge_before(self, n: int) -> None:
        """Drop messages below `n`."""
        for seq in [s for s in self.rows if s < n]:
            del self.rows[seq]
        for seq in [s for s in self.disk if s < n]:
            del self.disk[seq]
            self.bad.discard(seq)
        self.first = max(self.first, min(n, self.last + 1))

    def flip(self, n: int, chance: Random) -> None:
        """Turn one bit of message `n` on disk. The server notices at its next start, or when it reads from disk."""
        self.disk[n] = flipped(self.disk[n], chance)
        self.bad.add(n)

    def evict(self) -> None:
        """Forget what is only in memory: reads come from the disk now, and end where it is damaged."""
        for n in self.bad:
            self.rows.pop(n, None)

    def recover(self) -> int:
        """Start over the files: each is cut off at its first damage. Return how many messages went missing."""
        before = len(self.disk)
        for file in sorted({n // FILE_ROWS for n in self.bad}):
            cut = min(n for n in self.bad if n // FILE_ROWS == file)
            for n in [n for n in self.disk if n // FILE_ROWS == file and n >= cut]:
                del self.disk[n]
        self.bad.clear()
        self.torn, self.stuck = b"", False
        self.rows = dict(self.disk)
        if self.rows:
            self.first, self.last = min(self.rows), max(self.rows)
        else:
            self.last = self.first - 1
        self.ids = {k: v for k, v in self.ids.items() if v[0] in self.rows}
        self.last_id = next((k for k, v in self.ids.items() if v[0] == self.last), "")
        return before - len(self.disk)


class Streams:
    """All streams of one server, and the answers of its API."""

    def __init__(self) -> None:
        self.all: dict[str, Stream] = {}

    def api(self, what: str, payload: bytes) -> dict[str, object]:
        """Answer `$JS.API.<what>`."""
        verb, _, name = what.removeprefix("STREAM.").partition(".")
        body = json.loads(payload) if payload else {}
        stream = self.all.get(name)
        there = stream is not None and not stream.hidden
        if verb == "LIST":
            seen = [n for n, s in sorted(self.all.items()) if not s.hidden]
            page = seen[int(body.get("offset", 0)) :]
            rows = [{"config": {"name": n}, "state": _state(self.all[n])} for n in page]
            return {"total": len(seen), "streams": rows}
        if verb == "CREATE":
            if there:
                return _error(EXISTS, "stream name already in use")
            first = int(body.get("first_seq", 1))
            self.all[name] = Stream(first=first, last=first - 1)  # a hidden one's files are wiped by this
            return {"state": _state(self.all[name])}
        if stream is None or not there:
            return _error(NOT_FOUND, "stream not found")
        if verb == "DELETE":
            del self.all[name]
            return {"success": True}
        if verb == "PURGE":
            stream.purge_before(int(body["seq"]))
            return {"success": True}
        return {"state": _state(stream)}

    def publish(self, stream: Stream, row: bytes, headers: dict[str, str], now_s: float) -> dict[str, object]:
        """Store one message, as its headers allow."""
        msg_id = headers.get("Nats-Msg-Id", "")
        known = stream.ids.get(msg_id)
        if known is not None and now_s - known[1] < WINDOW_S:
            return {"seq": known[0], "duplicate": True}
        expected = headers.get("Nats-Expected-Last-Sequence")
        if expected is not None and int(expected) != stream.last:
            return _error(WRONG_LAST, f"wrong last sequence: {stream.last}")
        after = headers.get("Nats-Expected-Last-Msg-Id", "")
        if after and after != stream.last_id:
            return _error(WRONG_LAST_ID, f"wrong last msg ID: {stream.last_id}")
        return {"seq": stream.put(row, msg_id, now_s)}

    def read(self, stream: Stream, first: int, count: int, max_bytes: int) -> tuple[list[tuple[int, bytes]], bool]:
        """Answer a batched direct get: (number, message) rows, and whether the end of the batch is said.

        Gaps are passed over; at a damaged message the answer just stops.
        """
        out: list[tuple[int, bytes]] = []
        size = 0
        for n in range(max(first, stream.first), stream.last + 1):
            if n in stream.bad and n not in stream.rows:
                return out, False
            if n not in stream.rows:
                continue
            size += len(stream.rows[n])
            if out and size > max_bytes:
                break
            out.append((n, stream.rows[n]))
            if len(out) == count:
                break
        return out, True


def _error(code: int, text: str) -> dict[str, object]:
    return {"error": {"code": 400, "err_code": code, "description": text}}


def _state(stream: Stream) -> dict[str, object]:
    return {"first_seq": stream.first, "last_seq": stream.last, "bytes": stream.size, "messages": len(stream.rows)}
