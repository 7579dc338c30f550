"""Images made of photographs: faces turned, scaled, covered, darkened, in crowds; and none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.photographs import Mark, Photograph
from benchmarks.shared_image import Pixels

Matrix = npt.NDArray[np.float64]

#: Width and height of the images.
SMALL, LARGE, CROWD = (640, 480), (1280, 960), (1920, 1080)
#: Faces with fewer pixels from cheek to cheek are shown in whole photographs only.
SHARP = 80
#: The width of a face in the image that shows it upright, for the reference mesh.
REFERENCE_WIDTH = 200
#: The faces take turns in these widths.
WIDTHS = (60, 100, 160)
TURNS = range(0, 360, 15)
SCALES = (20, 30, 45, 70, 240, 360)
#: Covered: left, top, right, bottom from the face's center in face widths, and the color.
COVERS = {
    "mouth and nose covered": ((-0.55, 0.05, 0.55, 0.75), (150, 190, 215)),
    "eyes covered": ((-0.5, -0.32, 0.5, -0.05), (15, 15, 15)),
    "one half covered": ((0.0, -0.9, 0.75, 0.9), (90, 70, 60)),
}
COVERED_WIDTH = 110
#: Light left over, with a camera's noise in gray levels.
LIGHTS = {"a quarter of the light": 1 / 4, "a tenth": 1 / 10, "a twenty-fifth": 1 / 25}
NOISE = 2.0
#: Columns, rows, and the width of the faces, by the number of faces.
CROWDS = {16: (4, 4, 176), 36: (9, 4, 130), 60: (10, 6, 95)}
CROWDS_OF_A_SIZE = 4
GRAY = (110, 110, 110)
#: The name of a group of turned faces starts with this.
TURNED = "turned by "


class Subject(NamedTuple):
    """A face of the population."""

    photograph: Photograph
    mark: Mark


class Expected(NamedTuple):
    """A face that an image shows."""

    #: Number in the population; None: without a reference mesh.
    subject: int | None
    #: (2, 3) from the image of the reference mesh to this one.
    from_reference: Matrix
    x: float
    y: float
    width: float


@dataclass(frozen=True, eq=False)
class Scene:
    """An image, and the faces in it that count."""

    #: Its row of the table.
    group: str
    draw: Callable[[], Pixels]
    faces: tuple[Expected, ...] = ()


def population(photographs: Sequence[Photograph]) -> list[Subject]:
    """Return all faces but those seen from the side."""
    return [
        Subject(photograph, mark)
        for photograph in photographs
        for mark in photograph.faces
        if not mark.profile
    ]


def references(subjects: Sequence[Subject]) -> list[Scene]:
    """Return an image of each face, upright and large."""
    return [
        _portrait("", subject, number, REFERENCE_WIDTH) for number, subject in enumerate(subjects)
    ]


def turned(subjects: Sequence[Subject], turns: Sequence[int] = TURNS) -> Iterator[Scene]:
    """Return each face at each turn."""
    for number, subject in _sharp(subjects):
        for degrees in turns:
            width = WIDTHS[number % len(WIDTHS)]
            yield _portrait(f"{TURNED}{degrees}°", subject, number, width, degrees)


def changed(subjects: Sequence[Subject]) -> Iterator[Scene]:
    """Return each face at each size, covered in each way, and with little light."""
    for number, subject in _sharp(subjects):
        for width in SCALES:
            yield _portrait(f"{width} pixels wide", subject, number, width)
        plain = _portrait("", subject, number, COVERED_WIDTH)
        for name, (area, color) in COVERS.items():
            yield Scene(name, _covered(plain, area, color), plain.faces)
        for name, light in LIGHTS.items():
            yield Scene(name, _darkened(plain, light, number), plain.faces)


def crowds(subjects: Sequence[Subject]) -> Iterator[Scene]:
    """Return images of many faces, each in a square cut out of its photograph."""
    sharp = list(_sharp(subjects))
    for faces in CROWDS:
        for seed in range(CROWDS_OF_A_SIZE):
            order = np.random.default_rng(seed).permutation(len(sharp))
            yield _crowd([sharp[n % len(sharp)] for n in np.resize(order, faces).tolist()])


def whole(photographs: Sequence[Photograph], subjects: Sequence[Subject]) -> Iterator[Scene]:
    """Return the photographs as they are, no larger than the image."""
    number_of = {(id(one.photograph), one.mark): n for n, one in enumerate(subjects)}
    for photograph in photographs:
        height, width = photograph.pixels.shape[:2]
        scale = min(LARGE[0] / width, LARGE[1] / height, 1.0)
        shift = ((LARGE[0] - scale * width) / 2, (LARGE[1] - scale * height) / 2)
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        faces = tuple(
            _expected(number_of.get((id(photograph), mark)), mark, matrix)
            for mark in photograph.faces
        )
        yield Scene("whole photographs", partial(_warp, photograph.pixels, matrix, LARGE), faces)


def empty(photographs: Sequence[Photograph], without: Sequence[Pixels]) -> Iterator[Scene]:
    """Return images without a face: parts of some, and photographs of groups with gray faces."""
    random = np.random.default_rng(0)
    for pixels in without:
        for _ in range(6):
            scale, degrees = random.uniform(0.6, 2.5), random.uniform(0, 360)
            x, y = random.uniform(0.2, 0.8, 2) * pixels.shape[1::-1]
            matrix = _about((x, y), degrees, scale, SMALL)
            yield Scene("no face", partial(_warp, pixels, matrix, SMALL, reflect=True))
    for photograph in photographs:
        if len(photograph.faces) > 1:
            hidden = _without_its_faces(photograph)
            height, width = hidden.shape[:2]
            scale = min(SMALL[0] / width, SMALL[1] / height)
            for degrees in range(0, 360, 90):
                matrix = _about((width / 2, height / 2), degrees, scale, SMALL)
                yield Scene("no face", partial(_warp, hidden, matrix, SMALL))


def _sharp(subjects: Sequence[Subject]) -> Iterator[tuple[int, Subject]]:
    for number, subject in enumerate(subjects):
        if subject.mark.width >= SHARP:
            yield number, subject


def _portrait(
    group: str, subject: Subject, number: int, width: float, degrees: float = 0.0
) -> Scene:
    """Return the photograph about a face, turned counterclockwise."""
    matrix = _upright(subject.mark, width, SMALL, degrees)
    pixels = subject.photograph.pixels
    return Scene(
        group,
        partial(_warp, pixels, matrix, SMALL),
        (_expected(number, subject.mark, matrix),),
    )


def _crowd(members: Sequence[tuple[int, Subject]]) -> Scene:
    columns, rows, width = CROWDS[len(members)]
    cell = (CROWD[0] // columns, CROWD[1] // rows)
    side = min(cell)
    places = [
        (n % columns * cell[0] + (cell[0] - side) // 2, n // columns * cell[1])
        for n in range(len(members))
    ]
    matrices = [_upright(subject.mark, width, (side, side)) for _, subject in members]
    faces = []
    for (number, subject), matrix, place in zip(members, matrices, places, strict=True):
        shift = np.array([[0, 0, place[0]], [0, 0, place[1]]])
        faces.append(_expected(number, subject.mark, matrix + shift))

    def draw() -> Pixels:
        image = np.full((CROWD[1], CROWD[0], 3), GRAY, np.uint8)
        for (_, subject), matrix, (x, y) in zip(members, matrices, places, strict=True):
            part = _warp(subject.photograph.pixels, matrix, (side, side))
            image[y : y + side, x : x + side] = part
        return image

    return Scene(f"crowds of {len(members)}, faces {width} pixels wide", draw, tuple(faces))


def _expected(number: int | None, mark: Mark, matrix: Matrix) -> Expected:
    reference = _upright(mark, REFERENCE_WIDTH, SMALL)
    from_reference = _chained(matrix, np.asarray(cv2.invertAffineTransform(reference)))
    x, y = matrix @ (mark.x, mark.y, 1)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return Expected(number, from_reference, float(x), float(y), mark.width * scale)


def _covered(
    scene: Scene, area: tuple[float, float, float, float], color: tuple[int, int, int]
) -> Callable[[], Pixels]:
    def draw() -> Pixels:
        image = scene.draw()
        face = scene.faces[0]
        left, top, right, bottom = (round(face.width * side) for side in area)
        x, y = round(face.x), round(face.y)
        image[y + top : y + bottom, x + left : x + right] = color
        return image

    return draw


def _darkened(scene: Scene, light: float, seed: int) -> Callable[[], Pixels]:
    def draw() -> Pixels:
        image = scene.draw() * np.float32(light)
        noise = np.random.default_rng(seed).normal(0, NOISE, image.shape)
        return np.clip(image + noise, 0, 255).astype(np.uint8)

    return draw


def _without_its_faces(photograph: Photograph) -> Pixels:
    image = photograph.pixels.copy()
    for mark in photograph.faces:
        center, axes = (round(mark.x), round(mark.y)), (round(mark.width), round(1.1 * mark.width))
        cv2.ellipse(image, center, axes, mark.roll, 0, 360, GRAY, cv2.FILLED)
    return image


def _upright(mark: Mark, width: float, size: tuple[int, int], degrees: float = 0.0) -> Matrix:
    """Return the (2, 3) matrix that shows a face upright, then turned counterclockwise."""
    return _about((mark.x, mark.y), mark.roll + degrees, width / mark.width, size)


def _about(
    center: tuple[float, float], degrees: float, scale: float, size: tuple[int, int]
) -> Matrix:
    matrix = np.asarray(cv2.getRotationMatrix2D(center, degrees, scale), np.float64)
    matrix[:, 2] += np.array(size) / 2 - center
    return matrix


def _chained(second: Matrix, first: Matrix) -> Matrix:
    return np.asarray(second @ np.vstack([first, (0, 0, 1)]))


def _warp(pixels: Pixels, matrix: Matrix, size: tuple[int, int], reflect: bool = False) -> Pixels:
    """Return an image of a photograph, with a border in gray or in its mirror image."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    while scale < 0.5:  # bilinear interpolation uses four pixels only
        pixels = np.asarray(cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
        matrix = _chained(matrix, np.array([[2.0, 0, 0.5], [0, 2.0, 0.5]]))
        scale *= 2
    border = cv2.BORDER_REFLECT if reflect else cv2.BORDER_CONSTANT
    warped = cv2.warpAffine(
        pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border, borderValue=GRAY
    )
    return np.asarray(warped, np.uint8)
