"""Bags of every kind are read alike; damaged ones as far as possible, with a count of the rest."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import mcap.writer
import pytest
import yaml
from mcap.reader import SeekingReader

from maix_facemesh_ros.bags.message_types import topic_of_type
from maix_facemesh_ros.bags.reader import Bag
from maix_facemesh_ros.bags.storage import BagError
from maix_facemesh_ros.bags.writer import BagWriter
from recorded_bags import (
    KINDS,
    START,
    Recorded,
    content_of,
    fingerprint,
    kind_name,
    storage_file,
    text,
    write_bag,
)

#: Two topics, and messages so long that they fill several chunks.
MESSAGES: list[Recorded] = [
    ("/odd" if number % 2 else "/even", "std_msgs/msg/String", START + 1000 * number, text(content))
    for number in range(60)
    # Such that compression does not make little of them.
    for content in [random.Random(number).randbytes(50_000).hex()]
]
EXPECTED = [(topic, log_time, data) for topic, _, log_time, data in MESSAGES]


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bags")
    for kind in KINDS:
        write_bag(folder / kind_name(kind), MESSAGES, kind)
    return folder


@pytest.fixture(params=[kind_name(kind) for kind in KINDS])
def bag(request: pytest.FixtureRequest, bags: Path, tmp_path: Path) -> Path:
    """A copy of a bag, to be damaged."""
    return Path(shutil.copytree(bags / request.param, tmp_path / request.param))


def test_every_kind_gives_the_same_messages_and_stays_as_it_is(bag: Path) -> None:
    before = fingerprint(bag)
    assert content_of(bag) == EXPECTED
    with Bag(bag) as opened:
        assert not opened.damage
        assert opened.notes == []
        assert opened.times == (EXPECTED[0][1], EXPECTED[-1][1])
        assert [topic.name for topic in opened.topics] == ["/even", "/odd"]
        assert [topic.message_count for topic in opened.topics] == [30, 30]
        assert {topic.definition.strip() for topic in opened.topics} == {"string data"}
        assert {topic.type_hash[:7] for topic in opened.topics} == {"RIHS01_"}
        assert opened.log_times("/odd").tolist() == [log_time for _, log_time, _ in EXPECTED[1::2]]
    assert fingerprint(bag) == before


def test_a_part_of_a_topic(bag: Path) -> None:
    start, stop = EXPECTED[10][1], EXPECTED[21][1]
    with Bag(bag) as opened:
        part = [(topic.name, *rest) for topic, *rest in opened.messages(["/odd"], start, stop)]
    assert part == EXPECTED[11:21:2]


def test_a_lone_file_is_a_bag(bag: Path) -> None:
    assert content_of(storage_file(bag)) == EXPECTED


@pytest.mark.parametrize("content", [None, "{{{", "", "a: 1", "rosbag2_bagfile_information: 7"])
def test_without_metadata_that_can_be_used_nothing_is_lost(bag: Path, content: str | None) -> None:
    if content is None:
        (bag / "metadata.yaml").unlink()
    else:
        (bag / "metadata.yaml").write_text(content)
    assert content_of(bag) == EXPECTED
    with Bag(bag) as opened:
        assert "metadata.yaml" in opened.notes[0]


@pytest.mark.parametrize("part", [0.9, 0.5])
def test_of_a_file_that_is_cut_short_the_beginning_is_read(bag: Path, part: float) -> None:
    file = storage_file(bag)
    content = file.read_bytes()
    file.write_bytes(content[: round(part * len(content))])

    with Bag(bag) as opened:
        read = [(topic.name, *rest) for topic, *rest in opened.messages()]
        lost = sum(count or 0 for count in opened.damage.messages.values())

    assert 0 < len(read) < len(EXPECTED)
    assert read == EXPECTED[: len(read)]
    # metadata.yaml says how many there were.
    assert lost == len(EXPECTED) - len(read)
    assert f"{lost} messages cannot be read" in str(opened.damage)


def test_without_metadata_the_number_of_lost_messages_is_not_invented(bags: Path) -> None:
    for kind in ("mcap-none", "sqlite3-none"):
        bag = bags.parent / f"cut-{kind}"
        shutil.copytree(bags / kind, bag, dirs_exist_ok=True)
        (bag / "metadata.yaml").unlink()
        content = storage_file(bag).read_bytes()
        storage_file(bag).write_bytes(content[: len(content) // 2])
        with Bag(bag) as opened:
            assert "an unknown number of messages cannot be read" in str(opened.damage)


@pytest.mark.parametrize("size", [0, 7, 60])
def test_of_nothing_nothing_is_read_and_the_error_names_the_file(bag: Path, size: int) -> None:
    file = storage_file(bag)
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(BagError, match=file.name.split(".")[0]):
        Bag(bag)


def mcap_file(
    path: Path, compression: mcap.writer.CompressionType, *, index: bool = True, chunks: bool = True
) -> Path:
    """Write the messages as rosbag2's presets do, which rosbags cannot."""
    everything: dict[str, Any] = {
        "index_types": mcap.writer.IndexType.ALL if index else mcap.writer.IndexType.NONE,
        "repeat_channels": index,
        "repeat_schemas": index,
        "use_statistics": index,
        "use_summary_offsets": index,
    }
    with path.open("wb") as stream:
        writer = mcap.writer.Writer(
            stream, chunk_size=500_000, compression=compression, use_chunking=chunks, **everything
        )
        writer.start(profile="ros2", library="test")
        schema = writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data")
        topics = ("/even", "/odd")
        channels = {name: writer.register_channel(name, "cdr", schema) for name in topics}
        for number, (topic, log_time, data) in enumerate(EXPECTED):
            writer.add_message(channels[topic], log_time, data, log_time, number)
        writer.finish()
    return path


FORMS: dict[str, Callable[[Path], Path]] = {
    "lz4": lambda path: mcap_file(path, mcap.writer.CompressionType.LZ4),
    "zstd": lambda path: mcap_file(path, mcap.writer.CompressionType.ZSTD),
    "no index": lambda path: mcap_file(path, mcap.writer.CompressionType.ZSTD, index=False),
    "no chunks": lambda path: mcap_file(path, mcap.writer.CompressionType.NONE, chunks=False),
    # The preset fastwrite.
    "neither": lambda path: mcap_file(
        path, mcap.writer.CompressionType.NONE, index=False, chunks=False
    ),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
def test_every_form_of_mcap(form: Callable[[Path], Path], tmp_path: Path) -> None:
    path = form(tmp_path / "bag.mcap")
    assert content_of(path) == EXPECTED
    with Bag(path) as opened:
        assert not opened.damage
        assert opened.log_times("/even").tolist() == [log_time for _, log_time, _ in EXPECTED[::2]]
        part = list(opened.messages(["/even"], EXPECTED[10][1], EXPECTED[20][1]))
        assert [message.data for message in part] == [data for _, _, data in EXPECTED[10:20:2]]


@pytest.mark.parametrize("form", ["lz4", "zstd", "no index"])
def test_a_broken_chunk_costs_its_own_messages_which_are_counted(form: str, tmp_path: Path) -> None:
    whole = FORMS["zstd" if form == "no index" else form](tmp_path / "whole.mcap")
    with whole.open("rb") as stream:
        summary = SeekingReader(stream).get_summary()
        assert summary is not None
        chunk = summary.chunk_indexes[3]
    path = FORMS[form](tmp_path / "bag.mcap")
    content = bytearray(path.read_bytes())
    middle = chunk.chunk_start_offset + chunk.chunk_length - 200
    content[middle : middle + 50] = bytes(50)
    path.write_bytes(content)

    with Bag(path) as opened:
        read = [(topic.name, *rest) for topic, *rest in opened.messages()]
        (lost,) = opened.damage.messages.values()

    assert 0 < len(EXPECTED) - len(read) < 10
    assert [message for message in EXPECTED if message in read] == read
    # Without indices they have not been counted.
    assert lost in ((len(EXPECTED) - len(read),) if form != "no index" else (None, 0))
    assert "broken chunk at byte" in str(opened.damage)


def test_a_bag_in_several_files_is_read_in_order(tmp_path: Path) -> None:
    bag = tmp_path / "split"
    bag.mkdir()
    for number, messages in ((10, MESSAGES[40:]), (2, MESSAGES[:20]), (3, MESSAGES[20:40])):
        one = write_bag(tmp_path / f"part{number}", messages)
        storage_file(one).rename(bag / f"split_{number}.mcap")
    assert content_of(bag) == EXPECTED


def test_a_missing_file_of_a_bag_is_named(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", MESSAGES[:20])
    metadata = bag / "metadata.yaml"
    metadata.write_text(
        metadata.read_text()
        .replace("  - bag.mcap", "  - bag.mcap\n  - gone.mcap")
        .replace("message_count: 20", "message_count: 25")
    )
    with Bag(bag) as opened:
        assert len(list(opened.messages())) == 20
        assert str(opened.damage) == "5 messages cannot be read: gone.mcap is missing"


def test_a_bag_of_humble_in_sqlite_has_no_definitions(tmp_path: Path) -> None:
    path = tmp_path / "humble_0.db3"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            """
            CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);
            CREATE TABLE metadata(id INTEGER PRIMARY KEY, metadata_version INTEGER NOT NULL,
              metadata TEXT NOT NULL);
            CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
              serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL);
            CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL,
              timestamp INTEGER NOT NULL, data BLOB NOT NULL);
            CREATE INDEX timestamp_idx ON messages (timestamp ASC);
            INSERT INTO schema VALUES (3, 'humble');
            INSERT INTO topics VALUES (1, '/even', 'std_msgs/msg/String', 'cdr', '');
            INSERT INTO topics VALUES (2, '/odd', 'std_msgs/msg/String', 'cdr', '');
            """
        )
        for topic, log_time, data in EXPECTED:
            row = (1 if topic == "/even" else 2, log_time, data)
            database.execute("INSERT INTO messages VALUES (NULL, ?, ?, ?)", row)
        database.commit()
    assert content_of(path) == EXPECTED
    with Bag(path) as opened:
        assert [topic.definition for topic in opened.topics] == ["", ""]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda _path: None, "does not exist"),
        (lambda path: path.mkdir(), "is not a bag"),
        (lambda path: path.write_text("text"), "is not a file of a bag"),
    ],
)
def test_what_is_no_bag_is_refused(
    make: Callable[[Path], None], error: str, tmp_path: Path
) -> None:
    path = tmp_path / "thing"
    make(path)
    with pytest.raises(BagError, match=error):
        Bag(path)


def test_an_unknown_topic_is_refused_with_those_that_there_are(bags: Path) -> None:
    with Bag(bags / "mcap-none") as opened, pytest.raises(BagError, match="/even, /odd"):
        opened.topic("/both")


def test_own_metadata_has_no_aliases_and_plain_ones_of_before_are_read(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        writer.add_topic(topic_of_type("/image", "sensor_msgs/msg/Image"))
        writer.write("/image", 7, b"\x00\x01\x00\x00")
    metadata = tmp_path / "bag" / "metadata.yaml"
    text = metadata.read_text()
    assert "*" not in text
    content = yaml.safe_load(text)
    information = content["rosbag2_bagfile_information"]
    information["again"] = information["files"]
    metadata.write_text(yaml.safe_dump(content))
    assert "*id001" in metadata.read_text()
    with Bag(tmp_path / "bag") as bag:
        assert bag.notes == []
        assert bag.message_count == 1
