"""Smaller sets of landmarks picked out of the 478, as MaixPy names them: 146, 68 and 5.

The three lists are those of MaixPy's face landmark application and documentation (MaixPy 4.12.5,
Apache License 2.0).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar, overload

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.errors import (
    ArgumentError,
    ArgumentTypeError,
    LandmarkIndexError,
)

Number = TypeVar("Number", int, float)
Array = npt.NDArray[Any]

#: The landmark network's number of points; valid mesh indices are 0..477.
LANDMARKS: Final = 478
#: The first of them are the vertices of MediaPipe's mesh; the irises follow, five points each.
MESH_LANDMARKS: Final = 468
#: Centers of the irises (the person's right and left).
RIGHT_IRIS: Final = 468
LEFT_IRIS: Final = 473

# fmt: off
#: The landmarks that MediaPipe's blendshape network reads.
SUB_146: Final[tuple[int, ...]] = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66,
    67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144,
    145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173,
    176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284,
    285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332,
    334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386,
    387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473,
    474, 475, 476, 477,
)

#: The landmarks at the positions of the classic 68 (outline, eyebrows, nose, eyes, lips).
SUB_68: Final[tuple[int, ...]] = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)
# fmt: on

#: The 68 landmarks for programs that expect dlib's, in dlib's order. `SUB_68` is MaixPy's choice
#: and stays; its ends of the outline and of the brows are not where dlib has them. Fitted to the
#: results of dlib's shape_predictor_68_face_landmarks for 167 photographed faces: mean distance
#: 4.6 % of that between the outer eye corners, where `SUB_68` has 5.1; at the ends of the outline
#: 6.5 (19.2) and of the brows 6.2 (11.5).
DLIB_68: Final[tuple[int, ...]] = (
    127,
    *SUB_68[1:16],
    356,
    70,
    *SUB_68[18:26],
    300,
    *SUB_68[27:],
)

#: Centers of the right and left iris, tip of the nose, right and left corner of the mouth (the
#: person's right and left).
SUB_5: Final[tuple[int, ...]] = (RIGHT_IRIS, LEFT_IRIS, 4, 61, 291)

#: The mesh indices for each number of landmarks one can ask for.
LANDMARK_SUBSETS: Final[dict[int, tuple[int, ...]]] = {
    LANDMARKS: tuple(range(LANDMARKS)),
    146: SUB_146,
    68: SUB_68,
    5: SUB_5,
}


@overload
def get_sub_landmarks(
    points: Array, points_z: Array | Sequence[Any] | None, indices: Sequence[int] | Array
) -> tuple[Array, Array]: ...


@overload
def get_sub_landmarks(
    points: Sequence[Number], points_z: Sequence[Number] | None, indices: Sequence[int] | Array
) -> tuple[list[Number], list[Number]]: ...


def get_sub_landmarks(
    points: Array | Sequence[Number],
    points_z: Array | Sequence[Any] | None,
    indices: Sequence[int] | Array,
) -> tuple[Array, Array] | tuple[list[Number], list[Number]]:
    """Pick the landmarks `indices`, in that order, from all landmarks of a face.

    Same as the function of this name in MaixPy's face landmark application, for MaixPy's
    lists as well as for arrays. The result is a copy, of the kind the points were given in.

    Args:
        points: (N, 2) array, or flat x0, y0, x1, y1, … as an array or any other sequence. A flat
            sequence may carry a second set of N points behind the first (MaixPy's `landmarks_abs`
            and `landmarks_rel` both on, recognized by its length of 4 N for N depths): it is left
            out, as in MaixPy.
        points_z: N depths; None or empty when there are none, then none are returned.
        indices: the landmarks to take, each from 0 to N - 1, for example `SUB_68`. Empty: all of
            them, as in MaixPy.

    Returns:
        The n chosen points, (n, 2) or flat with 2 n numbers, and their n depths (or none).

    Raises:
        LandmarkIndexError: an index is not one of the N points.
        ArgumentTypeError: an index is not a whole number.
        ArgumentError: points and points_z do not belong together, or an array has another shape.
    """
    if isinstance(points, np.ndarray):
        return _sub_arrays(points, points_z, indices)
    depths = [] if points_z is None else list(points_z)
    count = _landmark_count(len(points), len(depths))
    chosen = _checked_indices(indices, count)
    flat = [points[2 * index + axis] for index in chosen for axis in (0, 1)]
    return flat, [depths[index] for index in chosen] if depths else []


def _sub_arrays(
    points: Array, points_z: Array | Sequence[Any] | None, indices: Sequence[int] | Array
) -> tuple[Array, Array]:
    depths = np.zeros(0, np.float32) if points_z is None else np.asarray(points_z)
    is_flat = points.ndim == 1
    if depths.ndim != 1 or not (is_flat or (points.ndim == 2 and points.shape[1] == 2)):
        raise ArgumentError(
            f"points of shape {points.shape} with points_z of shape {depths.shape}: give points as "
            "(N, 2) or flat (2 N,), and points_z as (N,)"
        )
    if not is_flat and len(depths) not in (0, len(points)):
        raise ArgumentError(f"{len(points)} points but {len(depths)} depths in points_z")
    count = _landmark_count(len(points), len(depths)) if is_flat else len(points)
    chosen = _checked_indices(indices, count)
    pairs = points[: 2 * count].reshape(-1, 2) if is_flat else points
    sub_points = pairs[chosen].reshape(-1) if is_flat else pairs[chosen]
    return sub_points, depths[chosen] if len(depths) else depths


def _landmark_count(numbers: int, depths: int) -> int:
    """N for a flat sequence of this number of values: 2 N, or 4 N if N depths say so."""
    if numbers % 2 or depths not in (0, numbers // 2, numbers / 4):
        raise ArgumentError(
            f"{numbers} numbers in points with {depths} in points_z: points must be "
            "x0, y0, x1, y1, … and points_z one depth for each point, or empty"
        )
    return depths or numbers // 2


def _checked_indices(indices: Sequence[int] | Array, count: int) -> list[int]:
    """The indices as a list of int, 0..count - 1 if there are none.

    A negative index is refused: Python would count it from the end, and answer with a wrong point.
    """
    if len(indices) == 0:
        return list(range(count))
    chosen = np.asarray(indices)
    if chosen.dtype.kind not in "iu" or chosen.ndim != 1:
        raise ArgumentTypeError(f"indices must be a row of whole numbers, not {indices!r}")
    wrong = chosen[(chosen < 0) | (chosen >= count)]
    if len(wrong):
        allowed = f"0..{count - 1}" if count else "none"
        raise LandmarkIndexError(
            f"landmark index {wrong[0]} with {count} points: allowed is {allowed}"
        )
    return [int(index) for index in chosen]
