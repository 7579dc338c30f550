"""Interleaved timing of several contenders, so that other load affects all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

#: Rounds at the start that are not counted: memory is set up, and trackers find their face.
WARM_UP = 10


class Step(NamedTuple):
    """One contender's work on one image."""

    #: Seconds that passed.
    wall: float
    #: Seconds that all threads of its process computed, together.
    cpu: float
    #: The kept part of the result.
    answer: Any


#: Works on the image of this number.
Contender = Callable[[int], Step]


@dataclass(frozen=True, eq=False)
class Measurement:
    """Measurement of one contender, image by image."""

    #: Seconds that passed.
    wall: list[float] = field(default_factory=list)
    #: Seconds computed.
    cpu: list[float] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Figure:
    """Median, and 10th and 90th percentile, of some samples."""

    median: float
    p10: float
    p90: float
    unit: str
    samples: int

    @classmethod
    def of(cls, values: Sequence[float], unit: str, scale: float = 1.0) -> Figure:
        """Sum up samples, each times `scale`.

        Raises:
            ValueError: there are none.
        """
        if not len(values):
            raise ValueError("there are no samples to sum up")
        p10, median, p90 = (np.percentile(values, [10, 50, 90]) * scale).tolist()
        return cls(median, p10, p90, unit, len(values))

    @classmethod
    def milliseconds(cls, seconds: Sequence[float]) -> Figure:
        """Sum up times in seconds."""
        return cls.of(seconds, "ms", 1000.0)


def timed(work: Callable[[int], Any], answer: Callable[[Any], Any] | None = None) -> Contender:
    """Return a contender that does its work in this process.

    Args:
        work: is timed.
        answer: converts the result of `work` for keeping. It is not timed.
    """

    def step(number: int) -> Step:
        cpu_start, wall_start = time.process_time(), time.perf_counter()
        result = work(number)
        wall, cpu = time.perf_counter() - wall_start, time.process_time() - cpu_start
        return Step(wall, cpu, answer(result) if answer is not None else None)

    return step


def measure_by_turns(
    contenders: Mapping[str, Contender],
    rounds: int,
    before_round: Callable[[int], None] = lambda _: None,
    warm_up: int = WARM_UP,
) -> dict[str, Measurement]:
    """Time every contender on every image: all of them on one image, then all on the next.

    Every second round goes backwards, so that no contender always follows the same other one.

    Args:
        contenders: by name.
        rounds: how many are counted.
        before_round: called with the number of each round, outside all times.
        warm_up: rounds before those.
    """
    measurements = {name: Measurement() for name in contenders}
    for number in range(warm_up + rounds):
        before_round(number)
        turns: Iterable[tuple[str, Contender]] = contenders.items()
        for name, contender in reversed(list(turns)) if number % 2 else turns:
            step = contender(number)
            if number < warm_up:
                continue
            measurements[name].wall.append(step.wall)
            measurements[name].cpu.append(step.cpu)
            measurements[name].answers.append(step.answer)
    return measurements
