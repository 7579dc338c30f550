"""What the benchmark says of its samples: figures, verdicts, table, JSON, docs/performance.md."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

# Last, so that the installed package is the one that is tested.
sys.path.append(str(Path(__file__).parent.parent))

from benchmarks.bench import DOCS_FILES, SECTIONS, read_arguments
from benchmarks.measurement import WARM_UP, Figure, Step, measure_by_turns, timed
from benchmarks.report import Line, Report, Row, Section, figure_text

MACHINE = {"machine": "2 cores of a test"}


def figure(median: float, unit: str = "ms") -> Figure:
    return Figure(median, median - 0.5, median + 0.5, unit, 100)


def report_of(*rows: Row, skipped: tuple[str, ...] = ()) -> Report:
    return Report([Section("video", "a title", rows, skipped)], {"images": 5}, MACHINE)


def test_a_figure_is_the_median_and_where_eight_of_ten_lie() -> None:
    assert Figure.milliseconds([i / 1000 for i in range(101)]) == Figure(50, 10, 90, "ms", 101)


def test_no_samples_make_no_figure() -> None:
    with pytest.raises(ValueError, match="no samples"):
        Figure.of([], "ms")


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (Figure(9.123, 8.987, 12.34, "ms", 50), "9.12 ms [8.99-12.3]"),
        (Figure(251.4, 251.4, 251.4, "MB", 1), "251 MB"),
        (Figure(3, 3, 3, "switches", 1), "3 switches"),
    ],
)
def test_figures_have_three_digits(figure: Figure, text: str) -> None:
    assert figure_text(figure) == text


@pytest.mark.parametrize(
    ("row", "ratio", "target", "verdict"),
    [
        (Row("", figure(6), "a", figure(10), limit=0.6), 0.6, "≤ 0.60", "met"),
        (Row("", figure(7), "a", figure(10), limit=0.6), 0.7, "≤ 0.60", "MISSED"),
        (Row("", figure(7), "a", figure(10)), 0.7, "", ""),
        (Row("", figure(150, "MB"), limit=160), None, "≤ 160 MB", "met"),
        (Row("", figure(170, "MB"), limit=160), None, "≤ 160 MB", "MISSED"),
    ],
)
def test_a_row_says_how_it_stands_against_its_target(
    row: Row, ratio: float | None, target: str, verdict: str
) -> None:
    assert row.ratio == (None if ratio is None else pytest.approx(ratio))
    assert (row.target, row.verdict) == (target, verdict)


def test_the_table_has_every_row_and_what_could_not_be_measured() -> None:
    row = Row("640x360", figure(6), "MediaPipe", figure(10), 0.61, 0.6, "apart 0.01 %")
    text = report_of(row, Row("alone", figure(3)), skipped=("yunet: no file",)).as_text()
    line = next(line for line in text.splitlines() if line.startswith("640x360"))
    assert line.split("  ")[0] == "640x360"
    for part in ("6.00 ms [5.50-6.50]", "MediaPipe", "0.60", "0.61", "met", "apart 0.01 %"):
        assert part in line
    assert "alone" in text
    assert "not measured: yunet: no file" in text
    assert "targets: 1 of 1 met" in text
    assert MACHINE["machine"] in text


def test_a_section_can_have_columns_of_its_own(tmp_path: Path) -> None:
    own = Section("image", "faces", [Line(["upright", "12 of 12"])], columns=("images", "right"))
    timed_section = Section("video", "a title", [Row("640x360", figure(6))])
    report = Report([timed_section, own], {}, MACHINE)
    assert report.as_text().splitlines()[-3:] == ["", "image: faces", "upright  12 of 12"]
    file = tmp_path / "accuracy.md"
    file.write_text(
        "<!-- bench video: begin -->\n<!-- bench: end -->\n"
        "<!-- bench image: begin -->\n<!-- bench: end -->\n"
    )
    report.write_docs(file)
    assert "| images | right |\n| --- | --- |\n| upright | 12 of 12 |\n" in file.read_text()


def test_the_json_has_samples_ratio_and_verdict(tmp_path: Path) -> None:
    file = tmp_path / "new" / "bench.json"
    report_of(Row("640x360", figure(7), "MediaPipe", figure(10), limit=0.6)).write_json(file)
    content = json.loads(file.read_text())
    assert content["machine"] == MACHINE
    (row,) = content["sections"]["video"]["rows"]
    assert row["ours"] == {"median": 7, "p10": 6.5, "p90": 7.5, "unit": "ms", "samples": 100}
    assert row["ratio"] == pytest.approx(0.7)
    assert row["met"] is False


def test_the_docs_get_the_measured_sections_only(tmp_path: Path) -> None:
    file = tmp_path / "performance.md"
    file.write_text(
        "before\n<!-- bench video: begin -->\nold\n<!-- bench: end -->\nbetween\n"
        "<!-- bench node: begin -->\nkept\n<!-- bench: end -->\n"
    )
    report = report_of(Row("640x360", figure(7), "MediaPipe", figure(10), limit=0.6))
    report.write_docs(file)
    once = file.read_text()
    assert "| 640x360 | 7.00 ms [6.50-7.50] | MediaPipe |" in once
    assert "old" not in once
    assert once.startswith("before\n") and "\nbetween\n" in once and "\nkept\n" in once
    report.write_docs(file)
    assert file.read_text() == once


def test_docs_without_a_place_for_a_section_are_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "performance.md"
    file.write_text("nothing here\n")
    with pytest.raises(ValueError, match="bench video: begin"):
        report_of().write_docs(file)
    assert file.read_text() == "nothing here\n"


def test_the_docs_have_a_place_for_every_section() -> None:
    text = "".join(file.read_text() for file in DOCS_FILES)
    places = re.findall(r"<!-- bench ([\w-]+): begin -->", text)
    assert sorted(places) == sorted(SECTIONS)


def test_contenders_take_turns_and_their_first_rounds_do_not_count() -> None:
    order: list[str] = []

    def contender(name: str, seconds: float) -> Step:
        order.append(name)
        return Step(seconds, seconds / 2, name)

    measured = measure_by_turns(
        {"a": lambda _: contender("a", 1.0), "b": lambda _: contender("b", 2.0)}, 3
    )
    assert order[:8] == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert len(order) == 2 * (WARM_UP + 3)
    assert (measured["b"].wall, measured["b"].cpu) == ([2.0] * 3, [1.0] * 3)
    assert measured["a"].answers == ["a"] * 3


def test_what_is_kept_of_a_result_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"seconds": 0.0}

    def advance(seconds: float) -> float:
        clock["seconds"] += seconds
        return seconds

    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(f"time.{name}", lambda: clock["seconds"])
    step = timed(lambda _: advance(1.0), lambda result: advance(100.0) + result)
    assert step(0) == Step(1.0, 1.0, 101.0)


@pytest.mark.parametrize("wrong", [["--rounds", "0"], ["--only", "nothing"]])
def test_a_wrong_command_line_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(wrong)
