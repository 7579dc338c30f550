"""Facial action units (FACS) and an expression, from the 52 expression scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.mesh.blendshape_names import BLENDSHAPE_NAMES

#: Codes of FACS are below this number: hri_msgs/FacialActionUnits has as many values.
CODES = 99

#: By code of FACS: the scores whose mean is its intensity; the scores are ARKit's, which are named
#: after the movements of FACS (P. Ekman, W. Friesen, J. Hager, Facial action coding system, 2002).
#: Codes without such a score are not known.
ACTION_UNITS: dict[int, tuple[str, ...]] = {
    1: ("browInnerUp",),
    2: ("browOuterUpLeft", "browOuterUpRight"),
    4: ("browDownLeft", "browDownRight"),
    5: ("eyeWideLeft", "eyeWideRight"),
    6: ("cheekSquintLeft", "cheekSquintRight"),
    7: ("eyeSquintLeft", "eyeSquintRight"),
    9: ("noseSneerLeft", "noseSneerRight"),
    10: ("mouthUpperUpLeft", "mouthUpperUpRight"),
    12: ("mouthSmileLeft", "mouthSmileRight"),
    14: ("mouthDimpleLeft", "mouthDimpleRight"),
    15: ("mouthFrownLeft", "mouthFrownRight"),
    16: ("mouthLowerDownLeft", "mouthLowerDownRight"),
    17: ("mouthShrugLower",),
    18: ("mouthPucker",),
    20: ("mouthStretchLeft", "mouthStretchRight"),
    22: ("mouthFunnel",),
    24: ("mouthPressLeft", "mouthPressRight"),
    26: ("jawOpen",),
    28: ("mouthRollLower", "mouthRollUpper"),
    29: ("jawForward",),
    34: ("cheekPuff",),
    43: ("eyeBlinkLeft", "eyeBlinkRight"),
    61: ("eyeLookOutLeft", "eyeLookInRight"),
    62: ("eyeLookInLeft", "eyeLookOutRight"),
    63: ("eyeLookUpLeft", "eyeLookUpRight"),
    64: ("eyeLookDownLeft", "eyeLookDownRight"),
}

#: By hri_msgs' name of an expression: groups of codes, of each of which the strongest counts; the
#: intensity of the expression is the mean of the groups. After EMFACS's prototypes (W. Friesen,
#: P. Ekman, EMFACS-7, 1983), with stand-ins where the network's scores stay near 0 (6, 9).
EXPRESSIONS: dict[str, tuple[tuple[int, ...], ...]] = {
    "happy": ((12,),),
    "surprised": ((1,), (2,), (5, 26)),
    "sad": ((1,), (15,)),
    "angry": ((4,), (7, 24)),
    "disgusted": ((9, 10), (4, 7)),
    "scared": ((1,), (4,), (5,), (20, 26)),
}
#: Below this intensity of every expression a face is neutral.
LEAST_INTENSITY = 0.4

_ROWS = {
    code: [BLENDSHAPE_NAMES.index(name) for name in names] for code, names in ACTION_UNITS.items()
}
_IS_KNOWN: FloatArray = np.isin(np.arange(CODES), list(ACTION_UNITS)).astype(np.float32)


def action_units(blendshapes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the intensity of each action unit, and which of them are known.

    Args:
        blendshapes: (52,) scores 0..1.

    Returns:
        (99,) intensities 0..1 by code, 0 where not known; (99,) 1 where known, otherwise 0.
    """
    intensity: npt.NDArray[np.float32] = np.zeros(CODES, np.float32)
    for code, rows in _ROWS.items():
        intensity[code] = blendshapes[rows].mean()
    return intensity, _IS_KNOWN


def expression_of(blendshapes: FloatArray) -> tuple[str, float]:
    """Return the strongest expression, and its intensity 0..1; of `neutral` what is left to 1.

    Args:
        blendshapes: (52,) scores 0..1.
    """
    intensity, _ = action_units(blendshapes)
    strength = {
        name: float(np.mean([max(intensity[code] for code in group) for group in groups]))
        for name, groups in EXPRESSIONS.items()
    }
    strongest = max(strength, key=lambda name: strength[name])
    if strength[strongest] < LEAST_INTENSITY:
        return "neutral", 1.0 - strength[strongest]
    return strongest, strength[strongest]
