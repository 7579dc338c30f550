"""What is taken for a face again and again is checked seldom, and found when it becomes one."""

from __future__ import annotations

import numpy as np

from maix_facemesh_ros.backends.onnx.detection import Detection
from maix_facemesh_ros.backends.onnx.rejected import CHECKS, TURNS, RejectedDetections
from maix_facemesh_ros.face import Face

BOX = (100.0, 100.0, 80.0, 80.0)


def detection(box: tuple[float, float, float, float] = BOX) -> Detection:
    return Detection(box, 0.6, np.zeros((6, 2), np.float32))


def test_waits_grow_up_to_the_longest() -> None:
    rejected, checks, turns = RejectedDetections(), [], []
    for number in range(200):
        checked = rejected.worth_checking([detection()], number)
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
    assert rejected.worth_checking([detection(), other], 2) == [other]
    assert rejected.worth_turning([detection(), other], 3)
    rejected.note([detection()], [Face(box=BOX)], 3, turned=True)
    assert len(rejected.worth_checking([detection()], 4)) == 1
