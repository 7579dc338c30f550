"""`FaceIds`: matches the faces of consecutive images, from boxes and landmarks alone.

The position of each known face is predicted from its motion, and the faces of the new image are
assigned to known faces with the lowest total cost (the Hungarian method, as in SORT: Bewley, Ge,
Ott, Ramos, Upcroft: «Simple Online and Realtime Tracking», ICIP 2016). The cost combines the
overlap of the boxes and the distance of the landmarks. The landmarks distinguish people who cross:
their boxes overlap, but their heads differ in direction and shape.

In the last images before a face is occluded, its landmarks are pulled towards the occluding face,
so its motion is the median of several images. While it is out of view it may have stopped, moved
on, or anything between.

Limit: a person who enters where another was lost just before may get the other's id. The image is
not used, and the shape of the landmarks does not distinguish people: in the MediaPipe results of
the tests, the aligned landmarks of different people differ by 1.4 to 6.6 % of a face width, those
of one person in a video by up to 3.1 %.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from typing import NamedTuple

import numpy as np

from maix_facemesh_ros.analysis.assignment import least_cost_pairs
from maix_facemesh_ros.analysis.stream_stamps import LONGEST_PAUSE
from maix_facemesh_ros.boxes import overlap
from maix_facemesh_ros.face import Box, Face, FloatArray

#: Maximum distance of a face from its predicted path, in face sizes: at once, and in addition per
#: second since its last detection. A lower REACH would lose a face that suddenly moves fast, whose
#: landmarks lag until the detector runs again; two heads are further apart. With a higher REACH a
#: person who enters next to a lost face would get its id.
REACH = 0.65
REACH_PER_SECOND = 0.5

#: Maximum change of the size, as a natural logarithm: at once, and in addition per second.
GROWTH = 0.35
GROWTH_PER_SECOND = 1.0

#: Number of last positions; motion is the median between them, so one wrong position has no effect.
REMEMBERED_PLACES = 6

#: Minimum difference of two stamps for a speed, in seconds; a smaller one is an error of the
#: driver.
SHORTEST_INTERVAL = 1e-3

#: Time constant, in seconds, with which the predicted speed of a lost face decays.
SLOWING = 0.5

#: Weight of a distance of one face size, relative to boxes that do not overlap. With 8, strangers
#: who cross slowly, and even twins, keep their ids in 40 of 40 sequences; with 1, because a
#: detector's box jitters, they do in 39 and 30.
WEIGHT_OF_DISTANCE = 8.0

#: Cost reduction if the backend has tracked the face: half a face size.
TRUST_IN_BACKEND = 0.5 * WEIGHT_OF_DISTANCE

#: Cost of an impossible assignment.
OUT_OF_REACH = 1e6

#: Compare every 8th landmark only: as accurate, and faster.
LANDMARK_STEP = 8


class _Place(NamedTuple):
    """Position and size of a face in pixels, or their change per second."""

    x: float
    y: float
    #: Natural logarithm of the size, the square root of the area.
    log_size: float


STANDSTILL = _Place(0.0, 0.0, 0.0)


class _Seen(NamedTuple):
    """A face of the new image."""

    #: The backend's own number; 0 for none.
    backend_id: int
    box: Box
    #: (60, 2) pixels, or (0, 2).
    points: FloatArray
    place: _Place


@dataclass(slots=True, eq=False)
class _Person:
    """A face of the previous images."""

    id: int
    last: _Seen
    seen_at: float
    #: The last positions and their times, up to `last` and `seen_at`.
    places: list[tuple[float, _Place]]
    speed: _Place

    def expected(self, stamp: float) -> _Place:
        """Return the predicted position of the face at a time after its last detection."""
        seconds = SLOWING * -math.expm1((self.seen_at - stamp) / SLOWING)
        place, speed = self.last.place, self.speed
        return _Place(
            place.x + seconds * speed.x,
            place.y + seconds * speed.y,
            place.log_size + seconds * speed.log_size,
        )

    def growth(self, it: _Place, expected: _Place) -> float:
        """Return the change of the size against the prediction, as a natural logarithm."""
        usual = statistics.median(place.log_size for _, place in self.places)
        return abs(it.log_size - expected.log_size + self.last.place.log_size - usual)

    def distance_from_path(self, it: _Place, stamp: float) -> float:
        """Return the distance of a position from the face's predicted path, in pixels.

        The path leads from the last position to the one that the face can have reached since.
        """
        along_x, along_y = ((stamp - self.seen_at) * part for part in self.speed[:2])
        x, y = it.x - self.last.place.x, it.y - self.last.place.y
        squared = along_x * along_x + along_y * along_y
        part = (x * along_x + y * along_y) / squared if squared else 0.0
        part = min(max(part, 0.0), 1.0)
        return math.hypot(x - part * along_x, y - part * along_y)


class FaceIds:
    """Assigns stable ids to the faces of one stream of images."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.forget()

    def forget(self) -> None:
        """Reset: all faces of the next image get new ids, which were not used before."""
        self._people: list[_Person] = []
        self._stamp = -math.inf

    def assign(self, faces: Sequence[Face], stamp: float, timeout: float) -> None:
        """Set the `id` of each face of the next image.

        Args:
            faces: an existing `id` is the backend's: the backend has tracked the face since the
                last image in which it had the same number.
            stamp: the image's time in seconds, not less than that of the last image.
            timeout: time in seconds that a face may be out of view and keep its id.
        """
        people = [person for person in self._people if self._may_return(person, stamp, timeout)]
        seen = [_measure(face) for face in faces]
        present = []
        for face, it, person in zip(faces, seen, self._recognize(seen, people, stamp), strict=True):
            face.id = person.id if person else next(self._numbers)
            if math.isfinite(it.place.x + it.place.y + it.place.log_size):
                places = [*(person.places if person else []), (stamp, it.place)]
                places = places[-REMEMBERED_PLACES:]
                present.append(_Person(face.id, it, stamp, places, _speed(places)))
        taken = {person.id for person in present}
        self._people = present + [person for person in people if person.id not in taken]
        self._stamp = stamp

    def _may_return(self, person: _Person, stamp: float, timeout: float) -> bool:
        """Tell whether a face can return; the interval of a slow camera does not count."""
        was_there = person.seen_at == self._stamp and stamp - self._stamp <= LONGEST_PAUSE
        return was_there or stamp - person.seen_at <= timeout

    def _recognize(
        self, seen: Sequence[_Seen], people: Sequence[_Person], stamp: float
    ) -> list[_Person | None]:
        """Return the known face of each face, None for a new one."""
        known: list[_Person | None] = [None] * len(seen)
        if not seen or not people:
            return known
        expected = [(person, person.expected(stamp)) for person in people]
        costs = [[_cost(it, *there, stamp) for there in expected] for it in seen]
        for row, column in least_cost_pairs(costs):
            if costs[row][column] < OUT_OF_REACH:
                known[row] = people[column]
        return known


def _measure(face: Face) -> _Seen:
    """Return the values of a face that are compared.

    Its position is that of the landmarks: a detector's box jitters more, and its part of the head
    depends on the detector.
    """
    points = face.points[::LANDMARK_STEP]
    if len(points):
        (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    else:
        left, top, width, height = face.box
        right, bottom = left + width, top + height
    size = math.sqrt(max((right - left) * (bottom - top), 1.0))
    place = _Place((left + right) / 2, (top + bottom) / 2, math.log(size))
    return _Seen(face.id, face.box, points, place)


def _cost(it: _Seen, person: _Person, expected: _Place, stamp: float) -> float:
    """Return the cost of assigning a face to a known face; `OUT_OF_REACH` if it is impossible.

    Args:
        it: a face of the new image.
        person: a face of the previous images.
        expected: its predicted position.
        stamp: time of the new image.
    """
    elapsed = stamp - person.seen_at
    size = math.exp(expected.log_size)
    distance = math.hypot(it.place.x - expected.x, it.place.y - expected.y) / size
    growth = person.growth(it.place, expected)
    # Written so that NaN is out of reach.
    near = person.distance_from_path(it.place, stamp) <= size * (REACH + REACH_PER_SECOND * elapsed)
    if not (near and growth <= GROWTH + GROWTH_PER_SECOND * elapsed):
        return OUT_OF_REACH
    before = person.last
    scale = math.exp(expected.log_size - before.place.log_size)
    shift_x = expected.x - before.place.x * scale
    shift_y = expected.y - before.place.y * scale
    if len(it.points) and len(it.points) == len(before.points):
        off = it.points - before.points * np.float32(scale)
        off -= np.array((shift_x, shift_y), np.float32)
        distance = float(np.hypot(off[:, 0], off[:, 1]).mean()) / size
    shared = overlap(it.box, _moved(before.box, scale, shift_x, shift_y))
    cost = WEIGHT_OF_DISTANCE * distance + 1.0 - shared
    return cost - TRUST_IN_BACKEND if 0 != it.backend_id == before.backend_id else cost


def _moved(box: Box, scale: float, shift_x: float, shift_y: float) -> Box:
    """Return a box that has moved and grown."""
    x, y, width, height = box
    return x * scale + shift_x, y * scale + shift_y, width * scale, height * scale


def _speed(places: Sequence[tuple[float, _Place]]) -> _Place:
    """Return the median motion from each place to the next, per second."""
    steps = [
        [(now - before) / (stamp - stamp_before) for now, before in zip(place, old, strict=True)]
        for (stamp_before, old), (stamp, place) in pairwise(places)
        if stamp - stamp_before >= SHORTEST_INTERVAL
    ]
    return _Place(*map(statistics.median, zip(*steps, strict=True))) if steps else STANDSTILL
