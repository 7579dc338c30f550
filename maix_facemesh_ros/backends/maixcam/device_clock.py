"""Offset and drift between the clock of a device and the clock of this machine.

Each exchange of four times (RFC 5905, section 8) bounds the offset between the clocks, independent
of the transmission times: the device receives the message after this machine has sent it, and this
machine receives the answer after the device has sent it. The shorter the round trip, the narrower
the bounds. All exchanges of the last seconds together bound the drift and, extrapolated with the
drift to one time, the offset. As long as the drift is steady, the true error is within the reported
one.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from maix_facemesh_ros.errors import FaceMeshError

#: Seconds of the device's clock during which an exchange is used, and the interval of which only
#: the exchange with the shortest round trip is kept.
WINDOW = 20.0
INTERVAL = 0.5

#: Maximum drift of a clock (seconds per second); a quartz has a twentieth of it.
LARGEST_DRIFT = 1e-3

#: Maximum change of the drift over the window, due to the temperature of the quartz.
CHANGE_OF_DRIFT = 1e-5

#: Resolution of the device's times, in seconds.
RESOLUTION = 1e-6

#: Number of exchanges after which the offset counts as known.
ENOUGH_EXCHANGES = 4


class ClockError(FaceMeshError, ValueError):
    """The times of an exchange contradict each other."""


class _Exchange(NamedTuple):
    #: Seconds of the device's clock.
    device: float
    #: Seconds that this machine's clock is ahead of the device's, and the maximum error of that.
    offset: float
    uncertainty: float


class _Line(NamedTuple):
    """This machine's clock as a linear function of the device's."""

    #: The device's time at which `offset` holds; `drift` is its change per second from there.
    reference: float
    offset: float
    drift: float
    #: Largest error of `offset`.
    error: float


class DeviceClock:
    """Converts times of one device to times of this machine."""

    def __init__(self) -> None:
        self._exchanges: deque[_Exchange] = deque()
        self._count = 0
        self._line = _Line(0.0, 0.0, 0.0, float("inf"))

    @property
    def is_known(self) -> bool:
        """Whether there were enough exchanges for `at`."""
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
        """Update the estimate with one exchange; times in seconds.

        Args:
            sent: this machine's time when the request was sent.
            came: the device's time when the request arrived.
            answered: the device's time when the answer was sent.
            received: this machine's time when the answer arrived.

        Raises:
            ClockError: the device's times are longer than the round trip.
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
            # The rate of one of the clocks has changed, such as by a time server.
            self._exchanges.popleft()
            line = _line_through(self._exchanges, device)
        self._line = line

    def _follows(self, exchange: _Exchange) -> bool:
        """Tell whether neither clock was set between the last exchange and this one."""
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
    """Return the line that fits all exchanges, with the offset at `now`; None if none does."""
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
