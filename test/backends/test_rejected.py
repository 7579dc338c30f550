"""What is taken for a face again and again is checked seldom, and found when it becomes one."""

from __future__ import annotations

import numpy as np

from maix_facemesh_ros.backends.onnx.detection import Detection
from maix_facemesh_ros.backends.onnx.rejected import (
    CHECKS,
    IMAGES_OF_A_LOW_SCORE,
    LOW_SCORE,
    MOST_LOW_SCORES,
    TURNS,
    RejectedDetections,
)
from maix_facemesh_ros.face import Face

BOX = (100.0, 100.0, 80.0, 80.0)


def detection(box: tuple[float, float, float, float] = BOX, score: float = LOW_SCORE) -> Detection:
    return Detection(box, score, np.zeros((6, 2), np.float32))


def test_waits_grow_up_to_the_longest() -> None:
    rejected, checks, turns = RejectedDetections(), [], []
    for number in range(200):
        checked = rejected.worth_checking([detection()], number, is_new=False)
        if checked:
            checks.append(number)
            may_turn = rejected.worth_turning(checked, number)
            turns += [number] * may_turn
            rejected.note(checked, [], number, turned=may_turn)
    assert checks[:7] == [0, 1, 3, 7, 15, 31, 47]
    assert set(np.diff(checks[6:])) == {CHECKS[-1]}
    assert np.diff(turns).min() >= TURNS[0]
    assert np.diff(turns)[-1] >= TURNS[-1]


def test_another_place_and_a_face_are_not_waited_for() -> None:
    rejected = RejectedDetections()
    for number in (0, 1):
        rejected.note([detection()], [], number, turned=True)
    other = detection((300.0, 100.0, 80.0, 80.0))
    assert rejected.worth_checking([detection(), other], 2, is_new=False) == [other]
    assert rejected.worth_turning([detection(), other], 3)
    rejected.note([detection()], [Face(box=BOX)], 3, turned=True)
    assert len(rejected.worth_checking([detection()], 4, is_new=False)) == 1


def test_ever_new_detections_of_a_low_score_are_checked_seldom() -> None:
    """A moving camera shows them; the best ones, and those of a higher score, do not wait."""
    rejected = RejectedDetections()
    scores = []
    for number in range(200):
        seen = [detection((20.0 * number, top, 80.0, 80.0), 0.5 + top / 1e4) for top in (0, 200)]
        checked = rejected.worth_checking(seen, number, is_new=False)
        rejected.note(checked, [], number, turned=False)
        scores += [each.score for each in checked]
    allowed = 200 / IMAGES_OF_A_LOW_SCORE + MOST_LOW_SCORES
    assert allowed - 2 <= len(scores) <= allowed
    assert scores.count(0.52) > 0.9 * len(scores)
    low, high = detection((0.0, 400.0, 80.0, 80.0), 0.6), detection((0.0, 600.0, 80.0, 80.0))
    assert rejected.worth_checking([low, high], 199, is_new=False) == [high]
    assert rejected.worth_checking([low, high], 199, is_new=True) == [low, high]


def test_faces_of_a_low_score_cost_no_later_one_its_check() -> None:
    rejected = RejectedDetections()
    for number in range(20):
        (seen,) = rejected.worth_checking([detection(score=0.5)], number, is_new=False)
        rejected.note([seen], [Face(box=BOX)], number, turned=False)
