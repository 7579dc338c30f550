"""The progress of a long job: a bar in a terminal, otherwise a line from time to time."""

from __future__ import annotations

import sys
import threading
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
        with _Lines(total) as lines:
            yield lines.update


class _Lines:
    """One line each `INTERVAL` seconds, as a log needs it, also while no image is done."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._started = time.monotonic()
        self._done = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._print, name="progress", daemon=True)

    def update(self, images: int) -> None:
        self._done += images

    def _print(self) -> None:
        while not self._ended.wait(INTERVAL):
            done = counted(self._done, "image")
            if self._total:
                done = f"{self._done} of {counted(self._total, 'image')}"
            seconds = time.monotonic() - self._started
            print(f"{done} after {seconds:.0f} s", file=sys.stderr, flush=True)

    def __enter__(self) -> _Lines:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
