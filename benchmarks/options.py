"""Options of the benchmark's command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """How much to measure."""

    #: Images that every contender gets.
    rounds: int = 150
    #: Less of everything: a first impression.
    quick: bool = False
    #: The user's own detector files, by the detector's name.
    detector_models: Mapping[str, Path] = field(default_factory=dict)
