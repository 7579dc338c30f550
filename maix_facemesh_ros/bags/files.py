"""The files of a bag: their kinds, and the content of metadata.yaml.

A kind is recognized by the first bytes of the file: people change names, not contents. Of a
metadata.yaml the usable parts are read, whatever its content.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

import yaml

#: Ends the name of a file that is compressed as a whole.
COMPRESSED_FILE = ".zstd"

#: Begin a file of MCAP, and one of SQLite.
MCAP_MAGIC = b"\x89MCAP0\r\n"
SQLITE_MAGIC = b"SQLite format 3\0"

#: Begins a zstd frame (RFC 8878, 3.1.1).
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

#: Number of bytes that are read to recognize a file: a tar archive has its mark at byte 257.
HEAD = 512

_UNPACK = "unpack it, and give the bag in it"

#: Name of the file that describes a bag.
METADATA = "metadata.yaml"

#: Bytes of a metadata.yaml; of a bag with 1,000 topics in 10,000 files it has 3 million.
LARGEST_METADATA = 50_000_000

#: Levels of nesting in it; a bag's has 6.
DEEPEST_METADATA = 300

#: Maximum number of aliases in it, none of them nested.
MOST_ALIASES = 100

#: Key of all its contents.
_ROOT = "rosbag2_bagfile_information"


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
    _Magic(0, MCAP_MAGIC, Storage.MCAP),
    _Magic(0, SQLITE_MAGIC, Storage.SQLITE),
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


@dataclass(slots=True)
class BagMetadata:
    """Content of metadata.yaml with the right types."""

    #: Names of the storage files, in order.
    files: list[str] = field(default_factory=list)
    #: Messages in all files; None if unknown.
    message_count: int | None = None
    #: `topic_metadata`, by the name of the topic.
    topics: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Why nothing, or not everything, of it can be used; empty where everything can.
    note: str = ""


def read_metadata(folder: Path) -> BagMetadata:
    """Read the metadata.yaml of a bag; nothing in it is an error."""
    try:
        content = _load(folder / METADATA)
    except FileNotFoundError:
        return BagMetadata(note=f"{METADATA} is missing: the files are read without it")
    except (OSError, ValueError, yaml.YAMLError, RecursionError, MemoryError) as error:
        reason = str(error) if type(error) is ValueError else type(error).__name__
        return BagMetadata(
            note=f"{METADATA} cannot be used ({reason}): the files are read without it"
        )
    information = content.get(_ROOT) if isinstance(content, dict) else None
    if not isinstance(information, dict):
        return BagMetadata(
            note=f"{METADATA} cannot be used (there is no {_ROOT}): the files are read without it"
        )
    wrong: list[str] = []

    def get(name: str, kind: type) -> Any:
        value = information.get(name)
        if isinstance(value, kind) and not isinstance(value, bool):
            return value
        if value is not None:
            wrong.append(name)
        return None

    count = get("message_count", int)
    metadata = BagMetadata(
        [name for name in get("relative_file_paths", list) or () if isinstance(name, str)],
        count if count is not None and count >= 0 else None,
        _topics(get("topics_with_message_count", list) or ()),
    )
    if wrong:
        metadata.note = f"{METADATA} is broken in {', '.join(wrong)}: the files are read without it"
    return metadata


def _load(path: Path) -> Any:
    """Load YAML without aliases of aliases, of which a few lines can describe gigabytes.

    A few plain aliases are in the bags that this package wrote before it wrote none.
    Deep nesting would crash the parser's C code, so it is refused too.
    """
    with path.open("rb") as stream:
        data = stream.read(LARGEST_METADATA + 1)
    if len(data) > LARGEST_METADATA:
        raise ValueError(f"larger than {LARGEST_METADATA // 10**6} MB")
    text = data.decode()
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if "*" in text or _deepest_possible(text) > DEEPEST_METADATA:
        aliases = 0
        #: For each collection that is open, whether it has a name for aliases.
        named: list[bool] = []
        for event in yaml.parse(text, loader):
            if isinstance(event, yaml.CollectionStartEvent):
                named.append(event.anchor is not None)
            elif isinstance(event, yaml.CollectionEndEvent):
                named.pop()
            elif isinstance(event, yaml.AliasEvent):
                aliases += 1
                if any(named) or aliases > MOST_ALIASES:
                    raise ValueError("it has aliases")
            if len(named) > DEEPEST_METADATA:
                raise ValueError(f"it is nested deeper than {DEEPEST_METADATA} levels")
    return yaml.load(text, loader)


def _deepest_possible(text: str) -> int:
    """Return how deep YAML may be nested at most, without parsing it.

    A level takes a bracket, or a column to its left.
    """
    return text.count("[") + text.count("{") + max(map(len, text.splitlines()), default=0)


def _topics(entries: Any) -> dict[str, dict[str, Any]]:
    topics = {}
    for entry in entries:
        told = entry.get("topic_metadata") if isinstance(entry, dict) else None
        if isinstance(told, dict) and isinstance(told.get("name"), str):
            topics[told["name"]] = told
    return topics
