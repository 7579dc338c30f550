"""The progress of a long job: a bar in a terminal, otherwise a line from time to time."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from maix_facemesh_ros.wording import counted

#: Seconds between two lines.
INTERVAL = 10.0


@contextmanager
def progress_of_images(total: int | None, *, quiet: bool) -> Iterator[Callable[[int], Any]]:
    """Show the progress in this block; gives a function that takes the number of further images.

    Args:
        total: images to process; None: not known.
        quiet: show nothing.
    """
    if quiet:
        yield lambda _images: None
    elif sys.stderr.isatty():
        with tqdm(total=total, unit=" images", dynamic_ncols=True) as bar:
            yield bar.update
    else:
        yield _Lines(total).update


class _Lines:
    """One line each `INTERVAL` seconds, as a log needs it."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._started = self._told = time.monotonic()
        self._done = 0

    def update(self, images: int) -> None:
        self._done += images
        now = time.monotonic()
        if now - self._told < INTERVAL:
            return
        self._told = now
        done = counted(self._done, "image")
        if self._total:
            done = f"{self._done} of {counted(self._total, 'image')}"
        print(f"{done} after {now - self._started:.0f} s", file=sys.stderr, flush=True)
