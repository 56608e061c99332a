"""Video through real regions: uploaded at one, played from another, and from the shelf when the log is gone."""

import base64
import hashlib
import io
import json
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from noderig import Answer, Device, Rig, call, running

from patience import until

EAST, WEST = "us-east", "us-west"
LAWS = {EAST: "US", WEST: "US"}
TUS = {"Tus-Resumable": "1.0.0"}


def clip(seconds: int = 4) -> bytes:
    """A small moving clip without sound, as a phone might send it."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as box:
        stream = box.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = 180, 320, "yuv420p"
        y, x = np.mgrid[0:320, 0:180]
        for k in range(12 * seconds):
            frame = av.VideoFrame.from_ndarray(
                np.stack([(x + 4 * k) % 256, (y + 3 * k) % 256, (x + y) % 256], -1).astype(np.uint8), format="rgb24"
            )
            frame.pts, frame.time_base = k, Fraction(1, 12)
            box.mux(stream.encode(frame))
        box.mux(stream.encode())
    return out.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("video")


@pytest.fixture(scope="module")
def rig(folder: Path) -> Iterator[Rig]:
    with running(folder, LAWS, ("log", "keeper", "node", "transcoder")) as rig:
        yield rig


def upload(rig: Rig, device: Device, data: bytes, **said: str) -> str:
    """Upload in two portions, asking in between how far it is; return the upload's path."""
    meta = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in said.items())
    made = call(rig, EAST, "POST", "/v1/uploads", bearer=device.token,
                headers={**TUS, "Upload-Length": str(len(data)), "Upload-Metadata": meta})
    assert made.status == 201 and made.headers["tus-resumable"] == "1.0.0", made.body
    path, half = made.headers["location"], len(data) // 2
    for at, part in ((0, data[:half]), (half, data[half:])):
        told = call(rig, EAST, "HEAD", path, bearer=device.token, headers=TUS)
        assert (told.headers["upload-offset"], told.headers["upload-length"]) == (str(at), str(len(data)))
        sent = call(rig, EAST, "PATCH", path, part, bearer=device.token, headers={
            **TUS, "Upload-Offset": str(at), "Content-Type": "application/offset+octet-stream"})
        assert sent.status == 204 and sent.headers["upload-offset"] == str(at + len(part)), sent.body
    return path


def parts_of(playlist: Answer) -> list[str]:
    text = playlist.body.decode()
    return [line.rsplit("/", 1)[1].rstrip('"') for line in text.splitlines() if "../../blobs/" in line]


def test_a_clip_uploaded_at_one_region_plays_from_the_other(rig: Rig) -> None:
    device = Device(rig, EAST, 60)
    path = upload(rig, device, clip(), caption="Tide at dusk", tags="tides,calm")
    done = until(lambda: (a := call(rig, EAST, "GET", path).json)["state"] in ("published", "refused") and a, 60)
    assert done["state"] == "published" and done["verdict"] == "allow", done
    item = done["item"]
    page = until(lambda: (a := call(rig, WEST, "GET", f"/v1/items/{item}")).status == 200 and a.json["verdict"] and a)
    assert page.json["creator"].startswith("p-") and page.json["tags"] == ["tides", "calm"]
    playlist = call(rig, WEST, "GET", f"/v1/items/{item}/index.m3u8")
    assert playlist.headers["content-type"].startswith("application/vnd.apple.mpegurl")
    shas = parts_of(playlist)
    assert len(shas) >= 3
    whole = b""
    for sha in shas:
        part = call(rig, WEST, "GET", f"/v1/blobs/{sha}")
        assert part.status == 200 and hashlib.sha256(part.body).hexdigest() == sha
        assert "immutable" in part.headers["cache-control"] and part.headers["content-type"] == "video/mp4"
        whole += part.body
    with av.open(io.BytesIO(whole)) as box:
        frames = sum(1 for _ in box.decode(video=0))
    assert frames >= 40
    first = call(rig, WEST, "GET", f"/v1/blobs/{shas[1]}", headers={"Range": "bytes=0-99"})
    assert first.status == 206 and len(first.body) == 100
    slate = call(rig, WEST, "POST", "/v1/feed", {"n": 5}).json
    assert slate["items"][0]["playlist"] == f"/v1/items/{item}/index.m3u8"
    poster = call(rig, WEST, "GET", slate["items"][0]["poster"])
    assert poster.status == 200 and poster.headers["content-type"].startswith("image/")


def test_a_removed_clip_is_not_served_anywhere(rig: Rig) -> None:
    from holdfast.adapters import apikeys

    device, key = Device(rig, EAST, 61), apikeys.make(rig.home, "desk", ("rulings",))
    path = upload(rig, device, clip(3), caption="To be removed")
    item = until(lambda: (a := call(rig, EAST, "GET", path).json)["state"] == "published" and a, 60)["item"]
    address = f"/v1/items/{item}/index.m3u8"
    shas = until(lambda: (a := call(rig, WEST, "GET", address)).status == 200 and parts_of(a))
    assert call(rig, WEST, "GET", f"/v1/blobs/{shas[-1]}").status == 200  # the init part is shared
    call(rig, EAST, "POST", "/v1/rulings", {"item": item, "verdict": "remove", "reasons": ["no"]}, bearer=key)
    for region in LAWS:
        until(lambda region=region: call(rig, region, "GET", address).status == 404)
        assert call(rig, region, "GET", f"/v1/blobs/{shas[-1]}").status == 404


def test_a_file_that_is_no_video_is_refused_with_the_reason(rig: Rig) -> None:
    device = Device(rig, EAST, 62)
    path = upload(rig, device, b"this is not a video" * 100)
    told = until(lambda: (a := call(rig, EAST, "GET", path).json)["state"] in ("published", "refused") and a, 60)
    assert told["state"] == "refused" and told["reason"] and told["hint"]
    other = Device(rig, EAST, 63)
    assert call(rig, EAST, "HEAD", path, bearer=other.token, headers=TUS).status == 404
    about = call(rig, EAST, "OPTIONS", "/v1/uploads")
    assert about.status == 204 and "creation" in about.headers["tus-extension"]
    big = call(rig, EAST, "POST", "/v1/uploads", bearer=device.token, headers={**TUS, "Upload-Length": str(10**12)})
    assert big.status == 413


def test_a_node_without_its_log_plays_from_the_shelf(rig: Rig, folder: Path) -> None:
    """Last in this module: it stops the regions and starts a node alone."""
    def listed() -> bool:
        shelf = call(rig, EAST, "GET", "/v1/shelf")
        return shelf.status == 200 and "Tide at dusk" in shelf.json["shelf"] and "removed" not in shelf.json["shelf"]

    until(listed, 20)
    rig.stop()
    with running(folder, LAWS, ("node",)) as alone:
        slate = call(alone, EAST, "POST", "/v1/feed", {"n": 5}).json
        assert slate["rung"] == "SHELF" and slate["items"], slate
        playlist = call(alone, EAST, "GET", slate["items"][0]["playlist"])
        assert playlist.status == 200
        assert call(alone, EAST, "GET", f"/v1/blobs/{parts_of(playlist)[0]}").status == 200
        status = call(alone, EAST, "GET", "/v1/status").json
        assert status["rung"] == "SHELF" and "REGIONAL" in status["reason"]
        device = Device(alone, EAST, 64)
        began = time.monotonic()
        answer = device.send(EAST, device.event("skip", item="x"))
        assert answer.status == 503 and answer.json["error"] == "degraded" and time.monotonic() - began < 20
        assert int(answer.headers["retry-after"]) >= 1
        assert call(alone, EAST, "GET", "/v1/held", bearer=device.token).status == 503
        assert json.loads(call(alone, EAST, "GET", "/v1/shelf").json["shelf"])["items"]
