"""Compares this package with MediaPipe's FaceLandmarker: times, and how near the landmarks are.

    make bench                                  the table, and the same in build/bench.json
    make bench ARGS=--quick                     a first impression
    make bench ARGS="--rounds 1000 --json a.json"

Everything is measured in one run, by turns on each picture.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import cv2

from benchmarks.comparisons import Plan, make_plan, make_rows, stage_spreads, video_target
from benchmarks.downloads import DownloadError
from benchmarks.enrichment import measure_parts, measure_smoothing
from benchmarks.identities import count_mistakes
from benchmarks.measurement import WARM_UP, measure_by_turns
from benchmarks.report import Report

DEFAULT_JSON = Path(__file__).resolve().parent.parent / "build" / "bench.json"
ROUNDS = 300
QUICK_ROUNDS = 60


def main() -> None:
    """Read the command line, measure, and print and write the outcome."""
    arguments = read_arguments()
    cores = use_cores(arguments.cores)
    # OpenCV would cut out a face with all cores; MediaPipe brings an OpenCV of its own.
    cv2.setNumThreads(1)
    try:
        plan = make_plan()
    except DownloadError as error:
        sys.exit(f"bench: {error}")
    report = measure(plan, arguments.rounds, cores)
    print(report.as_text())
    report.write_json(arguments.json)
    print(f"\nThe same in JSON: {arguments.json}")


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="pictures to measure (default: %(default)s)"
    )
    parser.add_argument(
        "--quick",
        dest="rounds",
        action="store_const",
        const=QUICK_ROUNDS,
        help=f"measure {QUICK_ROUNDS} pictures only",
    )
    parser.add_argument(
        "--cores", type=int, default=1, help="cores that everything may use (default: %(default)s)"
    )
    parser.add_argument(
        "--json", type=Path, default=DEFAULT_JSON, help="file to write (default: build/bench.json)"
    )
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.cores < 1:
        parser.error("--rounds and --cores are 1 or more")
    return arguments


def use_cores(number: int) -> int:
    """Keep this thread, and those it will start, on so many cores; return how many there are."""
    chosen = sorted(os.sched_getaffinity(0))[-number:]
    os.sched_setaffinity(0, chosen)
    return len(chosen)


def measure(plan: Plan, rounds: int, cores: int) -> Report:
    """Measure what was planned."""
    measurements = measure_by_turns(plan.contenders, rounds, progress_line(WARM_UP + rounds))
    rows = make_rows(plan, measurements)
    return Report(
        rounds=rounds,
        cores=cores,
        rows=rows,
        stages=stage_spreads(measurements),
        parts=measure_parts(rounds),
        smoothing=measure_smoothing(),
        identities=count_mistakes(),
        targets=[video_target(rows)],
        skipped=plan.skipped,
    )


def progress_line(rounds: int) -> Callable[[int], None]:
    """Return a function that shows how far the run is, on a terminal only."""

    def show(number: int) -> None:
        if sys.stderr.isatty():
            end = "\r" if number + 1 < rounds else "\r\033[K"
            print(f"measuring picture {number + 1} of {rounds}", end=end, file=sys.stderr)

    return show


if __name__ == "__main__":
    main()
