"""Where the detector searches in a stream: `SearchSchedule`, and the areas that it is given."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pytest

from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.backends.onnx.blazeface import FullRangeDetector, ShortRangeDetector
from maix_facemesh_ros.backends.onnx.network import Network
from maix_facemesh_ros.backends.onnx.same_face import LARGER
from maix_facemesh_ros.backends.onnx.search import (
    AVERAGE_PIXELS_IN_MOTION,
    AVERAGE_PIXELS_WITH_FACES,
    LOOK_AGAIN,
    MOST_PIXELS,
    MOST_SAVINGS,
    PIXELS_IN_FRONT,
    QUIET,
    SAVED_SEARCHES,
    UNCHANGED,
    UNCHANGED_WHILE_FULL,
    LargerFaceSchedule,
    SearchArea,
    SearchSchedule,
    Thumbnail,
)
from maix_facemesh_ros.face import Box
from maix_facemesh_ros.image import Image, Pixels, Stamp
from maix_facemesh_ros.image_rotation import turn_box_back, turn_image, turn_points_back
from scenes import paste_head

#: Images until every area has been searched again, the last of them after some that are due too.
LONGEST = UNCHANGED[-1] + 20


@pytest.fixture(scope="module")
def detector() -> FullRangeDetector:
    return FullRangeDetector()


@pytest.fixture(scope="module")
def room() -> Pixels:
    """A photograph without a face, 600x400."""
    data = pytest.importorskip("skimage.data", reason="scikit-image has the image")
    return np.ascontiguousarray(np.asarray(data.coffee()))


class Camera:
    """Makes images with noise and changing light."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._noise = self._random.normal(0, 4, (600, 800, 3)).astype(np.float32)

    def image(self, pixels: Pixels, light: float = 1.0) -> Image:
        height, width = pixels.shape[:2]
        top, left = self._random.integers(0, 100, 2).tolist()
        noise = self._noise[top : top + height, left : left + width]
        noisy = np.clip(pixels * np.float32(light) + noise, 0, 255).astype(np.uint8)
        return Image(noisy, "rgb", Stamp(0, 0))


class Searches:
    """A schedule, and what it had searched image by image."""

    def __init__(self, areas: Sequence[SearchArea]) -> None:
        self.areas = areas
        self.schedule = SearchSchedule()
        self.images: list[list[SearchArea]] = []

    def next(
        self, image: Image, known: Sequence[Box] = (), lost: Sequence[Box] = ()
    ) -> list[SearchArea]:
        due = self.schedule.due(
            Thumbnail.of(image, 0.03), len(self.images), self.areas, known=known, lost=lost
        )
        self.images.append(due)
        return due


@pytest.fixture
def searches(detector: FullRangeDetector, room: Pixels) -> Searches:
    height, width = room.shape[:2]
    return Searches(detector.areas((width, height), 0.03))


def around(area: SearchArea) -> tuple[int, int]:
    """Return a place in an area's core."""
    x, y, width, height = area.part
    left, top, right, bottom = area.core
    return (
        round((max(left, x) + min(right, x + width)) / 2),
        round((max(top, y) + min(bottom, y + height)) / 2),
    )


# Areas.


@pytest.mark.parametrize(
    ("size", "min_face_size"),
    [((640, 480), 0.03), ((1280, 720), 0.018), ((480, 640), 0.03), ((333, 77), 0.03)],
)
def test_every_level_covers_the_image_once_and_its_faces_whole(
    size: tuple[int, int], min_face_size: float, detector: FullRangeDetector
) -> None:
    areas = detector.areas(size, min_face_size)
    random = np.random.default_rng(0)
    for level in range(areas[-1].level + 1):
        of_level = [area for area in areas if area.level == level]
        for x, y in random.uniform((0, 0), size, (200, 2)).tolist():
            (area,) = (
                a for a in of_level if a.core[0] <= x < a.core[2] and a.core[1] <= y < a.core[3]
            )
            left, top, width, height = area.part
            pixel = width / area.shown[0]
            half = pixel * detector.SMALLEST_FACE / 2
            assert left <= max(x - half, 0) and min(x + half, size[0]) <= left + width
            assert top <= max(y - half, 0) and min(y + half, size[1]) <= top + height
    assert [area.level for area in areas] == sorted(area.level for area in areas)
    assert all(side % 32 == 0 for area in areas for side in area.size)
    assert all(s <= i for area in areas for s, i in zip(area.shown, area.size, strict=True))


@pytest.mark.parametrize("size", [(2, 3000), (16, 2160), (1, 1), (1920, 1080)])
def test_areas_stay_affordable_for_any_image(
    size: tuple[int, int], detector: FullRangeDetector
) -> None:
    areas = detector.areas(size, 0.0075)
    assert all(area.pixels <= MOST_PIXELS for area in areas)
    assert len(areas) < 200


def test_an_areas_faces_are_where_a_search_of_the_whole_image_finds_them(
    detector: FullRangeDetector, room: Pixels, astronaut: Pixels
) -> None:
    height, width = room.shape[:2]
    for area in detector.areas((width, height), 0.03):
        pixels = room.copy()
        face = (0.3, 0.08, 0.05)[area.level] * width
        paste_head(pixels, astronaut, around(area), face)
        image = Image(pixels, "rgb", Stamp(0, 0))
        options = {"score_threshold": 0.5, "overlap_threshold": 0.45}
        (found,) = detector.search(image, [area], 0, **options)
        (expected,) = detector.detect(image, min_face_size=0.03, **options)
        np.testing.assert_allclose(found.box, expected.box, atol=0.2 * face)
        assert detector.search(image, [], 0, **options) == []


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_areas_that_are_turned_give_faces_where_they_are(
    quarters: int, detector: FullRangeDetector, room: Pixels, astronaut: Pixels
) -> None:
    """Areas whose part of the image does not fill the network's input, at the edge, too."""
    upright = room.copy()
    paste_head(upright, astronaut, (200, 150), 60)
    options = {"score_threshold": 0.5, "overlap_threshold": 0.45}
    (expected,) = detector.detect(Image(upright, "rgb", Stamp(0, 0)), min_face_size=0.06, **options)
    # Turned counterclockwise, so that the clockwise turns make it upright.
    rolled = Image(np.ascontiguousarray(np.rot90(upright, quarters)), "rgb", Stamp(0, 0))
    areas = detector.areas(rolled.size, 0.06)
    found = detector.search(rolled, areas, quarters, **options)[0]
    assert np.array_equal(turn_image(rolled, quarters).pixels, upright)
    box = turn_box_back(expected.box, quarters, rolled.size)
    np.testing.assert_allclose(found.box, box, atol=6)
    eyes = turn_points_back(expected.keypoints[:2], quarters, rolled.size)
    np.testing.assert_allclose(found.keypoints[:2], eyes, atol=6)


# The schedule.


def test_first_image_is_searched_whole(searches: Searches, room: Pixels) -> None:
    assert searches.next(Camera().image(room)) == list(searches.areas)


def test_still_camera_searches_little(searches: Searches, room: Pixels) -> None:
    """Noise and light that changes are no change; everything is searched again all the same."""
    camera = Camera()
    for number in range(LONGEST):
        searches.next(camera.image(room, light=1 + 0.12 * math.sin(number / 10)))
    searched = Counter(area for image in searches.images[1:] for area in image)
    assert set(searched) == set(searches.areas)
    per_image = sum(area.pixels for image in searches.images[1:] for area in image) / LONGEST
    assert per_image < 1.3 * sum(area.pixels / UNCHANGED[area.level] for area in searches.areas)


@pytest.mark.parametrize("width", [0.03, 0.06, 0.15])
def test_area_that_a_face_appears_in_is_searched_in_the_same_image(
    width: float, searches: Searches, room: Pixels, astronaut: Pixels
) -> None:
    camera = Camera()
    for area in searches.areas[2:]:
        for _ in range(30):
            searches.next(camera.image(room))
        changed = room.copy()
        paste_head(changed, astronaut, around(area), width * room.shape[1])
        due = searches.next(camera.image(changed))
        assert searches.areas[0] in due
        if width < 0.06:
            assert area in due
        elif width < 0.15:
            assert area in due or searches.areas[1] in due
        for _ in range(30):
            searches.next(camera.image(room))


def test_small_change_is_searched_again_with_smaller_pixels(
    searches: Searches, room: Pixels, astronaut: Pixels
) -> None:
    camera, changed = Camera(), room.copy()
    tile = searches.areas[-1]
    x, y = around(tile)
    paste_head(changed, astronaut, (x, y), 0.03 * room.shape[1])
    for _ in range(QUIET + 2):
        searches.next(camera.image(room))
    due = [searches.next(camera.image(changed)) for _ in range(LOOK_AGAIN + 1)]
    assert tile in due[0]
    (closer,) = (area for area in due[LOOK_AGAIN] if area not in searches.areas)
    left, top, width, height = closer.part
    assert left + 0.2 * width < x < left + 0.8 * width
    assert top + 0.1 * height < y < top + 0.9 * height
    assert closer.size == tile.size
    assert width / closer.shown[0] < 0.7 * tile.part[2] / tile.shown[0]
    assert not [area for image in due[1:LOOK_AGAIN] for area in image if area.level]


@pytest.mark.parametrize("size", [(320, 240), (321, 243), (193, 191), (160, 120), (97, 61)])
def test_searches_of_small_images_fit_into_the_networks_input(
    detector: FullRangeDetector, size: tuple[int, int]
) -> None:
    width, height = size
    random = np.random.default_rng(1)
    room = np.full((height, width, 3), 110, np.uint8)
    searches, camera = Searches(detector.areas(size, 0.03)), Camera()
    for _ in range(12):
        x, y = random.integers(0, width - 12), random.integers(0, height - 12)
        changed = room.copy()
        changed[y : y + 12, x : x + 8] = random.integers(0, 256, (12, 8, 3))
        for _ in range(QUIET + 2):
            searches.next(camera.image(room))
        for _ in range(LOOK_AGAIN + 1):
            searches.next(camera.image(changed))
    closer = [area for image in searches.images for area in image if area not in searches.areas]
    for area in [*searches.areas, *closer]:
        left, top, part_width, part_height = area.part
        assert 0 <= left <= width - part_width
        assert 0 <= top <= height - part_height
        assert area.shown[0] <= area.size[0] and area.shown[1] <= area.size[1], area
    assert closer or width < 160


def test_overexposed_part_does_not_change_with_the_light(searches: Searches, room: Pixels) -> None:
    bright = room.copy()
    bright[100:200, 100:300] = (255, 235, 205)
    camera = Camera()
    for number in range(UNCHANGED[1] - 1):
        due = searches.next(camera.image(bright, light=1 + 0.12 * math.sin(number / 5)))
        assert not number or {area.level for area in due} <= {0}


def test_image_that_changes_everywhere_is_searched_in_parts(
    searches: Searches, room: Pixels
) -> None:
    random, camera = np.random.default_rng(0), Camera()
    for _ in range(200):
        pixels = np.roll(room, random.integers(20, 300, 2), axis=(0, 1))
        searches.next(camera.image(pixels))
    searched = [sum(area.pixels for area in due if area.level) for due in searches.images[1:]]
    assert max(searched) <= MOST_PIXELS
    assert sum(searched) <= MOST_SAVINGS + 200 * AVERAGE_PIXELS_IN_MOTION
    assert all(searches.areas[0] in due for due in searches.images)
    last = Counter(area for due in searches.images[80:] for area in due)
    assert set(last) >= set(searches.areas), "each has its turn"
    others = set(last) - set(searches.areas)
    assert {area.level for area in others} <= {searches.areas[-1].level}, "what appears"


def test_with_a_face_in_view_what_keeps_changing_is_searched_for_half_the_time(
    searches: Searches, room: Pixels
) -> None:
    random, camera, interval = np.random.default_rng(0), Camera(), 10
    searched = []
    for number in range(0, 400, interval):
        pixels = np.roll(room, random.integers(20, 300, 2), axis=(0, 1))
        thumbnail = Thumbnail.of(camera.image(pixels), 0.03)
        known = [(250.0, 150.0, 60.0, 60.0)]
        due = searches.schedule.due(thumbnail, number, searches.areas, known=known, lost=[])
        assert searches.areas[0] in due
        searched.append(sum(area.pixels for area in due if area.level))
    # The intervals are known to be regular from the second call on.
    assert max(searched[1:]) <= MOST_PIXELS
    spent = sum(searched[2:])
    assert spent <= MOST_SAVINGS + 400 * AVERAGE_PIXELS_WITH_FACES, "nothing of it is new"
    assert spent >= 300 * AVERAGE_PIXELS_WITH_FACES


def test_what_has_changed_during_a_pause_is_new(searches: Searches, room: Pixels) -> None:
    """While as many faces are tracked as may be given, nothing is searched."""
    camera, schedule = Camera(), searches.schedule
    for number in range(12):
        schedule.due(
            Thumbnail.of(camera.image(room), 0.03), number, searches.areas, known=[], lost=[]
        )
    changed = room.copy()
    changed[40:120, 40:120] = 250 - changed[40:120, 40:120]
    first = Thumbnail.of(camera.image(changed), 0.03)
    assert any(area.level for area in schedule.due(first, 12, searches.areas, known=[], lost=[]))
    for number in (40, 41):  # The face has gone.
        thumbnail = Thumbnail.of(camera.image(room), 0.03)
        due = schedule.due(thumbnail, number, searches.areas, known=[], lost=[])
        assert any(area.level for area in due) == (number == 40)


def test_same_images_give_the_same_searches(
    detector: FullRangeDetector, room: Pixels, astronaut: Pixels
) -> None:
    height, width = room.shape[:2]
    areas = detector.areas((width, height), 0.03)

    def images() -> Iterator[Image]:
        camera = Camera(1)
        for number in range(40):
            pixels = room.copy()
            paste_head(pixels, astronaut, (12 * number, 200), 30)
            yield camera.image(pixels)

    first, second = Searches(areas), Searches(areas)
    for image in images():
        first.next(image)
    second.next(Camera(2).image(room))
    second.schedule = SearchSchedule()
    second.images.clear()
    for image in images():
        second.next(image)
    assert first.images == second.images


def test_known_face_that_moves_is_not_searched(
    searches: Searches, room: Pixels, astronaut: Pixels
) -> None:
    camera = Camera()
    for number in range(21):
        pixels = room.copy()
        x = 200 + number
        paste_head(pixels, astronaut, (x, 150), 60)
        due = searches.next(camera.image(pixels), [(x - 55.0, 100.0, 110.0, 110.0)])
    assert {area.level for area in due} <= {0, 1}


def test_place_of_a_lost_face_is_searched_at_once_and_again(
    searches: Searches, room: Pixels
) -> None:
    camera = Camera()
    tile = searches.areas[-1]
    x, y = around(tile)
    for _ in range(15):
        searches.next(camera.image(room))
    due = [searches.next(camera.image(room), lost=[(x - 15.0, y - 18.0, 30.0, 36.0)])]
    due += [searches.next(camera.image(room)) for _ in range(14)]
    assert [number for number, areas in enumerate(due) if tile in areas][:4] == [0, 3, 6, 9]


def test_image_of_another_size_starts_again(
    searches: Searches, detector: FullRangeDetector, room: Pixels
) -> None:
    searches.next(Camera().image(room))
    smaller = np.ascontiguousarray(room[:240, :320])
    searches.areas = detector.areas((320, 240), 0.03)
    assert searches.next(Camera().image(smaller)) == list(searches.areas)


# Together.

#: Width of a face as a fraction of the image's, and in which image it must be found.
ENTRIES = [(0.04, 10), (0.07, 3), (0.15, 1), (0.4, 1)]


@pytest.mark.parametrize(("width", "within"), ENTRIES)
def test_face_that_appears_is_found_in_time(
    width: float, within: int, room: Pixels, astronaut: Pixels
) -> None:
    camera = Camera()
    random = np.random.default_rng(7)
    height, image_width = room.shape[:2]
    face = width * image_width
    with FaceMesh(tracking=True, max_face_num=1) as mesh:
        for start in (5, 14, 23):
            for _ in range(start):
                assert mesh.process(camera.image(room).pixels) == []
            place = random.uniform(
                (0.7 * face,) * 2, (image_width - 0.7 * face, height - 0.7 * face)
            )
            pixels = room.copy()
            paste_head(pixels, astronaut, (int(place[0]), int(place[1])), face)
            answers = [mesh.process(camera.image(pixels).pixels) for _ in range(within)]
            assert answers[-1], place
            assert answers[-1][0].box[2] == pytest.approx(face, rel=0.25)


@pytest.mark.parametrize("width", [0.05, 0.08, 0.15])
def test_face_that_appears_before_a_moving_camera_is_found_in_the_same_image(
    width: float, room: Pixels, astronaut: Pixels
) -> None:
    camera, random = Camera(), np.random.default_rng(3)
    size = room.shape[1::-1]
    world = np.asarray(cv2.resize(room, (2 * size[0], 2 * size[1])), np.uint8)
    face = width * size[0]

    def image(world: Pixels, number: int) -> Pixels:
        left = 300 + round(120 * math.sin(number / 20))
        upper = 200 + round(60 * math.sin(number / 13))
        return camera.image(world[upper : upper + size[1], left : left + size[0]]).pixels

    found = []
    for start in range(12, 36, 4):
        with FaceMesh(tracking=True, max_face_num=1) as mesh:
            for number in range(start):
                assert mesh.process(image(world, number)) == []
            place = (600, 400) + random.uniform(-0.2, 0.2, 2) * size
            shown = world.copy()
            paste_head(shown, astronaut, (int(place[0]), int(place[1])), face)
            found.append(bool(mesh.process(image(shown, start))))
    assert sum(found) >= 5, found


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("this is not to happen here")


def test_detect_interval_1_searches_everything_in_every_image(
    room: Pixels, astronaut: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FullRangeDetector, "search", refuse)
    pixels = room.copy()
    paste_head(pixels, astronaut, (300, 200), 0.05 * room.shape[1])
    with FaceMesh(tracking=True, detect_interval=1) as mesh:
        assert mesh.process(room) == []
        assert len(mesh.process(pixels)) == 1


def test_no_image_of_a_stream_waits_for_a_network_to_be_loaded(
    monkeypatch: pytest.MonkeyPatch, room: Pixels, astronaut: Pixels
) -> None:
    with FaceMesh(tracking=True, max_face_num=1) as mesh:
        monkeypatch.setattr(Network, "__init__", refuse)
        for width, turns in ((0, 0), (20, 0), (120, 0), (120, 2), (30, 1), (0, 0)):
            image = room.copy()
            if width:
                paste_head(image, astronaut, (320, 200), width)
            for _ in range(30):
                mesh.process(np.ascontiguousarray(np.rot90(image, turns)))


def test_photos_are_searched_whole(
    room: Pixels, astronaut: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FullRangeDetector, "search", refuse)
    pixels = room.copy()
    paste_head(pixels, astronaut, (300, 200), 0.05 * room.shape[1])
    with FaceMesh() as mesh:
        for _ in range(3):
            assert len(mesh.process(pixels)) == 1


def test_a_detector_without_areas_searches_whole_images(astronaut: Pixels) -> None:
    with FaceMesh(tracking=True, detector="short_range", detect_interval=2) as mesh:
        assert mesh.process(np.zeros_like(astronaut)) == []
        assert len(mesh.process(astronaut)) == 1
    detector = ShortRangeDetector()
    assert list(detector.areas((640, 480), 0.03)) == []
    image = Image(astronaut, "rgb", Stamp(0, 0))
    assert detector.search(image, [], score_threshold=0.5, overlap_threshold=0.45) == []


def test_channel_order_does_not_change_the_thumbnail(room: Pixels) -> None:
    rgb = Image(room, "rgb", Stamp(0, 0))
    bgr = Image(np.ascontiguousarray(room[:, :, ::-1]), "bgr", Stamp(0, 0))
    of_rgb, of_bgr = (Thumbnail.of(image, 0.03).pixels for image in (rgb, bgr))
    np.testing.assert_array_equal(of_rgb, of_bgr)


# While as many faces are tracked as may be given.


class FullScene:
    """A person in a room, and when it is searched for larger faces; 10 images a run."""

    #: Width and height of the person's face, and pixels that a search for near faces takes.
    FACE = (36.0, 42.0)
    PIXELS = 96 * 96

    def __init__(self, room: Pixels, astronaut: Pixels) -> None:
        self._room, self._astronaut = room, astronaut
        self._camera = Camera()
        self._schedule = LargerFaceSchedule()

    def is_due(self, center: tuple[int, int], *newcomers: tuple[int, int, float]) -> bool:
        """Show the person, and heads in front of it: x, y of each one's face, its width."""
        pixels = self._room.copy()
        paste_head(pixels, self._astronaut, center, self.FACE[0])
        for x, y, width in newcomers:
            nearer, head = pixels.copy(), np.zeros(pixels.shape[:2], np.uint8)
            paste_head(nearer, self._astronaut, (x, y), width)
            axes = (round(0.7 * width), round(0.9 * width))
            cv2.ellipse(head, (x, y), axes, 0, 0, 360, 1, -1)
            pixels[head > 0] = nearer[head > 0]
        return self.is_due_in(pixels, center)

    def is_due_in(self, pixels: Pixels, center: tuple[int, int]) -> bool:
        width, height = self.FACE
        return self._schedule.is_due(
            Thumbnail.of(self._camera.image(pixels), 0.05),
            [(center[0] - width / 2, center[1] - height / 2, width, height)],
            (pixels.shape[1], pixels.shape[0]),
            area=LARGER * width * height,
            pixels=self.PIXELS,
        )


@pytest.fixture
def full(room: Pixels, astronaut: Pixels) -> FullScene:
    return FullScene(room, astronaut)


def test_while_full_a_still_scene_is_searched_rarely_and_a_newcomer_at_once(
    full: FullScene,
) -> None:
    due = [full.is_due((120, 200)) for _ in range(UNCHANGED_WHILE_FULL + 1)]
    assert due == [True] + [False] * (UNCHANGED_WHILE_FULL - 1) + [True]
    assert not full.is_due((120, 200))
    assert full.is_due((120, 200), (480, 200, 54.0))


@pytest.mark.parametrize("ratio", [1.3, 1.6, 2.0])
def test_while_full_a_newcomer_in_front_of_the_tracked_person_is_searched_at_once(
    ratio: float, full: FullScene
) -> None:
    person, width = (300, 80), ratio * FullScene.FACE[0]
    for run in range(3):
        assert full.is_due(person) == (run == 0)
    assert full.is_due(person, (300, round(105 + 0.9 * width), width))


def test_while_full_a_newcomer_who_rises_slowly_is_searched_when_in_view(full: FullScene) -> None:
    """By a sixth of its face from one run to the next; the face is in view from run 14 on."""
    person = (300, 80)
    due = [full.is_due(person, (300, 480 - 9 * run, 54.0)) for run in range(18)]
    assert due[:3] == [True, False, False]
    assert any(due[14:])


def test_while_full_gestures_have_a_part_of_the_images_searched(
    full: FullScene, room: Pixels, astronaut: Pixels
) -> None:
    random, person, runs = np.random.default_rng(0), (300, 80), 60
    due = []
    for _ in range(runs):
        pixels = room.copy()
        paste_head(pixels, astronaut, person, FullScene.FACE[0])
        clothes = random.permutation([80] * 36 + [160] * 36).reshape(12, 6)
        pixels[160:400, 240:360] = np.kron(clothes, np.ones((20, 20)))[:, :, np.newaxis]
        due.append(full.is_due_in(pixels, person))
    most = 1 + SAVED_SEARCHES + runs * PIXELS_IN_FRONT / FullScene.PIXELS
    assert 1 / 3 < sum(due) / runs <= most / runs < 0.6
