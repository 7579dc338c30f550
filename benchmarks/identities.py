"""Errors of `FaceIds` on generated sequences with known identities."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

# The sequences are those of the tests.
sys.path.append(str(Path(__file__).resolve().parent.parent / "test/support"))

from benchmarks.measurement import Figure
from benchmarks.options import Options
from benchmarks.report import Row, Section
from face_sequences import PLAIN, Mistakes, Sequence, flickering, mistakes_in, taking_a_place

SEEDS = range(5)


def measure(_: Options) -> Section:
    """Count the mistakes in five sequences of each scene."""
    rows = []
    for scene in (*PLAIN, flickering, taking_a_place):
        found = _mistakes(scene)
        rows.append(
            Row(
                scene.__name__.replace("_", " "),
                Figure.of([found.switches], "switches"),
                remark=f"{found.fragmentations} fragmentations, {found.inherited} ids inherited",
            )
        )
    title = f"mistakes of the ids in {len(SEEDS)} generated sequences of each scene"
    return Section("ids", title, rows)


def _mistakes(scene: Callable[[np.random.Generator], Sequence]) -> Mistakes:
    total = Mistakes()
    for seed in SEEDS:
        total += mistakes_in(scene(np.random.default_rng(seed)), seed)
    return total
