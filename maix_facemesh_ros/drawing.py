"""Faces drawn into an image: landmarks as MaixPy draws them, and the mesh, the box and a label.

Colors are red, green, blue, for an image in RGB order. The landmarks are
gray and look the same in BGR.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.errors import ArgumentError, ArgumentTypeError
from maix_facemesh_ros.face import Box, Face
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.mesh.connections import (
    FACEMESH_FACE_OVAL,
    FACEMESH_LEFT_EYE,
    FACEMESH_LEFT_EYEBROW,
    FACEMESH_LEFT_IRIS,
    FACEMESH_LIPS,
    FACEMESH_RIGHT_EYE,
    FACEMESH_RIGHT_EYEBROW,
    FACEMESH_RIGHT_IRIS,
    FACEMESH_TESSELATION,
    IndexArray,
    each_line_once,
)
from maix_facemesh_ros.mesh.landmark_subsets import (
    LANDMARKS,
    LEFT_IRIS,
    MESH_LANDMARKS,
    RIGHT_IRIS,
)

Color = tuple[int, int, int]
Numbers = npt.NDArray[Any]


class _Contour(NamedTuple):
    connections: IndexArray
    color: Color


_CONTOURS: Final = (
    _Contour(FACEMESH_FACE_OVAL, (224, 240, 255)),
    _Contour(np.concatenate([FACEMESH_LEFT_EYEBROW, FACEMESH_RIGHT_EYEBROW]), (255, 200, 87)),
    _Contour(np.concatenate([FACEMESH_LEFT_EYE, FACEMESH_RIGHT_EYE]), (120, 255, 170)),
    _Contour(FACEMESH_LIPS, (255, 110, 130)),
)
# Center and edge of the irises: round, unlike the four lines that MediaPipe joins each of them by.
_IRISES: Final = ((RIGHT_IRIS, FACEMESH_RIGHT_IRIS[:, 0]), (LEFT_IRIS, FACEMESH_LEFT_IRIS[:, 0]))
_IRIS_COLOR: Final[Color] = (90, 220, 255)
_MESH_LINES: Final = each_line_once(FACEMESH_TESSELATION)
_BOX_COLOR: Final[Color] = (80, 250, 160)
_LABEL_COLOR: Final[Color] = (10, 40, 25)

# Number of shades of the mesh, from far to near: one OpenCV call for each shade
# instead of one for each of the 1322 lines.
_SHADES: Final = 12
_MESH_COLORS: Final[list[Color]] = [
    (round(red), round(green), round(blue))
    for red, green, blue in np.linspace((0, 60, 130), (190, 255, 255), _SHADES).tolist()
]
# Opacity of the mesh by the width of the face: in a small face the lines are dense and would hide
# the face. Widths in pixels, and the opacity at each of them.
_FACE_WIDTHS: Final = (40, 250)
_MESH_OPACITIES: Final = (0.2, 0.75)
# From this width in pixels on, the contours of a face are drawn with two pixels.
_LARGE_FACE: Final = 250
# The number of fractional bits of a coordinate that OpenCV draws lines with.
_SUB_PIXEL_BITS: Final = 4
# Lines to a landmark further outside than this are skipped: such a landmark is an error, and
# OpenCV's fixed-point coordinates have an end.
_FARTHEST_PIXEL: Final = 2.0**20
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX


def draw_landmarks(
    image: Pixels,
    points: Numbers | Sequence[float],
    points_z: Numbers | Sequence[float] | None = None,
    *,
    radius_min: int = 2,
    radius_max: int = 4,
) -> Pixels:
    """Draw landmarks as filled circles, pixel for pixel as MaixPy's `FaceLandmarks.draw_face`.

    With depths, the nearest landmark is white and has the largest radius, the farthest is black.
    Without (or if all are the same), all are white with the radius (radius_max - radius_min) // 2.
    The order is that of the points: later ones cover earlier ones.

    The formula is that of `draw_face` in MaixCDK, `maix_nn_face_landmarks.hpp` (Apache License
    2.0). MaixPy ignores the lowest depth if it is first (as it may be in the subsets of 68 and 5)
    and its grays are then arbitrary; here the lowest counts at any position.

    Args:
        image: (H, W, 3) uint8, drawn into.
        points: (N, 2) pixels or flat x0, y0, x1, y1, …; the circle's center is the pixel in which
            the point lies. Points that are not finite or do not touch the image are skipped.
        points_z: (N,) depths, larger = closer, in any unit; None or empty if there are none.
            A depth that is not finite counts as the farthest.
        radius_min: pixels; the least radius with depths.
        radius_max: pixels; the radius of the nearest landmark.

    Returns:
        The same image.

    Raises:
        ArgumentError: an image that can't be drawn into, points_z of another length than the
            points, or radii that are not 0 <= radius_min <= radius_max.
    """
    _check_image(image)
    if not 0 <= radius_min <= radius_max:
        raise ArgumentError(
            f"radius_min {radius_min} and radius_max {radius_max}: "
            "must be 0 <= radius_min <= radius_max"
        )
    centers, depths = _checked_points(points, points_z)
    nearness = _nearness(depths)
    radii: npt.NDArray[np.int64]
    grays: npt.NDArray[np.int64]
    if nearness is None:
        radii = np.full(len(centers), (radius_max - radius_min) // 2)
        grays = np.full(len(centers), 255)
    else:
        # In float32 and truncated, as in MaixCDK: float64 would make some grays and radii other.
        radii = np.maximum((nearness * np.float32(radius_max)).astype(np.int64), radius_min)
        grays = (nearness * np.float32(255)).astype(np.int64)

    if image.size == 0:
        return image
    canvas = np.ascontiguousarray(image)
    seen = _touching(centers, radii, image.shape)
    pixels = np.floor(centers[seen]).astype(np.int64)
    circles = np.column_stack([pixels, radii[seen], grays[seen]]).tolist()
    for x, y, radius, gray in circles:
        cv2.circle(canvas, (x, y), radius, (gray, gray, gray), cv2.FILLED)
    return _drawn_into(image, canvas)


def draw_face(
    image: Pixels,
    face: Face,
    *,
    points: bool | None = None,
    mesh: bool = False,
    box: bool = False,
    label: bool = False,
) -> Pixels:
    """Draw one face; by default its landmarks and nothing else, as MaixPy's `draw_face` does.

    Whatever the face does not have (no landmarks, only some of them, no box) is not drawn.

    Args:
        image: (H, W, 3) uint8 in RGB order, drawn into.
        face: its `points`, `points_z`, `indices`, `box`, `id` and `score` are used.
        points: draw the landmarks as circles (`draw_landmarks`). None: yes, except where the whole
            mesh is drawn, which they would hide.
        mesh: draw the lines between the landmarks, shaded by depth (near = bright), and over them
            the outline, eyebrows, eyes, lips and irises. Of a subset of landmarks, those
            connections whose ends are both in the face.
        box: draw the face's box.
        label: write id (if the face has one) and score above the box.

    Returns:
        The same image.

    Raises:
        ArgumentError: an image that can't be drawn into, or `points_z` or `indices` of another
            length than `points`.
    """
    _check_image(image)
    centers, depths = _checked_points(face.points, face.points_z)
    rows = _row_of_landmark(face.indices, len(centers))
    if points is None:
        points = not (mesh and np.all(rows[:MESH_LANDMARKS] >= 0))

    if image.size == 0:
        return image
    canvas = np.ascontiguousarray(image)
    if mesh:
        _draw_mesh(canvas, centers, _nearness(depths), rows)
    if points:
        draw_landmarks(canvas, centers, depths)
    if box:
        _draw_box(canvas, face.box)
    if label:
        _draw_label(canvas, face)
    return _drawn_into(image, canvas)


def _check_image(image: Pixels) -> None:
    if not isinstance(image, np.ndarray):
        kind = type(image).__name__
        raise ArgumentTypeError(f"image is {kind}, must be a numpy array of uint8, (H, W, 3)")
    if image.dtype != np.uint8:
        advice = "image.astype(np.uint8), after scaling to 0..255"
        raise ArgumentError(f"image is {image.dtype}, must be uint8: convert it, {advice}")
    if image.ndim != 3 or image.shape[2] != 3:
        advice = "gray and RGBA images convert with cv2.cvtColor"
        raise ArgumentError(f"image has the shape {image.shape}, must be (H, W, 3): {advice}")
    if not image.flags.writeable:
        raise ArgumentError("image is read-only and can't be drawn into: pass image.copy()")


def _drawn_into(image: Pixels, canvas: Pixels) -> Pixels:
    """Return the image, drawn via a canvas if OpenCV cannot draw into it directly.

    OpenCV draws into rows without gaps or reversals only; a mirrored or cut-out view is not so.
    """
    if canvas is not image:
        image[...] = canvas
    return image


def _checked_points(
    points: Numbers | Sequence[float], points_z: Numbers | Sequence[float] | None
) -> tuple[Numbers, Numbers]:
    """(N, 2) float64 points and (N,) or (0,) float32 depths."""
    flat = np.asarray(points, np.float64)
    depths = np.zeros(0, np.float32) if points_z is None else np.asarray(points_z, np.float32)
    if flat.size % 2 or flat.ndim > 2 or (flat.ndim == 2 and flat.shape[1] != 2):
        raise ArgumentError(f"points of shape {flat.shape}: give (N, 2) or flat x0, y0, x1, y1, …")
    centers = flat.reshape(-1, 2)
    if depths.ndim != 1 or len(depths) not in (0, len(centers)):
        raise ArgumentError(
            f"{len(centers)} points but points_z of shape {depths.shape}: "
            "give one depth for each point, or none at all"
        )
    return centers, depths


def _nearness(depths: Numbers) -> npt.NDArray[np.float32] | None:
    """(N,) float32: 0 the farthest, 1 the nearest; None without depths or if all are the same."""
    finite = np.isfinite(depths)
    if not finite.any():
        return None
    farthest, nearest = depths[finite].min(), depths[finite].max()
    if nearest == farthest:
        return None
    per_unit = np.float32(1.0 / (float(nearest) - float(farthest)))
    above_farthest = np.where(finite, depths, farthest) - farthest
    return np.asarray(np.minimum(above_farthest * per_unit, 1), np.float32)


def _touching(centers: Numbers, radii: Numbers, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """(N,) which circles have a part in an image of this shape; not those of NaN."""
    reach = radii[:, None] + 1.0
    # A comparison with NaN is false.
    inside = (centers > -reach) & (centers < np.array((shape[1], shape[0])) + reach)
    return np.asarray(inside.all(axis=1))


def _row_of_landmark(indices: npt.NDArray[np.uint16] | None, count: int) -> npt.NDArray[np.int64]:
    """(LANDMARKS or more,) for each mesh index its row in `points`, or -1."""
    landmarks = np.arange(count) if indices is None else np.asarray(indices, np.int64)
    if landmarks.shape != (count,):
        raise ArgumentError(
            f"face has {count} points but indices of shape {landmarks.shape}: "
            "give one mesh index for each point, or None for all landmarks in order"
        )
    rows = np.full(max(LANDMARKS, int(landmarks.max(initial=0)) + 1), -1)
    rows[landmarks] = np.arange(count)
    return rows


def _draw_mesh(
    canvas: Pixels,
    centers: Numbers,
    nearness: npt.NDArray[np.float32] | None,
    rows: npt.NDArray[np.int64],
) -> None:
    """Draw the tesselation and the contours, with lines between existing landmarks only."""
    drawable = (np.abs(centers) < _FARTHEST_PIXEL).all(axis=1)  # A comparison with NaN is false.
    if not drawable.any():
        return
    corners = np.zeros(centers.shape, np.int32)
    corners[drawable] = _sub_pixels(centers[drawable])
    rows = np.where((rows >= 0) & np.append(drawable, False)[rows], rows, -1)

    face_width = float(np.ptp(centers[drawable, 0]))
    area = canvas[_covered_area(canvas, centers[drawable])]
    behind = area.copy()
    _draw_tesselation(canvas, corners, nearness, rows)
    opacity = float(np.interp(face_width, _FACE_WIDTHS, _MESH_OPACITIES))
    if area.size:
        cv2.addWeighted(area, opacity, behind, 1 - opacity, 0, dst=area)

    thickness = 1 if face_width < _LARGE_FACE else 2
    for connections, color in _CONTOURS:
        _draw_lines(canvas, corners[_lines_between(connections, rows)], color, thickness)
    for center, edge in _IRISES:
        if np.all(rows[[center, *edge]] >= 0):
            _draw_iris(canvas, centers[rows[center]], centers[rows[edge]], thickness)


def _draw_tesselation(
    canvas: Pixels,
    corners: npt.NDArray[np.int32],
    nearness: npt.NDArray[np.float32] | None,
    rows: npt.NDArray[np.int64],
) -> None:
    """All lines of the mesh, the near ones brighter and over the far ones."""
    lines = _lines_between(_MESH_LINES, rows)
    shades = _shades(lines, nearness)
    for shade, color in enumerate(_MESH_COLORS):
        _draw_lines(canvas, corners[lines[shades == shade]], color)


def _sub_pixels(points: Numbers) -> npt.NDArray[np.int32]:
    """Points in OpenCV's fixed point; its (0, 0) is the middle of a pixel, ours a corner."""
    return np.round((points - 0.5) * 2**_SUB_PIXEL_BITS).astype(np.int32)


def _lines_between(connections: IndexArray, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(M, 2) rows of `points` that the connections join, if both ends exist."""
    lines = rows[connections]
    return np.asarray(lines[(lines >= 0).all(axis=1)])


def _shades(
    lines: npt.NDArray[np.int64], nearness: npt.NDArray[np.float32] | None
) -> npt.NDArray[np.int64]:
    """(M,) the shade of each line, by the depth of its middle; the brightest without depths."""
    if nearness is None:
        return np.full(len(lines), _SHADES - 1)
    shades = nearness[lines].mean(axis=1) * (_SHADES - 1)
    return np.asarray(shades.round(), np.int64)


def _covered_area(canvas: Pixels, points: Numbers) -> tuple[slice, slice]:
    """Rows and columns of the image that lines between the points can change."""
    width_and_height = np.array((canvas.shape[1], canvas.shape[0]))
    left, top = np.clip(points.min(axis=0) - 2, 0, width_and_height).astype(int).tolist()
    right, bottom = np.clip(points.max(axis=0) + 3, 0, width_and_height).astype(int).tolist()
    return slice(top, bottom), slice(left, right)


def _draw_lines(
    canvas: Pixels, lines: npt.NDArray[np.int32], color: Color, thickness: int = 1
) -> None:
    """Lines of shape (M, 2, 2) in fixed-point pixels, smoothed."""
    if len(lines):
        cv2.polylines(canvas, list(lines), False, color, thickness, cv2.LINE_AA, _SUB_PIXEL_BITS)


def _draw_iris(canvas: Pixels, center: Numbers, edge: Numbers, thickness: int) -> None:
    """A circle round the center (2,), as far from it as the edge's points (4, 2) on average."""
    radius = float(np.hypot(*(edge - center).T).mean())
    if radius < _FARTHEST_PIXEL:
        x, y = _sub_pixels(center).tolist()
        fixed_radius = round(radius * 2**_SUB_PIXEL_BITS)
        cv2.circle(
            canvas, (x, y), fixed_radius, _IRIS_COLOR, thickness, cv2.LINE_AA, _SUB_PIXEL_BITS
        )


def _draw_box(canvas: Pixels, box: Box) -> None:
    corners = _box_corners(box)
    if corners is None:
        return
    thickness = _box_thickness(canvas)
    cv2.rectangle(canvas, corners[0], corners[1], _BOX_COLOR, thickness)


def _box_corners(
    box: Box,
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """First and last pixel of a box; None if it has no size or is nowhere near an image."""
    x, y, width, height = box
    edges = np.array((x, y, x + width, y + height))
    if not (width > 0 and height > 0 and np.all(np.abs(edges) < _FARTHEST_PIXEL)):
        return None
    left, top, right, bottom = np.floor(edges).astype(int).tolist()
    return (left, top), (max(left, right - 1), max(top, bottom - 1))


def _box_thickness(canvas: Pixels) -> int:
    """Pixels: 1 in a small image, 2 in 640x480, 4 in 1080p."""
    shorter_side: int = min(canvas.shape[:2])
    return max(1, round(shorter_side / 270))


def _draw_label(canvas: Pixels, face: Face) -> None:
    """Id and score, dark on the box's color: above the box, or within it at the image's top."""
    corners = _box_corners(face.box)
    if corners is None:
        return
    text = f"id {face.id}  {face.score:.2f}" if face.id else f"{face.score:.2f}"
    scale = max(0.4, min(canvas.shape[:2]) / 1000)
    thickness = max(1, round(scale * 1.5))
    (width, height), below = cv2.getTextSize(text, _FONT, scale, thickness)
    margin = round(height / 2)
    label_width, label_height = width + 2 * margin, height + below + margin

    outside = _box_thickness(canvas) // 2
    left = min(corners[0][0] - outside, canvas.shape[1] - label_width)
    top = corners[0][1] - outside - label_height
    left, top = max(left, 0), top if top >= 0 else max(corners[0][1], 0)
    bottom_right = (left + label_width - 1, top + label_height - 1)
    cv2.rectangle(canvas, (left, top), bottom_right, _BOX_COLOR, cv2.FILLED)
    base_line = (left + margin, top + label_height - below - 1)
    cv2.putText(canvas, text, base_line, _FONT, scale, _LABEL_COLOR, thickness, cv2.LINE_AA)
