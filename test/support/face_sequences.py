"""Faces that move through images, with their true identities."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.analysis.identity import FaceIds
from maix_facemesh_ros.face import Face
from scenes import MEDIAPIPE

WIDTH, HEIGHT = 640, 480

Random = np.random.Generator
_Array = npt.NDArray[np.float64]
#: (478, 3) the astronaut's landmarks around their middle, as wide as 1; z towards the camera.
_SHAPE: _Array = np.load(MEDIAPIPE / "astronaut.npz")["landmarks"][0].astype(np.float64)
_SHAPE = (_SHAPE - _SHAPE.mean(axis=0)) * (1, 1, -1)
_SHAPE /= np.ptp(_SHAPE[:, 0])


@dataclass
class Look:
    """How a person is to be seen in one image."""

    #: Center and width of the face in pixels.
    x: float
    y: float
    width: float
    #: Radians, to the left and down.
    yaw: float = 0.0
    pitch: float = 0.0
    #: Whether the detector finds the face.
    found: bool = True


@dataclass
class Person:
    """A person with a face of his own, who is where `look` says, None while out of view."""

    look: Callable[[float], Look | None]
    shape: _Array

    @classmethod
    def new(cls, random: Random, look: Callable[[float], Look | None]) -> Person:
        """Return a person: broader or longer, and with other features, as people are."""
        stretch = random.uniform(0.92, 1.08, 3)
        waves = random.normal(size=(3, 3)) * 6
        bumps = np.sin(_SHAPE @ waves + random.uniform(0, 6, 3)) * 0.015
        return cls(look, _SHAPE * stretch + bumps)


@dataclass
class Seen:
    """One image: its time, and the faces in any order with the number of their person."""

    stamp: float
    faces: list[Face] = field(default_factory=list)
    #: Index of the person of each face, -1 for a detection that is not a face.
    people: list[int] = field(default_factory=list)


@dataclass
class Sequence:
    """A scene as a detector would see it."""

    people: list[Person]
    seconds: float
    rate: float = 30.0
    #: Standard deviation of a landmark in pixels.
    noise: float = 0.3
    #: Part of the images in which a face is missed, and in which there is one too many.
    missed: float = 0.0
    invented: float = 0.0
    #: Faces whose boxes overlap more: only the wider one is found.
    hides: float = 0.35
    #: Shortly before that the landmarks of the narrower one are drawn over to the wider one's, by
    #: up to this part of the way.
    drawn_over: float = 0.3
    landmarks: bool = True

    def images(self, random: Random) -> Iterator[Seen]:
        """Give the images, their faces in no order."""
        for index in range(int(self.seconds * self.rate)):
            stamp = 1000.0 + index / self.rate
            looks = [person.look(index / self.rate) for person in self.people]
            image = Seen(stamp)
            for number in random.permutation(len(looks)):
                look = looks[number]
                if look is None or not look.found or self._is_hidden(look, looks):
                    continue
                if random.random() < self.missed:
                    continue
                look = self._drawn_over(look, looks, random)
                image.faces.append(self._face(self.people[number].shape, look, random))
                image.people.append(int(number))
            if random.random() < self.invented:
                x, y = random.uniform(0, WIDTH), random.uniform(0, HEIGHT)
                width = random.uniform(20, 120)
                image.faces.append(Face(score=0.5, box=(x, y, width, width)))
                image.people.append(-1)
            yield image

    def _is_hidden(self, look: Look, looks: list[Look | None]) -> bool:
        return any(
            other is not None
            and other.width > look.width
            and math.hypot(other.x - look.x, other.y - look.y) < (1 - self.hides) * other.width
            for other in looks
        )

    def _drawn_over(self, look: Look, looks: list[Look | None], random: Random) -> Look:
        """Return where a face seems to be that is partly covered; MediaPipe's network does that."""
        for other in looks:
            if other is None or other.width <= look.width:
                continue
            distance = math.hypot(other.x - look.x, other.y - look.y) / other.width
            if distance < 1.15 - self.hides:
                part = random.uniform(0, self.drawn_over)
                return replace(
                    look,
                    x=look.x + part * (other.x - look.x),
                    y=look.y + part * (other.y - look.y),
                    width=look.width + part * (other.width - look.width),
                )
        return look

    def _face(self, shape: _Array, look: Look, random: Random) -> Face:
        cos, sin = math.cos(look.yaw), math.sin(look.yaw)
        turned = shape @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
        cos, sin = math.cos(look.pitch), math.sin(look.pitch)
        turned = turned @ np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
        points = turned[:, :2] * look.width + (look.x, look.y)
        points += random.normal(0, self.noise, points.shape)
        low, high = points.min(axis=0), points.max(axis=0)
        trembling = random.normal(0, 0.02 * look.width, 4)
        x, y, right, bottom = (np.concatenate([low, high]) + trembling).tolist()
        face = Face(score=0.9, box=(x, y, right - x, bottom - y))
        if self.landmarks:
            face.points = points.astype(np.float32)
            face.points_z = (turned[:, 2] * look.width).astype(np.float32)
        return face


def walk(
    start: tuple[float, float],
    end: tuple[float, float],
    seconds: float,
    width: float,
    *,
    enters: float = 0.0,
    leaves: float = math.inf,
    lost: tuple[float, float] = (math.inf, math.inf),
    yaw: Callable[[float], float] = lambda _: 0.0,
) -> Callable[[float], Look | None]:
    """Return a person who goes from one place to another, and sways a little.

    Args:
        start, end: centers of the face in pixels.
        seconds: that it takes.
        width: of the face in pixels.
        enters, leaves: times before and after which he is not there.
        lost: from when to when the detector does not find him.
        yaw: at each time, in radians.
    """

    def look(time: float) -> Look | None:
        if not enters <= time < leaves:
            return None
        part = min(max(time - (enters if enters else 0.0), 0.0) / seconds, 1.0)
        x = start[0] + part * (end[0] - start[0])
        y = start[1] + part * (end[1] - start[1]) + 0.03 * width * math.sin(11 * time)
        found = not lost[0] <= time < lost[1]
        return Look(x, y, width, yaw(time), 0.1 * math.sin(3 * time), found)

    return look


#: Seconds that a face of these sequences may be out of sight and keep its id.
TIMEOUT = 0.5


@dataclass
class Mistakes:
    """What has gone wrong over a sequence."""

    #: A person's id became that of another person who is there or was.
    switches: int = 0
    #: A person's id became a new one although he was out of sight no longer than the timeout.
    fragmentations: int = 0
    #: A person who had not been there before got an id that another person has or had.
    inherited: int = 0

    def __add__(self, other: Mistakes) -> Mistakes:
        return Mistakes(
            self.switches + other.switches,
            self.fragmentations + other.fragmentations,
            self.inherited + other.inherited,
        )


def mistakes_in(sequence: Sequence, seed: int) -> Mistakes:
    """Number the faces of a sequence, and count."""
    ids = FaceIds()

    def numbered() -> Iterator[Seen]:
        for image in sequence.images(np.random.default_rng(seed)):
            ids.assign(image.faces, image.stamp, TIMEOUT)
            yield image

    return count_mistakes(numbered())


def count_mistakes(images: Iterable[Seen]) -> Mistakes:
    """Count what has gone wrong in images whose faces have been numbered."""
    mistakes = Mistakes()
    last: dict[int, tuple[int, float]] = {}
    owner: dict[int, int] = {}
    for image in images:
        numbers = [face.id for face in image.faces]
        assert len(set(numbers)) == len(numbers), "two faces of an image have the same id"
        assert all(number > 0 for number in numbers)
        for person, number in zip(image.people, numbers, strict=True):
            if person < 0:
                owner.setdefault(number, person)
                continue
            is_anothers = owner.setdefault(number, person) != person
            if person not in last:
                mistakes.inherited += is_anothers
            elif last[person][0] != number:
                absent = image.stamp - last[person][1]
                mistakes.switches += is_anothers
                mistakes.fragmentations += not is_anothers and absent <= TIMEOUT
            last[person] = (number, image.stamp)
    return mistakes


def people(random: Random, *looks: Callable[[float], Look | None]) -> list[Person]:
    return [Person.new(random, look) for look in looks]


def crossing(random: Random, *, widths: tuple[float, float], seconds: float = 3.0) -> Sequence:
    """Two who go past each other, each looking where he goes."""
    left, right = (120.0, 240.0), (520.0, 240.0)
    return Sequence(
        people(
            random,
            walk(left, right, seconds, widths[0], yaw=lambda _: 0.3),
            walk(right, left, seconds, widths[1], yaw=lambda _: -0.3),
        ),
        seconds,
    )


def hidden(random: Random) -> Sequence:
    """The one behind is hidden for a third of a second."""
    return crossing(random, widths=(110, 70), seconds=2.0)


def hidden_at_a_walk(random: Random) -> Sequence:
    """Both go at a brisk walk: ten widths of their faces a second."""
    return crossing(random, widths=(100, 60), seconds=0.67)


def stopping_while_hidden(random: Random) -> Sequence:
    """The one behind stops where he is hidden, and comes out when the other has gone on."""
    return Sequence(
        people(
            random,
            walk((120, 240), (520, 240), 1.2, 110),
            walk((480, 240), (310, 240), 0.55, 70),
        ),
        2.0,
    )


def walking_with_a_shaking_camera(random: Random) -> Sequence:
    """A robot that drives over a threshold: everything jumps up and down."""

    def shaken(look: Callable[[float], Look | None]) -> Callable[[float], Look | None]:
        def looks(time: float) -> Look | None:
            seen = look(time)
            return replace(seen, y=seen.y + 12 * math.sin(40 * time)) if seen else None

        return looks

    sequence = crossing(random, widths=(90, 60), seconds=2.0)
    for person in sequence.people:
        person.look = shaken(person.look)
    return sequence


def side_by_side(random: Random) -> Sequence:
    """At the same distance, and both found all the time."""
    sequence = crossing(random, widths=(90, 88))
    sequence.hides = 2.0
    return sequence


def strangers_slowly(random: Random) -> Sequence:
    """Their motion does not tell them apart; their features do."""
    sequence = crossing(random, widths=(90, 90), seconds=6.0)
    sequence.hides = 2.0
    for person in sequence.people:
        person.look = _without_yaw(person.look)
    return sequence


def twins(random: Random) -> Sequence:
    """Nothing but the motion tells them apart."""
    sequence = side_by_side(random)
    for person in sequence.people:
        person.shape = sequence.people[0].shape
        person.look = _without_yaw(person.look)
    return sequence


def _without_yaw(look: Callable[[float], Look | None]) -> Callable[[float], Look | None]:
    def straight(time: float) -> Look | None:
        seen = look(time)
        if seen is not None:
            seen.yaw = 0.0
        return seen

    return straight


def passing(random: Random) -> Sequence:
    """One after the other in the same direction, the faster one overtakes."""
    return Sequence(
        people(
            random,
            walk((200, 240), (400, 240), 3.0, 80),
            walk((80, 250), (580, 250), 3.0, 110),
        ),
        3.0,
    )


def turning_away(random: Random) -> Sequence:
    """The head turns to its profile, is lost for 0.4 s, and comes back."""
    return Sequence(
        people(
            random,
            walk(
                (250, 240),
                (330, 240),
                3.0,
                100,
                lost=(1.3, 1.7),
                yaw=lambda t: 1.4 * math.sin(2.1 * t),
            ),
            walk((500, 200), (480, 220), 3.0, 80),
        ),
        3.0,
    )


def entering_while_another_is_lost(random: Random) -> Sequence:
    """A person comes in next to a face that was lost just before, and that comes back."""
    return Sequence(
        people(
            random,
            walk((200, 240), (210, 240), 3.0, 90, lost=(1.0, 1.4)),
            walk((400, 240), (390, 240), 3.0, 90, enters=1.2),
        ),
        3.0,
    )


def leaving_and_entering(random: Random) -> Sequence:
    """One goes, and 0.2 s later another one comes in at the other side."""
    return Sequence(
        people(
            random,
            walk((500, 240), (640, 240), 1.0, 90, leaves=1.0),
            walk((0, 240), (150, 240), 1.5, 90, enters=1.2),
        ),
        3.0,
    )


def panning(random: Random) -> Sequence:
    """The camera turns to and fro; three faces jump through the image together."""

    def seen_at(x: float) -> Callable[[float], Look | None]:
        return lambda time: Look(x + 150 * math.sin(5 * time), 240 + 0.2 * x, 70)

    return Sequence(people(random, *map(seen_at, (180, 320, 460))), 4.0)


def flickering(random: Random) -> Sequence:
    """Each face is missed in a third of the images, and there are false ones."""
    return Sequence(
        people(
            random,
            walk((150, 150), (300, 180), 4.0, 60),
            walk((500, 300), (350, 330), 4.0, 80),
        ),
        4.0,
        missed=0.33,
        invented=0.2,
    )


def slow_camera(random: Random) -> Sequence:
    """Five images a second."""
    return Sequence(
        people(
            random,
            walk((150, 200), (450, 200), 4.0, 90),
            walk((500, 350), (200, 350), 4.0, 80),
        ),
        4.0,
        rate=5.0,
    )


def boxes_alone(random: Random) -> Sequence:
    """Faces without landmarks."""
    sequence = passing(random)
    sequence.people.pop()
    sequence.people += people(random, walk((500, 120), (200, 120), 3.0, 70))
    sequence.landmarks = False
    return sequence


def far_and_small(random: Random) -> Sequence:
    """Faces of 14 pixels."""
    return Sequence(
        people(
            random, walk((150, 200), (350, 200), 4.0, 14), walk((400, 210), (250, 215), 4.0, 15)
        ),
        4.0,
    )


def crowd(random: Random) -> Sequence:
    """Twenty who sway, in rows."""

    def seen_at(column: int, row: int) -> Callable[[float], Look | None]:
        def look(time: float) -> Look:
            x = 80 + 120 * column + 20 * math.sin(2 * time + row)
            return Look(x, 70 + 110 * row + 10 * math.sin(3 * time + column), 50)

        return look

    places = [(column, row) for column in range(5) for row in range(4)]
    return Sequence(people(random, *(seen_at(*place) for place in places)), 2.0, missed=0.1)


def taking_a_place(random: Random) -> Sequence:
    """A person goes, and a moment later another one is seen near where he was."""
    gone, later = 1.0, random.uniform(0.1, 0.45)
    offset = random.uniform(0, 2) * 90
    return Sequence(
        people(
            random,
            walk((200, 240), (210, 240), 3.0, 90, leaves=gone),
            walk((200 + offset, 240), (200 + offset, 245), 3.0, 90, enters=gone + later),
        ),
        3.0,
    )


#: Those in which no one may lose his id.
PLAIN = (
    hidden,
    hidden_at_a_walk,
    stopping_while_hidden,
    walking_with_a_shaking_camera,
    side_by_side,
    strangers_slowly,
    twins,
    passing,
    turning_away,
    entering_while_another_is_lost,
    leaving_and_entering,
    panning,
    slow_camera,
    boxes_alone,
    far_and_small,
    crowd,
)

#: Those that go beyond what boxes and landmarks can tell.
HARD = (flickering, taking_a_place)
