"""Ids that hold, on sequences whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from face_sequences import (
    PLAIN,
    TIMEOUT,
    Mistakes,
    Random,
    Seen,
    Sequence,
    count_mistakes,
    crossing,
    flickering,
    mistakes_in,
    taking_a_place,
)
from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.analysis.identity import FaceIds
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.image import Pixels
from scenes import stand_behind_each_other

SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("scene", PLAIN)
def test_everyone_keeps_his_id(scene: Callable[[Random], Sequence], seed: int) -> None:
    sequence = scene(np.random.default_rng(seed))
    assert mistakes_in(sequence, seed) == Mistakes()


@pytest.mark.parametrize("scene", PLAIN)
def test_all_ways_tried_give_the_ids_of_the_shortest_paths(
    scene: Callable[[Random], Sequence], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ids_of(most_ways: int) -> list[list[int]]:
        monkeypatch.setattr("maix_facemesh_ros.analysis.assignment.MOST_WAYS", most_ways)
        ids = FaceIds()
        found = []
        random = np.random.default_rng(0)
        for image in scene(random).images(random):
            ids.assign(image.faces, image.stamp, TIMEOUT)
            found.append([face.id for face in image.faces])
        return found

    assert ids_of(most_ways=0) == ids_of(most_ways=5040)


def test_with_many_misses_and_false_faces_mistakes_are_few() -> None:
    """A face that is missed may lose its id to a false one in the same place."""
    total = Mistakes()
    for seed in range(20):
        total += mistakes_in(flickering(np.random.default_rng(seed)), seed)
    print(f"20 flickering sequences: {total}")
    assert total.switches <= 1
    assert total.fragmentations <= 3
    assert total.inherited == 0


def test_how_often_somebody_inherits_who_takes_a_place() -> None:
    """The limit of what landmarks tell: see docs/heads.md."""
    total = Mistakes()
    for seed in range(20):
        total += mistakes_in(taking_a_place(np.random.default_rng(seed)), seed)
    print(f"20 times a person was seen within two faces of where another was lost: {total}")
    assert 0 < total.inherited <= 10
    assert total.switches == total.fragmentations == 0


@pytest.mark.parametrize(
    ("after", "off", "is_new"),
    [(0.033, 0.6, False), (0.033, 0.75, True), (0.45, 0.8, False), (0.45, 0.95, True)],
)
def test_so_far_from_a_lost_face_another_is_new(after: float, off: float, is_new: bool) -> None:
    ids = FaceIds()
    for image in range(10):
        assert numbers(ids, 1.0 + image / 30, face_at(200, 200)) == [1]
    stamp = 1.3 + after
    assert numbers(ids, stamp, face_at(200 + 80 * off, 200)) == [2 if is_new else 1]


@pytest.mark.parametrize("going_on", [0.0, 0.5, 1.0])
def test_a_face_that_nobody_sees_may_stop_or_go_on(going_on: float) -> None:
    ids = FaceIds()
    for image in range(10):
        assert numbers(ids, 1 + image / 30, face_at(100 + 20 * image, 200)) == [1]
    assert numbers(ids, 1.6, face_at(280 + 180 * going_on, 200)) == [1]
    assert numbers(ids, 1.9, face_at(280 - 180, 200)) == [2], "but not turn round and run"


def test_one_wrong_place_before_a_face_is_lost_does_no_harm() -> None:
    """As when a person walks in front of it, and the landmarks are drawn to that face."""
    ids = FaceIds()
    for image in range(10):
        assert numbers(ids, 1 + image / 30, face_at(200, 200)) == [1]
    assert numbers(ids, 1.34, face_at(225, 190, width=100)) == [1]
    assert numbers(ids, 1.6) == []
    assert numbers(ids, 1.7, face_at(200, 200)) == [1]


@pytest.mark.parametrize("tracking", [True, False])
@pytest.mark.parametrize(("near", "far", "images"), [(110, 70, 40), (100, 60, 20)])
def test_rendered_faces_that_cross_keep_their_ids(
    tracking: bool, near: int, far: int, images: int, astronaut: Pixels
) -> None:
    """With the networks: one hides the other for a third of a second."""

    def answered(mesh: FaceMesh) -> Iterator[Seen]:
        for number in range(images):
            way = 380 * number / (images - 1)
            heads = [(130 + way, 180.0, float(near)), (510 - way, 180.0, float(far))]
            stamp = 1000 + number / 30
            faces = mesh.process(stand_behind_each_other(astronaut, *heads), stamp)
            hidden.append(len(faces) < 2)
            # The near one is always seen; apart from it, each is where its head is.
            middles = [float(face.points[:, 0].mean()) for face in faces]
            who = (
                [0]
                if hidden[-1]
                else [int(abs(x - 130 - way) > abs(x - 510 + way)) for x in middles]
            )
            yield Seen(stamp, faces, who)

    hidden: list[bool] = []
    with FaceMesh(tracking=tracking, ids=True) as mesh:
        assert count_mistakes(answered(mesh)) == Mistakes()
    assert 1 <= sum(hidden) < 15


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


def test_without_a_timeout_one_missed_image_ends_an_id() -> None:
    ids = FaceIds()
    assert numbers(ids, 1.0, face_at(200, 200), timeout=0.0) == [1]
    assert numbers(ids, 1.2, face_at(200, 200), timeout=0.0) == [1], "a slow camera loses no face"
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
    # Both come to the middle and past each other: only the backend knows the identities.
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
    for image in sequence.images(np.random.default_rng(1)):
        copies = [Face(box=face.box, points=face.points) for face in image.faces]
        one.assign(image.faces, image.stamp, TIMEOUT)
        # In the first image the order gives the numbers.
        backwards = copies if image.stamp == 1000.0 else copies[::-1]
        other.assign(backwards, image.stamp, TIMEOUT)
        assert [face.id for face in image.faces] == [face.id for face in copies]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_ends_nothing(wrong: float) -> None:
    ids = FaceIds()
    points = np.full((478, 2), 200, np.float32)
    assert numbers(ids, 1.0, face_at(200, 200)) == [1]
    faces = [Face(box=(wrong, 0, wrong, 5)), Face(box=(180, 180, 40, 40), points=points * wrong)]
    assert all(number > 1 for number in numbers(ids, 1.03, *faces))
    assert numbers(ids, 1.06, face_at(200, 200)) == [1], "what was known is still known"


def test_images_of_the_same_time() -> None:
    ids = FaceIds()
    for _ in range(3):
        assert numbers(ids, 1.0, face_at(200, 200)) == [1]


def test_stamps_that_are_nearly_the_same_tell_no_speed() -> None:
    ids = FaceIds()
    assert numbers(ids, 1.0, face_at(200, 200)) == [1]
    assert numbers(ids, 1.000001, face_at(205, 200, width=90)) == [1]
    assert numbers(ids, 1.4) == []
    assert numbers(ids, 1.45, face_at(205, 200)) == [1]
