"""One image in memory that one process changes and others see."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

#: Images per second of all videos.
RATE = 30

#: Returns the image of a number, uint8 (height, width, 3) RGB.
Clip = Callable[[int], Pixels]


class SharedImage:
    """An image that this process changes and others see: a file in memory that all map."""

    def __init__(self, clip: Clip) -> None:
        """Make the file and show the first image of a clip."""
        memory = Path("/dev/shm")
        first = clip(0)
        self._clip = clip
        self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115 (closed by close)
            prefix="facemesh-bench-", dir=memory if memory.is_dir() else None
        )
        self._pixels = np.memmap(self._file.name, np.uint8, "w+", shape=first.shape)
        self.path = self._file.name
        self.shape: tuple[int, ...] = first.shape
        self._pixels[:] = first

    def show(self, number: int) -> None:
        """Show the image of this number."""
        self._pixels[:] = self._clip(number)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


def map_image(path: str, shape: tuple[int, ...]) -> Pixels:
    """Return the `SharedImage` of another process, uint8 (height, width, 3) RGB."""
    return np.asarray(np.memmap(path, np.uint8, "r+", shape=tuple(shape)))
