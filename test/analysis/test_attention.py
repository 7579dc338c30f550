"""Who looks, who speaks, who is the main person: against made faces of which the truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from maix_facemesh_ros.analysis.attention import Attention, AttentionEstimator
from maix_facemesh_ros.face import DoubleArray, Face, Gaze

RATE = 30


def rotated(direction: DoubleArray, degrees: float, random: np.random.Generator) -> DoubleArray:
    """Return a direction that is some degrees off, to a random side."""
    aside = np.cross(direction, random.normal(size=3))
    aside /= np.linalg.norm(aside)
    angle = math.radians(degrees)
    return np.asarray(math.cos(angle) * direction + math.sin(angle) * aside, np.float64)


def face(
    face_id: int = 1,
    *,
    place: tuple[float, float, float] = (0.0, 0.0, 1.0),
    head: DoubleArray | None = None,
    gaze: DoubleArray | None = None,
    opening: float = 0.0,
) -> Face:
    """Return a face with a pose (x of its frame is `head`), a gaze, and a mouth."""
    origin = np.array(place)
    pose = np.eye(4)
    pose[:3, 3] = origin
    pose[:3, 0] = -origin / np.linalg.norm(origin) if head is None else head
    points = np.zeros((478, 2), np.float32)
    points[33], points[263] = (100, 100), (200, 100)
    points[13], points[14] = (150, 180), (150, 180 + 100 * opening)
    return Face(
        id=face_id,
        box=(0.0, 0.0, 100.0 / origin[2], 100.0 / origin[2]),
        points=points,
        pose=pose,
        gaze=None if gaze is None else Gaze(origin, gaze, gaze, gaze),
    )


def after(faces: Callable[[float], list[Face]], seconds: float) -> Attention:
    """Return the attention after some seconds of images."""
    estimator = AttentionEstimator()
    for number in range(round(seconds * RATE) + 1):
        attention = estimator.update(faces(number / RATE), number / RATE)
    return attention


@pytest.mark.parametrize("eyes", [True, False])
def test_looking_at_the_camera_from_any_place(eyes: bool) -> None:
    """Who looks into it within the accuracy of the gaze, and who looks elsewhere."""
    random = np.random.default_rng(3)
    at, elsewhere = (4.0, 30.0) if eyes else (8.0, 45.0)
    for _ in range(100):
        place = (random.uniform(-1, 1), random.uniform(-0.5, 0.5), random.uniform(0.5, 3))
        to_camera = -np.array(place) / np.linalg.norm(place)
        for degrees, low, high in ((at, 0.9, 1.0), (elsewhere, 0.0, 0.1)):
            direction = rotated(to_camera, degrees, random)
            made = face(place=place, gaze=direction) if eyes else face(place=place, head=direction)
            (found,) = after(lambda _, made=made: [made], 1.0).faces  # type: ignore[misc]
            assert low <= found.looking_at_camera <= high


def test_noise_of_the_gaze_does_not_flicker() -> None:
    random = np.random.default_rng(4)
    to_camera = np.array([0.0, 0.0, -1.0])
    estimator = AttentionEstimator()
    values = [
        estimator.update(
            [face(gaze=rotated(to_camera, abs(random.normal(0, 5)), random))], n / RATE
        ).faces[0]
        for n in range(300)
    ]
    assert min(value.looking_at_camera for value in values[30:]) > 0.7


@pytest.mark.parametrize(("closed", "looks"), [(0.3, True), (2.0, False)])
def test_a_blink_is_not_the_end_of_a_look(closed: float, looks: bool) -> None:
    """Closed eyes have no gaze; the head still faces the camera."""
    open_eyes, closed_eyes = face(gaze=np.array([0.0, 0.0, -1.0])), face()
    seen = after(lambda t: [open_eyes if t < 2 else closed_eyes], 2.0 + closed)
    assert (seen.faces[0].looking_at_camera > 0.5) == looks


def test_without_a_pose_nothing_is_known_of_the_eyes() -> None:
    made = face()
    made.pose = None
    (found,) = after(lambda _: [made], 1.0).faces
    assert found.looking_at_camera == 0.0


def speech_like(random: np.random.Generator) -> Callable[[float], float]:
    """Return the opening of a mouth that speaks: syllables of changing length and height."""
    times, heights = [0.0], [0.02]
    while times[-1] < 6.0:
        times += [times[-1] + random.uniform(0.06, 0.16), times[-1] + random.uniform(0.18, 0.34)]
        heights += [random.uniform(0.08, 0.28), random.uniform(0.0, 0.05)]
    return lambda seconds: float(np.interp(seconds, times, heights))


def silent(random: np.random.Generator) -> Callable[[float], float]:
    """Return the opening of a mouth that does not speak, in one of five ways."""
    start, height = random.uniform(0.5, 2.0), random.uniform(0.1, 0.6)
    ways: list[Callable[[float], float]] = [
        lambda _: 0.01,  # closed
        lambda _: height,  # open
        lambda t: height * max(0.0, math.sin(math.pi * min(max((t - start) / 3, 0), 1))),  # yawn
        lambda t: 0.12 if t > start else 0.0,  # a smile that shows the teeth
        lambda t: 0.02 + 0.01 * math.sin(2 * math.pi * 1.3 * t),  # chewing with a closed mouth
    ]
    return ways[int(random.integers(len(ways)))]


def test_speech_among_silent_mouths() -> None:
    """With the noise of landmarks of a face 100 pixels wide: a hundredth of the eye distance."""
    random = np.random.default_rng(5)
    right = wrong = missed = 0
    for number in range(200):
        speaks = number % 2 == 0
        mouth = (speech_like if speaks else silent)(random)
        noise = random.normal(0, 0.01, 200)

        openings = [max(0.0, mouth(n / RATE) + noise[n]) for n in range(len(noise))]
        made = [face(opening=opening) for opening in openings]
        (found,) = after(lambda t, made=made: [made[round(t * RATE)]], 4.0).faces  # type: ignore[misc]
        says = found.speaking > 0.5
        right += says and speaks
        wrong += says and not speaks
        missed += speaks and not says
    print(f"precision {right / (right + wrong):.3f}, recall {right / (right + missed):.3f}")
    assert right / (right + wrong) > 0.97
    assert right / (right + missed) > 0.9


def test_two_people_alike_do_not_take_turns() -> None:
    random = np.random.default_rng(6)
    estimator = AttentionEstimator()
    chosen = []
    for number in range(300):
        places = [(-0.3, 0.0, random.normal(1.0, 0.03)), (0.3, 0.0, random.normal(1.0, 0.03))]
        attention = estimator.update(
            [face(n + 1, place=p) for n, p in enumerate(places)], number / RATE
        )
        chosen.append((attention.main_id, attention.nearest_id))
    assert len({main for main, _ in chosen}) == 1
    assert sum(a[1] != b[1] for a, b in pairwise(chosen)) <= 2


def test_the_main_person_is_who_speaks_and_looks() -> None:
    """After half a second more than the estimates take."""
    mouth = speech_like(np.random.default_rng(7))
    away = np.array([1.0, 0.0, 0.0])

    def faces(seconds: float) -> list[Face]:
        near = face(1, place=(0.3, 0.0, 1.0), head=away)
        return [near, face(2, place=(-0.3, 0.0, 1.2), opening=mouth(seconds))]

    assert after(faces, 0.1).main_id == 2
    attention = after(faces, 3.0)
    assert (attention.main_id, attention.nearest_id) == (2, 1)

    def swapped(seconds: float) -> list[Face]:
        if seconds < 2.0:
            return [face(1)]
        return [face(1, head=away), face(2, place=(0.1, 0.0, 0.8))]

    assert after(swapped, 2.3).main_id == 1
    assert after(swapped, 3.5).main_id == 2


def test_who_leaves_is_forgotten_and_a_step_back_starts_again() -> None:
    estimator = AttentionEstimator()
    estimator.update([face(1), face(2)], 1.0)
    assert [each.id for each in estimator.update([face(2)], 1.1).faces] == [2]
    assert estimator.update([], 1.2) == Attention(0, 0, [])
    estimator.update([face(5)], 1.3)
    assert estimator.update([face(1)], 0.0).main_id == 1


def test_faces_without_ids_or_landmarks() -> None:
    made = face(0)
    assert after(lambda _: [made], 0.2) == Attention(0, 0, [])
    bare = Face(id=3, box=(0.0, 0.0, 50.0, 50.0))
    assert after(lambda _: [bare], 0.2) == Attention(3, 3, [(3, 0.0, 0.0)])  # type: ignore[list-item]
