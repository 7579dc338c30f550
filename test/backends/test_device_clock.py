"""The clock of a device: soon known, and to an error that is never larger than it says."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from maix_facemesh_ros.backends.maixcam.device_clock import (
    ENOUGH_EXCHANGES,
    LARGEST_DRIFT,
    ClockError,
    DeviceClock,
)

HOUR = 3600.0


class Device:
    """A clock that drifts and has been set wrong, and a way to it that takes its time."""

    def __init__(self, ahead: float, drift: float, delay: Callable[[], float]) -> None:
        """Start.

        Args:
            ahead: seconds.
            drift: so much faster it runs, as a fraction.
            delay: seconds that one way takes, new each time.
        """
        self.ahead, self.drift, self.delay = ahead, drift, delay

    def clock(self, host: float) -> float:
        """Return the device's time, in whole microseconds, as the link carries it."""
        return int(1e6 * (host * (1 + self.drift) + self.ahead)) / 1e6

    def exchange(self, clock: DeviceClock, sent: float) -> float:
        """Let the clock learn from one exchange; returns when it is over."""
        came = sent + self.delay()
        answered = came + 20e-6
        received = answered + self.delay()
        clock.add(sent, self.clock(came), self.clock(answered), received)
        return received


def steady() -> float:
    return 100e-6


@pytest.mark.parametrize("drift", [0.0, 200e-6, -200e-6, 0.9 * LARGEST_DRIFT])
@pytest.mark.parametrize("ahead", [0.0, HOUR, -HOUR])
def test_offset_and_drift_are_found(ahead: float, drift: float) -> None:
    device, clock = Device(ahead, drift, steady), DeviceClock()
    start = 2 * HOUR
    for index in range(80):
        device.exchange(clock, start + 0.25 * index)
    now = start + 20.0
    assert clock.is_known
    assert clock.at(device.clock(now)) == pytest.approx(now, abs=50e-6)
    # Ours against the device's, which is the other way round.
    assert clock.drift == pytest.approx(-drift, abs=20e-6)
    assert clock.round_trip == pytest.approx(200e-6, abs=5e-6)


@pytest.mark.parametrize("seed", range(20))
def test_the_error_is_never_larger_than_it_says(seed: int) -> None:
    """With answers late by up to 40 ms, as the NPU makes them, one way more than the other."""
    random_ = random.Random(seed)
    late_one_way = random_.random()

    def delay() -> float:
        late = random_.random() < late_one_way
        return random_.expovariate(1 / 300e-6) + (random_.uniform(0, 0.04) if late else 0)

    device, clock = Device(HOUR, random_.uniform(-300e-6, 300e-6), delay), DeviceClock()
    now = 1000.0
    errors = []
    for _ in range(200):
        now = device.exchange(clock, now)
        # A frame from just before, and one just before the next exchange.
        for moment in (now - 0.1, now + 0.25):
            if clock.is_known:
                off = abs(clock.at(device.clock(moment)) - moment)
                # 0.25 s further than the last exchange, with the drift that is left.
                assert off <= clock.error + 0.3 * LARGEST_DRIFT
                errors.append(off)
        now += 0.25
    errors.sort()
    assert errors[len(errors) // 2] < 2e-3


def test_it_is_not_known_before_there_were_some_exchanges() -> None:
    device, clock = Device(HOUR, 0.0, steady), DeviceClock()
    assert not clock.is_known
    for index in range(ENOUGH_EXCHANGES):
        assert not clock.is_known
        device.exchange(clock, 10.0 + 0.015 * index)
    assert clock.is_known
    assert clock.error < 1e-3


@pytest.mark.parametrize("jump", [HOUR, -HOUR, 0.05, -0.05])
@pytest.mark.parametrize("after", [7, 40])
def test_a_clock_that_is_set_is_learned_anew(jump: float, after: int) -> None:
    device, clock = Device(HOUR, 50e-6, steady), DeviceClock()
    now = 500.0
    for _ in range(after):
        now = device.exchange(clock, now) + 0.25
    device.ahead += jump
    now = device.exchange(clock, now) + 0.25
    assert not clock.is_known, "what is known of the old clock does not count for the new one"
    for _ in range(ENOUGH_EXCHANGES):
        now = device.exchange(clock, now) + 0.25
    assert clock.is_known
    assert clock.at(device.clock(now)) == pytest.approx(now, abs=1e-3)


def test_a_pace_that_changes_is_followed() -> None:
    """A time server slows this machine's clock down or the device's, and later lets it run."""
    device, clock = Device(HOUR, 0.0, steady), DeviceClock()
    now = 500.0
    for pace in (0.0, 400e-6, -400e-6):
        device.ahead += now * (device.drift - pace)
        device.drift = pace
        for _ in range(60):
            now = device.exchange(clock, now) + 0.25
            assert abs(clock.at(device.clock(now)) - now) < 1e-3


def test_times_that_cannot_be_are_refused() -> None:
    clock = DeviceClock()
    with pytest.raises(ClockError, match=r"took -1\.000 ms"):
        clock.add(1.0, 5.001, 5.0, 1.002)
    with pytest.raises(ClockError, match=r"took 500\.000 ms, but it was here after 2\.000 ms"):
        clock.add(1.0, 5.0, 5.5, 1.002)
    assert not clock.is_known
