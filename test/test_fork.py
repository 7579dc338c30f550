"""A FaceMesh in a forked process, where none of its parent's threads are."""

from __future__ import annotations

import multiprocessing

import numpy as np

from maix_facemesh_ros import FaceMesh
from maix_facemesh_ros.image import Pixels

TIMEOUT = 60.0  # seconds


def test_faces_are_found_after_a_fork_as_before(astronaut: Pixels) -> None:
    """Several at once, with the parent's threads in use and not, and in a child of the child."""
    two = np.concatenate([astronaut, astronaut], axis=1)
    three = np.concatenate([two, astronaut], axis=1)
    with FaceMesh(threads=3, max_face_num=0, tracking=True, landmarks_interval=3) as mesh:
        _check_in_child(mesh, two, generations=1)
        expected = len(mesh.process(three))
        assert expected == 3
        _check_in_child(mesh, three, generations=2)
        assert len(mesh.process(three)) == 3


def _check_in_child(mesh: FaceMesh, image: Pixels, generations: int) -> None:
    fork = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[int] = fork.Queue()
    child = fork.Process(target=_answer, args=(mesh, image, answers, generations))
    child.start()
    try:
        for _ in range(generations):
            assert answers.get(timeout=TIMEOUT) == image.shape[1] // 512
        child.join(TIMEOUT)
        assert child.exitcode == 0
    finally:
        child.kill()


def _answer(
    mesh: FaceMesh, image: Pixels, answers: multiprocessing.Queue[int], generations: int
) -> None:
    for _ in range(3):
        faces = mesh.process(image)
    answers.put(len(faces))
    if generations > 1:
        fork = multiprocessing.get_context("fork")
        child = fork.Process(target=_answer, args=(mesh, image, answers, generations - 1))
        child.start()
        child.join()
    mesh.close()
