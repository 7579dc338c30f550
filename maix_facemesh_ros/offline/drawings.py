"""The images of a segment with their faces drawn into them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from maix_facemesh_ros.bags.storage import UnpackLimits
from maix_facemesh_ros.drawing import draw_face
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.image import Image, Pixels
from maix_facemesh_ros.messages.compressed_image import encode_jpeg
from maix_facemesh_ros.offline.open_recording import open_recording
from maix_facemesh_ros.offline.recordings import Recording
from maix_facemesh_ros.offline.segment_faces import ImageFaces
from maix_facemesh_ros.offline.segments import SegmentTask, images_of

#: Rows of an image whose colors are swapped at once.
ROWS_AT_ONCE = 256


class DrawnImage(NamedTuple):
    """An image with its faces."""

    image: ImageFaces
    faces: list[Face]
    #: The image with the faces drawn into it, as JPEG; None: not wanted.
    jpeg: bytes | None


def draw_faces(
    recording: Recording, task: SegmentTask, faces: Sequence[Sequence[Face] | None]
) -> list[bytes]:
    """Return each image of a segment with its faces drawn into it, as JPEG.

    Args:
        recording: where the images are. A video continues where the last call has stopped.
        task: the segment.
        faces: of each image; None: the image cannot be used.
    """
    images = images_of(recording, task.camera, task.segment)
    return [
        b"" if found is None else draw_as_jpeg(recorded.read(), found)
        for recorded, found in zip(images, faces, strict=True)
    ]


def draw_in_segment(task: SegmentTask, faces: Sequence[Sequence[Face] | None]) -> list[bytes]:
    """Do what `draw_faces` does, in a process for this alone."""
    recording = _recording(task.path, task.camera.topic, task.unpacked, task.limits)
    return draw_faces(recording, task, faces)


# A process keeps its recording open: a video is not read from its beginning for each segment.
@lru_cache(maxsize=1)
def _recording(path: Path, topic: str, unpacked: Path | None, limits: UnpackLimits) -> Recording:
    return open_recording(path, (topic,), unpacked, limits)


def draw_as_jpeg(image: Image, faces: Iterable[Face]) -> bytes:
    """Return an image with its faces drawn into it, as JPEG; draws into the image if it can."""
    # In place: a large image takes 200 MB.
    pixels = np.require(image.pixels, np.uint8, ["C", "W"])
    if image.order == "bgr":
        _swap_red_and_blue(pixels)
    for face in faces:
        draw_face(pixels, face, mesh=True, box=True, label=True)
    _swap_red_and_blue(pixels)
    return encode_jpeg(pixels)


def _swap_red_and_blue(image: Pixels) -> None:
    """Do so in place, strip by strip, as OpenCV takes a copy of what it changes in place."""
    for top in range(0, len(image), ROWS_AT_ONCE):
        strip = image[top : top + ROWS_AT_ONCE]
        cv2.cvtColor(strip, cv2.COLOR_BGR2RGB, strip)
