"""The stamps of a stream of images: a time that never goes back, and stamps in a wrong unit."""

from __future__ import annotations

import math
from typing import NamedTuple

from maix_facemesh_ros.errors import ArgumentError

#: Interval between two images without usable stamps, in seconds.
ASSUMED_INTERVAL = 1 / 30

#: Longest interval between two images of one stream in seconds, unless `id_timeout` is longer.
LONGEST_PAUSE = 1.0

#: Stamps look like milliseconds when they advance by at least this number of seconds, and by this
#: multiple of the time that has passed, in this number of consecutive images.
SUSPICIOUS_STEP = 10.0
SUSPICIOUS_RATIO = 10.0
SUSPICIOUS_IMAGES = 5


class StreamTime(NamedTuple):
    """Time of an image within its stream."""

    #: The stamp, plus the sum of all steps back since the stream began.
    seconds: float
    #: The image does not follow the previous one: ids and smoothing start again.
    is_new_stream: bool


class StreamClock:
    """Converts stamps to a time that never goes back within a stream.

    A correction by NTP, or two images in the wrong order, set the stamps back by fractions of a
    second. The faces are the same, so their tracks continue: the image counts as one interval later
    than the previous one. A restarted bag and a reset simulation go back further, and start a new
    stream.
    """

    def __init__(self) -> None:
        self._stamp: float | None = None
        self._offset = 0.0
        self._interval = ASSUMED_INTERVAL
        self._restarts = False

    def restart(self) -> None:
        """Start a new stream with the next image, from any thread."""
        self._restarts = True

    @property
    def next_stamp(self) -> float:
        """Stamp in seconds for an image that has none."""
        return ASSUMED_INTERVAL + (self._stamp or 0.0)

    def advance(self, stamp: float, id_timeout: float) -> StreamTime:
        """Return the time of the next image.

        Args:
            stamp: of the image, in seconds.
            id_timeout: a stamp that goes back by less than this number of seconds continues the
                stream; one that advances by more, and by more than `LONGEST_PAUSE`, does not.

        Raises:
            ArgumentError: the stamp is not finite; nothing has changed then.
        """
        if not math.isfinite(stamp):
            raise ArgumentError(f"stamp is {stamp}: give the image's time in seconds")
        step = 0.0 if self._stamp is None else stamp - self._stamp
        self._stamp = stamp
        is_jump = step != 0.0 and not -id_timeout < step <= max(LONGEST_PAUSE, id_timeout)
        if self._restarts or is_jump:
            self._restarts = False
            self._offset, self._interval = 0.0, ASSUMED_INTERVAL
            return StreamTime(stamp, is_new_stream=True)
        if step > 0.0:
            self._interval = step
        elif step < 0.0:
            self._offset += self._interval - step
        return StreamTime(stamp + self._offset, is_new_stream=False)


class StampCheck:
    """Recognizes stamps that hold milliseconds where seconds belong."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._suspicious = 0
        self._is_named = False

    def notice(self, stamp: float, time: float) -> str:
        """Return a warning about the stamps, once; otherwise an empty text.

        Args:
            stamp: of the next image, in seconds.
            time: when the image arrived, or was recorded: seconds on any clock.
        """
        if self._is_named:
            return ""
        last, self._last = self._last, (stamp, time)
        if last is None:
            return ""
        step, elapsed = stamp - last[0], time - last[1]
        if step < max(SUSPICIOUS_STEP, SUSPICIOUS_RATIO * elapsed):
            self._suspicious = 0
            return ""
        self._suspicious += 1
        if self._suspicious < SUSPICIOUS_IMAGES:
            return ""
        self._is_named = True
        return (
            f"the stamps advance by {step:g} s from image to image, and the images come "
            f"{max(elapsed, 0.0):.3g} s apart: they look like milliseconds in header.stamp.sec. "
            "Each image starts a new stream, so there are no tracks and no smoothing. Set sec to "
            "whole seconds and nanosec to the rest in the publisher of the images"
        )
