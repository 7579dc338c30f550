"""Who looks into the camera, who speaks, and to whom a robot should turn: from landmarks and poses.

All limits are of the mean person: docs/attention.md has what was measured.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from maix_facemesh_ros.face import DoubleArray, Face

#: Angles in degrees between the camera and a gaze or a head's direction: up to the first a person
#: looks into the camera, from the second one on not. A gaze is within 4 degrees for half of the
#: people and within 9 for nine of ten (docs/heads.md); eyes turn further without the head.
GAZE_LIMITS = (9.0, 22.0)
HEAD_LIMITS = (15.0, 35.0)

#: Landmarks: the middle of the inner lips, and the outer corners of the eyes.
LIPS, EYES = (13, 14), (33, 263)

#: Seconds of a mouth's movement that are examined, and the least of them.
WINDOW, LEAST_WINDOW = 2.0, 0.9
#: Opening of the mouth in eye distances: its spread (10 to 90 %) without and with speech.
SPREAD_LIMITS = (0.025, 0.07)
#: Openings per second in speech: syllables come at 3 to 8 (N. Ding et al., Temporal modulations in
#: speech and music, 2017), of which a mouth closes for some only: in films for 0.7 to 2.4.
SPEECH_RATE = (0.95, 8.0)
#: The mouth opens or closes when it moves back by this part of the spread, and by more than noise.
TURN, LEAST_TURN = 0.2, 0.03

#: Seconds in which a value follows.
TIME_CONSTANT = 0.3

#: The nearest person changes for one who is nearer by this factor; the main person for one whose
#: weight is larger by this factor, for some seconds.
NEARER = 1.15
CLEARLY_MORE, FOR_SECONDS = 1.25, 0.5

#: Seconds for which eyes without a gaze are taken for a blink (0.1 to 0.4 s); then they are closed.
BLINK = 0.4

#: Screens show what is more certain than this.
SHOWN = 0.5
MAIN_PERSON = "main person"

#: A stream starts again after a longer time between two images, or a step back.
LONGEST_INTERVAL = 1.0


class FaceAttention(NamedTuple):
    """Attention of one face."""

    id: int
    #: 0..1 each.
    looking_at_camera: float
    speaking: float


class Attention(NamedTuple):
    """Attention of all faces in an image."""

    #: 0: there is none.
    main_id: int
    nearest_id: int
    faces: list[FaceAttention]


@dataclass(slots=True)
class _Person:
    is_new: bool = True
    looking: float = 0.0
    #: Seconds of the last image with a gaze; None: there was none.
    seen_gaze: float | None = None
    speaking: float = 0.0
    #: Seconds and opening of the mouth.
    mouth: deque[tuple[float, float]] = field(default_factory=deque)


def attention_words(attention: Attention | None) -> dict[int, list[str]]:
    """Return the attention of each face in words for a screen, by id; none for an unknown one."""
    if attention is None:
        return {}
    return {
        face.id: [
            word
            for word, applies in (
                (MAIN_PERSON, face.id == attention.main_id),
                ("looks here", face.looking_at_camera > SHOWN),
                ("speaks", face.speaking > SHOWN),
            )
            if applies
        ]
        for face in attention.faces
    }


class AttentionEstimator:
    """Estimates attention from the faces of a stream of images, with their ids."""

    def __init__(self) -> None:
        self._seconds: float | None = None
        self._forget()

    def _forget(self) -> None:
        self._persons: dict[int, _Person] = {}
        self._main = self._nearest = 0
        #: Who might become the main person, and since when.
        self._challenger = 0
        self._since = 0.0

    def update(self, faces: Sequence[Face], seconds: float) -> Attention:
        """Return the attention in the next image of the stream.

        Args:
            faces: in it; those without an id are ignored.
            seconds: time of the image.
        """
        interval = 0.0 if self._seconds is None else seconds - self._seconds
        if not 0.0 <= interval <= LONGEST_INTERVAL:
            self._forget()
            interval = 0.0
        self._seconds = seconds
        known = [face for face in faces if face.id]
        self._persons = {face.id: self._persons.get(face.id) or _Person() for face in known}
        for face in known:
            self._follow(self._persons[face.id], face, seconds, interval)
        have_poses = all(face.pose is not None for face in known)
        nearness = {face.id: _nearness(face, have_poses) for face in known}
        self._choose_nearest(nearness)
        self._choose_main(nearness, seconds)
        return Attention(
            self._main,
            self._nearest,
            [
                FaceAttention(number, person.looking, person.speaking)
                for number, person in self._persons.items()
            ],
        )

    def _follow(self, person: _Person, face: Face, seconds: float, interval: float) -> None:
        opening = mouth_opening(face)
        if opening is not None:
            person.mouth.append((seconds, opening))
        while person.mouth and seconds - person.mouth[0][0] > WINDOW:
            person.mouth.popleft()
        part = 1.0 if person.is_new else 1.0 - math.exp(-interval / TIME_CONSTANT)
        person.is_new = False
        if face.gaze is not None:
            person.seen_gaze = seconds
        if face.gaze is not None or person.seen_gaze is None:
            person.looking += part * (looking_at_camera(face) - person.looking)
        elif seconds - person.seen_gaze > BLINK:
            person.looking -= part * person.looking
        person.speaking += part * (speech(person.mouth) - person.speaking)

    def _choose_nearest(self, nearness: dict[int, float]) -> None:
        best = max(nearness, key=lambda number: nearness[number], default=0)
        if self._nearest not in nearness or nearness[best] > NEARER * nearness[self._nearest]:
            self._nearest = best

    def _choose_main(self, nearness: dict[int, float], seconds: float) -> None:
        weight = {
            number: nearness[number] * (1.0 + person.looking + person.speaking)
            for number, person in self._persons.items()
        }
        best = max(weight, key=lambda number: weight[number], default=0)
        if self._main not in weight:
            self._main, self._challenger = best, 0
        elif weight[best] <= CLEARLY_MORE * weight[self._main]:
            self._challenger = 0
        elif best != self._challenger:
            self._challenger, self._since = best, seconds
        elif seconds - self._since >= FOR_SECONDS:
            self._main, self._challenger = best, 0


def looking_at_camera(face: Face) -> float:
    """Return how surely a face looks into the camera in one image, 0..1; 0 without a pose."""
    if face.gaze is not None:
        return _falling(_angle(face.gaze.direction, -face.gaze.origin), GAZE_LIMITS)
    if face.pose is not None:
        # x of the head's frame points out of the face.
        return _falling(_angle(face.pose[:3, 0], -face.pose[:3, 3]), HEAD_LIMITS)
    return 0.0


def mouth_opening(face: Face) -> float | None:
    """Return the distance of the lips in eye distances; None without these landmarks."""
    points = face.points_at((*LIPS, *EYES))
    if points is None:
        return None
    upper, lower, right, left = points.astype(float)
    eyes = float(np.linalg.norm(right - left))
    return float(np.linalg.norm(upper - lower)) / eyes if eyes > 0 else None


def speech(mouth: Sequence[tuple[float, float]]) -> float:
    """Return how surely a mouth speaks, 0..1.

    Args:
        mouth: seconds and opening in each image, in order.
    """
    if len(mouth) < 2 or mouth[-1][0] - mouth[0][0] < LEAST_WINDOW:
        return 0.0
    openings = np.array([opening for _, opening in mouth])
    low, high = np.quantile(openings, (0.1, 0.9)).tolist()
    spread = high - low
    turns = _turns(openings.tolist(), max(TURN * spread, LEAST_TURN))
    rate = turns / 2 / (mouth[-1][0] - mouth[0][0])
    slowest, fastest = SPEECH_RATE
    return 1.0 - _falling(spread, SPREAD_LIMITS) if slowest <= rate <= fastest else 0.0


def _turns(openings: Sequence[float], least: float) -> int:
    """Return how often a mouth that opens begins to close, or the reverse, by at least `least`."""
    turns = direction = 0
    low = high = openings[0]
    for opening in openings:
        low, high = min(low, opening), max(high, opening)
        if direction <= 0 and opening - low >= least:
            turns += direction < 0
            direction, high = 1, opening
        elif direction >= 0 and high - opening >= least:
            turns += direction > 0
            direction, low = -1, opening
    return turns


def _nearness(face: Face, have_poses: bool) -> float:
    """Return a number that is larger for a nearer face, to be compared in one image.

    Args:
        face: any.
        have_poses: whether all faces of the image have a pose, so that distances are compared.
    """
    if have_poses and face.pose is not None:
        return 1.0 / float(np.linalg.norm(face.pose[:3, 3]))
    return max(face.box[2:])


def _falling(value: float, limits: tuple[float, float]) -> float:
    """Return 1 up to the first limit, 0 from the second one on, and a line between them."""
    full, none = limits
    return min(max((none - value) / (none - full), 0.0), 1.0)


def _angle(direction: DoubleArray, other: DoubleArray) -> float:
    """Return the angle between two directions in degrees."""
    lengths = float(np.linalg.norm(direction) * np.linalg.norm(other))
    cosine = float(direction @ other) / lengths if lengths else 1.0
    return math.degrees(math.acos(min(max(cosine, -1.0), 1.0)))
