"""What `facemesh_bag` prints while it runs: progress in a log, and no lines of the libraries."""

from __future__ import annotations

import subprocess
import sys
import time
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
        (3, ["0 of 3 images", "1 of 3 images", "3 of 3 images"]),
        (1, ["0 of 1 image", "1 of 1 image", "3 of 1 image"]),
        (None, ["0 images", "1 image", "3 images"]),
    ],
)
@pytest.mark.timeout(60)
def test_progress_without_a_terminal_is_a_line_from_time_to_time(
    total: int | None,
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def wait_for(line: str) -> None:
        while f"{line} after " not in capsys.readouterr().err:
            time.sleep(0.01)

    monkeypatch.setattr(progress, "INTERVAL", 0.02)
    with progress_of_images(total, quiet=False) as update:
        wait_for(lines[0])  # a first segment takes its time
        update(1)
        wait_for(lines[1])
        update(2)
        wait_for(lines[2])
    capsys.readouterr()
    with progress_of_images(total, quiet=True) as update:
        update(1)
        time.sleep(0.1)
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
