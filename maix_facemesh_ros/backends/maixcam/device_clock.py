"""How the clock of a device runs against the clock of this machine.

Each exchange of four times (RFC 5905, section 8) bounds the offset between the clocks, whatever the
two ways took: the device has got the message after this machine has sent it, and this machine the
answer after the device has sent that. The shorter the round trip, the narrower the bounds. All
exchanges of the last seconds together bound the drift, and, moved along with it to one moment, the
offset. So the error that is told cannot be exceeded as long as the drift is steady.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from maix_facemesh_ros.errors import FaceMeshError

#: Seconds of the device's clock that an exchange counts, and those from which one exchange is kept:
#: the one with the shortest round trip.
WINDOW = 20.0
INTERVAL = 0.5

#: A clock drifts by no more than this (seconds a second); quartz has a twentieth of it.
LARGEST_DRIFT = 1e-3

#: The drift itself changes by up to so much over the window, with the temperature of the quartz.
CHANGE_OF_DRIFT = 1e-5

#: Times of the device are multiples of this number of seconds.
RESOLUTION = 1e-6

#: Exchanges until the clock is taken for known.
ENOUGH_EXCHANGES = 4


class ClockError(FaceMeshError, ValueError):
    """The times of an exchange contradict each other."""


class _Exchange(NamedTuple):
    #: Seconds of the device's clock.
    device: float
    #: Seconds that this machine's clock is ahead of the device's, and by how much that may be off.
    offset: float
    uncertainty: float


class _Line(NamedTuple):
    """This machine's clock as a line over the device's."""

    #: The device's time at which `offset` holds; `drift` is its change per second from there.
    reference: float
    offset: float
    drift: float
    #: Largest error of `offset`.
    error: float


class DeviceClock:
    """Turns times of one device into times of this machine."""

    def __init__(self) -> None:
        self._exchanges: deque[_Exchange] = deque()
        self._count = 0
        self._line = _Line(0.0, 0.0, 0.0, float("inf"))

    @property
    def is_known(self) -> bool:
        """Whether there were enough exchanges to trust `at`."""
        return self._count >= ENOUGH_EXCHANGES

    @property
    def error(self) -> float:
        """The largest error of `at` around the last exchange, in seconds."""
        return self._line.error

    @property
    def drift(self) -> float:
        """How much faster this machine's clock runs than the device's, as a fraction."""
        return self._line.drift

    @property
    def round_trip(self) -> float:
        """The shortest round trip of the last seconds, without the device's part, in seconds."""
        return 2 * min((exchange.uncertainty for exchange in self._exchanges), default=float("inf"))

    def at(self, device: float) -> float:
        """Return the time of this machine for a time of the device, both in seconds."""
        line = self._line
        return device + line.offset + line.drift * (device - line.reference)

    def add(self, sent: float, came: float, answered: float, received: float) -> None:
        """Learn from one exchange; times in seconds.

        Args:
            sent: this machine's, when the question went out.
            came: the device's, when the question came.
            answered: the device's, when the answer went out.
            received: this machine's, when the answer came.

        Raises:
            ClockError: the device says that it took longer than it can have.
        """
        uncertainty = ((received - sent) - (answered - came)) / 2 + RESOLUTION
        if came > answered or uncertainty < -LARGEST_DRIFT * (received - sent):
            raise ClockError(
                f"the device says that its answer took {1e3 * (answered - came):.3f} ms, but it "
                f"was here after {1e3 * (received - sent):.3f} ms"
            )
        device = (came + answered) / 2
        offset = (sent + received) / 2 - device
        exchange = _Exchange(device, offset, max(uncertainty, RESOLUTION))
        if not self._follows(exchange):
            self._exchanges.clear()
            self._count = 0
        self._count += 1
        self._keep(exchange)
        line = _line_through(self._exchanges, device)
        while line is None:
            # One of the clocks runs at another pace now, as time servers make it do.
            self._exchanges.popleft()
            line = _line_through(self._exchanges, device)
        self._line = line

    def _follows(self, exchange: _Exchange) -> bool:
        """Tell if neither of the clocks has been set between the last exchange and this one."""
        if not self._exchanges:
            return True
        passed = exchange.device - self._line.reference
        jump = abs(self.at(exchange.device) - (exchange.device + exchange.offset))
        largest = exchange.uncertainty + self._line.error + LARGEST_DRIFT * passed
        return passed >= 0 and jump <= largest

    def _keep(self, exchange: _Exchange) -> None:
        """Keep the best exchange of each interval in the window."""
        exchanges = self._exchanges
        if exchanges and exchanges[-1].device // INTERVAL == exchange.device // INTERVAL:
            if exchange.uncertainty < exchanges[-1].uncertainty:
                exchanges[-1] = exchange
        else:
            exchanges.append(exchange)
        while exchange.device - exchanges[0].device > WINDOW:
            exchanges.popleft()


def _line_through(exchanges: deque[_Exchange], now: float) -> _Line | None:
    """Return what fits all exchanges, with the offset at `now`; None if nothing does."""
    device, offset, uncertainty = np.array(exchanges).T
    one, other = np.triu_indices(len(device), 1)
    span = device[other] - device[one]
    change = offset[other] - offset[one]
    off = uncertainty[other] + uncertainty[one]
    drift, off_drift = _middle(
        np.max((change - off) / span - CHANGE_OF_DRIFT, initial=-LARGEST_DRIFT),
        np.min((change + off) / span + CHANGE_OF_DRIFT, initial=LARGEST_DRIFT),
    )
    moved = offset + drift * (now - device)
    off = uncertainty + off_drift * (now - device)
    middle, error = _middle(np.max(moved - off), np.min(moved + off))
    if off_drift < 0 or error < 0:
        return None
    return _Line(now, middle, drift, error)


def _middle(low: float, high: float) -> tuple[float, float]:
    """Return the middle of two bounds and the distance to them; negative if they contradict."""
    return float(low + high) / 2, float(high - low) / 2
