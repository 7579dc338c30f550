"""Reads mutants of small recordings, and says what was wrong: a program for test_fuzz_recordings.

Its arguments: a folder, `bags` or `videos`, the first seed and how many. A seed is one mutant.
"""

from __future__ import annotations

import random
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import mcap.writer
import numpy as np
from mcap.writer import CompressionType

from maix_facemesh_ros.bags.storage import BagError
from maix_facemesh_ros.image import ImageError
from maix_facemesh_ros.offline.open_recording import open_recording
from maix_facemesh_ros.offline.recordings import RecordedImage
from recorded_bags import KINDS, Recorded, camera_messages, storage_file, write_bag

#: Bytes of address space, which is more than is ever used.
MEMORY = 2 * 2**30

#: Seconds for one mutant, on a machine that does much else.
PATIENCE = 20

#: Numbers that lengths and counts are replaced by.
EXTREMES = [
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**64 - 1,
]


def small_bags(folder: Path) -> list[Path]:
    """Make a small bag of each kind; returns the files to be mutated."""
    messages = camera_messages([np.full((24, 32, 3), 128, np.uint8)] * 6)
    bags = [write_bag(folder / f"bag{number}", messages, kind) for number, kind in enumerate(KINDS)]
    return [
        *map(storage_file, bags),
        bags[0] / "metadata.yaml",
        write_mcap(folder / "lz4.mcap", messages, CompressionType.LZ4),
        write_mcap(folder / "plain.mcap", messages, CompressionType.NONE, chunks=False),
    ]


def small_videos(folder: Path) -> list[Path]:
    """Make small videos."""
    paths = [folder / "film.mp4", folder / "film.avi"]
    for path, codec in zip(paths, ("mp4v", "MJPG"), strict=True):
        video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10.0, (32, 24))
        for shade in range(8):
            video.write(np.full((24, 32, 3), 100 + shade, np.uint8))
        video.release()
    return paths


KINDS_OF_RECORDINGS = {"bags": small_bags, "videos": small_videos}


def write_mcap(
    path: Path, messages: list[Recorded], compression: CompressionType, *, chunks: bool = True
) -> Path:
    with path.open("wb") as stream:
        writer = mcap.writer.Writer(
            stream, chunk_size=2000, compression=compression, use_chunking=chunks
        )
        writer.start("ros2")
        channels: dict[str, int] = {}
        for topic, kind, log_time, data in messages:
            if topic not in channels:
                schema = writer.register_schema(kind, "ros2msg", b"")
                channels[topic] = writer.register_channel(topic, "cdr", schema)
            writer.add_message(channels[topic], log_time, data, log_time)
        writer.add_attachment(1, 2, "notes.txt", "text/plain", b"hello" * 10)
        writer.add_metadata("robot", {"name": "R2"})
        writer.finish()
    return path


def flip(data: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 1, 2, 8, 40))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def replace_number(data: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 1, 3))):
        size = chance.choice((1, 2, 4, 8))
        number = chance.choice(EXTREMES) % 256**size
        at = chance.randrange(len(data))
        order = chance.choice(("little", "big"))
        data[at : at + size] = number.to_bytes(size, order)
    return data


def cut(data: bytearray, chance: random.Random) -> bytearray:
    return data[: chance.randrange(len(data))]


def clear(data: bytearray, chance: random.Random) -> bytearray:
    at = chance.randrange(len(data))
    size = min(chance.choice((8, 100, 4096)), len(data) - at)
    data[at : at + size] = bytes(size)
    return data


def move(data: bytearray, chance: random.Random) -> bytearray:
    """Copy a part to somewhere else, over what is there or between it."""
    size = chance.choice((4, 30, 500))
    source, target = chance.randrange(len(data)), chance.randrange(len(data))
    part = data[source : source + size]
    data[target : target + chance.choice((0, len(part)))] = part
    return data


def remove(data: bytearray, chance: random.Random) -> bytearray:
    at = chance.randrange(len(data))
    del data[at : at + chance.choice((1, 4, 100))]
    return data


MUTATIONS: list[Callable[[bytearray, random.Random], bytearray]] = [
    *(flip, flip, replace_number, replace_number),
    *(cut, clear, move, remove),
]


def read_all(path: Path) -> None:
    """Read everything that a job may read."""
    recording = open_recording(path)
    try:
        for camera in recording.cameras:
            recording.log_times(camera)
            if camera.camera_info:
                recording.first_calibration(camera)
            for each in recording.images(camera):
                if isinstance(each, RecordedImage):
                    with suppress(ImageError):
                        each.read()
        for _ in recording.records():
            pass
        for _ in (*recording.attachments(), *recording.metadata_records()):
            pass
        check_text(f"{recording.damage}")
        for note in recording.notes:
            check_text(note)
    finally:
        recording.close()


def check_text(text: str) -> None:
    if "\n" in text:
        raise AssertionError(f"more than one line: {text}")


def too_long(*_: object) -> None:
    raise AssertionError(f"takes longer than {PATIENCE} s")


def main(folder: Path, kind: str, first: int, count: int) -> None:
    originals = KINDS_OF_RECORDINGS[kind](folder)
    contents = [path.read_bytes() for path in originals]
    signal.signal(signal.SIGALRM, too_long)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    refused = 0
    for seed in range(first, first + count):
        (folder / "seed").write_text(str(seed))  # to be read after a crash
        chance = random.Random(seed)
        number = chance.randrange(len(originals))
        original, data = originals[number], bytearray(contents[number])
        for _ in range(chance.choice((1, 1, 2))):
            data = chance.choice(MUTATIONS)(data, chance) or bytearray(1)
        original.write_bytes(data)
        signal.alarm(PATIENCE)
        try:
            read_all(original.parent if original.parent != folder else original)
        except BagError as error:
            refused += 1
            check_text(str(error))
        except BaseException:
            kept = Path(shutil.copy(original, folder / f"wrong-{seed}-{original.name}"))
            print(f"{kept.name}: {traceback.format_exc(limit=-4)}", flush=True)
        finally:
            signal.alarm(0)
            original.write_bytes(contents[number])
    peak = Path("/proc/self/status").read_text().split()
    print(f"refused {refused}")
    print(f"peak {int(peak[peak.index('VmHWM:') + 1]) // 1000}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
