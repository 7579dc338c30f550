"""Bags as users have them: crashed, renamed, half unpacked, broken, hostile. One line each."""

from __future__ import annotations

import gzip
import io
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import lz4.frame
import mcap.writer
import numpy as np
import pytest
import zstandard

from maix_facemesh_ros.bags.reader import Bag
from maix_facemesh_ros.bags.storage import (
    MIB,
    BagError,
    UnpackLimits,
)
from maix_facemesh_ros.bags.unpacking import CutShortError, TooLargeError, unpack_lz4, unpack_zstd
from maix_facemesh_ros.offline.open_recording import open_recording
from recorded_bags import (
    KINDS,
    START,
    Recorded,
    camera_messages,
    content_of,
    fingerprint,
    raw_image,
    scene,
    storage_file,
    text,
    write_bag,
)

DATA = Path(__file__).parents[1] / "data"
SQLITE = KINDS[4]
SQLITE_ZSTD = KINDS[6]

MESSAGES: list[Recorded] = [
    ("/chatter", "std_msgs/msg/String", START + 1000 * number, text(f"message {number}"))
    for number in range(40)
]
EXPECTED = [(topic, log_time, data) for topic, _, log_time, data in MESSAGES]


def test_the_write_ahead_log_of_a_crash_is_read_too(tmp_path: Path) -> None:
    bag = DATA / "bags" / "wal_after_a_crash"
    before = fingerprint(bag)
    recording = open_recording(bag)
    (camera,) = recording.cameras
    assert len(recording.log_times(camera)) == 12
    assert any("run_0.db3-wal is read too" in note for note in recording.notes)
    recording.close()
    assert len(content_of(bag)) == 24
    assert len(content_of(bag / "run_0.db3")) == 24
    # Several processes share one copy.
    for _ in range(2):
        with Bag(bag, tmp_path) as opened:
            assert len(list(opened.messages())) == 24
    assert [path.name for path in tmp_path.iterdir()] == ["run_0.db3"]
    assert fingerprint(bag) == before


def test_a_broken_write_ahead_log_costs_only_its_own_messages(tmp_path: Path) -> None:
    bag = Path(shutil.copytree(DATA / "bags" / "wal_after_a_crash", tmp_path / "bag"))
    log = bag / "run_0.db3-wal"
    log.write_bytes(log.read_bytes()[:5000] + b"\xff" * 1000)
    assert 12 <= len(content_of(bag)) < 24


def test_a_rollback_journal_is_rolled_back_and_stays(tmp_path: Path) -> None:
    """As a recorder leaves it that dies within a transaction."""
    whole = storage_file(write_bag(tmp_path / "whole", MESSAGES, SQLITE))
    bag = tmp_path / "crashed"
    bag.mkdir()
    with closing(sqlite3.connect(whole, isolation_level=None)) as database:
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN")
        database.execute("UPDATE messages SET data = zeroblob(3000)")
        for file in (whole, Path(f"{whole}-journal")):
            shutil.copy(file, bag)
        database.execute("ROLLBACK")
    before = fingerprint(bag)
    assert content_of(bag) == EXPECTED
    assert fingerprint(bag) == before


def test_a_compressed_file_beside_its_content_is_one_file(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", MESSAGES, SQLITE_ZSTD)
    packed = storage_file(bag)
    content = zstandard.ZstdDecompressor().stream_reader(packed.read_bytes()).read()
    unpacked = packed.with_suffix("")
    for metadata in (True, False):
        if not metadata:
            (bag / "metadata.yaml").unlink()
        # As `ros2 bag play` leaves it, also if it was interrupted.
        for part in (1.0, 0.5):
            unpacked.write_bytes(content[: round(len(content) * part)])
            with Bag(bag) as opened:
                assert len(list(opened.messages())) == 40, (metadata, part)
                assert not opened.damage
    # As `ros2 bag record` leaves it, when it dies while it compresses.
    unpacked.write_bytes(content)
    packed.write_bytes(packed.read_bytes()[:200])
    assert content_of(bag) == EXPECTED
    # metadata.yaml names the one that is not there any more.
    packed.unlink()
    write_metadata(bag, f"relative_file_paths: [{packed.name}]")
    with Bag(bag) as opened:
        assert len(list(opened.messages())) == 40
        assert not opened.damage


@pytest.mark.parametrize(
    ("name", "count"), [("keep2096.db3", 19), ("keep449.mcap", 6), ("keep739.db3.zstd", 11)]
)
def test_mutants_give_what_can_be_read(name: str, count: int) -> None:
    with Bag(DATA / "bytes" / name) as opened:
        assert len(list(opened.messages())) == count
        for topic in opened.topics:
            opened.log_times(topic.name)
        assert "messages cannot be read" in str(opened.damage)


def write_metadata(bag: Path, content: str) -> None:
    lines = content.replace("\n", "\n  ")
    (bag / "metadata.yaml").write_text(f"rosbag2_bagfile_information:\n  {lines}\n")


LAUGH = "\n".join(
    [
        "a0: &a0 [lol, lol]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)),
    ]
)


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("relative_file_paths: 7", "is broken in relative_file_paths"),
        ("relative_file_paths: {a: b}", "is broken in relative_file_paths"),
        ("relative_file_paths: [7, [], {}, '']", ""),
        ("topics_with_message_count: yes", "is broken in topics_with_message_count"),
        ("topics_with_message_count: [7, {topic_metadata: 7}, {topic_metadata: {name: []}}]", ""),
        (
            "topics_with_message_count: [{topic_metadata: {name: /chatter, type: 7, "
            "offered_qos_profiles: {a: 1}, type_description_hash: []}}]",
            "",
        ),
        ("message_count: many", "is broken in message_count"),
        ("message_count: true", "is broken in message_count"),
        ("message_count: -5\nversion: []", ""),
        (LAUGH, "it has aliases"),
        (f"relative_file_paths: {'[' * 50_000}", "nested deeper than 300 levels"),
        (f"relative_file_paths:\n{'- ' * 50_000}", "nested deeper than 300 levels"),
        ("!!python/object/apply:os.system [id]", "cannot be used"),
        ("a: \x00", "cannot be used"),
        ("a: 2001-99-99 99:99:99", "cannot be used"),
    ],
)
def test_a_broken_metadata_yaml_costs_nothing(content: str, note: str, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", MESSAGES)
    write_metadata(bag, content)
    assert content_of(bag) == EXPECTED
    with Bag(bag) as opened:
        assert note in " ".join(opened.notes)
        assert not opened.damage


def ros1(path: Path) -> Path:
    path.write_bytes(b"#ROSBAG V2.0\n" + bytes(100))
    return path


def tar(path: Path) -> Path:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("bag/metadata.yaml"), io.BytesIO())
    return path


def zipped(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("bag/metadata.yaml", "")
    return path


def file_of(content: bytes) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return make


@pytest.mark.parametrize(
    ("name", "make", "error"),
    [
        (
            "run.bag",
            ros1,
            "run.bag is a bag of ROS 1: convert it with `pip install rosbags` and "
            "`rosbags-convert --src run.bag --dst run`",
        ),
        ("run.mcap", ros1, "is a bag of ROS 1"),
        ("run.tar", tar, "is a tar archive: unpack it"),
        ("run.db3", tar, "is a tar archive"),
        ("run.zip", zipped, "is a zip archive: unpack it"),
        ("run.mcap.gz", file_of(gzip.compress(b"bag")), "is compressed by gzip: unpack it"),
        ("metadata.yaml", file_of(b"rosbag2_bagfile_information:\n"), "give its folder"),
        ("run.mcap", file_of(b""), "is empty: nothing of the recording has reached the disk"),
        ("run.mcap", file_of(bytes(5000)), "begins with zeros"),
        ("run.mcap", file_of(b"some text"), "is not an MCAP file"),
        ("run.db3", file_of(b"some text"), "is not an SQLite file"),
        ("run.db3.zstd", file_of(b"some text"), "is not an SQLite file"),
    ],
)
def test_other_files_are_named_with_what_to_do(
    name: str, make: Callable[[Path], Path], error: str, tmp_path: Path
) -> None:
    path = make(tmp_path / name)
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(path, folder)
    for each in (path, folder):
        if each == folder and name == "metadata.yaml":
            continue
        with pytest.raises(BagError) as raised:
            open_recording(each)
        assert error.partition(" ")[2] in str(raised.value)
        assert "\n" not in str(raised.value)


def test_a_file_of_another_program_in_sqlite_is_named(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "run.db3") as database:
        database.execute("CREATE TABLE songs (name TEXT)")
        database.execute("CREATE VIEW messages AS SELECT * FROM songs")
        database.execute("CREATE VIEW topics AS SELECT * FROM songs")
    database.close()
    with pytest.raises(BagError, match="but not of a bag: it has no tables topics and messages"):
        Bag(tmp_path / "run.db3")


@pytest.mark.parametrize("name", ["bag.db3.bak", "recording", "bag.mcap", "bag.bag"])
@pytest.mark.parametrize("kind", [KINDS[0], SQLITE, SQLITE_ZSTD], ids=["mcap", "sqlite", "zstd"])
def test_a_renamed_file_is_known_by_its_content(name: str, kind: Any, tmp_path: Path) -> None:
    messages = camera_messages(list(scene(2)))
    renamed = tmp_path / "bag" / name
    storage_file(write_bag(tmp_path / "bag", messages, kind)).rename(renamed)
    (tmp_path / "bag" / "metadata.yaml").unlink()
    for path in (renamed, renamed.parent):
        recording = open_recording(path)
        assert len(recording.log_times(recording.cameras[0])) == 2
        recording.close()


def test_a_backup_beside_a_bag_is_not_read_twice(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", MESSAGES, SQLITE)
    shutil.copy(storage_file(bag), bag / "copy.db3.bak")
    (bag / "metadata.yaml").unlink()
    assert content_of(bag) == EXPECTED


# What unpacks to more than it may.

LIMIT = 100_000


def frame_without_size(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=False).compress(content)


def test_compressed_contents_are_bounded() -> None:
    small, large = b"a" * LIMIT, b"a" * (LIMIT + 1)
    for pack in (zstandard.compress, frame_without_size):
        assert unpack_zstd(pack(small), LIMIT) == small
        with pytest.raises(TooLargeError, match=r"100,001 bytes or more, and 100,000 are allowed"):
            unpack_zstd(pack(large), LIMIT)
    assert unpack_lz4(lz4.frame.compress(small), LIMIT) == small
    for store_size in (True, False):
        packed = lz4.frame.compress(large, store_size=store_size)
        with pytest.raises(TooLargeError):
            unpack_lz4(packed, LIMIT)
        with pytest.raises((CutShortError, RuntimeError)):
            unpack_lz4(packed[:-20], 2 * LIMIT)
    lying = zstandard.compress(large).replace(
        (LIMIT + 1).to_bytes(4, "little"), bytes([9, 0, 0, 0])
    )
    with pytest.raises(zstandard.ZstdError):
        unpack_zstd(lying, LIMIT)


def mcap_with(path: Path, contents: list[bytes], compression: mcap.writer.CompressionType) -> Path:
    with path.open("wb") as stream:
        writer = mcap.writer.Writer(stream, chunk_size=1000, compression=compression)
        writer.start("ros2")
        schema = writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data")
        channel = writer.register_channel("/chatter", "cdr", schema)
        for number, content in enumerate(contents):
            writer.add_message(channel, START + number, content, START + number)
        writer.finish()
    return path


@pytest.mark.parametrize("compression", ["ZSTD", "LZ4"])
@pytest.mark.parametrize("index", [True, False])
def test_a_chunk_that_is_too_large_is_refused_with_its_size(
    compression: str, index: bool, tmp_path: Path
) -> None:
    kind = mcap.writer.CompressionType[compression]
    path = mcap_with(tmp_path / "bag.mcap", [b"a" * 2000, bytes(2 * LIMIT), b"b" * 2000], kind)
    if not index:
        path.write_bytes(path.read_bytes()[:-50])
    with Bag(path, limits=UnpackLimits(chunk=LIMIT)) as opened:
        assert [len(data) for _, _, data in opened.messages()] == [2000, 2000]
        assert "it unpacks to 200,0" in str(opened.damage)
        assert "and 100,000 are allowed" in str(opened.damage)
    with Bag(path) as opened:
        assert len(list(opened.messages())) == 3


@pytest.mark.parametrize("pack", [zstandard.compress, frame_without_size])
def test_a_message_that_is_too_large_is_refused_with_its_size(pack: Any, tmp_path: Path) -> None:
    path = mcap_with(
        tmp_path / "bag.mcap",
        [pack(b"a"), pack(bytes(LIMIT + 1))],
        mcap.writer.CompressionType.NONE,
    )
    with Bag(path, limits=UnpackLimits(chunk=LIMIT)) as opened:
        assert [data for _, _, data in opened.messages()] == [b"a"]
        assert "1 message cannot be read: the message on /chatter" in str(opened.damage)
        assert "it unpacks to 100,001 bytes or more" in str(opened.damage)


@pytest.mark.parametrize("with_size", [True, False])
def test_a_file_that_is_too_large_is_refused_before_the_disk_is_full(
    with_size: bool, tmp_path: Path
) -> None:
    content = b"SQLite format 3\0" + bytes(300 * MIB)
    path = tmp_path / "bag.db3.zstd"
    packer = zstandard.ZstdCompressor(write_content_size=with_size)
    path.write_bytes(packer.compress(content))
    folder = tmp_path / "unpacked"
    folder.mkdir()
    with pytest.raises(BagError, match=r"bytes or more, and 268,435,456 are allowed; --max-unp"):
        Bag(path, folder)
    assert list(folder.iterdir()) == []
    with pytest.raises(BagError, match="and 100,000 are allowed"):
        Bag(path, folder, UnpackLimits(file=LIMIT))


#: Reads a bag, and prints the most memory in MB that it has taken.
MEMORY = """
import sys
from pathlib import Path
from maix_facemesh_ros.bags.storage import BagError
from maix_facemesh_ros.bags.reader import Bag
try:
    with Bag(Path(sys.argv[1])) as bag:
        for topic in bag.topics:
            bag.log_times(topic.name)
        for _ in bag.messages():
            pass
except BagError as error:
    assert "\\n" not in str(error), error
status = Path("/proc/self/status").read_text().split()
print(int(status[status.index("VmHWM:") + 1]) // 1000)
"""


def overlapping_chunks(path: Path) -> Path:
    """Chunks that unpack to 30 MB each, all of one time: what is sorted has to be kept."""
    stamps = [START] * 10
    with path.open("wb") as stream:
        writer = mcap.writer.Writer(stream, chunk_size=20 * MIB)
        writer.start("ros2")
        schema = writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data")
        channel = writer.register_channel("/chatter", "cdr", schema)
        for stamp in stamps:
            writer.add_message(channel, stamp, bytes(30 * MIB), stamp)
        writer.finish()
    return path


def claims(path: Path) -> Path:
    """A message of a few bytes that says it has 2 GB, with and without a chunk around it."""
    mcap_with(path, [zstandard.compress(bytes(30 * MIB))] * 3, mcap.writer.CompressionType.NONE)
    content = bytearray(path.read_bytes())
    at = content.index(b"/chatter") - 8
    content[at : at + 4] = (2**31 - 1).to_bytes(4, "little")
    path.write_bytes(content)
    return path


def file_of_zeros(path: Path) -> Path:
    """As after a power cut, compressed."""
    none = mcap.writer.CompressionType.NONE
    head = mcap_with(path.with_name("inner"), [b"a"] * 3, none).read_bytes()
    path = path.with_name("bag.mcap.zstd")
    path.write_bytes(frame_without_size(head[:-300] + bytes(250 * MIB)))
    return path


@pytest.mark.parametrize("make", [overlapping_chunks, claims, file_of_zeros])
def test_memory_stays_bounded(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path / "bag.mcap")
    assert path.stat().st_size < MIB
    finished = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) < 250


#: A job, and the most memory in MB that it has taken.
JOB_MEMORY = """
import sys
from pathlib import Path
from maix_facemesh_ros.offline.main import main
code = main([*sys.argv[1:], "--copy", "--annotated", "--workers", "1", "--quiet"])
assert code == 0, code
status = Path("/proc/self/status").read_text().split()
print(int(status[status.index("VmHWM:") + 1]) // 1000)
"""


def test_a_job_on_the_largest_images_stays_bounded(tmp_path: Path) -> None:
    """Raw ones of one moment in a few kilobytes, of the largest size that a chunk may have."""
    image = raw_image(START, np.zeros((3300, 3300, 3), np.uint8))
    messages: list[Recorded] = [("/eye/image", "sensor_msgs/msg/Image", START, image)] * 4
    bag = write_bag(tmp_path / "bag", messages, KINDS[1])
    assert storage_file(bag).stat().st_size < MIB
    arguments = [str(bag), "-o", str(tmp_path / "out")]
    finished = subprocess.run(
        [sys.executable, "-c", JOB_MEMORY, *arguments], capture_output=True, text=True, timeout=200
    )
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) < 500


def test_an_sqlite_file_whose_pages_go_in_circles_ends(tmp_path: Path) -> None:
    """Pages of the table that all lead to the same ones: more rows than anyone can read."""
    path = tmp_path / "bag.db3"
    storage_file(write_bag(tmp_path / "bag", MESSAGES * 400, SQLITE)).rename(path)
    with sqlite3.connect(path) as database:
        root, size = database.execute(
            "SELECT rootpage, (SELECT * FROM pragma_page_size) FROM sqlite_master "
            "WHERE name = 'messages'"
        ).fetchone()
    database.close()
    content = bytearray(path.read_bytes())
    page = content[(root - 1) * size : root * size]
    assert page[0] == 5  # an interior page of a table
    # Each of its children is a page as itself, down to the depth that SQLite allows.
    for level in range(15):
        number = len(content) // size + 1
        if level == 0:
            first = number
        copy = bytearray(page)
        cells = int.from_bytes(copy[3:5], "big")
        for cell in range(cells):
            at = int.from_bytes(copy[12 + 2 * cell : 14 + 2 * cell], "big")
            child = number + 1 if level < 14 else root + 1
            copy[at : at + 4] = child.to_bytes(4, "big")
        content += copy
    for cell in range(int.from_bytes(page[3:5], "big")):
        at = (root - 1) * size + int.from_bytes(page[12 + 2 * cell : 14 + 2 * cell], "big")
        content[at : at + 4] = first.to_bytes(4, "big")
    content[28:32] = (len(content) // size).to_bytes(4, "big")
    path.write_bytes(content)
    finished = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) < 400
