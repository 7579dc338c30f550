"""Faces that move through pictures, with the truth about who is who."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.face import Face
from scenes import MEDIAPIPE

WIDTH, HEIGHT = 640, 480

_Array = npt.NDArray[np.float64]
#: (478, 3) the astronaut's landmarks around their middle, as wide as 1; z towards the camera.
_SHAPE: _Array = np.load(MEDIAPIPE / "astronaut.npz")["landmarks"][0].astype(np.float64)
_SHAPE = (_SHAPE - _SHAPE.mean(axis=0)) * (1, 1, -1)
_SHAPE /= np.ptp(_SHAPE[:, 0])


@dataclass
class Look:
    """How a person is to be seen in one picture."""

    #: Centre and width of the face in pixels.
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
    """Somebody with a face of his own, who is where `look` says, None while out of view."""

    look: Callable[[float], Look | None]
    shape: _Array

    @classmethod
    def new(cls, random: np.random.Generator, look: Callable[[float], Look | None]) -> Person:
        """Return somebody: broader or longer, and with other features, as people are."""
        stretch = random.uniform(0.92, 1.08, 3)
        waves = random.normal(size=(3, 3)) * 6
        bumps = np.sin(_SHAPE @ waves + random.uniform(0, 6, 3)) * 0.015
        return cls(look, _SHAPE * stretch + bumps)


@dataclass
class Seen:
    """One picture: its time, and the faces in any order with the number of their person."""

    stamp: float
    faces: list[Face] = field(default_factory=list)
    #: Index of the person of each face, -1 for something that is no face.
    people: list[int] = field(default_factory=list)


@dataclass
class Sequence:
    """A scene as a detector would see it."""

    people: list[Person]
    seconds: float
    rate: float = 30.0
    #: Standard deviation of a landmark in pixels.
    noise: float = 0.3
    #: Part of the pictures in which a face is missed, and in which there is one too many.
    missed: float = 0.0
    invented: float = 0.0
    #: Faces whose boxes overlap more: only the wider one is found.
    hides: float = 0.35
    landmarks: bool = True

    def pictures(self, random: np.random.Generator) -> Iterator[Seen]:
        """Give the pictures, their faces in no order."""
        for index in range(int(self.seconds * self.rate)):
            stamp = 1000.0 + index / self.rate
            looks = [person.look(index / self.rate) for person in self.people]
            picture = Seen(stamp)
            for number in random.permutation(len(looks)):
                look = looks[number]
                if look is None or not look.found or self._is_hidden(look, looks):
                    continue
                if random.random() < self.missed:
                    continue
                picture.faces.append(self._face(self.people[number].shape, look, random))
                picture.people.append(int(number))
            if random.random() < self.invented:
                x, y = random.uniform(0, WIDTH), random.uniform(0, HEIGHT)
                width = random.uniform(20, 120)
                picture.faces.append(Face(score=0.5, box=(x, y, width, width)))
                picture.people.append(-1)
            yield picture

    def _is_hidden(self, look: Look, looks: list[Look | None]) -> bool:
        return any(
            other is not None
            and other.width > look.width
            and math.hypot(other.x - look.x, other.y - look.y) < (1 - self.hides) * other.width
            for other in looks
        )

    def _face(self, shape: _Array, look: Look, random: np.random.Generator) -> Face:
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
    """Return somebody who goes from one place to another, and sways a little.

    Args:
        start, end: centres of the face in pixels.
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
