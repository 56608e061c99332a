"""Blobs: whole or absent, whatever happened to the file."""

import os
from pathlib import Path

import pytest

from holdfast.adapters.blobs import BlobStore, path_of, sha_of
from holdfast.core.classes import Class
from holdfast.core.errors import Degraded

DATA = os.urandom(100_000)


def test_a_blob_comes_back_under_its_name(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    sha = store.put(Class.PUBLIC, DATA)
    assert sha == sha_of(DATA) and store.get(Class.PUBLIC, sha) == DATA
    assert store.exists(Class.PUBLIC, sha) and store.size(Class.PUBLIC, sha) == len(DATA)
    assert (tmp_path / "public" / sha[:2] / sha).read_bytes() == DATA


def test_classes_are_apart(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    sha = store.put(Class.PERSONAL, DATA)
    assert store.get(Class.PUBLIC, sha) is None and not store.exists(Class.PUBLIC, sha)


@pytest.mark.parametrize("damage", [
    lambda data: bytes([data[0] ^ 1]) + data[1:],
    lambda data: data[:-1] + bytes([data[-1] ^ 0x80]),
    lambda data: data[:-1],
    lambda data: data + b"x",
    lambda data: b"",
], ids=["first-bit", "last-bit", "short", "long", "emptied"])
def test_a_damaged_blob_is_absent_until_it_is_put_again(tmp_path: Path, damage) -> None:
    store = BlobStore(tmp_path)
    sha = store.put(Class.PUBLIC, DATA)
    file = tmp_path / path_of(Class.PUBLIC, sha)
    file.write_bytes(damage(DATA))
    assert store.get(Class.PUBLIC, sha) is None and store.damaged == 1
    store.put(Class.PUBLIC, DATA)
    assert store.get(Class.PUBLIC, sha) == DATA


def test_what_is_not_there_is_none_and_forgetting_it_is_harmless(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    assert store.get(Class.PUBLIC, "0" * 64) is None and store.size(Class.PUBLIC, "0" * 64) == -1
    store.delete(Class.PUBLIC, "0" * 64)
    sha = store.put(Class.PUBLIC, DATA)
    store.delete(Class.PUBLIC, sha)
    assert not store.exists(Class.PUBLIC, sha)


def test_a_disk_that_does_not_take_it_says_so(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    (tmp_path / "public").write_bytes(b"a file where a folder should be")
    with pytest.raises(Degraded):
        store.put(Class.PUBLIC, DATA)
