"""The subsets as data, and `get_sub_landmarks` with MaixPy's meaning for lists and for arrays."""

from __future__ import annotations

from array import array
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from maix_facemesh_ros.mesh.canonical_face import VERTICES
from maix_facemesh_ros.mesh.connections import FACEMESH_LEFT_IRIS, FACEMESH_RIGHT_IRIS
from maix_facemesh_ros.mesh.landmark_subsets import (
    DLIB_68,
    LANDMARK_SUBSETS,
    LANDMARKS,
    LEFT_IRIS,
    MESH_LANDMARKS,
    RIGHT_IRIS,
    SUB_5,
    SUB_68,
    SUB_146,
)
from maix_facemesh_ros.mesh.sub_landmarks import get_sub_landmarks

COUNT = 478
POINTS = np.arange(2 * COUNT, dtype=np.float32).reshape(COUNT, 2)
DEPTHS = -np.arange(COUNT, dtype=np.float32)


def test_number_of_landmarks_in_each_subset() -> None:
    assert sorted(LANDMARK_SUBSETS) == [5, 68, 146, 478]
    for number, indices in LANDMARK_SUBSETS.items():
        assert len(indices) == len(set(indices)) == number
        assert set(indices) <= set(range(COUNT))
    assert LANDMARK_SUBSETS[478] == tuple(range(478))
    assert LANDMARK_SUBSETS[146] is SUB_146
    assert LANDMARK_SUBSETS[68] is SUB_68
    assert LANDMARK_SUBSETS[5] is SUB_5


def test_subsets_are_maixpys() -> None:
    # Sums and sums of position * index of MaixPy's lists: any change of value or order changes one.
    def fingerprint(indices: tuple[int, ...]) -> tuple[int, int]:
        return sum(indices), sum(place * index for place, index in enumerate(indices))

    assert fingerprint(SUB_146) == (33248, 3292366)
    assert fingerprint(SUB_68) == (13533, 435301)
    assert SUB_5 == (468, 473, 4, 61, 291)


def test_order_of_the_68() -> None:
    outline, eyebrows, nose, eyes, lips = np.split(np.array(SUB_68), [17, 27, 36, 48])
    assert outline[8] == 152  # Chin.
    assert [len(part) for part in (outline, eyebrows, nose, eyes, lips)] == [17, 10, 9, 12, 20]
    assert nose[3] == 4  # Tip.
    assert (eyes[0], eyes[9], lips[0], lips[6]) == (33, 263, 61, 291)


def test_dlibs_68_differ_at_the_ends_of_outline_and_brows_and_are_symmetric() -> None:
    changed = {
        n: new for n, (old, new) in enumerate(zip(SUB_68, DLIB_68, strict=True)) if old != new
    }
    assert changed == {0: 127, 16: 356, 17: 70, 26: 300}
    # The canonical face is symmetric about x = 0.
    for right, left in ((127, 356), (70, 300)):
        np.testing.assert_allclose(VERTICES[right] * (-1, 1, 1), VERTICES[left], atol=1e-3)


@pytest.mark.parametrize("indices", [SUB_146, SUB_68, SUB_5, (7, 7, 0)])
def test_flat_lists_as_maixpy_gives_them(indices: tuple[int, ...]) -> None:
    # The loop of MaixPy's function is this comprehension.
    points, depths = list(range(1000, 1000 + 2 * COUNT)), list(range(-COUNT, 0))
    expected = [number for i in indices for number in (points[i * 2], points[i * 2 + 1])]
    sub_points, sub_depths = get_sub_landmarks(points, depths, indices)
    assert sub_points == expected
    assert sub_depths == [depths[i] for i in indices]
    assert isinstance(sub_points[0], int)


def test_arrays_of_points() -> None:
    sub_points, sub_depths = get_sub_landmarks(POINTS, DEPTHS, SUB_5)
    assert sub_points.dtype == sub_depths.dtype == np.float32
    np.testing.assert_array_equal(sub_points, POINTS[[468, 473, 4, 61, 291]])
    np.testing.assert_array_equal(sub_depths, DEPTHS[[468, 473, 4, 61, 291]])


def test_flat_array() -> None:
    sub_points, sub_depths = get_sub_landmarks(POINTS.reshape(-1), DEPTHS, SUB_5)
    np.testing.assert_array_equal(sub_points, POINTS[list(SUB_5)].reshape(-1))
    np.testing.assert_array_equal(sub_depths, DEPTHS[list(SUB_5)])


def test_message_fields() -> None:
    sub_points, sub_depths = get_sub_landmarks(array("f", [1, 2, 3, 4]), array("f", [5, 6]), [1])
    assert (sub_points, sub_depths) == ([3, 4], [6])


def test_indices_as_an_array() -> None:
    sub_points, _ = get_sub_landmarks(POINTS, DEPTHS, np.array(SUB_68, np.uint16))
    np.testing.assert_array_equal(sub_points, POINTS[list(SUB_68)])


def test_result_is_a_copy() -> None:
    points = POINTS.copy()
    for indices in (SUB_5, ()):
        sub_points, _ = get_sub_landmarks(points, DEPTHS, indices)
        sub_points[:] = -1
    np.testing.assert_array_equal(points, POINTS)


@pytest.mark.parametrize("no_depths", [None, []])
def test_without_depths(no_depths: list[int] | None) -> None:
    assert get_sub_landmarks([1, 2, 3, 4], no_depths, [1]) == ([3, 4], [])
    sub_points, sub_depths = get_sub_landmarks(POINTS, no_depths, SUB_5)
    assert sub_points.shape == (5, 2)
    assert sub_depths.shape == (0,)


def test_no_indices_means_all() -> None:
    assert get_sub_landmarks([1, 2, 3, 4], [5, 6], []) == ([1, 2, 3, 4], [5, 6])
    sub_points, sub_depths = get_sub_landmarks(POINTS, DEPTHS, ())
    np.testing.assert_array_equal(sub_points, POINTS)
    np.testing.assert_array_equal(sub_depths, DEPTHS)


def test_absolute_points_before_relative_ones() -> None:
    absolute_and_relative, depths = [10, 11, 20, 21, 1, 1, 2, 2], [5, 6]
    assert get_sub_landmarks(absolute_and_relative, depths, [1]) == ([20, 21], [6])
    with pytest.raises(IndexError):
        get_sub_landmarks(absolute_and_relative, depths, [2])


@pytest.mark.parametrize("wrong", [478, 1000, -1])
@pytest.mark.parametrize("points", [POINTS, POINTS.reshape(-1), POINTS.reshape(-1).tolist()])
def test_wrong_index_is_named_with_the_range(wrong: int, points: Any) -> None:
    with pytest.raises(IndexError, match=rf"index {wrong} with 478 points: allowed is 0\.\.477"):
        get_sub_landmarks(points, DEPTHS, [0, wrong, 5])


def test_any_index_of_a_face_without_points_is_wrong() -> None:
    with pytest.raises(IndexError, match="index 4 with 0 points: allowed is none"):
        get_sub_landmarks(np.zeros((0, 2), np.float32), np.zeros(0, np.float32), [4])


def test_indices_must_be_whole_numbers() -> None:
    with pytest.raises(TypeError, match="whole numbers"):
        get_sub_landmarks(POINTS, DEPTHS, [1.0])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("points", "depths"),
    [
        ([1, 2, 3], None),
        ([1, 2, 3, 4], [1, 2, 3]),
        ([1, 2, 3, 4, 5, 6], [1]),
        (POINTS, DEPTHS[:-1]),
        (POINTS.reshape(-1), DEPTHS[:-1]),
        (np.zeros((4, 3)), np.zeros(4)),
        (POINTS, DEPTHS.reshape(-1, 1)),
    ],
)
def test_points_and_depths_that_do_not_belong_together(points: Any, depths: Any) -> None:
    with pytest.raises(ValueError, match="points"):
        get_sub_landmarks(points, depths, [0])


def test_the_page_of_facemesh_view_has_the_same_numbers() -> None:
    page = (files("maix_facemesh_ros") / "browser/page/frame.js").read_text()
    assert f"const LANDMARKS = {LANDMARKS};" in page
    assert f"const IRISES = [{RIGHT_IRIS}, {LEFT_IRIS}];" in page


def test_the_mesh_is_what_the_irises_are_not_in() -> None:
    assert len(VERTICES) == MESH_LANDMARKS
    irises = {int(i) for edge in (FACEMESH_RIGHT_IRIS, FACEMESH_LEFT_IRIS) for i in edge.flat}
    assert {RIGHT_IRIS, LEFT_IRIS, *irises} == set(range(MESH_LANDMARKS, LANDMARKS))
