"""Suppression of overlapping boxes, and the score functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from maix_facemesh_ros.backends.onnx.detection import (
    Detection,
    logit,
    sigmoid,
    suppress_greedy,
    suppress_weighted,
)
from maix_facemesh_ros.face import FloatArray

Suppress = Callable[[FloatArray, FloatArray, FloatArray, float], list[Detection]]
both_ways = pytest.mark.parametrize("suppress", [suppress_weighted, suppress_greedy])

# Left, top, right, bottom. The first two overlap by 8 / 12 of their union, the last stands alone.
BOXES = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 70]], np.float32)
SCORES = np.array([0.6, 0.9, 0.7], np.float32)
KEYPOINTS = np.array([[[0, 0], [10, 0]], [[3, 0], [13, 0]], [[50, 50], [60, 50]]], np.float32)
OVERLAP = 8 / 12


def test_greedy_keeps_the_best_of_overlapping_boxes() -> None:
    best, alone = suppress_greedy(BOXES, SCORES, KEYPOINTS, 0.5)

    assert best.box == (2, 0, 10, 10)
    assert best.score == pytest.approx(0.9)
    np.testing.assert_array_equal(best.keypoints, [[3, 0], [13, 0]])
    assert alone.box == (50, 50, 10, 20)
    assert alone.score == pytest.approx(0.7)


def test_weighted_blends_overlapping_boxes_by_score() -> None:
    blended, alone = suppress_weighted(BOXES, SCORES, KEYPOINTS, 0.5)

    # 0.6 and 0.9 of 1.5: two fifths of the first and three fifths of the second.
    assert blended.box == pytest.approx((1.2, 0, 10, 10))
    assert blended.score == pytest.approx(0.9)
    np.testing.assert_allclose(blended.keypoints, [[1.8, 0], [11.8, 0]], rtol=1e-6)
    assert alone.box == pytest.approx((50, 50, 10, 20))


@both_ways
@pytest.mark.parametrize(
    ("threshold", "faces"), [(OVERLAP - 0.01, 2), (OVERLAP + 0.01, 3), (1.0, 3), (0.0, 2)]
)
def test_boxes_that_overlap_more_than_the_threshold_are_one(
    suppress: Suppress, threshold: float, faces: int
) -> None:
    assert len(suppress(BOXES, SCORES, KEYPOINTS, threshold)) == faces


@both_ways
def test_most_confident_first(suppress: Suppress) -> None:
    scores = [face.score for face in suppress(BOXES, SCORES, KEYPOINTS, 1.0)]
    assert scores == pytest.approx([0.9, 0.7, 0.6])


@both_ways
def test_a_box_joins_the_best_one_only(suppress: Suppress) -> None:
    # A chain: the ends do not overlap each other enough, the middle overlaps both.
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)
    scores = np.array([0.9, 0.5, 0.8], np.float32)
    faces = suppress(boxes, scores, np.zeros((3, 2, 2), np.float32), 0.3)
    assert [face.score for face in faces] == pytest.approx([0.9, 0.8])


@both_ways
def test_boxes_without_area_do_no_harm(suppress: Suppress) -> None:
    boxes = np.array([[5, 5, 5, 5], [5, 5, 5, 5]], np.float32)
    with np.errstate(all="raise"):
        faces = suppress(boxes, SCORES[:2], KEYPOINTS[:2], 0.5)
    assert len(faces) == 2


def test_area_of_a_detection() -> None:
    assert Detection((3.0, 4.0, 5.0, 6.0), 0.5, np.zeros((0, 2), np.float32)).area == 30.0


def test_sigmoid_and_logit_are_inverse() -> None:
    for probability in (0.001, 0.3, 0.5, 0.999):
        assert sigmoid(np.array([logit(probability)], np.float32))[0] == pytest.approx(
            probability, rel=1e-5
        )
    assert logit(0.5) == 0.0


def test_extremes_of_sigmoid_and_logit() -> None:
    with np.errstate(over="raise"):
        np.testing.assert_allclose(sigmoid(np.array([-1e9, 1e9], np.float32)), [0, 1], atol=1e-30)
    assert logit(0.0) == -np.inf
    assert logit(1.0) == np.inf
