"""`PostponedRolls`: other rolls of doubtful candidates, tried over several images of a stream.

To try them all in the image of the detection takes as long as tracking a face in up to sixteen
images. Instead, each image has one of these steps for one candidate: its ROI turned by 180, 90 and
270 degrees, and then, where it is worth it, the detector on the image turned by these angles. A
head that is not upright is found a few images later, and the slowest images are faster.

A candidate that would be given as a face, if no other roll showed a better one, is followed by its
landmarks meanwhile, and given as soon as it is certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from maix_facemesh_ros.backends.onnx.detection import logit
from maix_facemesh_ros.backends.onnx.face_search import (
    PRESENT,
    TURNS,
    Candidate,
    FaceNetworks,
    at_roll,
    best_of,
    is_uncertain_face,
)
from maix_facemesh_ros.backends.onnx.roi import bounding_box, roi_from_landmarks
from maix_facemesh_ros.backends.onnx.same_face import CERTAIN, SAME_BOX_OVERLAP
from maix_facemesh_ros.boxes import overlap
from maix_facemesh_ros.face import Box, Face
from maix_facemesh_ros.image import Image

#: Images after which a candidate is dropped whose turn has not come: it has moved.
LATEST = 9


class _Doubt(NamedTuple):
    """A candidate, and the number of its image."""

    candidate: Candidate
    number: int
    #: Quarter turns that are left: of the ROI, and of the image.
    rolls: tuple[int, ...]
    turns: tuple[int, ...]
    #: Found at other rolls.
    rolled: tuple[Candidate, ...] = ()

    @property
    def box(self) -> Box:
        """The candidate's place."""
        return self.candidate.sighting.detection.box


class PostponedRolls:
    """Those of one stream of images."""

    def __init__(self, networks: FaceNetworks) -> None:
        """Start before the first image."""
        self._networks = networks
        self._doubts: list[_Doubt] = []
        #: Boxes of what was followed up to the last image, and is not there in this one.
        self.lost: list[Box] = []

    def add(self, candidates: Sequence[Candidate], number: int, *, turned: bool) -> None:
        """Note the doubtful candidates of an image.

        Args:
            candidates: in any order.
            number: how many images there were before.
            turned: whether the whole image is searched turned, too, for what is hardly a face.
        """
        for each in sorted(candidates, key=lambda each: -each.highest_presence):
            box = each.sighting.detection.box
            if all(overlap(box, doubt.box) <= SAME_BOX_OVERLAP for doubt in self._doubts):
                is_first = not any(doubt.turns for doubt in self._doubts)
                is_worth = is_first and (turned or is_uncertain_face(each))
                self._doubts.append(_Doubt(each, number, TURNS, TURNS if is_worth else ()))

    def turn(self) -> Sequence[int]:
        """Return the quarter turns in which this image is searched: one, or none."""
        doubt = self._doubts[0] if self._doubts else None
        if doubt is None or doubt.rolls or not doubt.turns:
            return ()
        self._doubts[0] = doubt._replace(turns=doubt.turns[1:])
        return doubt.turns[:1]

    def find(self, image: Image, number: int, known: Sequence[Face]) -> list[Candidate]:
        """Take the next step; return the candidate if it turns out to be a face.

        Args:
            image: of the stream.
            number: how many images there were before.
            known: the faces that are tracked in it.
        """
        self.lost = []
        self._forget(number, known)
        if not self._doubts:
            return []
        doubt = self._doubts.pop(0)
        is_face = is_uncertain_face(doubt.candidate)
        if is_face:
            followed = self._followed(image, doubt)
            if followed is None:
                self.lost = [doubt.box]
                return []
            doubt = followed
            if doubt.candidate.is_certain or not (doubt.rolls or doubt.turns):
                return [doubt.candidate]
        if doubt.rolls:
            doubt, found = self._rolled(image, doubt)
            if found:
                return [found]
        if is_face or doubt.rolls or doubt.turns:
            self._doubts.insert(0, doubt)
        return []

    def _forget(self, number: int, known: Sequence[Face]) -> None:
        """Drop what has waited for long, and what is a known face."""
        boxes = [bounding_box(face.points) for face in known if len(face.points)]
        self._doubts = [
            each
            for each in self._doubts
            if number - each.number <= LATEST
            and all(overlap(each.box, box) <= SAME_BOX_OVERLAP for box in boxes)
        ]

    def _followed(self, image: Image, doubt: _Doubt) -> _Doubt | None:
        """Return what would be given as a face, in this image; None: it is not there."""
        candidate = self._in_image(image, doubt.candidate)
        if candidate.presence <= PRESENT:
            return None
        sighting, points = candidate.sighting, candidate.landmarks.points
        detection = replace(sighting.detection, box=bounding_box(points))
        sighting = sighting._replace(detection=detection, roi=roi_from_landmarks(points))
        is_certain = logit(candidate.presence) > CERTAIN
        return doubt._replace(
            candidate=candidate._replace(sighting=sighting, is_certain=is_certain)
        )

    def _rolled(self, image: Image, doubt: _Doubt) -> tuple[_Doubt, Candidate | None]:
        """Try the next roll; return what is left of the doubt, and the face found."""
        roll, *rolls = doubt.rolls
        new = at_roll(self._networks, image, doubt.candidate, roll)
        rolled = doubt.rolled if new is None else (*doubt.rolled, new)
        doubt = doubt._replace(rolls=tuple(rolls), rolled=rolled)
        if rolls and not (new and new.is_certain and logit(new.presence) > CERTAIN):
            return doubt, None
        best = best_of(doubt.candidate, rolled)
        if not best.is_certain:
            return doubt, None
        return doubt, best if best is new else self._in_image(image, best)

    def _in_image(self, image: Image, candidate: Candidate) -> Candidate:
        """Return the candidate, which was found in an earlier image, in this one."""
        landmarks = self._networks.landmarks(image, roi_from_landmarks(candidate.landmarks.points))
        return candidate._replace(landmarks=landmarks, presence=landmarks.presence)
