"""The device's clock, which counts from its start, and waiting."""

from __future__ import annotations

import time as _time

from . import _knobs

# The real one replaces its own by these, because its own would hold the interpreter lock.
sleep = _time.sleep
time = _time.time


def sleep_ms(ms: int) -> None:
    """Wait; other threads run."""
    _time.sleep(ms * 0.001)


def sleep_us(us: int) -> None:
    """Wait; other threads run."""
    _time.sleep(us * 0.000001)


def ticks_us() -> int:
    """Return microseconds since the device was started."""
    return _ticks_ns() // 1000


def ticks_ms() -> int:
    """Return milliseconds since the device was started."""
    return _ticks_ns() // 1_000_000


def ticks_s() -> float:
    """Return seconds since the device was started."""
    return _ticks_ns() / 1e9


def _ticks_ns() -> int:
    # In whole numbers, so that the clock never steps back by a rounding.
    host = _time.monotonic_ns()
    drift_per_billion = round(_knobs.number("CLOCK_DRIFT_PPM") * 1000)
    offset = round(_knobs.number("CLOCK_OFFSET_S") * 1e9)
    return host + host * drift_per_billion // 1_000_000_000 + offset
