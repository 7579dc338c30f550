"""The numbers at the top of README.md are those of the tables in docs/."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

#: Columns of the table of faces in the wild.
FACES, OURS, MEDIAPIPE = "faces", "full_range", "MediaPipe 0.10.21"


def rows(page: str, title: str) -> list[list[str]]:
    """Return the cells of the rows whose first cell begins with a title."""
    lines = (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith(f"| {title}")
    ]


def readme_row(title: str) -> str:
    (row,) = re.findall(rf"^\| {title} \| (.*) \|$", README, re.MULTILINE)
    return str(row)


def rounded(cell: str, digits: str = "1") -> str:
    """Return the number at the start of a cell, rounded as people do."""
    number = re.match(r"[\d.]+", cell)
    assert number is not None, cell
    return str(Decimal(number[0]).quantize(Decimal(digits), ROUND_HALF_UP))


@pytest.mark.parametrize(
    ("title", "row", "said"),
    [
        ("faces found", "whole photographs", "of {} faces in whole photographs {} % "),
        ("far faces", "30 pixels wide", "of {} faces 30 pixels wide in images of 640x480 {} %"),
        ("rolled heads", "turned by 105 to 180°", "of {} turned by 105 to 180° {} %"),
    ],
)
def test_faces_found(title: str, row: str, said: str) -> None:
    (names,) = rows("accuracy.md", "images | faces |")
    (values,) = rows("accuracy.md", row)
    cells = dict(zip(names, values, strict=True))
    assert said.format(cells[FACES], rounded(cells[OURS])) in readme_row(title)
    assert f"FaceLandmarker {rounded(cells[MEDIAPIPE])} %" in readme_row(title)


def test_parity() -> None:
    single, *_ = rows("accuracy.md", "`detector: short_range`, single images")
    faces = re.search(r"(\d+) faces in", single[0])
    found = re.search(r"mean ([\d.]+), .* worst face ([\d.]+)\.", single[1])
    assert faces and found
    assert f"of {faces[1]} faces" in readme_row("parity")
    mean, worst = rounded(found[1], "0.001"), rounded(found[2], "0.001")
    assert f"by {mean} % of the eye distance on average, by {worst} % at" in readme_row("parity")


def ratios(*titles: str) -> str:
    """Return the smallest and the largest ratio in rows of docs/performance.md, with one digit."""
    found = [
        float(cells[4])
        for title in titles
        for cells in rows("performance.md", title)
        if "apart" in cells[-1] or "by block" in cells[-1]
    ]
    assert len(found) >= 8
    digits = 2 if max(found) < 1 else 1
    return f"{min(found):.{digits}f} to {max(found):.{digits}f}"


def test_speed() -> None:
    alone = ("640x360 |", "640x480 |", "1280x720 |", "1920x1080 |", "a filmed face, 640x360 |")
    assert f"take {ratios(*alone)} times as long as with MediaPipe" in readme_row("speed")
    assert f"without a face {ratios('no face, ')} times as long" in readme_row("speed")
