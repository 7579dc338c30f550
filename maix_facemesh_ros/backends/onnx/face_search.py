"""The search for new faces in an image, at any roll, and the check that a mesh is right.

A detector finds heads up to some 60 degrees of roll. Beyond, it finds some of them with wrong key
points, and the landmark network, given a ROI of the wrong roll, answers with an upright mesh on a
head that is upside down, with a presence of 0.99. What tells such a mesh (measured on 93
photographed faces, rolled by 0 to 345 degrees):

* Its presence stays low on the scale that counts, that of the network's logit: right meshes, 95 %
  above 13; wrong ones, 99 % below.
* It does not have eyes and nose where the detector has them.
* It does not stay where it is when the network looks again, at the ROI of its own landmarks.
* The detector, given nothing but the face, at the scale and place at which it sees best, has a
  higher score when it is turned by 90, 180 or 270 degrees. (So do 99 % of 297 detections of faces
  rolled by 75 to 285 degrees. Of 482 of faces rolled by up to 30 degrees, 99 % have a score above
  0.55 without a turn.)

So each detection is checked, in this order, until it is certain or out of the question. Nearly
every upright face is certain at once, and then the search ends. In a stream, where few of the new
detections are faces, the detector has the first look. Where nothing is certain, it also runs on the
image turned by 90, 180 and 270 degrees, where smaller faces are left out for speed; where a certain
face is rolled, at its roll. Of several meshes in one place the one with the highest presence is
taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np

from maix_facemesh_ros.backends.onnx.detection import Detection, logit
from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarks
from maix_facemesh_ros.backends.onnx.roi import (
    OUTER_EYE_CORNERS,
    Roi,
    RoiRule,
    bounding_box,
    roi_from_detection,
    roi_from_landmarks,
    roll_of_landmarks,
)
from maix_facemesh_ros.backends.onnx.same_face import (
    CERTAIN,
    SAME_BOX_OVERLAP,
    distinct,
    recognize,
    room_for,
    set_landmarks,
)
from maix_facemesh_ros.backends.onnx.search import SearchArea
from maix_facemesh_ros.backends.onnx.side_by_side import SideBySide
from maix_facemesh_ros.boxes import overlap
from maix_facemesh_ros.face import Box, Face
from maix_facemesh_ros.image import Image
from maix_facemesh_ros.parameters import FaceMeshParameters

#: Logit of the presence from which on a mesh that has come to rest is certain. (At the first look:
#: `CERTAIN`.)
CERTAIN_AT_REST = 8.0
#: The same for a mesh found in a turned image, which is accepted only if it is certain.
CERTAIN_IN_TURNED_IMAGE = 5.0
#: A mesh that is certain at the first look is rolled as its ROI is, to this many radians.
SAME_ROLL = 0.25
#: The first key points of every detector, as the mean of landmarks.
EYES_AND_NOSE = ((33, 133), (263, 362), (1,))
#: A mesh agrees with the detection when these are nearer than this in the mean, in distances
#: between the eyes. (Meshes of a presence above `CERTAIN_AT_REST` on 53 faces rolled by 0 to 330
#: degrees: 89 % of 109 right ones are nearer, and none of 13 wrong ones, from 0.13 on.)
AGREEING = 0.12
#: A mesh that does not agree may be upside down on its head where the presence's logit is lower
#: than this.
SURE = 22.0
#: Runs of the network on the ROI of the landmarks themselves before a mesh counts as uncertain.
MORE_LOOKS = 2
#: A mesh has come to rest when the next look moves it by less than this fraction of the distance
#: between the eyes, in the mean of all landmarks.
AT_REST = 0.03
#: The first mesh is given, which is MediaPipe's, and not a later one, when both are as near as
#: this, in the same unit.
NEAR = 0.15
#: But not when its presence is lower than this.
PRESENT = 0.5
#: Presence below which yet another look does not help.
HOPELESS = 0.01

#: The least score of the detector for a face that it sees again, see
#: `blazeface.FullRangeDetector.see_again`.
SEEN_AGAIN = 0.55
#: A face that is seen again upright with a higher score, eyes and nose where the mesh has them, is
#: tried at no other roll.
CLEAR = 0.7
#: The least score for what is not seen upright but at another roll: few of those are faces. (Of 297
#: detections of heads rolled by 75 to 285 degrees 98 % have more, of 418 false ones 1 %.)
CLEAR_ROLLED = 0.6
#: Clockwise quarter turns of the image, in the order in which they are tried.
TURNS = (2, 1, 3)
#: In turned images the smallest face is this many times as wide: the detector then takes a quarter
#: of the time.
TURNED_FACE_SIZE = 2.0


class FaceNetworks(Protocol):
    """The detector and the landmark network."""

    #: How a detection becomes a ROI.
    roi_rule: RoiRule

    def detections(
        self, image: Image, parameters: FaceMeshParameters, quarters: int = 0
    ) -> list[Detection]:
        """Return the faces in an image, in any order.

        Args:
            image: as it is.
            parameters: of the detector.
            quarters: clockwise quarter turns of the image that the detector is given, 0 to 3.

        Returns:
            Boxes and key points in pixels of the image as it is.
        """
        ...

    def detections_in(
        self,
        image: Image,
        areas: Sequence[SearchArea],
        parameters: FaceMeshParameters,
        quarters: int = 0,
    ) -> list[Detection]:
        """Return the faces in some of the areas; arguments and result as those of `detections`."""
        ...

    def see_again(self, image: Image, box: Box, turns: Sequence[int] = (0,)) -> Detection | None:
        """See the face in a detection's box again, larger.

        Args:
            image: as it is.
            box: of a detection, in pixels of the image.
            turns: clockwise quarter turns of what the detector is given, one after the other.

        Returns:
            The most confident face at any of the turns, in pixels of the image as it is; None: no
            face is seen.
        """
        ...

    def landmarks(self, image: Image, roi: Roi) -> FaceLandmarks:
        """Return the landmarks of the face in a ROI; called from several threads."""
        ...


class Sighting(NamedTuple):
    """A detection, in pixels of the image as it is."""

    detection: Detection
    roi: Roi
    #: It was detected in the image turned by a quarter turn or more.
    is_turned: bool
    #: How the detector sees it again, upright; None: not seen, or not tried.
    again: Detection | None = None


class Candidate(NamedTuple):
    """A detection with the landmarks that were found for it."""

    sighting: Sighting
    landmarks: FaceLandmarks
    #: Whether the mesh is confirmed: its presence is high, and another look changes nothing.
    is_certain: bool
    #: Presence at the last look.
    presence: float
    #: Whether no other roll needs to be tried.
    is_sure: bool = False


class Effort(NamedTuple):
    """How thoroughly an image is searched."""

    #: Quarter turns of the image in which the detector also runs, unless a new face is certain.
    turns: Sequence[int] = ()
    #: Where a turned image is searched; none: everywhere.
    turned_areas: Sequence[SearchArea] = ()
    #: Whether detections must be seen again before their landmarks are searched: most of those in a
    #: stream, where known faces are not among them, are no faces.
    sees_again: bool = True
    #: Detections that are not seen again upright, and are tried at other rolls.
    rolls: int = 0
    #: Further searches of the landmarks after the first one.
    more_looks: int = MORE_LOOKS


#: That for a single image, and for the first one of a stream.
FULL_EFFORT = Effort(TURNS, sees_again=False)
#: Those for an image of a stream in which something has just appeared, for one in which it is time
#: to try a detection at other rolls, and for any other.
NEW_EFFORT = Effort(rolls=2)
SMALL_EFFORT = Effort(rolls=1, more_looks=1)
LEAST_EFFORT = Effort(more_looks=1)
#: That without `any_roll`.
NO_EFFORT = Effort(sees_again=False, more_looks=0)


class FaceSearch:
    """Finds the new faces in images."""

    def __init__(self, networks: FaceNetworks, side_by_side: SideBySide) -> None:
        """Take the networks, and how several faces are computed at once."""
        self._networks = networks
        self._side_by_side = side_by_side

    def find(
        self,
        image: Image,
        detections: list[Detection],
        parameters: FaceMeshParameters,
        known: list[Face],
        effort: Effort,
    ) -> list[Face]:
        """Find the faces that are not known; of more than the face limit at least the largest.

        Args:
            image: to be searched.
            detections: in the image as it is.
            parameters: those in force.
            known: faces already found in this image; their score and key points are updated.
            effort: for heads that are not upright.
        """
        if not parameters.any_roll:
            effort = NO_EFFORT
        new = [detection for detection in detections if not recognize(detection, known)]
        waiting = _sightings(new, self._networks.roi_rule, is_turned=False)
        unseen: list[Detection] = []
        if effort.sees_again and parameters.require_landmarks:
            waiting, unseen = self._seen_again(image, waiting)
        candidates = self._candidates(image, waiting, parameters, known, effort)
        if parameters.any_roll:
            at_roll = partial(at_best_roll, self._networks, image, effort=effort)
            candidates = self._side_by_side(at_roll, candidates)
            candidates += self._rolled_candidates(image, unseen, effort)
            certain = [candidate for candidate in candidates if candidate.is_certain]
            for quarters in _turns(effort, certain):
                candidates += self._turned_candidates(
                    image, parameters, known, certain, quarters, effort
                )
        faces = faces_of(candidates, known, parameters.landmarks_conf_th)
        if not parameters.require_landmarks:
            faces += _without_landmarks(candidates, [*known, *faces])
        return faces

    def _seen_again(
        self, image: Image, sightings: list[Sighting]
    ) -> tuple[list[Sighting], list[Detection]]:
        """Return what the detector sees again, upright, and the detections of the rest."""
        seen: list[Sighting] = []
        unseen: list[Detection] = []
        for sighting in sightings:
            again = self._networks.see_again(image, sighting.detection.box)
            if again is None:
                unseen.append(sighting.detection)
            else:
                seen.append(sighting._replace(again=again))
        return seen, unseen

    def _candidates(
        self,
        image: Image,
        waiting: list[Sighting],
        parameters: FaceMeshParameters,
        known: list[Face],
        effort: Effort,
    ) -> list[Candidate]:
        """Check the first sightings, until as many faces are found as may be given."""
        check_it = partial(check, self._networks, image, effort=effort)
        candidates: list[Candidate] = []
        # A candidate without landmarks makes room for the next, so that no face is missed for it.
        while waiting:
            found = faces_of(candidates, known, parameters.landmarks_conf_th)
            if not parameters.require_landmarks:
                found += _without_landmarks(candidates, [*known, *found])
            room = room_for(waiting[0].detection.area, known, found, parameters.face_limit)
            if room == 0:
                break
            candidates += self._side_by_side(check_it, waiting[:room])
            waiting = waiting[room:]
        return candidates

    def _rolled_candidates(
        self, image: Image, unseen: list[Detection], effort: Effort
    ) -> list[Candidate]:
        """Return those of the clearest unseen detections that are faces at another roll."""
        clearest = sorted(unseen, key=lambda each: -each.score)[: effort.rolls]
        seen = [_rolled(self._networks, image, detection.box) for detection in clearest]
        clear = [each for each in seen if each and each.detection.score > CLEAR_ROLLED]
        candidates = [check(self._networks, image, each, effort=effort) for each in clear]
        return [each for each in candidates if each.is_certain]

    def _turned_candidates(
        self,
        image: Image,
        parameters: FaceMeshParameters,
        known: list[Face],
        certain: list[Candidate],
        quarters: int,
        effort: Effort,
    ) -> list[Candidate]:
        """Detect faces in the turned image; only meshes that are certain are returned."""
        faces = [candidate.landmarks.points for candidate in certain]
        faces += [face.points for face in known if len(face.points)]
        boxes = [bounding_box(points) for points in faces]
        if effort.turned_areas:
            areas = effort.turned_areas
            detections = self._networks.detections_in(image, areas, parameters, quarters)
        else:
            coarse = replace(parameters, min_face_size=smallest_turned_face(parameters))
            detections = self._networks.detections(image, coarse, quarters)
        new = [
            detection
            for detection in detections
            if all(overlap(detection.box, box) <= SAME_BOX_OVERLAP for box in boxes)
            and self._networks.see_again(image, detection.box, (quarters,))
        ]
        waiting = _sightings(new, self._networks.roi_rule, is_turned=True)
        check_it = partial(check, self._networks, image, effort=effort)
        return [each for each in self._side_by_side(check_it, waiting) if each.is_certain]


def smallest_turned_face(parameters: FaceMeshParameters) -> float:
    """Return the width of the smallest face in turned images, as a fraction of the image's."""
    return min(parameters.min_face_size * TURNED_FACE_SIZE, 1.0)


def _turns(effort: Effort, certain: list[Candidate]) -> Sequence[int]:
    """Return the quarter turns of the image in which the detector runs.

    Those of the effort while nothing found is certain; else those that make rolled heads upright:
    where one head is rolled, others may be.
    """
    if not certain:
        return effort.turns
    upright_at = (roll_of_landmarks(candidate.landmarks.points) for candidate in certain)
    upright = {round(-roll / (math.pi / 2)) % 4 for roll in upright_at}
    return [turn for turn in TURNS if turn in upright]


def faces_of(candidates: list[Candidate], known: list[Face], presence: float) -> list[Face]:
    """Return the faces of candidates; of several in one place, the one that is most certain.

    Args:
        candidates: in any order.
        known: faces that are not found again.
        presence: the least of a face's landmarks.
    """
    best_first = sorted(candidates, key=lambda each: (not each.is_certain, -logit(each.presence)))
    faces: list[Face] = []
    for candidate in best_first:
        if candidate.landmarks.presence >= presence:
            faces.append(_face_of(candidate.sighting.detection))
            set_landmarks(faces[-1], candidate.landmarks)
    return distinct(faces, [face for face in known if len(face.points)])


def _without_landmarks(candidates: list[Candidate], others: list[Face]) -> list[Face]:
    """Return the faces of candidates that are not among others, with box and score only."""
    found: list[Face] = []
    for candidate in candidates:
        detection = candidate.sighting.detection
        if not recognize(detection, [face for face in others if len(face.points)]):
            face = _face_of(detection)
            face.landmarks_score = candidate.landmarks.presence
            found.append(face)
    return found


def _face_of(detection: Detection) -> Face:
    return Face(score=detection.score, box=detection.box, box_keypoints=detection.keypoints)


def check(
    networks: FaceNetworks, image: Image, sighting: Sighting, *, effort: Effort = FULL_EFFORT
) -> Candidate:
    """Find the landmarks of a detection, and look again where they are not certain at once.

    Args:
        networks: landmarks are asked for `1 + effort.more_looks` times at most.
        image: in which the face is.
        sighting: the detection.
        effort: for what is not certain at the first look.

    Returns:
        The candidate. Its landmarks are those of the first look, which MediaPipe gives, unless a
        later look has moved them.
    """
    first = networks.landmarks(image, sighting.roi)
    if not sighting.is_turned and _has_roll_of(sighting.roi, first):
        clearness = logit(first.presence)
        agrees = clearness > CERTAIN_AT_REST and _agrees(sighting.detection, first)
        if agrees or clearness > CERTAIN:
            is_sure = agrees or clearness > SURE
            return Candidate(sighting, first, True, first.presence, is_sure)
        if first.presence > PRESENT and effort.more_looks:
            # A tenth of the time of a further run of the landmark network.
            again = sighting.again or networks.see_again(image, sighting.detection.box)
            sighting = sighting._replace(again=again)
            if _is_clear(again, first):
                return Candidate(sighting, first, True, first.presence, is_sure=True)
    certain = CERTAIN_IN_TURNED_IMAGE if sighting.is_turned else CERTAIN_AT_REST
    return _look_again(networks, image, sighting, first, certain, effort)


def at_best_roll(
    networks: FaceNetworks, image: Image, candidate: Candidate, *, effort: Effort = FULL_EFFORT
) -> Candidate:
    """Return a candidate at the roll at which the detector sees its face best.

    Args:
        networks: the detector runs up to 4 times, and landmarks are asked for up to 3 times;
            neither where no other roll needs to be tried.
        image: in which the face is.
        candidate: found in the ROI as it is.
        effort: for the landmarks at another roll.

    Returns:
        The candidate; it is not certain if another roll is better and is not certain either.
    """
    if candidate.is_sure:
        return candidate
    box = candidate.sighting.detection.box
    upright = candidate.sighting.again or networks.see_again(image, box)
    if _is_clear(upright, candidate.landmarks):
        return candidate
    rolled = _rolled(networks, image, box)
    if rolled is None or (upright is not None and upright.score >= rolled.detection.score):
        # In a stream that is too much for what the detector barely sees, without a mesh. (Of 120
        # rolled heads and 72 entries each is found in the same image without.)
        is_hopeless = effort.sees_again and candidate.presence < HOPELESS
        if upright is None or candidate.is_certain or is_hopeless:
            return candidate
        other = check(networks, image, _sighting_again(upright, is_turned=False), effort=effort)
        return other if other.is_certain else candidate
    other = check(networks, image, rolled, effort=effort)
    return other if other.is_certain else candidate._replace(is_certain=False)


def _rolled(networks: FaceNetworks, image: Image, box: Box) -> Sighting | None:
    """Return how the detector sees a face best that is not upright; None: it sees none."""
    best = networks.see_again(image, box, TURNS)
    return None if best is None else _sighting_again(best, is_turned=True)


def _sighting_again(detection: Detection, *, is_turned: bool) -> Sighting:
    roi = roi_from_detection(detection.box, detection.keypoints, RoiRule())
    return Sighting(detection, roi, is_turned)


def _has_roll_of(roi: Roi, mesh: FaceLandmarks) -> bool:
    return _angle(roll_of_landmarks(mesh.points) - roi.rotation) < SAME_ROLL


def _agrees(detection: Detection, mesh: FaceLandmarks) -> bool:
    """Whether a mesh has eyes and nose where the detector has them."""
    if len(detection.keypoints) < len(EYES_AND_NOSE):
        return False
    places = np.array([mesh.points[list(each)].mean(axis=0) for each in EYES_AND_NOSE])
    away = np.linalg.norm(places - detection.keypoints[: len(places)], axis=1).mean()
    one, other = mesh.points[list(OUTER_EYE_CORNERS)]
    return bool(away < AGREEING * np.linalg.norm(one - other))


def _is_clear(again: Detection | None, mesh: FaceLandmarks) -> bool:
    """Whether the detector sees a face again beyond doubt, and the mesh is of it."""
    return again is not None and again.score > CLEAR and _agrees(again, mesh)


def _look_again(
    networks: FaceNetworks,
    image: Image,
    sighting: Sighting,
    first: FaceLandmarks,
    certain: float,
    effort: Effort,
) -> Candidate:
    """Use the ROI of the landmarks themselves, until they are certain or hopeless."""
    last = first
    for _ in range(effort.more_looks):
        if last.presence < HOPELESS:
            break
        before, last = last, networks.landmarks(image, roi_from_landmarks(last.points))
        if logit(last.presence) > certain and _distance(before, last) < AT_REST:
            is_first = first.presence > PRESENT and _distance(first, last) < NEAR
            kept = first if is_first else last
            return Candidate(sighting, kept, is_certain=True, presence=last.presence)
    return Candidate(sighting, first, is_certain=False, presence=last.presence)


def _sightings(detections: list[Detection], rule: RoiRule, *, is_turned: bool) -> list[Sighting]:
    """Return detections with their ROIs, the largest first."""
    largest_first = sorted(detections, key=lambda detection: -detection.area)
    # Key points that were turned back tell the whole roll.
    return [
        Sighting(each, roi_from_detection(each.box, each.keypoints, rule), is_turned)
        for each in largest_first
    ]


def _angle(radians: float) -> float:
    """Return the size of an angle, 0 to pi."""
    return abs((radians + math.pi) % (2 * math.pi) - math.pi)


def _distance(first: FaceLandmarks, second: FaceLandmarks) -> float:
    """Return the mean distance of two meshes in distances between the eyes of the second."""
    one, other = second.points[list(OUTER_EYE_CORNERS)]
    eyes = float(np.linalg.norm(one - other))
    moved = float(np.linalg.norm(first.points - second.points, axis=1).mean())
    return moved / eyes if eyes > 0 else math.inf
