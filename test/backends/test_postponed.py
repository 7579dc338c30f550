"""`PostponedRolls`: a doubtful candidate has one step an image, and its face is not missed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from maix_facemesh_ros.backends.onnx.detection import Detection
from maix_facemesh_ros.backends.onnx.face_search import Candidate, Sighting
from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarks
from maix_facemesh_ros.backends.onnx.postponed import LATEST, PostponedRolls
from maix_facemesh_ros.backends.onnx.roi import Roi, RoiRule
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.image import Image, Stamp
from maix_facemesh_ros.parameters import FaceMeshParameters
from scenes import ASTRONAUT_POINTS, plain

IMAGE = Image(plain(640, 480), "rgb", Stamp(0, 0))
BOX = (100.0, 100.0, 120.0, 120.0)
#: Presences: a certain mesh, one that would be given, and one that is hardly a face.
CERTAIN, UNCERTAIN, HARDLY = 1 - 1e-7, 0.9, 0.01


def mesh(presence: float, roll: float = 0.0) -> FaceLandmarks:
    centered = ASTRONAUT_POINTS - ASTRONAUT_POINTS.mean(axis=0)
    centered = centered / np.ptp(centered, axis=0).max()
    turn = np.array([[math.cos(roll), math.sin(roll)], [-math.sin(roll), math.cos(roll)]])
    points = (160 + 100 * centered @ turn).astype(np.float32)
    return FaceLandmarks(presence, points, np.zeros(478, np.float32), points)


class Answers:
    """Landmarks whose presence depends on the roll of the ROI; counts the runs."""

    roi_rule = RoiRule()

    def __init__(self, presence: Callable[[float], float]) -> None:
        self.presence = presence
        self.runs = 0

    def detections(
        self, _image: Image, _parameters: FaceMeshParameters, _quarters: int = 0
    ) -> list[Detection]:
        raise NotImplementedError

    def landmarks(self, _image: Image, roi: Roi) -> FaceLandmarks:
        self.runs += 1
        quarter = round(roi.rotation / (math.pi / 2)) % 4
        return mesh(self.presence(quarter), quarter * math.pi / 2)


def candidate(presence: float, box: tuple[float, float, float, float] = BOX) -> Candidate:
    detection = Detection(box, 0.6, np.zeros((0, 2), np.float32))
    x, y, width, height = box
    roi = Roi(x + width / 2, y + height / 2, width, height, 0.0)
    return Candidate(Sighting(detection, roi, is_turned=False), mesh(presence), False, presence)


def steps(postponed: PostponedRolls, answers: Answers) -> list[tuple[int, bool, int]]:
    """Return for each of a number of images: runs, whether a face was found, and the turn."""
    taken = []
    for number in range(1, LATEST + 1):
        before = answers.runs
        found = postponed.find(IMAGE, number, [])
        taken.append((answers.runs - before, bool(found), sum(postponed.turn())))
        if found:
            break
    return taken


def test_each_image_has_one_roll_of_what_is_hardly_a_face() -> None:
    answers = Answers(lambda _: HARDLY)
    postponed = PostponedRolls(answers)
    postponed.add([candidate(HARDLY)], 0, turned=False)
    assert steps(postponed, answers)[:4] == [(1, False, 0)] * 3 + [(0, False, 0)]


def test_where_it_is_worth_it_the_next_images_are_turned_once_each() -> None:
    answers = Answers(lambda _: HARDLY)
    postponed = PostponedRolls(answers)
    postponed.add(
        [candidate(HARDLY), candidate(HARDLY, (400.0, 100.0, 60.0, 60.0))], 0, turned=True
    )
    turns = [turn for _, _, turn in steps(postponed, answers)]
    assert [turn for turn in turns if turn] == [2, 1, 3]
    assert answers.runs == 6


@pytest.mark.parametrize(("quarter", "images"), [(2, 1), (1, 2), (3, 3)])
def test_a_face_at_another_roll_is_found_when_its_roll_is_tried(quarter: int, images: int) -> None:
    answers = Answers(lambda roll: CERTAIN if roll == quarter else HARDLY)
    postponed = PostponedRolls(answers)
    postponed.add([candidate(HARDLY)], 0, turned=False)
    assert [found for _, found, _ in steps(postponed, answers)] == [False] * (images - 1) + [True]


def test_what_would_be_given_is_followed_and_given_when_no_other_roll_is_better() -> None:
    answers = Answers(lambda roll: HARDLY if roll else UNCERTAIN)
    postponed = PostponedRolls(answers)
    postponed.add([candidate(UNCERTAIN)], 0, turned=False)
    taken = steps(postponed, answers)
    # One run follows it; then each roll, and the image turned.
    assert taken[:2] == [(2, False, 0)] * 2
    assert [turn for _, _, turn in taken if turn] == [2, 1, 3]
    assert [found for _, found, _ in taken].index(True) == len(taken) - 1 < LATEST


def test_it_is_given_at_once_when_it_becomes_certain_and_dropped_when_it_is_gone() -> None:
    for presence, is_found in ((CERTAIN, True), (HARDLY, False)):
        answers = Answers(lambda _, presence=presence: presence)  # type: ignore[misc]
        postponed = PostponedRolls(answers)
        postponed.add([candidate(UNCERTAIN)], 0, turned=True)
        taken = steps(postponed, answers)
        assert taken[0] == (1, is_found, 0)
        assert answers.runs == 1


def test_a_known_face_and_an_old_candidate_are_in_doubt_no_more() -> None:
    answers = Answers(lambda _: CERTAIN)
    postponed = PostponedRolls(answers)
    postponed.add([candidate(HARDLY)], 0, turned=True)
    assert postponed.find(IMAGE, 1, [Face(points=mesh(CERTAIN).points)]) == []
    postponed.add([candidate(HARDLY)], 1, turned=True)
    assert postponed.find(IMAGE, 2 + LATEST, []) == []
    assert postponed.turn() == ()
    assert answers.runs == 0
