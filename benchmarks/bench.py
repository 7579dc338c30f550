"""Measures this package and its alternatives, and prints one table.

    make bench                                     everything, some twenty minutes
    make bench ARGS=--quick                        a first impression
    make bench ARGS="--only video node"            some of the sections
    make bench ARGS=--write-docs                   put the tables into docs/ too

Contenders run in separate processes, interleaved image by image.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from benchmarks.downloads import DownloadError
from benchmarks.environments import ROOT
from benchmarks.options import Options
from benchmarks.report import Report, Section
from benchmarks.worker_process import NotMeasuredError

JSON_FILE = ROOT / "build" / "bench.json"
#: Each has the tables of some of the sections.
DOCS_FILES = tuple(
    ROOT / "docs" / name for name in ("performance.md", "transport.md", "accuracy.md")
)

ROUNDS = 150
QUICK_ROUNDS = 30

#: Sections by name: the module, and in it a function that takes `Options` and returns a `Section`.
SECTIONS = {
    "video": "benchmarks.face_meshes:measure_video",
    "image": "benchmarks.face_meshes:measure_image",
    "faces": "benchmarks.face_meshes:measure_faces",
    "outside": "benchmarks.face_meshes:measure_outside",
    "faces-in-the-wild": "benchmarks.faces_in_the_wild:measure",
    "nobody": "benchmarks.search:measure_without_faces",
    "entering": "benchmarks.search:measure_entering",
    "nearer": "benchmarks.nearer:measure",
    "networks": "benchmarks.networks:measure",
    "interval": "benchmarks.landmarks_interval:measure",
    "node": "benchmarks.node:measure",
    "start": "benchmarks.node:measure_start",
    "resting": "benchmarks.resting:measure",
    "enrichment": "benchmarks.enrichment:measure",
    "ids": "benchmarks.identities:measure",
    "views": "benchmarks.views:measure",
    "bags": "benchmarks.bags:measure",
    "stock_driver": "benchmarks.stock_driver:measure",
    "stock_driver_busy": "benchmarks.stock_driver:measure_busy",
    "shared_memory": "benchmarks.stock_driver:measure_shared_memory",
}


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, measure, and print and write the outcome."""
    given = read_arguments(arguments)
    models = {"yolov8_face": given.yolov8_face, "yunet": given.yunet}
    options = Options(
        rounds=given.rounds or (QUICK_ROUNDS if given.quick else ROUNDS),
        quick=given.quick,
        detector_models={name: file for name, file in models.items() if file is not None},
    )
    names = given.only or list(SECTIONS)
    report = Report(
        list(measure(names, options)),
        {"images": options.rounds, **({"quick": "yes"} if options.quick else {})},
    )
    print(report.as_text())
    report.write_json(given.json)
    print(f"\nThe same in JSON: {given.json}")
    if given.write_docs:
        report.write_docs(*DOCS_FILES)
        print(f"Written into {' and '.join(map(str, DOCS_FILES))}")


def read_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, help=f"images to measure (default: {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="measure less of everything")
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS)
    )
    parser.add_argument(
        "--json", type=Path, default=JSON_FILE, help="file to write (default: build/bench.json)"
    )
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/")
    for detector in ("yolov8-face", "yunet"):
        parser.add_argument(f"--{detector}", type=Path, help=f"measure detector {detector}, a file")
    given = parser.parse_args(arguments)
    if given.rounds is not None and given.rounds < 1:
        parser.error("--rounds is 1 or more")
    return given


def measure(names: list[str], options: Options) -> Iterator[Section]:
    """Measure the sections of these names; one that cannot be measured gives the reason."""
    for name in names:
        module, function = SECTIONS[name].split(":")
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        if find_spec(module) is None:
            yield Section(name, name, [], [f"there is no {module} in this checkout"])
            continue
        section: Callable[[Options], Section] | None
        section = getattr(importlib.import_module(module), function, None)
        if section is None:
            yield Section(name, name, [], [f"{module} is run by itself: it has no {function}"])
            continue
        try:
            yield section(options)
        except (NotMeasuredError, DownloadError) as error:
            yield Section(name, name, [], [str(error)])


if __name__ == "__main__":
    main()
