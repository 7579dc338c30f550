"""Puts each image together with the faces that were found in it, by their stamp."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from maix_facemesh_ros.image import Stamp

#: Maximum bytes of images that wait for their faces, and maximum number of each kind.
WAITING_BYTES = 100_000_000
WAITING_MESSAGES = 60

#: Seconds without a pair, or without an image, after which the other is shown alone.
PATIENCE = 1.0


@dataclass(frozen=True, slots=True)
class Match:
    """The next frame: serialized messages of one stamp, of which one may be missing."""

    stamp: Stamp
    faces: bytes | None
    image: bytes | None


class StampMatcher:
    """Keeps messages until their counterpart arrives."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._images: dict[Stamp, bytes] = {}
        self._faces: dict[Stamp, bytes] = {}
        # Both start now, so that nothing is shown alone before its counterpart can have come.
        self._matched_at = self._image_at = clock()
        self._faces_at = -PATIENCE

    @property
    def never_fit(self) -> bool:
        """Whether both come, but for some time no two with the same stamp."""
        oldest = self._clock() - PATIENCE
        return self._matched_at < oldest <= min(self._image_at, self._faces_at)

    def add_faces(self, stamp: Stamp, faces: bytes) -> Match | None:
        """Add faces; returns a match if there is one."""
        now = self._faces_at = self._clock()
        if stamp in self._images:
            return self._match(stamp, faces, self._images[stamp])
        self._faces.pop(stamp, None)
        self._faces[stamp] = faces
        if len(self._faces) > WAITING_MESSAGES:
            del self._faces[next(iter(self._faces))]
        alone = now - max(self._matched_at, self._image_at) > PATIENCE
        return Match(stamp, faces, None) if alone else None

    def add_image(self, stamp: Stamp, image: bytes) -> Match | None:
        """Add an image; returns a match if there is one."""
        now = self._image_at = self._clock()
        if stamp in self._faces:
            return self._match(stamp, self._faces[stamp], image)
        self._images.pop(stamp, None)
        self._images[stamp] = image
        self._forget_oldest_images()
        return Match(stamp, None, image) if now - self._matched_at > PATIENCE else None

    def _match(self, stamp: Stamp, faces: bytes, image: bytes) -> Match:
        self._matched_at = self._clock()
        # Earlier messages are older than the frame shown now.
        for waiting in (self._faces, self._images):
            if stamp in waiting:
                while next(iter(waiting)) != stamp:
                    del waiting[next(iter(waiting))]
                del waiting[stamp]
        return Match(stamp, faces, image)

    def _forget_oldest_images(self) -> None:
        size = sum(map(len, self._images.values()))
        while len(self._images) > WAITING_MESSAGES or (
            size > WAITING_BYTES and len(self._images) > 1
        ):
            size -= len(self._images.pop(next(iter(self._images))))
