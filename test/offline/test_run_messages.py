"""What `facemesh_bag` prints while it runs: progress in a log, and no lines of the libraries."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from maix_facemesh_ros import progress
from maix_facemesh_ros.progress import progress_of_images
from maix_facemesh_ros.wording import counted


def test_a_number_of_one_has_no_plural() -> None:
    assert [counted(number, "image") for number in (0, 1, 2)] == ["0 images", "1 image", "2 images"]


@pytest.mark.parametrize(
    ("total", "lines"),
    [
        (3, ["1 of 3 images after 0 s", "3 of 3 images after 0 s"]),
        (1, ["1 of 1 image after 0 s", "3 of 1 image after 0 s"]),
        (None, ["1 image after 0 s", "3 images after 0 s"]),
    ],
)
def test_progress_without_a_terminal_is_a_line_from_time_to_time(
    total: int | None,
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for interval, expected in ((0.0, lines), (3600.0, [])):
        monkeypatch.setattr(progress, "INTERVAL", interval)
        with progress_of_images(total, quiet=False) as update:
            update(1)
            update(2)
        assert capsys.readouterr().err.splitlines() == expected
    with progress_of_images(total, quiet=True) as update:
        update(1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "content", [b"not a video", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(64)]
)
def test_a_damaged_video_is_one_line_of_this_program(content: bytes, tmp_path: Path) -> None:
    video = tmp_path / "damaged.mp4"
    video.write_bytes(content)
    ended = subprocess.run(
        [sys.executable, "-m", "maix_facemesh_ros.offline.main", video, "-o", tmp_path / "x.csv"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"facemesh_bag: {video} is not a file of a bag")
    assert ended.stdout == ""
