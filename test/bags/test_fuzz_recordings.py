"""Mutants of small recordings: read, or refused in one line, in little memory and time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "support" / "fuzz_recordings.py"

#: With `--long`; a tenth without.
MUTANTS = {"bags": 5000, "videos": 1000}

#: Megabytes that a process may have taken at its peak.
PEAK = 400


@pytest.mark.parametrize("kind", list(MUTANTS))
def test_mutants_are_read_or_refused(
    kind: str, repetitions: Callable[[int], int], tmp_path: Path
) -> None:
    """What fails names its seed; `python fuzz_recordings.py FOLDER KIND SEED 1` repeats it."""
    count = repetitions(MUTANTS[kind])
    finished = subprocess.run(
        [sys.executable, str(PROGRAM), str(tmp_path), kind, "0", str(count)],
        capture_output=True,
        text=True,
        errors="replace",  # FFmpeg prints names as they are in a damaged file.
        timeout=550,
    )
    seed = (tmp_path / "seed").read_text()
    assert finished.returncode == 0, (seed, finished.stderr[-2000:])
    *wrong, refused, peak = finished.stdout.splitlines()
    assert not wrong, "\n".join(wrong)
    # Neither everything nor nothing: the mutations are worth something.
    assert count / 20 < int(refused.split()[1]) < count / 2
    assert int(peak.split()[1]) < PEAK
