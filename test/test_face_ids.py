"""Ids that hold, on sequences whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from face_sequences import Look, Person, Seen, Sequence, walk
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.face_ids import FaceIds

TIMEOUT = 0.5
SEEDS = range(5)

Random = np.random.Generator


@dataclass
class Mistakes:
    """What has gone wrong over a sequence."""

    #: Somebody's id became that of another person who is there or was.
    switches: int = 0
    #: Somebody's id became a new one although he was out of sight no longer than the timeout.
    fragmentations: int = 0
    #: Somebody who had not been there before got an id that another person has or had.
    inherited: int = 0

    def __add__(self, other: Mistakes) -> Mistakes:
        return Mistakes(
            self.switches + other.switches,
            self.fragmentations + other.fragmentations,
            self.inherited + other.inherited,
        )


def mistakes_in(
    sequence: Sequence, seed: int, backend: Callable[[Seen], None] | None = None
) -> Mistakes:
    """Number the faces of a sequence, and count."""
    ids, mistakes = FaceIds(), Mistakes()
    last: dict[int, tuple[int, float]] = {}
    owner: dict[int, int] = {}
    for picture in sequence.pictures(np.random.default_rng(seed)):
        if backend:
            backend(picture)
        ids.assign(picture.faces, picture.stamp, TIMEOUT)
        numbers = [face.id for face in picture.faces]
        assert len(set(numbers)) == len(numbers), "two faces of a picture have the same id"
        assert all(number > 0 for number in numbers)
        for person, number in zip(picture.people, numbers, strict=True):
            if person < 0:
                owner.setdefault(number, person)
                continue
            is_anothers = owner.setdefault(number, person) != person
            if person not in last:
                mistakes.inherited += is_anothers
            elif last[person][0] != number:
                absent = picture.stamp - last[person][1]
                mistakes.switches += is_anothers
                mistakes.fragmentations += not is_anothers and absent <= TIMEOUT
            last[person] = (number, picture.stamp)
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


def side_by_side(random: Random) -> Sequence:
    """At the same distance, and both found all the time."""
    sequence = crossing(random, widths=(90, 88))
    sequence.hides = 2.0
    return sequence


def strangers_slowly(random: Random) -> Sequence:
    """Their motion says little about who is who; their features do."""
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
    """Somebody comes in beside a face that was lost just before, and that comes back."""
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
    """The camera turns to and fro; three faces jump through the picture together."""

    def seen_at(x: float) -> Callable[[float], Look | None]:
        return lambda time: Look(x + 150 * math.sin(5 * time), 240 + 0.2 * x, 70)

    return Sequence(people(random, *map(seen_at, (180, 320, 460))), 4.0)


def flickering(random: Random) -> Sequence:
    """Each face is missed in a third of the pictures, and there are false ones."""
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
    """Five pictures a second."""
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


PLAIN = (
    hidden,
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


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scene", PLAIN)
def test_everyone_keeps_his_id(scene: Callable[[Random], Sequence], seed: int) -> None:
    sequence = scene(np.random.default_rng(seed))
    assert mistakes_in(sequence, seed) == Mistakes()


def test_with_many_misses_and_false_faces_mistakes_are_few() -> None:
    """A face that is missed may lose its id to a false one in the same place."""
    total = Mistakes()
    for seed in range(20):
        total += mistakes_in(flickering(np.random.default_rng(seed)), seed)
    print(f"20 flickering sequences: {total}")
    assert total.switches <= 3
    assert total.fragmentations <= 8
    assert total.inherited == 0


def face_at(x: float, y: float, width: float = 80, backend_id: int = 0) -> Face:
    """Return a face without landmarks."""
    return Face(id=backend_id, box=(x - width / 2, y - width / 2, width, width))


def numbers(ids: FaceIds, stamp: float, *faces: Face, timeout: float = TIMEOUT) -> list[int]:
    ids.assign(faces, stamp, timeout)
    return [face.id for face in faces]


@pytest.mark.parametrize("timeout", [0.2, 0.5, 3.0])
@pytest.mark.parametrize(("part", "keeps"), [(0.9, True), (1.1, False)])
def test_the_timeout_is_kept_on_both_sides(timeout: float, part: float, keeps: bool) -> None:
    ids = FaceIds()
    assert numbers(ids, 10.0, face_at(200, 200), timeout=timeout) == [1]
    for at in (0.1, 0.15):
        assert numbers(ids, 10.0 + at * timeout, timeout=timeout) == []
    expected = 1 if keeps else 2
    stamp = 10.0 + part * timeout
    assert numbers(ids, stamp, face_at(205, 200), timeout=timeout) == [expected]


def test_without_a_timeout_one_missed_picture_ends_an_id() -> None:
    ids = FaceIds()
    assert numbers(ids, 1.0, face_at(200, 200), timeout=0.0) == [1]
    assert numbers(ids, 1.2, face_at(200, 200), timeout=0.0) == [1], "a slow camera misses nobody"
    assert numbers(ids, 1.4, timeout=0.0) == []
    assert numbers(ids, 1.6, face_at(200, 200), timeout=0.0) == [2]


def test_after_a_pause_everyone_is_new() -> None:
    ids = FaceIds()
    assert numbers(ids, 1.0, face_at(200, 200)) == [1]
    assert numbers(ids, 4.0, face_at(200, 200)) == [2]


def test_ids_are_not_used_again_after_forget() -> None:
    ids = FaceIds()
    assert numbers(ids, 5.0, face_at(200, 200), face_at(400, 200)) == [1, 2]
    ids.forget()
    assert numbers(ids, 1.0, face_at(200, 200)) == [3]
    assert numbers(ids, 1.1, face_at(200, 200)) == [3]


def test_a_jump_is_somebody_new() -> None:
    ids = FaceIds()
    assert numbers(ids, 1.0, face_at(100, 200)) == [1]
    assert numbers(ids, 1.03, face_at(400, 200)) == [2]
    assert numbers(ids, 1.06, face_at(400, 200, width=200)) == [3], "three times as near"


def test_what_the_backend_follows_is_believed_and_numbered_anew() -> None:
    ids = FaceIds()
    first = [face_at(200, 200, backend_id=70), face_at(240, 200, backend_id=40)]
    assert numbers(ids, 1.0, *first) == [1, 2]
    # Both come to the middle and past each other: nothing but the backend knows who is who.
    second = [face_at(219, 200, backend_id=40), face_at(221, 200, backend_id=70)]
    assert numbers(ids, 1.03, *second) == [2, 1]


def test_a_backends_word_does_not_make_a_jump_possible() -> None:
    ids = FaceIds()
    assert numbers(ids, 1.0, face_at(100, 200, backend_id=5)) == [1]
    assert numbers(ids, 1.03, face_at(500, 200, backend_id=5)) == [2]


def test_backend_numbers_that_begin_anew_do_no_harm() -> None:
    """As those of a backend that has lost a face and found it again."""
    ids = FaceIds()
    assert numbers(ids, 1.0, face_at(200, 200, backend_id=1)) == [1]
    assert numbers(ids, 1.1) == []
    assert numbers(ids, 1.2, face_at(202, 200, backend_id=2)) == [1]


def test_the_order_of_the_faces_does_not_matter() -> None:
    sequence = crossing(np.random.default_rng(1), widths=(90, 80))
    one, other = FaceIds(), FaceIds()
    for picture in sequence.pictures(np.random.default_rng(1)):
        copies = [Face(box=face.box, points=face.points) for face in picture.faces]
        one.assign(picture.faces, picture.stamp, TIMEOUT)
        # In the first picture the order gives the numbers.
        backwards = copies if picture.stamp == 1000.0 else copies[::-1]
        other.assign(backwards, picture.stamp, TIMEOUT)
        assert [face.id for face in picture.faces] == [face.id for face in copies]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_ends_nothing(wrong: float) -> None:
    ids = FaceIds()
    points = np.full((478, 2), 200, np.float32)
    assert numbers(ids, 1.0, face_at(200, 200)) == [1]
    faces = [Face(box=(wrong, 0, wrong, 5)), Face(box=(180, 180, 40, 40), points=points * wrong)]
    assert all(number > 1 for number in numbers(ids, 1.03, *faces))
    assert numbers(ids, 1.06, face_at(200, 200)) == [1], "what was known is still known"


def test_pictures_of_the_same_time() -> None:
    ids = FaceIds()
    for _ in range(3):
        assert numbers(ids, 1.0, face_at(200, 200)) == [1]
