"""Clips in, HLS out: the parent's side of the sandbox in `media_child`.

    upload ─► child: open, decode, look, encode ─► parts ─► sha256 ─► `entries.Media`

A child is started per clip and ended with it: nothing that a hostile file does to a decoder outlives its clip. Loading
the decoders costs 0.2 s a clip, measured; that is the price of the wall. PyAV (`av`) is imported by the media_* modules
alone.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path

import msgspec

from holdfast.adapters.blobs import sha_of
from holdfast.adapters.media_child import EXPORT_AGAIN, MEDIA_S_MAX, PROCESSOR_S_MAX, Answer
from holdfast.adapters.media_child import Made as Written
from holdfast.adapters.media_look import Facts
from holdfast.core.entries import Media
from holdfast.core.errors import Degraded, Refused

UPLOAD_BYTES_MAX = 200 * 1000 * 1000  # 180 s at 8 Mbit/s, what phones record at 1080p
WALL_S_MAX = 2 * PROCESSOR_S_MAX  # a busy machine may give the child half a core; a sleeping child gets no more
ANSWER_BYTES_MAX = 1 << 16

__all__ = ["EXPORT_AGAIN", "MEDIA_S_MAX", "UPLOAD_BYTES_MAX", "Facts", "Made", "probe", "transcode"]


class Made(msgspec.Struct, frozen=True):
    """A clip ready to be published: `parts` are all the blobs that `media` names."""

    media: Media
    parts: dict[str, bytes]
    facts: Facts


async def transcode(source: Path, scratch: Path) -> Made:
    """Make HLS of the clip at `source`, using a folder of its own below `scratch` for the time it takes.

    Raises Refused, with the reason, if the clip cannot be shown; Degraded if the child ended without an answer (a
    file that breaks the decoder does that, and so does a machine out of memory: try once more, then give up).
    """
    with tempfile.TemporaryDirectory(prefix="clip-", dir=scratch) as folder:
        answer = await _ask(source, Path(folder))
        assert answer.made
        return await asyncio.to_thread(_collect, answer.made, Path(folder))


async def probe(source: Path) -> Facts:
    """Say what a file holds, from its headers alone. Raises as `transcode` does."""
    answer = await _ask(source, None)
    assert answer.facts
    return answer.facts


async def _ask(source: Path, out: Path | None) -> Answer:
    if not source.is_file():
        raise Refused(f"There is no file {source}.", field="file")
    if (size := source.stat().st_size) > UPLOAD_BYTES_MAX:
        raise Refused(f"This file has {size / 1e6:.0f} MB; we take up to {UPLOAD_BYTES_MAX / 1e6:.0f} MB.",
                      field="file", hint="export it at a lower quality", code="large")
    arguments = [str(source.resolve()), *([str(out.resolve())] if out else [])]
    # The child gets no environment but what finding the interpreter's modules takes: there may be secrets in it.
    environment = {k: os.environ[k] for k in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if k in os.environ}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "holdfast.adapters.media_child", *arguments, env=environment,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        start_new_session=True, limit=ANSWER_BYTES_MAX,
    )
    try:
        stdout, stderr = await asyncio.wait_for(child.communicate(), WALL_S_MAX)
    except TimeoutError:
        raise Refused("This file takes longer to decode than any clip should.", field="file",
                      hint="try exporting it again") from None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    if child.returncode in (-signal.SIGXCPU, -signal.SIGKILL) or not stdout:
        last = stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise Degraded(f"the decoder ended with {child.returncode}: {last[:200]}")
    answer = msgspec.json.decode(stdout, type=Answer)
    if answer.refused:
        raise Refused(answer.refused, field=answer.field, hint=answer.hint, code="media")
    return answer


def _collect(written: Written, folder: Path) -> Made:
    parts: dict[str, bytes] = {}

    def take(name: str) -> str:
        data = (folder / name).read_bytes()
        sha = sha_of(data)
        parts[sha] = data
        return sha

    facts = written.facts
    media = Media(
        init=take("init"), poster=take("poster"), width=facts.width, height=facts.height, codecs=written.codecs,
        segments=[(take(str(k)), ms) for k, ms in enumerate(written.segments_ms)], silent=facts.silent,
    )
    return Made(media, parts, facts)
