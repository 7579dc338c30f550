"""A small run of the benchmark, without what it would download."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.alone
def test_sections_that_need_no_peer_are_measured(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench", "--rounds", "2", "--json", str(file)]
        + ["--only", "outside", "enrichment"],
        cwd=ROOT,
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    sections = json.loads(file.read_text())["sections"]
    assert set(sections) == {"outside", "enrichment"}
    rows = [row for section in sections.values() for row in section["rows"]]
    assert all(row["ours"]["median"] > 0 for row in rows)
    assert all(row["title"] in finished.stdout for row in rows)
    assert any(row["ours"]["samples"] == 2 for row in rows)
