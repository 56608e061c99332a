"""tus state: offsets that are true after any crash, refusals that say why."""

import asyncio
import base64
import os
from pathlib import Path

import pytest

from holdfast.adapters.http.ports import ANYONE, Caller
from holdfast.adapters.media import UPLOAD_BYTES_MAX
from holdfast.core.errors import Degraded, Refused
from holdfast.region import upload_files
from holdfast.region.upload_files import Outcome, UploadFiles
from holdfast.region.uploads import OPEN_PER_OWNER_MAX, Uploads, announce, item_of, read_metadata, tags_of

DEVICE = Caller(alias="v-0123", public_name="kelp-4711")
OTHER = Caller(alias="v-9999", public_name="reef-1")
TEAM = Caller(team="acme", scopes=frozenset({"items"}))


def metadata(**said: str) -> str:
    return ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in said.items())


def refusal(coroutine) -> Refused:
    with pytest.raises(Refused) as caught:
        asyncio.run(coroutine)
    return caught.value


def test_an_upload_arrives_in_pieces_and_after_a_restart(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    upload = asyncio.run(uploads.create(10, metadata(caption="Tide  out", tags="Sea,#tides,sea"), DEVICE))
    assert asyncio.run(uploads.append(upload, 0, b"01234", DEVICE)) == 5
    uploads = Uploads(tmp_path)  # the node was killed and came back
    assert asyncio.run(uploads.offset(upload, DEVICE)) == (5, 10)
    assert asyncio.run(uploads.state(upload))["state"] == "receiving"
    assert asyncio.run(uploads.append(upload, 5, b"56789", DEVICE)) == 10
    assert asyncio.run(uploads.state(upload))["state"] == "checking"
    [about] = UploadFiles(tmp_path).waiting()
    assert (about.caption, about.tags, about.creator) == ("Tide out", ["sea", "tides"], "kelp-4711")
    assert UploadFiles(tmp_path).data(upload).read_bytes() == b"0123456789"


def test_bytes_only_go_where_we_are(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    upload = asyncio.run(uploads.create(10, "", DEVICE))
    asyncio.run(uploads.append(upload, 0, b"0123", DEVICE))
    assert refusal(uploads.append(upload, 0, b"0123", DEVICE)).code == "offset"
    assert refusal(uploads.append(upload, 8, b"89", DEVICE)).code == "offset"
    assert refusal(uploads.append(upload, 4, b"4567890", DEVICE)).code == "large"
    assert asyncio.run(uploads.offset(upload, DEVICE)) == (4, 10)


def test_two_at_once_do_not_interleave(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)

    async def both() -> list[object]:
        upload = await uploads.create(8, "", DEVICE)
        tries = [uploads.append(upload, 0, part, DEVICE) for part in (b"aaaa", b"bbbb")]
        return await asyncio.gather(*tries, return_exceptions=True)

    first, second = asyncio.run(both())
    assert first == 4 and isinstance(second, Refused)


def test_what_is_refused_before_a_byte_is_sent(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    assert refusal(uploads.create(UPLOAD_BYTES_MAX + 1, "", DEVICE)).code == "large"
    assert refusal(uploads.create(0, "", DEVICE)).code == "malformed"
    assert refusal(uploads.create(5, "", ANYONE)).code == "token"
    assert refusal(uploads.create(5, "caption !!!", DEVICE)).code == "malformed"
    assert refusal(uploads.create(5, metadata(caption="x" * 501), DEVICE)).field == "caption"
    assert refusal(uploads.create(5, metadata(tags=",".join(map(str, range(13)))), DEVICE)).field == "tags"
    assert refusal(uploads.create(5, metadata(item="../../etc"), TEAM)).field == "item"
    assert refusal(uploads.create(5, "", Caller(team="acme", scopes=frozenset({"feed"})))).code == "scope"
    assert not list((tmp_path / "open").iterdir())


def test_a_device_cannot_publish_over_another_video_but_a_team_names_its_own(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    said = metadata(item="tides-001", creator="mira")
    asyncio.run(uploads.create(5, said, DEVICE))
    asyncio.run(uploads.create(5, said, TEAM))
    found = {a.owner: a for i in UploadFiles(tmp_path).open_ids() if (a := UploadFiles(tmp_path).about(i))}
    assert found["v-0123"].item.startswith("u-") and found["v-0123"].creator == "kelp-4711"
    assert (found["team:acme"].item, found["team:acme"].creator) == ("tides-001", "mira")


def test_an_upload_belongs_to_who_began_it(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    upload = asyncio.run(uploads.create(5, "", DEVICE))
    assert refusal(uploads.append(upload, 0, b"12345", OTHER)).code == "missing"
    assert refusal(uploads.offset(upload, OTHER)).code == "missing"
    assert refusal(uploads.terminate(upload, OTHER)).code == "missing"
    asyncio.run(uploads.terminate(upload, DEVICE))
    assert refusal(uploads.state(upload)).code == "missing"
    assert refusal(uploads.state("../../../etc/passwd")).code == "missing"


def test_an_upload_that_arrived_cannot_be_taken_back_under_the_transcoder(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    upload = asyncio.run(uploads.create(2, "", DEVICE))
    asyncio.run(uploads.append(upload, 0, b"12", DEVICE))
    assert refusal(uploads.terminate(upload, DEVICE)).code == "conflict"


def test_one_person_cannot_flood_a_region(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    for _ in range(OPEN_PER_OWNER_MAX):
        asyncio.run(uploads.create(5, "", DEVICE))
    with pytest.raises(Degraded):
        asyncio.run(uploads.create(5, "", DEVICE))
    asyncio.run(uploads.create(5, "", OTHER))


def test_settling_is_finished_after_a_crash_between_its_two_steps(tmp_path: Path) -> None:
    files, uploads = UploadFiles(tmp_path), Uploads(tmp_path)
    upload = asyncio.run(uploads.create(2, "", DEVICE))
    asyncio.run(uploads.append(upload, 0, b"12", DEVICE))
    kept = {p: p.read_bytes() for p in files.open.iterdir()}
    files.settle(upload, Outcome(state="published", item="x", verdict="allow"))
    for path, data in kept.items():  # the crash came before the open files were removed
        path.write_bytes(data)
    assert asyncio.run(uploads.state(upload))["state"] == "published"
    assert files.waiting() == [] and not list(files.open.iterdir())


def test_abandoned_uploads_go_and_waiting_ones_stay(tmp_path: Path) -> None:
    files, uploads = UploadFiles(tmp_path), Uploads(tmp_path)
    part = asyncio.run(uploads.create(5, "", DEVICE))
    whole = asyncio.run(uploads.create(2, "", DEVICE))
    asyncio.run(uploads.append(whole, 0, b"12", DEVICE))
    for path in files.open.iterdir():
        os.utime(path, (1_000_000, 1_000_000))
    files.tidy(1_000_000 + upload_files.ABANDONED_S - 1)
    assert set(files.open_ids()) == {part, whole}
    files.tidy(1_000_000 + upload_files.ABANDONED_S + 1)
    assert files.open_ids() == [whole]


def test_metadata_reads_as_tus_spells_it() -> None:
    assert read_metadata("") == {}
    assert read_metadata("filename d29ybGQ=,is_confidential") == {"filename": "world", "is_confidential": ""}
    assert tags_of(" #Tides, tides ,,Kelp forest") == ["tides", "kelp forest"]
    for bad in ("caption d29ybGQ=,caption d29ybGQ=", "caption ÿÿ", "caption /w==", "x" * 9000):
        with pytest.raises(Refused):
            read_metadata(bad)


def test_the_same_clip_sent_to_two_regions_is_one_item(tmp_path: Path) -> None:
    east, west = Uploads(tmp_path / "east"), Uploads(tmp_path / "west")
    said = metadata(key="k-17", caption="Tide out")
    for uploads in (east, west):
        asyncio.run(uploads.create(5, said, DEVICE))
    asyncio.run(west.create(5, said, OTHER))
    asyncio.run(west.create(5, metadata(key="k-18"), DEVICE))
    asyncio.run(west.create(5, "", DEVICE))
    found = [a for u in (east, west) for i in u._files.open_ids() if (a := u._files.about(i))]
    items = [a.item for a in found if a.owner == DEVICE.alias]
    assert items.count(item_of("kelp-4711", "k-17")) == 2 and len(set(items)) == 3
    assert not {a.item for a in found if a.owner == OTHER.alias} & set(items), "another's key names another's video"
    assert refusal(west.create(5, metadata(key="k" * 65), DEVICE)).field == "key"


def test_a_team_cannot_take_a_persons_name_or_video() -> None:
    for said in ({"item": item_of("kelp-4711", "k-17")}, {"item": "tides-1", "creator": "p-0123456789abcdef"}):
        with pytest.raises(Refused) as caught:
            announce("0" * 32, 5, said, TEAM)
        assert caught.value.code == "conflict"


def test_files_that_vanish_while_we_look_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node gives an upload up while the transcoder reads the folder: neither may fall over."""
    files, uploads = UploadFiles(tmp_path), Uploads(tmp_path)
    upload = asyncio.run(uploads.create(2, "", DEVICE))
    listed = upload_files._files(files.open, ".json")
    (files.open / f"{upload}.data").unlink()
    assert files.waiting() == []
    assert refusal(uploads.append(upload, 0, b"12", DEVICE)).code == "offset"
    (files.open / f"{upload}.json").unlink()
    monkeypatch.setattr(upload_files, "_files", lambda folder, ending: listed if ending == ".json" else [])
    assert files.open_ids() == []


def test_pieces_of_torn_writes_do_not_stay(tmp_path: Path) -> None:
    files = UploadFiles(tmp_path)
    torn = files.open / "x.json.1.part"
    torn.write_bytes(b"")
    files.tidy(torn.stat().st_mtime + upload_files.ABANDONED_S + 1)
    assert not torn.exists()


def test_trouble_after_decoding_is_not_counted_against_the_file(tmp_path: Path) -> None:
    files, uploads = UploadFiles(tmp_path), Uploads(tmp_path)
    upload = asyncio.run(uploads.create(2, "", DEVICE))
    for _ in range(9):  # decoded, and then the disk was full
        assert files.begin_try(upload) <= 2
        files.decoded(upload)
