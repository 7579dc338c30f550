"""Speed of `facemesh_bag`, alone and with two workers, and its memory.

The bag is made here: 640x480 at 30 Hz, JPEG, one face on the move. Whole programs are timed, with
their start, interleaved. Two workers need two idle processors. A long bag is
measured with

    .venv/bin/python -m benchmarks.bags --seconds 3600 --rounds 1         after `make setup`
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from skimage import data

from benchmarks.measurement import Figure
from benchmarks.options import Options
from benchmarks.report import Report, Row, Section
from benchmarks.worker_process import NotMeasuredError
from maix_facemesh_ros.bags.message_types import (
    COMPRESSED_IMAGE,
    package,
    serialize,
    topic_of_type,
)
from maix_facemesh_ros.bags.reader import Bag
from maix_facemesh_ros.bags.writer import BagWriter

WIDTH, HEIGHT = 640, 480
RATE = 30
TOPIC = "/camera/image_raw/compressed"

#: Seconds after which the scene runs backwards: images are made once.
SCENE = 30

#: Seconds of the bag, and rounds.
SECONDS, ROUNDS = 300, 3
QUICK_SECONDS, QUICK_ROUNDS = 30, 1

#: Targets: one process is four times as fast as real time, two are 1.7 times as fast as one.
REAL_TIME_LIMIT = 1 / 4
TWO_WORKERS_LIMIT = 1 / 1.7


class Run(NamedTuple):
    """One run of the program."""

    seconds: float
    #: Seconds that all of its processes computed, together.
    cpu: float
    #: Megabytes at most, of the greatest of its processes.
    memory: float


def measure(options: Options) -> Section:
    """Measure one process and two."""
    seconds, rounds = (QUICK_SECONDS, QUICK_ROUNDS) if options.quick else (SECONDS, ROUNDS)
    return measure_bag(seconds, rounds)


def measure_bag(seconds: int, rounds: int) -> Section:
    """Make a bag of this length in seconds, and measure each contender `rounds` times."""
    runs: dict[int, list[Run]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / "bag"
        make_bag(bag, seconds)
        for number in range(rounds):
            for workers, each in runs.items():
                output = Path(folder) / f"faces_{workers}_{number}"
                each.append(run(bag, output, workers))
        contents = [content_of(Path(folder) / f"faces_{workers}_0") for workers in runs]
    alone, together = (Figure.of([one.seconds for one in each], "s") for each in runs.values())
    rows = [
        Row(
            "one process",
            alone,
            "as recorded",
            Figure.of([float(seconds)], "s"),
            limit=REAL_TIME_LIMIT,
            remark=_remark(runs[1]),
        ),
        Row(
            "two workers",
            together,
            "one process",
            alone,
            cpu_ratio=_cpu(runs[2]) / _cpu(runs[1]),
            limit=TWO_WORKERS_LIMIT,
            remark=f"{_remark(runs[2])}; the bags are "
            + ("equal" if contents[0] == contents[1] else "DIFFERENT"),
        ),
    ]
    title = f"facemesh_bag: {seconds} s of 640x480 at 30 Hz, JPEG, one face"
    return Section("bags", title, rows, [])


def _cpu(runs: list[Run]) -> float:
    return median(one.cpu for one in runs)


def _remark(runs: list[Run]) -> str:
    memory = max(one.memory for one in runs)
    return f"{_cpu(runs):.0f} s computed, {memory:.0f} MB at most in a process"


def main() -> None:
    """Measure a bag of any length, and print the outcome."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of the bag (%(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each (%(default)s)")
    arguments = parser.parse_args()
    print(Report([measure_bag(arguments.seconds, arguments.rounds)], {}).as_text())


def make_bag(folder: Path, seconds: int) -> None:
    """Write the bag."""
    images = [jpeg(number / RATE) for number in range(min(seconds, SCENE) * RATE)]
    there_and_back = images + images[::-1]
    time_type, header_type = package("builtin_interfaces").Time, package("std_msgs").Header
    with BagWriter(folder) as writer:
        writer.add_topic(topic_of_type(TOPIC, COMPRESSED_IMAGE))
        for number in range(seconds * RATE):
            nanoseconds = number * 10**9 // RATE
            stamp = time_type(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
            message = package("sensor_msgs").CompressedImage(
                header=header_type(stamp=stamp, frame_id="camera"),
                format="jpeg",
                data=there_and_back[number % len(there_and_back)],
            )
            writer.write(TOPIC, nanoseconds, serialize(message))


def jpeg(second: float) -> npt.NDArray[np.uint8]:
    """Return the image of a moment: the demo's scene."""
    photo = np.asarray(data.astronaut(), np.uint8)
    move = np.asarray(
        cv2.getRotationMatrix2D(
            (225, 130), 8 * math.sin(second * 1.3), 2.3 + 0.4 * math.sin(second * 0.9)
        ),
        np.float64,
    )
    move[:, 2] += (
        WIDTH / 2 - 225 + 60 * math.sin(second * 1.1),
        HEIGHT / 2 - 130 + 30 * math.cos(second * 0.7),
    )
    image = cv2.warpAffine(photo, move, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    _, encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    return np.asarray(encoded, np.uint8).reshape(-1)


def run(bag: Path, output: Path, workers: int) -> Run:
    """Run the program once."""
    started, cpu = time.monotonic(), cpu_of_children()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "maix_facemesh_ros.programs.start", "facemesh_bag"),
            *(bag, "-o", output, "--workers", str(workers), "--quiet"),
        ]
    )
    most = max(memory_until_end(process), default=0.0)
    seconds = time.monotonic() - started
    if process.returncode:
        raise NotMeasuredError(f"facemesh_bag has ended with {process.returncode}")
    return Run(seconds, cpu_of_children() - cpu, most)


def cpu_of_children() -> float:
    """Return the seconds that processes which have ended, and their children, computed."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def memory_until_end(process: subprocess.Popen[bytes]) -> Iterator[float]:
    """Yield the memory in megabytes of a process and its children, until it ends."""
    page = resource.getpagesize() / 1e6
    while process.poll() is None:
        for path in [f"/proc/{process.pid}", *children_of(process.pid)]:
            try:
                yield int(Path(path, "statm").read_text().split()[1]) * page
            except (OSError, IndexError):  # it has ended
                continue
        time.sleep(0.1)


def children_of(process: int) -> list[str]:
    """Return the folders in /proc of a process's children."""
    try:
        listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    except OSError:
        return []
    return [f"/proc/{child}" for child in listed.split()]


def content_of(bag: Path) -> list[tuple[int, bytes]]:
    """Return the compared contents of a bag."""
    with Bag(bag) as opened:
        return [(log_time, data) for _, log_time, data in islice(opened.messages(), 10_000)]


if __name__ == "__main__":
    main()
