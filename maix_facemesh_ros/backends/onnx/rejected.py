"""`RejectedDetections`: detections without a face, which are checked again after growing waits.

A detector may take something for a face again and again, such as a round table in an empty room.
Each time the detector would see it again, at four rolls, and its landmarks might be searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from maix_facemesh_ros.backends.onnx.detection import Detection
from maix_facemesh_ros.backends.onnx.roi import bounding_box
from maix_facemesh_ros.backends.onnx.same_face import SAME_BOX_OVERLAP
from maix_facemesh_ros.boxes import overlap
from maix_facemesh_ros.face import Box, Face

#: Detections are in one place where their boxes overlap by more (intersection over union).
SAME_PLACE = 0.6
#: A place is forgotten after this number of images without a check that was due.
LONGEST_GAP = 30


class _Waits(NamedTuple):
    """Growing waits: images from one check of a place to the next."""

    first: int
    factor: int
    longest: int

    def next(self, wait: int) -> int:
        """Return the wait after one; 0: the first."""
        return min(self.factor * wait, self.longest) if wait else self.first


#: For the check of the landmarks in a place, and for the search at other rolls.
CHECKS = _Waits(first=1, factor=2, longest=16)
TURNS = _Waits(first=4, factor=4, longest=96)


class _Rejected(NamedTuple):
    """A place whose detections gave no face: the last waits, and the images in which they end."""

    box: Box
    check_wait: int
    check_at: int
    turn_wait: int = 0
    turn_at: int = 0

    def is_at(self, box: Box) -> bool:
        """Whether a box is in this place."""
        return overlap(box, self.box) > SAME_PLACE

    def again(self, box: Box, number: int, *, turned: bool) -> _Rejected:
        """Return the place after another rejection in the image of a number."""
        check_wait = CHECKS.next(self.check_wait)
        if not turned:
            return self._replace(box=box, check_wait=check_wait, check_at=number + check_wait)
        turn_wait = TURNS.next(self.turn_wait)
        return _Rejected(box, check_wait, number + check_wait, turn_wait, number + turn_wait)


class RejectedDetections:
    """Those of one stream of images."""

    def __init__(self) -> None:
        """Start before the first image."""
        self._rejected: list[_Rejected] = []

    def worth_checking(self, detections: Sequence[Detection], number: int) -> list[Detection]:
        """Return the detections of the image of a number that are to be checked."""
        waiting = [each for each in self._rejected if number < each.check_at]
        return [each for each in detections if not _is_in(each, waiting)]

    def worth_turning(self, checked: Sequence[Detection], number: int) -> bool:
        """Return whether one of these detections, if in doubt, is worth a search at other rolls."""
        waiting = [each for each in self._rejected if number < each.turn_at]
        return any(not _is_in(each, waiting) for each in checked)

    def note(
        self, checked: Sequence[Detection], faces: Sequence[Face], number: int, *, turned: bool
    ) -> None:
        """Note which detections gave no face.

        Args:
            checked: those of which each would have given a face.
            faces: all of the image.
            number: of the image.
            turned: whether doubtful ones were searched at other rolls.
        """
        # A place that had no detections in its time starts from the beginning.
        self._rejected = [each for each in self._rejected if number <= each.check_at + LONGEST_GAP]
        for detection in checked:
            box = detection.box
            before = next(
                (each for each in self._rejected if each.is_at(box)), _Rejected(box, 0, 0)
            )
            self._rejected = [each for each in self._rejected if not each.is_at(box)]
            if not any(overlap(box, _box_of(face)) > SAME_BOX_OVERLAP for face in faces):
                self._rejected.append(before.again(box, number, turned=turned))


def _is_in(detection: Detection, places: Sequence[_Rejected]) -> bool:
    return any(each.is_at(detection.box) for each in places)


def _box_of(face: Face) -> Box:
    return bounding_box(face.points) if len(face.points) else face.box
