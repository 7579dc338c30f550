"""Action units and an expression from the 52 scores."""

from __future__ import annotations

import numpy as np
import pytest

from maix_facemesh_ros.analysis.action_units import ACTION_UNITS, action_units, expression_of
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.face_mesh import FaceMesh
from maix_facemesh_ros.image import Pixels
from maix_facemesh_ros.mesh.blendshape_names import BLENDSHAPE_NAMES


def scores(**given: float) -> FloatArray:
    return np.array([given.get(name, 0.0) for name in BLENDSHAPE_NAMES], np.float32)


def test_an_intensity_is_the_mean_of_both_sides() -> None:
    intensity, is_known = action_units(scores(mouthSmileLeft=0.9, mouthSmileRight=0.5))
    assert intensity.shape == is_known.shape == (99,)
    assert intensity[12] == pytest.approx(0.7)
    assert intensity.sum() == pytest.approx(0.7)
    assert {*np.flatnonzero(is_known)} == {*ACTION_UNITS}


def test_eyes_to_the_persons_left() -> None:
    intensity, _ = action_units(scores(eyeLookOutLeft=0.8, eyeLookInRight=0.8))
    assert (intensity[61], intensity[62]) == (pytest.approx(0.8), 0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ("neutral", 1.0)),
        ({"mouthSmileLeft": 0.3, "mouthSmileRight": 0.3}, ("neutral", 0.7)),
        ({"mouthSmileLeft": 0.8, "mouthSmileRight": 0.6, "jawOpen": 0.3}, ("happy", 0.7)),
        (
            {"browInnerUp": 0.9, "browOuterUpLeft": 0.6, "browOuterUpRight": 0.6, "jawOpen": 0.6},
            ("surprised", 0.7),
        ),
        (
            {"browInnerUp": 0.7, "mouthFrownLeft": 0.5, "mouthFrownRight": 0.5},
            ("sad", 0.6),
        ),
        (
            {"browDownLeft": 0.8, "browDownRight": 0.8, "mouthPressLeft": 0.4,
             "mouthPressRight": 0.4},
            ("angry", 0.6),
        ),
    ],
)  # fmt: skip
def test_the_strongest_prototype_names_the_expression(
    given: dict[str, float], expected: tuple[str, float]
) -> None:
    name, confidence = expression_of(scores(**given))
    assert name == expected[0]
    assert confidence == pytest.approx(expected[1])


def test_the_astronaut_smiles(astronaut: Pixels) -> None:
    with FaceMesh(tracking=False, blendshapes=True) as mesh:
        (face,) = mesh.process(astronaut)
    assert face.blendshapes is not None
    assert expression_of(face.blendshapes)[0] == "happy"
