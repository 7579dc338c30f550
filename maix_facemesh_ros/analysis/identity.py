"""`FaceIds`: who of one image is who of the next, from boxes and landmarks alone.

Each face of the images before is expected where its motion takes it, and the faces of the new
image are given out among them so that all together are off by the least (the Hungarian method, as
in SORT: Bewley, Ge, Ott, Ramos, Upcroft: «Simple Online and Realtime Tracking», ICIP 2016). How far
off a face is counts by the overlap of the boxes and by the distance of the landmarks. The landmarks
tell people apart where they cross: there the boxes lie on each other, but the heads are turned and
shaped differently.

A face that somebody walks in front of is drawn over to that one's in its last images, so its
motion is the median of several. While it is out of sight it may have stopped, gone on, or anything
between.

What it cannot know: whether somebody who comes into view where another was lost just before is that
other. Nothing here looks at the image, and the shape of the landmarks does not tell: in
MediaPipe's answers that the tests have, strangers' are 1.4 to 6.6 hundredths of a face's width
apart after they have been laid on each other, and one person's in a video up to 3.1.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count, pairwise, permutations
from typing import NamedTuple

import numpy as np

from maix_facemesh_ros.analysis.stream_stamps import LONGEST_PAUSE
from maix_facemesh_ros.boxes import overlap
from maix_facemesh_ros.face import Box, Face, FloatArray

#: A face may be so many face sizes away from the way that it was going, at once and for every
#: second since it was seen. Less at once would lose one that starts to move fast, whose landmarks
#: stay behind until the detector looks again; two heads are further apart. More would let somebody
#: who comes in beside a lost face have its id.
REACH = 0.65
REACH_PER_SECOND = 0.5

#: Natural logarithm of how much larger or smaller it may be than expected, likewise.
GROWTH = 0.35
GROWTH_PER_SECOND = 1.0

#: Motion is the median of that between so many of the last places: one wrong place does nothing.
REMEMBERED_PLACES = 6

#: Stamps that are nearer to each other, in seconds, tell no speed: they are a driver's mistake.
SHORTEST_INTERVAL = 1e-3

#: A face that is not seen slows down: after so many seconds it has e times less speed.
SLOWING = 0.5

#: A face size that a face is off counts so many times as much as boxes that do not overlap. With 8
#: strangers who cross slowly, and even twins, keep their ids in 40 of 40 sequences; with 1, because
#: a detector's box trembles, they do in 39 and 30.
WEIGHT_OF_DISTANCE = 8.0

#: A backend's own word that it has followed a face counts as much as half a face size.
TRUST_IN_BACKEND = 0.5 * WEIGHT_OF_DISTANCE

#: What is out of the question costs so much that it is chosen only where there is nothing else.
OUT_OF_REACH = 1e6

#: So many ways to give faces out among people are all tried, as there are for five and five.
MOST_WAYS = 120

#: Of the landmarks only each so-manieth is looked at, which is as good and takes less time.
LANDMARK_STEP = 8


class _Place(NamedTuple):
    """Where a face is, in pixels, or how fast each of that changes in a second."""

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
    """Somebody of the images before."""

    id: int
    last: _Seen
    seen_at: float
    #: The last places and their times, `last` and `seen_at` at the end.
    places: list[tuple[float, _Place]]
    speed: _Place

    def expected(self, stamp: float) -> _Place:
        """Return where the face should be at a time after it was seen."""
        seconds = SLOWING * -math.expm1((self.seen_at - stamp) / SLOWING)
        place, speed = self.last.place, self.speed
        return _Place(
            place.x + seconds * speed.x,
            place.y + seconds * speed.y,
            place.log_size + seconds * speed.log_size,
        )

    def growth(self, it: _Place, expected: _Place) -> float:
        """Return by how much a place is larger or smaller than expected: a natural logarithm."""
        usual = statistics.median(place.log_size for _, place in self.places)
        return abs(it.log_size - expected.log_size + self.last.place.log_size - usual)

    def beside_the_way(self, it: _Place, stamp: float) -> float:
        """Return how many pixels a place is beside the way that the face was going.

        The way leads from where it was seen to as far as it can have gone on since.
        """
        along_x, along_y = ((stamp - self.seen_at) * part for part in self.speed[:2])
        x, y = it.x - self.last.place.x, it.y - self.last.place.y
        squared = along_x * along_x + along_y * along_y
        part = (x * along_x + y * along_y) / squared if squared else 0.0
        part = min(max(part, 0.0), 1.0)
        return math.hypot(x - part * along_x, y - part * along_y)


class FaceIds:
    """Gives the faces of one stream of images ids that hold."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.forget()

    def forget(self) -> None:
        """Take everyone for new in the next image; ids are not used again all the same."""
        self._people: list[_Person] = []
        self._stamp = -math.inf

    def assign(self, faces: Sequence[Face], stamp: float, timeout: float) -> None:
        """Set the `id` of each face of the next image.

        Args:
            faces: an `id` that they have already is the backend's own: it says that it has followed
                the face since the last image in which it had the same number.
            stamp: the image's time in seconds, not before that of the last one.
            timeout: seconds that a face may be out of sight and keep its id.
        """
        people = [person for person in self._people if self._may_return(person, stamp, timeout)]
        seen = [_look_at(face) for face in faces]
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
        """Tell if somebody can still be the one of before; a slow camera is no absence."""
        was_there = person.seen_at == self._stamp and stamp - self._stamp <= LONGEST_PAUSE
        return was_there or stamp - person.seen_at <= timeout

    def _recognize(
        self, seen: Sequence[_Seen], people: Sequence[_Person], stamp: float
    ) -> list[_Person | None]:
        """Return for each face who it is, None for somebody new."""
        known: list[_Person | None] = [None] * len(seen)
        if not seen or not people:
            return known
        expected = [(person, person.expected(stamp)) for person in people]
        costs = [[_cost(it, *there, stamp) for there in expected] for it in seen]
        for row, column in _least_cost_pairs(costs):
            if costs[row][column] < OUT_OF_REACH:
                known[row] = people[column]
        return known


def _least_cost_pairs(costs: Sequence[Sequence[float]]) -> Iterable[tuple[int, int]]:
    """Return pairs of a row and a column, as many as can be, that cost the least together."""
    rows, columns = len(costs), len(costs[0])
    if math.perm(max(rows, columns), min(rows, columns)) > MOST_WAYS:
        # Loaded for a crowd only: it takes 47 MB, and a quarter of a second in which images pass.
        from scipy.optimize import linear_sum_assignment

        return zip(*linear_sum_assignment(costs), strict=True)
    if rows > columns:
        return [(row, column) for column, row in _least_cost_pairs([*zip(*costs, strict=True)])]

    def cost(way: tuple[int, ...]) -> float:
        return sum(row[column] for row, column in zip(costs, way, strict=True))

    best = min(permutations(range(columns), rows), key=cost)
    return enumerate(best)


def _look_at(face: Face) -> _Seen:
    """Return what counts of a face.

    Its place is that of the landmarks: a detector's box trembles more, and another detector's holds
    more of the head.
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
    """Return how little a face is like somebody, `OUT_OF_REACH` if it cannot be.

    Args:
        it: a face of the new image.
        person: of the images before.
        expected: where the person should be now.
        stamp: time of the new image.
    """
    elapsed = stamp - person.seen_at
    size = math.exp(expected.log_size)
    distance = math.hypot(it.place.x - expected.x, it.place.y - expected.y) / size
    growth = person.growth(it.place, expected)
    # Written so that what is no number is out of reach.
    near = person.beside_the_way(it.place, stamp) <= size * (REACH + REACH_PER_SECOND * elapsed)
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
