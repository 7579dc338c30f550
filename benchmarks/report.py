"""The outcome of a run: one table for people, the same for docs/performance.md, and as JSON."""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.measurement import Figure

#: Libraries of this environment whose version matters; those of the peers stand in their rows.
PACKAGES = ("onnxruntime", "opencv-python-headless", "numpy")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    title: str
    ours: Figure
    #: Name of the peer.
    against: str = ""
    peer: Figure | None = None
    #: Our computing time as a fraction of the peer's, if that was measured too.
    cpu_ratio: float | None = None
    #: The most that the ratio, or without a peer our median, is meant to be.
    limit: float | None = None
    remark: str = ""

    @property
    def ratio(self) -> float | None:
        """Our median as a fraction of the peer's."""
        return self.ours.median / self.peer.median if self.peer else None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None: there is none."""
        if self.limit is None:
            return None
        measured = self.ours.median if self.ratio is None else self.ratio
        return measured <= self.limit

    @property
    def target(self) -> str:
        """The target in words."""
        if self.limit is None:
            return ""
        return f"≤ {self.limit:.2f}" if self.peer else f"≤ {self.limit:g} {self.ours.unit}"

    @property
    def verdict(self) -> str:
        """The verdict of the row against its target."""
        return {None: "", True: "met", False: "MISSED"}[self.met]

    def cells(self) -> list[str]:
        """Return the cells of the table's columns."""
        return [
            self.title,
            figure_text(self.ours),
            self.against,
            figure_text(self.peer) if self.peer else "",
            "" if self.ratio is None else f"{self.ratio:.2f}",
            "" if self.cpu_ratio is None else f"{self.cpu_ratio:.2f}",
            self.target,
            self.verdict,
            self.remark,
        ]

    def record(self) -> dict[str, Any]:
        """Return the same for JSON."""
        return {**asdict(self), "ratio": self.ratio, "met": self.met}


COLUMNS = (
    "row",
    "ours: median [p10-p90]",
    "against",
    "median [p10-p90]",
    "ratio",
    "CPU",
    "target",
    "",
    "remark",
)


@dataclass(frozen=True)
class Line:
    """One line of a section that has columns of its own."""

    texts: Sequence[str]
    met: bool | None = None

    def cells(self) -> list[str]:
        """Return the cells of the table's columns."""
        return list(self.texts)

    def record(self) -> dict[str, Any]:
        """Return the same for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Section:
    """Rows that were measured together."""

    name: str
    title: str
    rows: Sequence[Row | Line]
    #: Missing measurements, with reasons.
    skipped: Sequence[str] = ()
    columns: Sequence[str] = COLUMNS

    def record(self) -> dict[str, Any]:
        """Return the section for JSON."""
        return {
            "title": self.title,
            "columns": list(self.columns),
            "rows": [row.record() for row in self.rows],
            "skipped": list(self.skipped),
        }


@dataclass(frozen=True)
class Report:
    """Everything that a run found."""

    sections: Sequence[Section]
    #: How it was run: rounds and such.
    run: Mapping[str, Any]
    machine: Mapping[str, str] = field(default_factory=lambda: describe_machine())

    def as_text(self) -> str:
        """Return the table."""
        lines = [f"{name}: {value}" for name, value in self.machine.items()]
        lines += [", ".join(f"{name} {value}" for name, value in self.run.items()), ""]
        for columns in dict.fromkeys(tuple(section.columns) for section in self.sections):
            lines += _table(columns, [each for each in self.sections if each.columns == columns])
        met = [row.met for section in self.sections for row in section.rows if row.met is not None]
        if met:
            lines += [f"targets: {sum(met)} of {len(met)} met"]
        return "\n".join(line.rstrip() for line in lines)

    def write_json(self, file: Path) -> None:
        """Write the same for programs."""
        content = {
            "machine": dict(self.machine),
            "run": dict(self.run),
            "sections": {section.name: section.record() for section in self.sections},
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def write_docs(self, *files: Path) -> None:
        """Put the table of each measured section between its marks in one of some Markdown files.

        Raises:
            ValueError: no file has marks for a section; nothing is written then.
        """
        texts = {file: file.read_text() for file in files}
        for section in self.sections:
            begin, end = f"<!-- bench {section.name}: begin -->", "<!-- bench: end -->"
            marked = re.compile(f"(?<={re.escape(begin)}\n).*?(?={re.escape(end)})", re.DOTALL)
            file = next((file for file, text in texts.items() if marked.search(text)), None)
            if file is None:
                names = ", ".join(map(str, files))
                raise ValueError(f"{names}: no lines {begin} and {end} for {section.title}")
            table = self._markdown(section)
            texts[file] = marked.sub(lambda _, table=table: table, texts[file], count=1)  # type: ignore[misc]
        for file, text in texts.items():
            file.write_text(text)

    def _markdown(self, section: Section) -> str:
        rows = [row.cells() for row in section.rows]
        # An empty column is omitted.
        columns = section.columns
        shown = [n for n in range(len(columns)) if n < 2 or any(row[n] for row in rows)]
        lines = [[columns[n] for n in shown], ["---"] * len(shown)]
        lines += [[row[n].replace("|", "\\|") for n in shown] for row in rows]
        measured = ", ".join(self.machine.values())
        run = ", ".join(f"{name} {value}" for name, value in self.run.items())
        return "\n".join(
            [
                "",
                *(f"| {' | '.join(line)} |" for line in lines),
                "",
                *(f"Not measured: {reason}.  " for reason in section.skipped),
                f"Measured on {measured}; {run}.",
                "",
                "",
            ]
        )


def figure_text(figure: Figure) -> str:
    """Return "9.1 ms [8.9-9.6]", with three digits."""
    if figure.samples == 1 and figure.median == int(figure.median):  # something counted
        return f"{figure.median:.0f} {figure.unit}"
    median, p10, p90 = map(_three_digits, (figure.median, figure.p10, figure.p90))
    if figure.samples == 1:
        return f"{median} {figure.unit}"
    return f"{median} {figure.unit} [{p10}-{p90}]"


def describe_machine() -> dict[str, str]:
    """Return the conditions of the times: processor, system, Python and the libraries."""
    cores = len(os.sched_getaffinity(0))
    return {
        "machine": f"{cores} cores, {_processor()}",
        "system": f"{_system()}, Python {platform.python_version()}",
        "libraries": ", ".join(f"{name} {_version(name)}" for name in PACKAGES),
        "date": time.strftime("%Y-%m-%d"),
    }


def _three_digits(value: float) -> str:
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{decimals}f}"


def _table(columns: Sequence[str], sections: Sequence[Section]) -> list[str]:
    """Return the lines of sections that have the same columns."""
    tables = [[row.cells() for row in section.rows] for section in sections]
    cells = [list(columns), *(line for table in tables for line in table)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(columns))]
    lines = [_aligned(columns, widths)]
    for section, table in zip(sections, tables, strict=True):
        lines += ["", f"{section.name}: {section.title}"]
        lines += [_aligned(line, widths) for line in table]
        lines += [f"not measured: {reason}" for reason in section.skipped]
    return [*lines, ""]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
