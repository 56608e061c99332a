"""Blobs: immutable files named by the sha256 of their bytes.

The name is the checksum, so a reader needs no one's word: bytes that do not hash to their name are not the blob. That
makes damage the same thing as absence, and mending the same thing as fetching. Any region can serve any blob it may
hold, and a blob fetched from a stranger is as good as one's own.

    blobs/<class>/<sha[:2]>/<sha>

The class decides how far a blob may travel (`core.classes`), so it is part of the path: a copy, a backup or a peer's
request cannot cross from one to another by mistake. This is the one module that imports `obstore`; another store
(S3, GCS, Azure) takes the place of `LocalStore` here. Calls block; from an event loop use `asyncio.to_thread`.
"""

import hashlib
from pathlib import Path

import obstore
from obstore.store import LocalStore

from holdfast.adapters.system import make_durable, make_folder
from holdfast.core.classes import Class
from holdfast.core.errors import Degraded


def sha_of(data: bytes) -> str:
    """Name a blob: lower-case hex sha256 of its bytes."""
    return hashlib.sha256(data).hexdigest()


def path_of(cls: Class, sha: str) -> str:
    """Where a blob lies below `blobs/`."""
    assert len(sha) == 64 and sha.isalnum(), sha
    return f"{cls}/{sha[:2]}/{sha}"


class BlobStore:
    """The blobs of one region, in a local folder. `damaged` counts reads whose bytes did not match their name."""

    def __init__(self, root: Path) -> None:
        make_folder(root)
        self.root = root
        self.damaged = 0
        self._store = LocalStore(root)

    def put(self, cls: Class, data: bytes) -> str:
        """Keep `data`; return its sha256 once it is fsynced. Putting twice is harmless, and mends a damaged copy.

        Raises Degraded when the disk does not take it.
        """
        sha = sha_of(data)
        path = path_of(cls, sha)
        try:
            obstore.put(self._store, path, data)  # written beside, then renamed: a name never shows half a blob
            for place in (self.root / path, *(self.root / path).parents[:3]):  # its bytes, its name, and new folders
                make_durable(place)
        except (obstore.exceptions.BaseError, OSError) as e:
            raise Degraded(f"the blob store cannot write: {e}", retry_after_s=5.0) from e
        return sha

    def get(self, cls: Class, sha: str) -> bytes | None:
        """Return the blob, or None if it is absent or damaged (then it must be fetched from a peer and put again)."""
        try:
            data = bytes(obstore.get(self._store, path_of(cls, sha)).bytes())
        except (FileNotFoundError, obstore.exceptions.BaseError):
            return None
        if sha_of(data) != sha:
            self.damaged += 1
            return None
        return data

    def size(self, cls: Class, sha: str) -> int:
        """Return the size of the file in bytes, -1 if it is not here. Its bytes are not checked: `get` does that."""
        try:
            return (self.root / path_of(cls, sha)).stat().st_size
        except OSError:
            return -1

    def exists(self, cls: Class, sha: str) -> bool:
        """Say whether a file of that name is here and not empty (a power cut can leave a name without bytes)."""
        return self.size(cls, sha) > 0

    def delete(self, cls: Class, sha: str) -> None:
        """Forget a blob; forgetting what is not here is harmless."""
        (self.root / path_of(cls, sha)).unlink(missing_ok=True)
