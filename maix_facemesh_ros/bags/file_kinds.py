"""Kinds of files, recognized by their first bytes: people change names, not contents."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import NamedTuple

from maix_facemesh_ros.bags import mcap as mcap_file
from maix_facemesh_ros.bags import sqlite as sqlite_file

#: Ends the name of a file that is compressed as a whole.
COMPRESSED_FILE = ".zstd"

#: Begins a zstd frame (RFC 8878, 3.1.1).
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

#: Number of bytes that are read to recognize a file: a tar archive has its mark at byte 257.
HEAD = 512

_UNPACK = "unpack it, and give the bag in it"


class Storage(Enum):
    """Kinds of files that hold recorded messages."""

    MCAP = "mcap"
    SQLITE = "sqlite3"
    #: One of the others, compressed.
    ZSTD = "zstd"


class _Magic(NamedTuple):
    offset: int
    magic: bytes
    #: A storage, or a text with the kind of the file and a remedy.
    kind: Storage | str


_MAGICS = (
    _Magic(0, mcap_file.MAGIC, Storage.MCAP),
    _Magic(0, sqlite_file.MAGIC, Storage.SQLITE),
    _Magic(0, ZSTD_MAGIC, Storage.ZSTD),
    _Magic(
        0,
        b"#ROSBAG V",
        "a bag of ROS 1: convert it with `pip install rosbags` and "
        "`rosbags-convert --src {name} --dst {stem}`",
    ),
    _Magic(257, b"ustar", f"a tar archive: {_UNPACK}"),
    _Magic(0, b"\x1f\x8b", f"compressed by gzip: {_UNPACK}"),
    _Magic(0, b"PK\x03\x04", f"a zip archive: {_UNPACK}"),
    _Magic(0, b"BZh", f"compressed by bzip2: {_UNPACK}"),
    _Magic(0, b"\xfd7zXZ\0", f"compressed by xz: {_UNPACK}"),
    _Magic(0, b"7z\xbc\xaf\x27\x1c", f"a 7z archive: {_UNPACK}"),
    _Magic(0, b"\x04\x22\x4d\x18", f"compressed by lz4: {_UNPACK}"),
    _Magic(0, b"rosbag2_bagfile_information", "the metadata of a bag: give its folder"),
)

#: By the end of a name.
_BY_NAME = {".mcap": Storage.MCAP, ".db3": Storage.SQLITE}


def kind_of(path: Path) -> Storage | str | None:
    """Return the kind of a file by its first bytes.

    Returns:
        The storage, or a text with the kind of the file and a remedy; None if it is unknown.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    for offset, magic, kind in _MAGICS:
        if head[offset : offset + len(magic)] == magic:
            if isinstance(kind, str):
                return kind.format(name=path.name, stem=path.stem)
            return kind
    if not head:
        return "empty: nothing of the recording has reached the disk"
    if not any(head):
        return "without content (it begins with zeros): the recording has not reached the disk"
    return None


def storage_by_name(path: Path) -> Storage | None:
    """Return the storage that a name promises, compressed or not; None where it is none."""
    name = path.name.removesuffix(COMPRESSED_FILE)
    return _BY_NAME.get(Path(name).suffix)
