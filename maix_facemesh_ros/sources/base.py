"""The protocol of image sources, their errors and notices, and the watchdog of live sources."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from maix_facemesh_ros.errors import FaceMeshError
from maix_facemesh_ros.image import Image

#: Seconds without an image after which a live source counts as stalled.
STALL = 3.0


class SourceError(FaceMeshError, RuntimeError):
    """A source cannot be opened or delivers no images; the message names it."""


@dataclass(frozen=True, slots=True)
class SourceNotice:
    """A message for the user about a running source; it contains no password."""

    text: str
    #: Whether something is wrong, rather than right again.
    warning: bool


Report = Callable[[SourceNotice], None]


class ImageSource(Protocol):
    """Where images come from."""

    #: The source as it may be shown: a URL without password.
    name: str
    #: Images come when they come and not when they are asked for, so one that waits gets old.
    is_live: bool

    def images(self) -> Iterator[Image]:
        """Yield the images until the source ends or is closed; iterate once, in one thread.

        Raises:
            SourceError: nothing in it can be read after all.
        """
        ...

    def close(self) -> None:
        """End the iteration, from any thread; the read in progress is completed."""
        ...


class Watchdog:
    """Reports once when a live source stops delivering images, and once when it resumes."""

    #: Seconds between two checks.
    INTERVAL = 0.1

    def __init__(self, name: str, report: Report) -> None:
        self._name = name
        self._report = report
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._last_image_at = 0.0
        self._lost = False

    def start(self, closing: threading.Event) -> None:
        """Check the source until it is closed, because the thread that reads it can block."""
        self._closing = closing
        self._last_image_at = time.monotonic()
        threading.Thread(target=self._watch, name="source watchdog", daemon=True).start()

    def image_came(self, taken_at: float) -> None:
        """Record an image; report that the source is back if it was lost."""
        with self._lock:
            gap, self._last_image_at = taken_at - self._last_image_at, taken_at
            if self._lost:
                self._lost = False
                text = f"source {self._name!r} gives images again, after {gap:.1f} s without"
                self._report(SourceNotice(text, warning=False))

    def lost(self, why: str) -> None:
        """Report that the source delivers no images, unless that was reported."""
        with self._lock:
            self._say_lost(why)

    def _watch(self) -> None:
        while not self._closing.wait(self.INTERVAL):
            with self._lock:
                silence = time.monotonic() - self._last_image_at
                if silence >= STALL:
                    self._say_lost(f"has given no image for {silence:.1f} s")

    def _say_lost(self, why: str) -> None:
        if not self._lost and not self._closing.is_set():
            self._lost = True
            text = f"source {self._name!r} {why}; trying again until it gives images"
            self._report(SourceNotice(text, warning=True))
