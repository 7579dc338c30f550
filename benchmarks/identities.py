"""Mistakes of `FaceIds` on generated sequences whose truth is known."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

# The sequences are those of the tests.
sys.path.append(str(Path(__file__).resolve().parent.parent / "test"))

from face_sequences import HARD, PLAIN, Mistakes, Sequence, mistakes_in

__all__ = ["Mistakes", "count_mistakes"]

SEEDS = range(5)


def count_mistakes() -> dict[str, Mistakes]:
    """Return the mistakes in five sequences of each scene, by the name of the scene."""
    return {scene.__name__.replace("_", " "): _mistakes(scene) for scene in (*PLAIN, *HARD)}


def _mistakes(scene: Callable[[np.random.Generator], Sequence]) -> Mistakes:
    total = Mistakes()
    for seed in SEEDS:
        total += mistakes_in(scene(np.random.default_rng(seed)), seed)
    return total
