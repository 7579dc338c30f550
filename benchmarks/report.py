"""The outcome of a run: what it says in numbers, as a table for people and as JSON."""

from __future__ import annotations

import json
import os
import platform
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.identities import Mistakes
from benchmarks.measurement import Measurement, Spread

#: Libraries whose version matters.
PACKAGES = ("onnxruntime", "opencv-contrib-python", "numpy", "mediapipe", "ai-edge-litert")

#: How to read the table.
NOTES = (
    "ms: median by the clock; 8 of 10 pictures took p10-p90; CPU: median of what all threads of "
    "the process computed, in ms.",
    "Each uses one thread for its networks (ours: threads=1, OpenCV's threads off; MediaPipe: its "
    "own default on Linux). MediaPipe's graph has threads of its own, so with more than one core "
    "compare the CPU times.",
    "MediaPipe's times include mediapipe.Image(...) of the array, which its users need too.",
    "full_range, our default detector, looks for far smaller faces than MediaPipe's short range; "
    "with tracking it looks only when a face may be new.",
    "apart: mean distance between our landmarks and MediaPipe's, in percent of the distance "
    "between the outer eye corners; another detector, or another past of the smoothing, gives "
    "slightly other landmarks.",
)


@dataclass(frozen=True)
class Times:
    """How long one contender took."""

    wall: Spread
    cpu: Spread

    @classmethod
    def of(cls, measurement: Measurement) -> Times:
        """Sum up a measurement."""
        return cls(Spread.of(measurement.wall), Spread.of(measurement.cpu))


@dataclass(frozen=True)
class Row:
    """One line of the table: this package, and what it is compared with."""

    section: str
    title: str
    ours: Times
    peer: Times | None
    #: Mean distance between our landmarks and the peer's in percent of the distance between the
    #: outer corners of the eyes, over the pictures in which both found the face.
    distance: float | None = None
    #: Pictures in which we, and in which the peer, found no face although there is one.
    no_face: tuple[int, int] = (0, 0)

    @property
    def wall_ratio(self) -> float | None:
        """Our median time as a fraction of the peer's."""
        return self.ours.wall.median / self.peer.wall.median if self.peer else None

    @property
    def cpu_ratio(self) -> float | None:
        """Our median computing time as a fraction of the peer's."""
        return self.ours.cpu.median / self.peer.cpu.median if self.peer else None


@dataclass(frozen=True)
class Target:
    """The most that our time may be of the peer's."""

    title: str
    limit: float
    rows: Sequence[Row]

    @property
    def ratio(self) -> float:
        """The largest ratio of the rows, by the clock or in computing time."""
        ratios = [ratio for row in self.rows for ratio in (row.wall_ratio, row.cpu_ratio)]
        return max(ratio for ratio in ratios if ratio is not None)

    @property
    def reached(self) -> bool:
        """Whether no row is above the limit."""
        return self.ratio <= self.limit


@dataclass(frozen=True)
class Report:
    """Everything that a run found."""

    rounds: int
    cores: int
    rows: Sequence[Row]
    #: Times of the stages of one tracked face.
    stages: dict[str, Spread]
    #: Times of what is done with the landmarks of one face, by what is switched on.
    parts: dict[str, Spread]
    #: What smoothing does, in words.
    smoothing: dict[str, str]
    #: Mistakes of the ids, by scene.
    identities: dict[str, Mistakes]
    targets: Sequence[Target]
    #: What could not be measured, and why.
    skipped: Sequence[str]
    machine: dict[str, str] = field(default_factory=lambda: describe_machine())

    def as_text(self) -> str:
        """Return the table."""
        lines = [f"{name}: {value}" for name, value in self.machine.items()]
        lines += [
            f"pictures: {self.rounds}, all rows by turns on each; cores used: {self.cores}",
            "",
        ]
        lines += _table(self.rows)
        lines += ["", "stages of one tracked face (by the clock)" + " " * 5 + SPREAD_HEAD]
        lines += [f"  {stage:<42}{_spread(times)}" for stage, times in self.stages.items()]
        lines += ["", "added to one face (by the clock)" + " " * 12 + SPREAD_HEAD]
        lines += [f"  {part:<42}{_spread(times)}" for part, times in self.parts.items()]
        lines += ["", "smoothing", *(f"  {what} {how}" for what, how in self.smoothing.items())]
        lines += ["", "ids in five sequences of each scene       switches fragmentations inherited"]
        lines += [
            f"  {scene:<40}{found.switches:8}{found.fragmentations:15}{found.inherited:10}"
            for scene, found in self.identities.items()
        ]
        lines += ["", *(f"skipped: {reason}" for reason in self.skipped)]
        for note in NOTES:
            lines += textwrap.wrap(note, 110, initial_indent="- ", subsequent_indent="  ")
        lines += ["", *map(_target_line, self.targets)]
        return "\n".join(line.rstrip() for line in lines)

    def write_json(self, file: Path) -> None:
        """Write the same for programs; times are milliseconds."""
        content = {
            "machine": self.machine,
            "rounds": self.rounds,
            "cores": self.cores,
            "rows": [_row_record(row) for row in self.rows],
            "stages": {stage: times._asdict() for stage, times in self.stages.items()},
            "parts": {part: times._asdict() for part, times in self.parts.items()},
            "smoothing": self.smoothing,
            "identities": {scene: asdict(found) for scene, found in self.identities.items()},
            "targets": [
                {
                    "title": target.title,
                    "limit": target.limit,
                    "ratio": target.ratio,
                    "reached": target.reached,
                }
                for target in self.targets
            ],
            "skipped": list(self.skipped),
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=2) + "\n")


def describe_machine() -> dict[str, str]:
    """Return what the times depend on: processor, Python and the libraries."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "Python": platform.python_version(),
        "libraries": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
    }


SPREAD_HEAD = f"{'ms':>7}  {'p10-p90':<13}"
_TIMES_HEAD = f"{SPREAD_HEAD}{'CPU':>7}"


def _table(rows: Sequence[Row]) -> list[str]:
    lines = [
        f"{'':<44}{'ours':>7}{'':24}{'peer':>7}{'':24}{'ours/peer':>12}",
        f"{'':<44}{_TIMES_HEAD}  {_TIMES_HEAD}  {'time':>6}{'CPU':>6}  apart",
    ]
    section = ""
    for row in rows:
        if row.section != section:
            section = row.section
            lines.append(section)
        lines.append(_row_line(row))
    return lines


def _row_line(row: Row) -> str:
    line = f"  {row.title:<42}{_times(row.ours)}"
    if row.peer is not None:
        line += f"  {_times(row.peer)}  {row.wall_ratio:6.2f}{row.cpu_ratio:6.2f}"
    if row.distance is not None:
        line += f"  {row.distance:.3f} %"
    if any(row.no_face):
        line += f", no face in {row.no_face[0]} (ours) and {row.no_face[1]} (peer) pictures"
    return line


def _times(times: Times) -> str:
    return f"{_spread(times.wall)}{times.cpu.median:7.2f}"


def _spread(spread: Spread) -> str:
    return f"{spread.median:7.2f}  {f'{spread.p10:.2f}-{spread.p90:.2f}':<13}"


def _target_line(target: Target) -> str:
    verdict = "reached" if target.reached else "missed"
    return f"target: {target.title} <= {target.limit}: {verdict}, {target.ratio:.2f}"


def _row_record(row: Row) -> dict[str, Any]:
    def times_record(times: Times) -> dict[str, Any]:
        return {"wall": times.wall._asdict(), "cpu": times.cpu._asdict()}

    return {
        **asdict(row),
        "ours": times_record(row.ours),
        "peer": times_record(row.peer) if row.peer else None,
        "wall_ratio": row.wall_ratio,
        "cpu_ratio": row.cpu_ratio,
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
