"""The rate of events, such as images, over the last ones."""

from __future__ import annotations

import time
from collections import deque

#: Events over which a rate is counted.
WINDOW = 30

#: Seconds without a message after which a stream is silent.
SILENCE = 2.0


class EventRate:
    """Counts events and returns their rate."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=WINDOW)

    def count(self) -> None:
        """Count an event that happens now."""
        self._times.append(time.monotonic())

    def clear(self) -> None:
        """Count from zero."""
        self._times.clear()

    @property
    def last(self) -> float | None:
        """Time of the last event on the clock of `time.monotonic`; None before the first."""
        return self._times[-1] if self._times else None

    def per_second(self) -> float:
        """Return events per second; 0 before the second event."""
        times = self._times
        if len(times) < 2 or times[-1] == times[0]:
            return 0.0
        return (len(times) - 1) / (times[-1] - times[0])
