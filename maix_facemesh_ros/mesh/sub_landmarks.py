"""Picks landmarks out of the 478, as MaixPy's function of the same name does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.errors import (
    ArgumentError,
    ArgumentTypeError,
    LandmarkIndexError,
)

Number = TypeVar("Number", int, float)
Array = npt.NDArray[Any]


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
