"""Scales a whole image into the input of a user's detector."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from maix_facemesh_ros.backends.onnx.network import Network
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.model_files import ModelError

#: A free side of an input becomes a multiple of this, the coarsest stride of YOLOv8 and of YuNet.
MULTIPLE = 32
#: Limits of the longer side where both are free, in pixels: below, a face that fills the image is
#: detected badly; above, one image takes seconds.
LONGEST_SIDE = (320, 1920)


class ImageInput(NamedTuple):
    """The sides of an input for one image, (1, 3, height, width); None: free to choose."""

    width: int | None
    height: int | None

    @classmethod
    def of(cls, network: Network) -> ImageInput:
        """Read the input's shape from the network.

        Raises:
            ModelError: the input is not a single image.
        """
        shape = network.input_shape
        sides = [_number(dimension) for dimension in shape]
        if len(sides) != 4 or sides[0] not in (1, None) or sides[1] not in (3, None):
            raise ModelError(
                f"{network.path} has an input of shape {shape} instead of [1, 3, height, width]: "
                "export it for one image at a time, channels first"
            )
        return cls(width=sides[3], height=sides[2])

    def size_for(
        self, image: Pixels, min_face_size: float, smallest_face: float
    ) -> tuple[int, int]:
        """Return the width and height to run the network at, in pixels.

        Free sides keep the image's aspect ratio and are just large enough for the smallest face.

        Args:
            image: uint8 (H, W, 3).
            min_face_size: the smallest face's width as a fraction of the image's.
            smallest_face: the width in pixels that a face needs in the network's input.
        """
        image_height, image_width = image.shape[:2]
        width = smallest_face / min_face_size
        height = width * image_height / image_width
        longest = max(width, height)
        scale = min(max(longest, LONGEST_SIDE[0]), LONGEST_SIDE[1]) / longest
        return (
            self.width or _up_to_multiple(width * scale),
            self.height or _up_to_multiple(height * scale),
        )


def run_once(network: Network) -> tuple[list[FloatArray], int, int]:
    """Run a user's network on an empty image, to check it before the first real image.

    Returns:
        the outputs, and the width and height of the input they belong to.

    Raises:
        ModelError: the input is not an image, or the network does not run.
    """
    width, height = ImageInput.of(network).size_for(
        np.zeros((240, 320, 3), np.uint8), min_face_size=1.0, smallest_face=1.0
    )
    try:
        return network.run(np.zeros((1, 3, height, width), np.float32)), width, height
    except Exception as error:  # onnxruntime raises many unrelated types
        raise ModelError(
            f"{network.path} does not run on one float32 image of {width}x{height}: {error}"
        ) from error


class Letterbox(NamedTuple):
    """An image scaled into a frame with its aspect ratio, and the inverse mapping."""

    #: uint8 (height, width, 3), the frame.
    pixels: Pixels
    #: (2,) frame pixels per source pixel along x and y, which differ by rounding to whole pixels.
    scale: FloatArray
    #: (2,) x and y of the source's left top corner in the frame, pixels.
    offset: FloatArray

    def to_source(self, points: FloatArray) -> FloatArray:
        """Map (..., 2) points from pixels of the frame to pixels of the source."""
        return (points - self.offset) / self.scale


def letterbox(image: Pixels, size: tuple[int, int], color: int) -> Letterbox:
    """Scale the whole image into the middle of a frame (FIT_CONTAIN in MaixPy).

    Args:
        image: uint8 (H, W, 3).
        size: width, height of the frame in pixels.
        color: the gray level of the bars around the image, 0..255.
    """
    width, height = size
    image_height, image_width = image.shape[:2]
    scale = min(width / image_width, height / image_height)
    scaled_width = min(max(round(image_width * scale), 1), width)
    scaled_height = min(max(round(image_height * scale), 1), height)
    left, top = (width - scaled_width) // 2, (height - scaled_height) // 2

    frame = np.full((height, width, 3), color, np.uint8)
    # Bilinear interpolation uses four pixels only: strongly reduced, a far face would lose most of
    # its own.
    frame[top : top + scaled_height, left : left + scaled_width] = cv2.resize(
        image,
        (scaled_width, scaled_height),
        interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
    )
    return Letterbox(
        pixels=frame,
        scale=np.array([scaled_width / image_width, scaled_height / image_height], np.float32),
        offset=np.array([left, top], np.float32),
    )


def _number(dimension: int | str | None) -> int | None:
    return dimension if isinstance(dimension, int) and dimension > 0 else None


def _up_to_multiple(side: float) -> int:
    return math.ceil(side / MULTIPLE) * MULTIPLE
