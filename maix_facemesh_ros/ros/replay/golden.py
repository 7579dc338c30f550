"""Golden faces: reviewed faces of a bag's images.

`GoldenCheck` compares new answers with them, image for image and field for field. It takes
messages from anywhere, as objects with the fields of maix_facemesh_ros/msg/FaceArray.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from maix_facemesh_ros.bags.message_types import FACE_ARRAY, described
from maix_facemesh_ros.bags.reader import Bag
from maix_facemesh_ros.bags.storage import BagError
from maix_facemesh_ros.face import DoubleArray
from maix_facemesh_ros.ros.replay.tolerances import Tolerances
from maix_facemesh_ros.wording import counted

SECOND = 10**9

#: The result of an answer that is equal to its golden one, within the tolerances.
SAME = "the same"

#: Maximum number of images whose differences are reported one by one.
TOLD_IMAGES = 5


class _Field(NamedTuple):
    """A field with numbers of a face's message."""

    name: str
    #: Name of the tolerance that counts.
    tolerance: str
    numbers: Callable[[Any], DoubleArray]
    #: How far found and golden numbers are apart, given the golden face too.
    gaps: Callable[[DoubleArray, DoubleArray, Any], DoubleArray]
    #: Name of the field that tells whether this one is valid; empty: always.
    valid: str = ""


def _array(name: str) -> Callable[[Any], DoubleArray]:
    return lambda face: np.asarray(getattr(face, name), np.float64).ravel()


def _members(path: str, members: str) -> Callable[[Any], DoubleArray]:
    """Return a function that reads some members of a message within a face's."""

    def numbers(face: Any) -> DoubleArray:
        for name in path.split("."):
            face = getattr(face, name)
        return np.array([getattr(face, member) for member in members.split()], np.float64)

    return numbers


def _differences(found: DoubleArray, golden: DoubleArray, _face: Any) -> DoubleArray:
    gaps = np.abs(found - golden)
    # Invisible points are NaN, and must then be NaN in both.
    gaps[np.isnan(found) & np.isnan(golden)] = 0.0
    return np.nan_to_num(gaps, nan=np.inf)


def _parts_of_distance(found: DoubleArray, golden: DoubleArray, face: Any) -> DoubleArray:
    distance = max(float(np.linalg.norm(_members("pose.position", "x y z")(face))), 1e-6)
    return _differences(found, golden, face) / distance


def _angle(found: DoubleArray, golden: DoubleArray, _face: Any) -> DoubleArray:
    return _degrees_between(found, golden)


def _turn(found: DoubleArray, golden: DoubleArray, _face: Any) -> DoubleArray:
    """Return the angle of the rotation between two quaternions; q and -q are the same."""
    sign = -1.0 if found @ golden < 0 else 1.0
    return 2 * _degrees_between(sign * found, golden)


def _degrees_between(first: DoubleArray, second: DoubleArray) -> DoubleArray:
    # Kahan's formula: arccos of the product is useless for angles below a millionth of a degree.
    first, second = (v / max(float(np.linalg.norm(v)), 1e-12) for v in (first, second))
    angle = 2 * np.arctan2(np.linalg.norm(first - second), np.linalg.norm(first + second))
    return np.array([np.nan_to_num(np.degrees(angle), nan=np.inf)])


#: Every field of msg/Face.msg that holds numbers.
_FIELDS = (
    _Field("box", "pixels", _members("box", "x y width height"), _differences),
    *(
        _Field(name, "pixels", _array(name), _differences)
        for name in ("box_keypoints", "points", "points_z", "points_rel")
    ),
    *(
        _Field(name, "scores", _array(name), _differences)
        for name in ("score", "landmarks_score", "blendshapes")
    ),
    _Field(
        "pose.position",
        "distances",
        _members("pose.position", "x y z"),
        _parts_of_distance,
        "pose_valid",
    ),
    _Field(
        "pose.orientation", "degrees", _members("pose.orientation", "x y z w"), _turn, "pose_valid"
    ),
    _Field("points_3d", "distances", _array("points_3d"), _parts_of_distance, "pose_valid"),
    _Field(
        "gaze_origin",
        "distances",
        _members("gaze_origin", "x y z"),
        _parts_of_distance,
        "gaze_valid",
    ),
    *(
        _Field(name, "degrees", _members(name, "x y z"), _angle, "gaze_valid")
        for name in ("gaze", "gaze_right", "gaze_left")
    ),
    _Field("head_scale", "distances", _array("head_scale"), _differences, "pose_valid"),
)

#: Units of the tolerances, for reports.
_UNITS = {
    "pixels": "pixels",
    "scores": "(score)",
    "distances": "of the distance",
    "degrees": "degrees",
}


class GoldenCheck:
    """Compares the answers to the images of one topic with golden faces, in order."""

    def __init__(
        self,
        golden: Iterable[Any],
        tolerances: Tolerances | None = None,
        *,
        new_ids: bool = False,
    ) -> None:
        """Start with the first image.

        Args:
            golden: golden FaceArrays in the order of the images; read as they are needed.
            tolerances: how far numbers may be apart.
            new_ids: the answers come from a node that has given ids before: one golden id is to be
                one other id throughout.
        """
        self._golden = iter(golden)
        self._next = next(self._golden, None)
        self._tolerances = tolerances or Tolerances()
        self._ids = _Ids() if new_ids else None
        self.images = 0
        #: How many images ended in which way.
        self.results: Counter[str] = Counter()
        #: The largest gap so far, by the names of the tolerances.
        self.largest: dict[str, float] = {}
        self._told: list[str] = []

    def image(self, stamp: int, answer: Any | None, why_not: str = "not answered") -> None:
        """Compare the answer to the next image.

        Args:
            stamp: the image's, in nanoseconds.
            answer: a FaceArray; None: there is none.
            why_not: why there is none, for the report.
        """
        self.images += 1
        self._pass_over_before(stamp)
        if self._next is None or stamp_of(self._next) != stamp:
            if answer is None:
                self.results[why_not] += 1
            else:
                self._differs("not among the golden faces", stamp, [])
            return
        golden, self._next = self._next, next(self._golden, None)
        if answer is None:
            self._differs(why_not, stamp, [])
        elif lines := list(self._compare(answer, golden)):
            self._differs("different", stamp, lines)
        else:
            self.results[SAME] += 1

    def finish(self) -> None:
        """Count the golden faces that are left over."""
        while self._next is not None:
            self._is_left_over()

    @property
    def differs(self) -> bool:
        """Whether anything is not as it should be so far."""
        return bool(self._told)

    @property
    def passed(self) -> bool:
        """Whether all is as it should be so far, and something was compared."""
        return not self.differs and self.results[SAME] > 0

    @property
    def verdict(self) -> str:
        """The verdict, to be printed before "the golden faces"."""
        if self.differs:
            return "NOT as"
        return "as" if self.passed else "nothing to compare with"

    def report(self) -> list[str]:
        """The differences, one line each: image, field, distance."""
        counts = ", ".join(f"{count} {result}" for result, count in self.results.items())
        lines = [f"{counted(self.images, 'image')}: {counts or 'nothing to compare'}"]
        lines += self._told[:TOLD_IMAGES]
        if len(self._told) > TOLD_IMAGES:
            lines.append(f"and {len(self._told) - TOLD_IMAGES} more such")
        gaps = [
            f"{self.largest[name]:.2g} {_UNITS[name]} (allowed: {allowed:g})"
            for name, allowed in self._allowed()
            if name in self.largest
        ]
        return lines + ([f"largest differences: {', '.join(gaps)}"] if gaps else [])

    def _allowed(self) -> Iterator[tuple[str, float]]:
        for field in fields(self._tolerances):
            yield field.name, getattr(self._tolerances, field.name)

    def _pass_over_before(self, stamp: int) -> None:
        """Count golden faces of images that should have come before this one."""
        while self._next is not None and stamp_of(self._next) < stamp:
            self._is_left_over()

    def _is_left_over(self) -> None:
        stamp = stamp_of(self._next)
        self.results["golden without an image"] += 1
        self._told.append(
            f"after image {self.images}: no image for the golden faces of "
            f"{stamp // SECOND}.{stamp % SECOND:09d}"
        )
        self._next = next(self._golden, None)

    def _differs(self, result: str, stamp: int, lines: list[str]) -> None:
        self.results[result] += 1
        text = f"image {self.images}, stamp {stamp // SECOND}.{stamp % SECOND:09d}: {result}"
        self._told.append("\n    ".join([text, *lines]))

    def _compare(self, answer: Any, golden: Any) -> Iterator[str]:
        """Yield the differences of one image's faces, as texts."""
        yield from _unequal("header.frame_id", answer.header.frame_id, golden.header.frame_id)
        yield from _unequal("image_width", answer.image_width, golden.image_width)
        yield from _unequal("image_height", answer.image_height, golden.image_height)
        yield from _unequal("number of faces", len(answer.faces), len(golden.faces))
        for number, (face, expected) in enumerate(zip(answer.faces, golden.faces, strict=False)):
            for line in self._compare_faces(face, expected):
                yield f"faces[{number}] (id {face.id}): {line}"

    def _compare_faces(self, face: Any, golden: Any) -> Iterator[str]:
        if self._ids is None:
            yield from _unequal("id", face.id, golden.id)
        elif not self._ids.fit(face.id, golden.id):
            yield f"id is {face.id}, and that of the golden id {golden.id} was another before"
        if list(face.indices) != list(golden.indices):
            yield f"indices differ ({len(face.indices)} here, {len(golden.indices)} golden)"
        for name in ("pose_valid", "gaze_valid"):
            yield from _unequal(name, bool(getattr(face, name)), bool(getattr(golden, name)))
        if hasattr(golden, "scale_source"):
            yield from _unequal("scale_source", int(face.scale_source), int(golden.scale_source))
        for field in _FIELDS:
            if not hasattr(golden, field.name.partition(".")[0]):
                continue  # Recorded by a version without this field.
            valid = not field.valid or (getattr(face, field.valid) and getattr(golden, field.valid))
            if valid:
                yield from self._compare_numbers(field, face, golden)

    def _compare_numbers(self, field: _Field, face: Any, golden: Any) -> Iterator[str]:
        found, expected = field.numbers(face), field.numbers(golden)
        if len(found) != len(expected):
            numbers = counted(len(found), "number")
            yield f"{field.name} has {numbers} and should have {len(expected)}"
            return
        if not len(found):
            return
        gaps = field.gaps(found, expected, golden)
        worst = int(gaps.argmax())
        gap, allowed = float(gaps[worst]), float(getattr(self._tolerances, field.tolerance))
        self.largest[field.tolerance] = max(gap, self.largest.get(field.tolerance, 0.0))
        # Written so that NaN is too far.
        if not gap <= allowed:
            where = f"[{worst}]" if len(gaps) > 1 else ""
            values = (
                f" is {found[worst]:g} and should be {expected[worst]:g}:"
                if len(gaps) == len(found)
                else ":"
            )
            yield (
                f"{field.name}{where}{values} {gap:.3g} {_UNITS[field.tolerance]} apart, "
                f"{allowed:g} allowed"
            )


class GoldenFaces:
    """A bag of golden faces."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            BagError: there is no bag, or there are no faces in it.
        """
        self._bag = Bag(path)
        self._topics = [topic for topic in self._bag.topics if topic.type == FACE_ARRAY]
        if not self._topics:
            topics = ", ".join(f"{topic.name} ({topic.type})" for topic in self._bag.topics)
            raise BagError(f"{path} has no golden faces ({FACE_ARRAY}): its topics are {topics}")

    def topic_for(self, faces: Sequence[str]) -> dict[str, str]:
        """Return the topic in the bag for each topic of new faces.

        They have the same names; where there is one of each, they need not.

        Raises:
            BagError: a topic, here or there, has no counterpart.
        """
        names = [topic.name for topic in self._topics]
        if len(names) == len(faces) == 1:
            return dict(zip(faces, names, strict=True))
        if set(names) != set(faces):
            raise BagError(
                f"{self._bag.path} has golden faces on {', '.join(names)}, and the new ones are on "
                f"{', '.join(faces)}"
            )
        return {name: name for name in faces}

    def on(self, topic: str) -> Iterator[Any]:
        """Yield the golden FaceArrays on a topic, decoded with the definitions in the bag."""
        types = get_typestore(Stores.ROS2_JAZZY)
        definition = described(self._bag.topic(topic)).definition
        types.register(get_types_from_msg(definition, FACE_ARRAY))
        for message in self._bag.messages([topic]):
            yield types.deserialize_cdr(message.data, FACE_ARRAY)

    def __enter__(self) -> GoldenFaces:
        return self

    def __exit__(self, *error: object) -> None:
        self._bag.close()


class _Ids:
    """Pairs of a golden id and its id in the new faces."""

    def __init__(self) -> None:
        self._found: dict[int, int] = {0: 0}
        self._golden: dict[int, int] = {0: 0}

    def fit(self, found: int, golden: int) -> bool:
        """Whether the two can be one; if both are new, they are from now on."""
        return (
            self._found.setdefault(golden, found) == found
            and self._golden.setdefault(found, golden) == golden
        )


def stamp_of(message: Any) -> int:
    """Return the stamp in nanoseconds of a message with a header."""
    stamp = message.header.stamp
    return int(stamp.sec) * SECOND + int(stamp.nanosec)


def _unequal(name: str, found: object, golden: object) -> Iterator[str]:
    if found != golden:
        yield f"{name} is {found!r} and should be {golden!r}"
