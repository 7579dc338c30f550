"""metadata.yaml of a bag: its usable parts, whatever its content."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

METADATA = "metadata.yaml"

#: Bytes of a metadata.yaml; of a bag with 1,000 topics in 10,000 files it has 3 million.
LARGEST = 50_000_000

#: Levels of nesting; it has 6.
DEEPEST = 300

#: Maximum number of aliases, none of them nested.
MOST_ALIASES = 100

#: Key of all its contents.
_ROOT = "rosbag2_bagfile_information"


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
        data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"larger than {LARGEST // 10**6} MB")
    text = data.decode()
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if "*" in text or _deepest_possible(text) > DEEPEST:
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
            if len(named) > DEEPEST:
                raise ValueError(f"it is nested deeper than {DEEPEST} levels")
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
