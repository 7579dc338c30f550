"""Images of many sizes whose faces MediaPipe's FaceLandmarker has found: data/mediapipe/sizes.npz.

Their pixels are made by copying and averaging whole numbers, so they are the same everywhere; an
OpenCV that scales a little differently would not be.

As a program, in an environment with mediapipe, it writes MediaPipe's answers:
`python parity_scenes.py face_landmarker.task skimage/data/astronaut.png sizes.npz`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # the package is not in MediaPipe's environment
    from maix_facemesh_ros.image import Pixels

#: Width and height in pixels: longer sides divisible by 4 or not, odd, prime, wide and tall.
SIZES = (
    *((640, 480), (427, 320), (626, 417), (1126, 751), (1366, 768), (720, 1280), (1280, 960)),
    *((331, 499), (997, 661), (701, 701), (450, 450), (334, 500), (1001, 1502), (641, 361)),
    *((502, 335), (150, 150), (258, 259), (1999, 1333)),
)


def sized_scene(astronaut: Pixels, number: int) -> Pixels:
    """Return the image of `SIZES[number]`: the astronaut's head, once or twice, on gray.

    Args:
        astronaut: (512, 512, 3).
        number: of the size; it also decides where the heads are, and whether they are mirrored or
            twice as large.
    """
    width, height = SIZES[number]
    image = np.full((height, width, 3), 96 + 5 * number, np.uint8)
    head = astronaut[6:270, 92:356]
    if number % 2:
        head = head[:, ::-1]
    if min(width, height) >= 650:
        times = 4 if min(width, height) >= 1300 else 2
        head = head.repeat(times, axis=0).repeat(times, axis=1)
    elif min(width, height) < 300:
        quarters = head.astype(np.uint16).reshape(132, 2, 132, 2, 3).sum(axis=(1, 3))
        head = (quarters // 4).astype(np.uint8)
    left = (width - len(head)) * (number % 5) // 4
    top = (height - len(head)) * (number % 3) // 2
    image[top : top + len(head), left : left + len(head)] = head
    if width >= 2 * len(head):
        other = left + len(head) if left + 2 * len(head) <= width else left - len(head)
        if other >= 0:
            image[top : top + len(head), other : other + len(head)] = head[:, ::-1]
    return image


def main(task: str, astronaut: str, output: str) -> None:
    """Write what MediaPipe finds in each of the images.

    Args:
        task: path of Google's face_landmarker.task.
        astronaut: path of scikit-image's astronaut.png.
        output: path of the .npz file to write.
    """
    import cv2
    import mediapipe

    bgr = cv2.imread(astronaut)
    assert bgr is not None
    rgb = np.asarray(bgr[:, :, ::-1], np.uint8)
    options = mediapipe.tasks.vision.FaceLandmarkerOptions(
        base_options=mediapipe.tasks.BaseOptions(model_asset_path=task), num_faces=10
    )
    answers: dict[str, npt.NDArray[Any]] = {}
    with mediapipe.tasks.vision.FaceLandmarker.create_from_options(options) as landmarker:
        for number, (width, height) in enumerate(SIZES):
            pixels = np.ascontiguousarray(sized_scene(rgb, number))
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
            faces = landmarker.detect(image).face_landmarks
            found = [[(mark.x, mark.y, mark.z) for mark in face] for face in faces]
            answers[f"{width}x{height}"] = np.array(found, np.float32).reshape(-1, 478, 3)
    np.savez_compressed(output, **answers)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
