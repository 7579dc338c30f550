"""Timing of several contenders by turns, so that whatever else the machine does hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

#: Pictures at the start that are not counted: memory is set up, and trackers find their face.
WARM_UP = 10


@dataclass(frozen=True, eq=False)
class Contender:
    """Something that is timed."""

    #: Does the work on the picture of this number.
    step: Callable[[int], Any]
    #: Turns what `step` returned into what is kept of it. It is not timed.
    answer: Callable[[Any], Any] | None = None


@dataclass(frozen=True, eq=False)
class Measurement:
    """What was measured of one contender, picture by picture."""

    #: Seconds that passed.
    wall: list[float] = field(default_factory=list)
    #: Seconds that all threads of the process computed, together.
    cpu: list[float] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)


class Spread(NamedTuple):
    """The median of some times, and where most of them lie, in milliseconds."""

    median: float
    p10: float
    p90: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """Sum up times in seconds."""
        p10, median, p90 = (np.percentile(seconds, [10, 50, 90]) * 1000).tolist()
        return cls(median, p10, p90)


def measure_by_turns(
    contenders: dict[str, Contender],
    rounds: int,
    report_progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Measurement]:
    """Time every contender on every picture: all of them on one picture, then all on the next.

    Every second round goes backwards, so that nobody always runs after the same other one.

    Args:
        contenders: by name.
        rounds: how many pictures are counted.
        report_progress: called with the number of each round.
    """
    measurements = {name: Measurement() for name in contenders}
    for number in range(WARM_UP + rounds):
        report_progress(number)
        turns: Iterable[tuple[str, Contender]] = contenders.items()
        for name, contender in reversed(list(turns)) if number % 2 else turns:
            cpu_start, wall_start = time.process_time(), time.perf_counter()
            result = contender.step(number)
            wall, cpu = time.perf_counter() - wall_start, time.process_time() - cpu_start
            if number < WARM_UP:
                continue
            measurements[name].wall.append(wall)
            measurements[name].cpu.append(cpu)
            if contender.answer is not None:
                measurements[name].answers.append(contender.answer(result))
    return measurements
