"""The mesh connections are MediaPipe's, and form one closed surface with three holes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from maix_facemesh_ros.mesh import connections as mesh_connections
from maix_facemesh_ros.mesh.connections import (
    FACEMESH_CONTOURS,
    FACEMESH_FACE_OVAL,
    FACEMESH_IRISES,
    FACEMESH_TESSELATION,
    FACEMESH_TRIANGLES,
    IndexArray,
    each_line_once,
)
from maix_facemesh_ros.mesh.landmark_subsets import SUB_146

# Number of connections, and sha256 of the repr of the sorted list of pairs, of MediaPipe 0.10.21's
# own sets.
MEDIAPIPE_SETS = {
    "FACEMESH_CONTOURS": (124, "0dc7c24ee4419cee"),
    "FACEMESH_FACE_OVAL": (36, "61ce4d2639fcc6db"),
    "FACEMESH_IRISES": (8, "0b5c5bad3eede938"),
    "FACEMESH_LEFT_EYE": (16, "779b5c3eb1971248"),
    "FACEMESH_LEFT_EYEBROW": (8, "9041efb0a3431dda"),
    "FACEMESH_LEFT_IRIS": (4, "fdae1014bf4c330a"),
    "FACEMESH_LIPS": (40, "4b757852798a9ebe"),
    "FACEMESH_NOSE": (25, "7f746bdaa757d3ce"),
    "FACEMESH_RIGHT_EYE": (16, "07d8cafe4750348d"),
    "FACEMESH_RIGHT_EYEBROW": (8, "85fcae806724ae64"),
    "FACEMESH_RIGHT_IRIS": (4, "d06fe4fc9ab51a09"),
    "FACEMESH_TESSELATION": (2556, "00ec39aa4ba46a9a"),
}


def pairs(connections: IndexArray) -> set[tuple[int, int]]:
    return {(start, end) for start, end in connections.tolist()}


@pytest.mark.parametrize("name", MEDIAPIPE_SETS)
def test_set_is_mediapipes(name: str) -> None:
    connections = getattr(mesh_connections, name)
    size, digest = MEDIAPIPE_SETS[name]
    assert connections.shape == (size, 2)
    assert connections.dtype == np.int32
    assert len(pairs(connections)) == size
    text = repr(sorted(pairs(connections)))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest


def test_sets_are_those_of_an_installed_mediapipe() -> None:
    theirs = pytest.importorskip(
        "mediapipe.python.solutions.face_mesh_connections",
        reason="mediapipe (with its solutions) is not installed",
    )
    for name in MEDIAPIPE_SETS:
        assert pairs(getattr(mesh_connections, name)) == getattr(theirs, name), name


@pytest.mark.parametrize("name", [*MEDIAPIPE_SETS, "FACEMESH_TRIANGLES"])
def test_nobody_can_change_the_shared_arrays(name: str) -> None:
    with pytest.raises(ValueError, match="read-only"):
        getattr(mesh_connections, name)[0] = 0


def test_only_the_irises_use_the_iris_landmarks() -> None:
    assert set(FACEMESH_TESSELATION.flat) == set(range(468))
    assert FACEMESH_CONTOURS.max() < 468
    assert set(FACEMESH_IRISES.flat) == set(range(469, 473)) | set(range(474, 478))


def test_outline_is_one_closed_line() -> None:
    following = dict(FACEMESH_FACE_OVAL.tolist())
    landmark, steps = following[10], 1
    while landmark != 10:
        landmark, steps = following[landmark], steps + 1
    assert steps == len(FACEMESH_FACE_OVAL) == 36


def test_triangles_form_a_surface_with_eyes_and_mouth_as_holes() -> None:
    lines = each_line_once(FACEMESH_TESSELATION)
    assert FACEMESH_TRIANGLES.shape == (852, 3)
    assert len({tuple(sorted(corners)) for corners in FACEMESH_TRIANGLES.tolist()}) == 852
    assert lines.shape == (1322, 2)
    # Euler's number of a disc is 1, and each hole takes 1 away.
    assert 468 - len(lines) + len(FACEMESH_TRIANGLES) == 1 - 3
    # Neighbors go round the same way only if they name the side between them in both directions.
    assert len(pairs(FACEMESH_TESSELATION)) == 3 * len(FACEMESH_TRIANGLES)


def test_triangles_of_a_face_seen_from_the_front_go_round_counter_clockwise() -> None:
    golden = json.loads((Path(__file__).parents[1] / "data/maixpy/golden.json").read_text())
    points = np.array(golden["points_478"], float).reshape(-1, 2)
    first, second, third = np.moveaxis(points[FACEMESH_TRIANGLES], 1, 0)
    (x1, y1), (x2, y2) = (second - first).T, (third - first).T
    # With y down, counter-clockwise is negative. Some triangles at the rim are turned away.
    assert np.mean(x1 * y2 - y1 * x2 <= 0) > 0.9


def test_each_line_once() -> None:
    connections = np.array([(3, 1), (1, 3), (2, 5), (2, 5), (5, 1)], np.int32)
    assert each_line_once(connections).tolist() == [[1, 3], [1, 5], [2, 5]]


def test_subset_of_146_has_all_contours() -> None:
    assert np.isin(FACEMESH_CONTOURS, SUB_146).all()
