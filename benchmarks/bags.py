"""How fast `facemesh_bag` is, alone and with workers, and how much memory it takes.

    .venv/bin/python -m benchmarks.bags                         after `make setup`
    .venv/bin/python -m benchmarks.bags --seconds 3600 --rounds 1

The bag is made here: 640x480 at 30 Hz, JPEG, one face on the move. Whole programs are timed, with
their start, by turns. Real time and two workers need two processors that nobody else uses.
"""

from __future__ import annotations

import argparse
import math
import os
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

from maix_facemesh_ros.bags.bag_reading import Bag
from maix_facemesh_ros.bags.bag_writing import BagWriter
from maix_facemesh_ros.bags.message_types import (
    COMPRESSED_IMAGE,
    package,
    serialize,
    topic_of_type,
)

WIDTH, HEIGHT = 640, 480
RATE = 30
TOPIC = "/camera/image_raw/compressed"

#: Seconds after which the scene runs backwards: pictures are made once.
SCENE = 30

#: What is asked for.
TIMES_REAL_TIME = 4.0
TIMES_FASTER = 1.7


class Run(NamedTuple):
    """One run of the program."""

    seconds: float
    #: Seconds that all of its processes computed, together.
    cpu: float
    #: Megabytes at most, of the greatest of its processes.
    memory: float


def main() -> None:
    """Make a bag, measure, and print the outcome."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--seconds", type=int, default=180, help="of the bag (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="of each (%(default)s)")
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[1, 2], help="to compare (default: 1 2)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / "bag"
        make_bag(bag, arguments.seconds)
        runs: dict[int, list[Run]] = {count: [] for count in arguments.workers}
        for number in range(arguments.rounds):
            for count in arguments.workers:
                output = Path(folder) / f"faces_{count}_{number}"
                runs[count].append(run(bag, output, count))
        for line in table(runs, arguments.seconds):
            print(line)
        first, *others = (content_of(Path(folder) / f"faces_{count}_0") for count in runs)
        print("the bags are " + ("equal" if all(each == first for each in others) else "DIFFERENT"))


def make_bag(folder: Path, seconds: int) -> None:
    """Write the bag."""
    pictures = [jpeg(number / RATE) for number in range(min(seconds, SCENE) * RATE)]
    there_and_back = pictures + pictures[::-1]
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
    """Return the picture of a moment: the demo's scene."""
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
    picture = cv2.warpAffine(photo, move, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    _, encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    return np.asarray(encoded, np.uint8).reshape(-1)


def run(bag: Path, output: Path, workers: int) -> Run:
    """Run the program once."""
    started, cpu = time.monotonic(), cpu_of_children()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "maix_facemesh_ros.bags.start"),
            *(bag, "-o", output, "--workers", str(workers), "--quiet"),
        ]
    )
    most = max(memory_until_end(process), default=0.0)
    seconds = time.monotonic() - started
    if process.returncode:
        sys.exit(f"facemesh_bag has ended with {process.returncode}")
    return Run(seconds, cpu_of_children() - cpu, most)


def cpu_of_children() -> float:
    """Return the seconds that processes which have ended, and their children, computed."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def memory_until_end(process: subprocess.Popen[bytes]) -> Iterator[float]:
    """Give the memory in megabytes that a process and its children have, until it ends."""
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


def table(runs: dict[int, list[Run]], recorded: int) -> Iterator[str]:
    """Give the lines of the outcome."""
    processors = len(os.sched_getaffinity(0))
    yield f"{recorded} s recorded, 640x480 at 30 Hz, JPEG, one face; {processors} processors"
    yield "workers | pictures/s | times real time | CPU s | memory of the greatest process, MB"
    alone = None
    for count, each in runs.items():
        seconds = median(one.seconds for one in each)
        alone = alone or seconds
        yield (
            f"{count:7d} | {recorded * RATE / seconds:10.0f} | {recorded / seconds:15.1f} | "
            f"{median(one.cpu for one in each):5.1f} | {max(one.memory for one in each):.0f}"
        )
    slowest = max(median(one.seconds for one in each) for each in runs.values())
    yield f"at least {recorded / slowest:.1f} times real time; asked for: {TIMES_REAL_TIME}"
    if alone and {1, 2} <= runs.keys():
        ratios = [one.seconds / two.seconds for one, two in zip(runs[1], runs[2], strict=True)]
        yield (
            f"2 workers are {median(ratios):.2f} times as fast as 1 "
            f"({', '.join(f'{ratio:.2f}' for ratio in ratios)}); asked for: {TIMES_FASTER}"
        )


def content_of(bag: Path) -> list[tuple[int, bytes]]:
    """Return what is compared of a bag."""
    with Bag(bag) as opened:
        return [(log_time, data) for _, log_time, data in islice(opened.messages(), 10_000)]


if __name__ == "__main__":
    main()
