"""The benchmark's section faces-in-the-wild: its images, and what it counts; no downloads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

# Last, so that the installed package is the one that is tested.
sys.path.append(str(Path(__file__).parent.parent))

from benchmarks import face_scenes, faces_in_the_wild
from benchmarks.downloads import DownloadError, PublishedPackage
from benchmarks.face_scenes import Expected, Matrix, Scene
from benchmarks.faces_in_the_wild import Mesh, Tally
from benchmarks.options import Options
from benchmarks.photographs import ASTRONAUT, Photograph
from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.image import Pixels


@pytest.fixture
def photograph(astronaut: Pixels) -> Photograph:
    return Photograph("astronaut", astronaut, (ASTRONAUT,))


def moved(mesh: Mesh, matrix: Matrix) -> Mesh:
    return np.asarray(mesh @ matrix[:, :2].T + matrix[:, 2], np.float32)


def test_every_image_shows_the_face_where_it_is_expected(photograph: Photograph) -> None:
    """The upright mesh, brought into the turned and scaled images, is the mesh found there."""
    subjects = face_scenes.population([photograph])
    (upright,) = face_scenes.references(subjects)
    scenes = [
        *face_scenes.turned(subjects, (0, 45, 180, 300)),
        next(each for each in face_scenes.changed(subjects) if each.group.startswith("240")),
        *face_scenes.whole([photograph], subjects),
    ]
    with FaceMesh() as mesh:
        (reference,) = mesh.process(upright.draw())
        for scene in scenes:
            (face,) = mesh.process(scene.draw())
            tally = Tally()
            (expected,) = scene.faces
            points = np.asarray(reference.points, np.float32)
            faces_in_the_wild._judge(tally, expected, [face.points], points)
            assert tally.right == 1, scene.group
            assert tally.errors[0] < 0.05, scene.group


def test_a_mesh_of_another_roll_and_a_second_mesh_are_wrong() -> None:
    random = np.random.default_rng(0)
    mesh = np.asarray(random.uniform(-50, 50, (478, 2)) + (320, 240), np.float32)
    mesh[33], mesh[263] = (290, 230), (350, 230)
    turned = Expected(0, np.array([[-1.0, 0, 640], [0, -1.0, 480]]), 320, 240, 100)
    right, wrong = moved(mesh, turned.from_reference), mesh
    for meshes, expected in (
        ([], (0, 0)),
        ([right], (1, 0)),
        ([wrong], (0, 1)),
        ([wrong, right], (1, 1)),
        ([right, right], (1, 1)),
    ):
        tally = Tally()
        faces_in_the_wild._judge(tally, turned, meshes, mesh)
        assert (tally.right, tally.wrong) == expected
        assert tally.faces == 1


def test_a_mesh_where_no_face_is_marked_is_false(photograph: Photograph) -> None:
    subjects = face_scenes.population([photograph])
    (scene,) = face_scenes.references(subjects)
    at_the_face = np.full((478, 2), (scene.faces[0].x, scene.faces[0].y), np.float32)
    assert faces_in_the_wild._is_at(at_the_face, scene.faces[0])
    assert not faces_in_the_wild._is_at(at_the_face + 150, scene.faces[0])


def test_crowds_have_their_number_of_faces_and_empty_images_none(photograph: Photograph) -> None:
    subjects = face_scenes.population([photograph])
    assert {len(scene.faces) for scene in face_scenes.crowds(subjects)} == set(face_scenes.CROWDS)
    assert not any(scene.faces for scene in face_scenes.empty([photograph], [photograph.pixels]))


def test_the_section_is_measured_without_peers(
    photograph: Photograph, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shown(skipped: list[str]) -> Iterator[Photograph]:
        skipped.append("17 photographs: no network")
        yield photograph

    def scenes(*_: object) -> dict[tuple[int, int], list[Scene]]:
        subjects = face_scenes.population([photograph])
        empty = Scene("no face", lambda: np.zeros((480, 640, 3), np.uint8))
        whole = list(face_scenes.whole([photograph], subjects))
        turned = list(face_scenes.turned(subjects, (0, 45, 90, 180)))
        return {face_scenes.SMALL: [*turned, empty], face_scenes.LARGE: whole}

    monkeypatch.setattr(faces_in_the_wild, "photographs", shown)
    monkeypatch.setattr(faces_in_the_wild, "_scenes", scenes)
    monkeypatch.setattr(faces_in_the_wild, "open_mediapipes", lambda *_: {})
    section = faces_in_the_wild.measure(Options())
    assert section.columns[2] == "full_range"
    cells = {row.cells()[0]: row.cells() for row in section.rows}
    assert cells["upright"][1:3] == ["1", "100.0 %, 0 wrong"]
    assert cells["turned by 105 to 180°"][1:3] == ["1", "100.0 %, 0 wrong"]
    assert cells["no face"][1:3] == ["none in 1 images", "0"]
    assert cells["whole photographs"][2] == "100.0 %, 0 wrong, 0 false"
    assert "17 photographs: no network" in section.skipped


def test_a_package_that_cannot_be_had_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("benchmarks.downloads.FOLDER", tmp_path)
    monkeypatch.setenv("PATH", "")
    package = PublishedPackage("npm", "@scope/no-such-package", "1.0.0", "")
    with pytest.raises(DownloadError, match=r"no-such-package@1.0.0 .*npm is missing"):
        package.fetch(["a.jpg"])
