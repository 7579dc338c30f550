"""Drawing: landmarks pixel for pixel as MaixPy; mesh, box, label; images of no use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from maix_facemesh_ros.drawing import draw_face, draw_landmarks
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.mesh.landmark_subsets import SUB_5, SUB_68, SUB_146
from maix_facemesh_ros.mesh.sub_landmarks import get_sub_landmarks

MAIXPY = Path(__file__).parent / "data/maixpy"
GOLDEN = json.loads((MAIXPY / "golden.json").read_text())
POINTS = np.array(GOLDEN["points_478"], np.float32).reshape(-1, 2)
DEPTHS = np.array(GOLDEN["z_478"], np.float32)

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


@pytest.fixture
def astronaut() -> Pixels:
    """512x512 RGB, the image that MaixPy drew into; its face is about 90 pixels wide."""
    data = pytest.importorskip("skimage.data", reason="scikit-image has the astronaut image")
    image: Pixels = data.astronaut().copy()
    return image


def black(width: int = 320, height: int = 240) -> Pixels:
    return np.zeros((height, width, 3), np.uint8)


def face_of(subset: tuple[int, ...] | None = None, **fields: Any) -> Face:
    """The astronaut's face, all of it or a subset of the landmarks."""
    points, depths = get_sub_landmarks(POINTS, DEPTHS, subset or ())
    indices = None if subset is None else np.array(subset, np.uint16)
    usual = {"id": 3, "score": 0.987, "box": (180.0, 71.0, 90.0, 106.0)}
    landmarks = {"points": points, "points_z": depths, "indices": indices}
    return Face(**{**usual, **landmarks, **fields})


def drawn(image: Pixels) -> npt.NDArray[np.bool_]:
    """(H, W) where something was drawn into an image that was black."""
    return np.asarray(image.any(axis=2))


# The landmarks, as MaixPy draws them.


def golden_arguments(case: dict[str, Any]) -> tuple[list[int], list[int], dict[str, int]]:
    points = GOLDEN["points_478"] if case["num"] == 478 else case["points"]
    depths = GOLDEN["z_478"] if case["z"] and case["num"] == 478 else case["z"]
    return points, depths, dict(zip(("radius_min", "radius_max"), case["radius"], strict=False))


@pytest.mark.parametrize("case", GOLDEN["draw"], ids=lambda case: str(case["file"]))
def test_landmarks_are_maixpys_pixel_for_pixel(case: dict[str, Any], astronaut: Pixels) -> None:
    expected = cv2.imread(str(MAIXPY / case["file"]))
    assert expected is not None, case["file"]
    points, depths, radii = golden_arguments(case)
    before = astronaut.copy()
    result = draw_landmarks(astronaut, points, depths, **radii)
    assert result is astronaut
    assert not np.array_equal(result, before)
    np.testing.assert_array_equal(result, cv2.cvtColor(expected, cv2.COLOR_BGR2RGB))


def test_draw_face_draws_the_landmarks_as_maixpy(astronaut: Pixels) -> None:
    expected = cv2.imread(str(MAIXPY / "draw_478_z.png"))
    assert expected is not None
    draw_face(astronaut, face_of())
    np.testing.assert_array_equal(astronaut, cv2.cvtColor(expected, cv2.COLOR_BGR2RGB))


def test_a_point_is_drawn_in_the_pixel_in_which_it_lies() -> None:
    for point in ((20.0, 30.0), (20.5, 30.5), (20.99, 30.99)):
        np.testing.assert_array_equal(
            draw_landmarks(black(), np.array([point])), draw_landmarks(black(), [20, 30])
        )
    assert drawn(draw_landmarks(black(), [20, 30])).sum() == 5  # A circle of radius 1.


def test_flat_points_and_pairs_are_the_same() -> None:
    flat = draw_landmarks(black(), GOLDEN["points_478"], GOLDEN["z_478"])
    np.testing.assert_array_equal(flat, draw_landmarks(black(), POINTS, DEPTHS))


def test_only_the_order_of_depths_and_their_proportions_matter() -> None:
    expected = draw_landmarks(black(), [20, 30, 60, 30, 90, 30], [4, 0, 8])
    np.testing.assert_array_equal(
        draw_landmarks(black(), [20, 30, 60, 30, 90, 30], [0.25, 0.0, 0.5]), expected
    )
    assert expected[30, 20].tolist() == [127] * 3
    assert expected[30, 60].tolist() == [0] * 3
    assert expected[30, 90].tolist() == [255] * 3


def test_rounding_is_that_of_maixcdks_float32() -> None:
    # 41 * (1 / 41) is below 1 in float32, so MaixPy truncates gray 255 to 254 and radius 4 to 3.
    image = draw_landmarks(black(), [20, 30, 60, 30, 90, 30], [20, 0, 41])
    assert image[30, 90].tolist() == [254] * 3
    assert np.flatnonzero(drawn(image)[30, 80:100]).tolist() == list(range(7, 14))


def test_lowest_depth_counts_where_it_stands_first() -> None:
    image = draw_landmarks(black(), [20, 30, 60, 30, 90, 30], [0, 4, 8])
    assert image[30, [20, 60, 90], 0].tolist() == [0, 127, 255]


def test_equal_depths_are_drawn_as_no_depths() -> None:
    expected = draw_landmarks(black(), POINTS)
    without: list[Any] = [np.full(478, 7.0), np.full(478, np.nan), np.zeros(0), [], None]
    for depths in without:
        np.testing.assert_array_equal(draw_landmarks(black(), POINTS, depths), expected)


def test_points_without_a_place_in_the_image_are_left_out() -> None:
    expected = draw_landmarks(black(), [20, 30])
    strange = [np.nan, 5, 5, np.nan, np.inf, 5, 5, -np.inf, 1e30, 5, 5, -1e12, 330, 50, 50, -9]
    np.testing.assert_array_equal(draw_landmarks(black(), [*strange, 20, 30]), expected)


def test_a_circle_that_reaches_into_the_image_is_drawn() -> None:
    image = draw_landmarks(black(), [-3, 50, 100, 100], [1, 0])
    assert np.flatnonzero(drawn(image)[50]).tolist() == [0, 1]  # Radius 4 round column -3.
    image = draw_landmarks(black(), [322, 50, 100, 100], [1, 0])
    assert np.flatnonzero(drawn(image)[50]).tolist() == [318, 319]


def test_a_depth_that_is_not_finite_counts_as_the_farthest() -> None:
    points = [20, 30, 60, 30, 90, 30]
    expected = draw_landmarks(black(), points, [0, 4, 0])
    for strange in (np.nan, np.inf, -np.inf):
        np.testing.assert_array_equal(draw_landmarks(black(), points, [0, 4, strange]), expected)


def test_no_points_draw_nothing() -> None:
    assert not draw_landmarks(black(), []).any()
    assert not draw_landmarks(black(), np.zeros((0, 2), np.float32)).any()


@pytest.mark.parametrize(
    ("points", "depths", "radii", "message"),
    [
        ([1, 2, 3], None, {}, r"points of shape \(3,\)"),
        (np.zeros((4, 3)), None, {}, r"points of shape \(4, 3\)"),
        ([1, 2, 3, 4], [1], {}, r"2 points but points_z of shape \(1,\)"),
        ([1, 2], [1], {"radius_min": 5}, "radius_min 5 and radius_max 4"),
        ([1, 2], [1], {"radius_min": -1}, "radius_min -1"),
    ],
)
def test_arguments_that_do_not_fit(
    points: Any, depths: Any, radii: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        draw_landmarks(black(), points, depths, **radii)


# Images of every kind.

EVERYTHING = {"points": True, "mesh": True, "box": True, "label": True}


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((240, 320, 3), np.float32), "float32, must be uint8"),
        (np.zeros((240, 320), np.uint8), r"shape \(240, 320\).*cv2.cvtColor"),
        (np.zeros((240, 320, 4), np.uint8), r"shape \(240, 320, 4\).*cv2.cvtColor"),
        (np.frombuffer(bytes(240 * 320 * 3), np.uint8).reshape(240, 320, 3), r"image.copy\(\)"),
        ([[0, 0, 0]], "image is list"),
    ],
)
def test_a_image_that_cannot_be_drawn_into_is_refused(image: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_landmarks(image, POINTS, DEPTHS)
    with pytest.raises(ValueError, match=message):
        draw_face(image, face_of())


@pytest.mark.parametrize(
    "view",
    [
        lambda store: store[:, ::-1],
        lambda store: store[..., ::-1],
        lambda store: store[:240, :320],
        lambda store: store.transpose(1, 0, 2)[:240],
        lambda store: store[::2, ::2],
    ],
    ids=["mirrored", "bgr", "cut out", "turned", "every other pixel"],
)
def test_a_view_of_a_image_is_drawn_into(view: Any) -> None:
    store = np.full((480, 640, 3), 40, np.uint8)
    image = view(store)
    expected = draw_face(np.full(image.shape, 40, np.uint8), face_of(), **EVERYTHING)
    assert draw_face(image, face_of(), **EVERYTHING) is image
    np.testing.assert_array_equal(view(store), expected)
    assert (store != 40).sum() == (expected != 40).sum()


@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 320, 3), (1, 1, 3), (3, 1000, 3)])
def test_small_and_empty_images(shape: tuple[int, ...]) -> None:
    draw_face(np.zeros(shape, np.uint8), face_of(), **EVERYTHING)


# The mesh, the box and the label.


def test_nothing_is_drawn_for_a_face_without_anything() -> None:
    assert not draw_face(black(), Face(), **EVERYTHING).any()


def test_the_mesh_lies_within_the_face_and_spares_the_rest() -> None:
    seen = drawn(draw_face(black(), face_of(), mesh=True))
    rows, columns = np.nonzero(seen)
    left, top = POINTS.min(axis=0)
    right, bottom = POINTS.max(axis=0)
    assert left - 2 <= columns.min() <= left
    assert right - 1 <= columns.max() <= right + 2
    assert top - 2 <= rows.min() <= top
    assert bottom - 1 <= rows.max() <= bottom + 2


def test_the_landmarks_do_not_hide_a_whole_mesh() -> None:
    only_mesh = draw_face(black(), face_of(), points=False, mesh=True)
    np.testing.assert_array_equal(draw_face(black(), face_of(), mesh=True), only_mesh)
    both = draw_face(black(), face_of(), points=True, mesh=True)
    only_landmarks = draw_landmarks(black(), POINTS, DEPTHS)
    assert np.array_equal(both[drawn(only_landmarks)], only_landmarks[drawn(only_landmarks)])


def line_between_landmarks(first: int, second: int, **fields: Any) -> Pixels:
    """One line of the mesh, from (10, 20) to (10, 60), in an image that has nothing else."""
    points = np.array([(10.5, 20.5), (10.5, 60.5)], np.float32)
    face = Face(points=points, indices=np.array([first, second], np.uint16), **fields)
    return draw_face(black(), face, points=False, mesh=True)


def test_a_line_runs_through_the_middle_of_the_pixel_of_its_ends() -> None:
    image = line_between_landmarks(127, 34)
    across = image[40, :, 2].astype(int)
    assert across.argmax() == 10
    assert abs(across[9] - across[11]) <= 2
    assert across[9] < across[10] / 2
    assert not across[[8, 12]].any()


def test_only_landmarks_that_mediapipe_joins_are_joined() -> None:
    assert line_between_landmarks(127, 34).any()
    assert line_between_landmarks(34, 127).any()
    assert not line_between_landmarks(127, 4).any()
    assert not line_between_landmarks(469, 471).any()


def test_near_lines_are_brighter_than_far_ones() -> None:
    points = np.array([(10.5, 20), (10.5, 60), (90.5, 20), (90.5, 60)], np.float32)
    indices = np.array([127, 34, 4, 1], np.uint16)
    face = Face(points=points, points_z=np.array([0, 0, 9, 9], np.float32), indices=indices)
    image = draw_face(black(), face, points=False, mesh=True)
    assert image[40, 90].sum() > 2 * image[40, 10].sum() > 0


def test_contours_have_colors_of_their_own() -> None:
    def color(first: int, second: int) -> tuple[int, ...]:
        return tuple(line_between_landmarks(first, second)[40, 10].tolist())

    pairs = {"outline": (10, 338), "eye": (33, 7), "eyebrow": (46, 53), "lips": (61, 146)}
    assert len({color(*pair) for pair in pairs.values()} | {color(127, 34)}) == 5


def test_irises_are_circles() -> None:
    points = np.array([(60, 60), (80, 60), (60, 40), (40, 60), (60, 80)], np.float32)
    face = Face(points=points, indices=np.arange(468, 473, dtype=np.uint16))
    rows, columns = np.nonzero(drawn(draw_face(black(), face, points=False, mesh=True)))
    distances = np.hypot(columns + 0.5 - 60, rows + 0.5 - 60)
    assert len(distances) > 100
    assert np.all(np.abs(distances - 20) < 2)


def test_a_subset_has_its_points_and_the_lines_among_them() -> None:
    five = draw_face(black(), face_of(SUB_5), mesh=True)
    np.testing.assert_array_equal(five, draw_face(black(), face_of(SUB_5)))
    whole = drawn(draw_face(black(), face_of(), mesh=True)).sum()
    lines_68 = drawn(draw_face(black(), face_of(SUB_68), points=False, mesh=True)).sum()
    lines_146 = drawn(draw_face(black(), face_of(SUB_146), points=False, mesh=True)).sum()
    assert 100 < lines_68 < lines_146 < whole
    only_points = draw_face(black(), face_of(SUB_68))
    both = draw_face(black(), face_of(SUB_68), mesh=True)
    assert np.array_equal(both[drawn(only_points)], only_points[drawn(only_points)])
    assert drawn(both).sum() > drawn(only_points).sum()


def test_a_mesh_with_landmarks_that_are_nowhere() -> None:
    points = POINTS.copy()
    points[4] = np.nan
    points[34] = (1e30, 5)
    points[127] = (-np.inf, 5)
    with_holes = drawn(draw_face(black(), face_of(points=points), mesh=True))
    whole = drawn(draw_face(black(), face_of(), mesh=True))
    assert 0.9 * whole.sum() < with_holes.sum() < whole.sum()
    assert not draw_face(black(), face_of(points=np.full((478, 2), np.nan)), mesh=True).any()


@pytest.mark.parametrize("offset", [(-225, -120), (90, 110), (0, 5000), (-400, 0), (3e5, -3e5)])
def test_a_face_partly_or_wholly_outside_the_image(offset: tuple[float, float]) -> None:
    moved = POINTS + np.array(offset, np.float32)
    left, top = 180 + offset[0], 71 + offset[1]
    face = face_of(points=moved, box=(left, top, 90, 106))
    image = draw_face(black(), face, points=True, mesh=True, box=True)
    inside = ((moved >= 0) & (moved < (320, 240))).all(axis=1).any()
    assert drawn(image).any() == inside


def test_mesh_keeps_the_skin_visible(astronaut: Pixels) -> None:
    before = astronaut.astype(int)
    draw_face(astronaut, face_of(), mesh=True)
    cheek = (slice(130, 140), slice(190, 200))
    change = np.abs(astronaut.astype(int) - before)[cheek].mean()
    assert 3 < change < 80


def test_box_is_drawn_along_the_edge_pixels() -> None:
    image = draw_face(black(), Face(box=(100.2, 50.9, 40.0, 60.0)), box=True)
    rows, columns = np.nonzero(drawn(image))
    assert (columns.min(), columns.max()) == (100, 139)
    assert (rows.min(), rows.max()) == (50, 109)
    assert drawn(image).sum() == 2 * 40 + 2 * 58  # One pixel wide in a small image.
    assert drawn(draw_face(black(640, 480), Face(box=(100, 50, 40, 60)), box=True)).sum() > 2 * 196


@pytest.mark.parametrize(
    "box", [(0, 0, 0, 0), (10, 10, -5, 5), (np.nan, 1, 2, 3), (1, 1, np.inf, 1), (1e30, 0, 5, 5)]
)
def test_a_box_that_is_none_is_not_drawn(box: tuple[float, float, float, float]) -> None:
    assert not draw_face(black(), Face(box=box), box=True, label=True).any()


def label_of(**fields: Any) -> Pixels:
    return draw_face(black(), Face(**fields), label=True)


def test_label_stands_above_the_box() -> None:
    rows, columns = np.nonzero(drawn(label_of(id=3, score=0.5, box=(100, 50, 40, 60))))
    assert rows.max() == 49
    assert columns.min() == 100


@pytest.mark.parametrize("box", [(100, 5, 40, 60), (300, 100, 40, 60), (-20, 100, 40, 60)])
def test_label_stays_in_the_image(box: tuple[float, float, float, float]) -> None:
    rows, columns = np.nonzero(drawn(label_of(id=3, score=0.5, box=box)))
    usual_rows, usual_columns = np.nonzero(drawn(label_of(id=3, score=0.5, box=(100, 50, 40, 60))))
    assert np.ptp(columns) == np.ptp(usual_columns)
    assert np.ptp(rows) == np.ptp(usual_rows)


def test_label_shows_id_and_score() -> None:
    labels = [
        label_of(id=number, score=score, box=(100, 50, 40, 60))
        for number in (0, 1, 2)
        for score in (0.4, 0.9)
    ]
    assert len({label.tobytes() for label in labels}) == 6
    untracked, tracked = labels[0], labels[2]
    assert drawn(untracked).sum() < drawn(tracked).sum()


def test_indices_of_another_number_than_the_points_are_refused() -> None:
    with pytest.raises(ValueError, match=r"478 points but indices of shape \(2,\)"):
        draw_face(black(), face_of(indices=np.array([1, 2], np.uint16), points=POINTS))
