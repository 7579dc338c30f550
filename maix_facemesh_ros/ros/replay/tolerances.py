"""How far the faces of two runs may be apart."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tolerances:
    """How far numbers may be apart: processors and libraries round differently.

    An AMD EPYC with AVX2 and the machine of this package's golden faces are 0.05 pixels apart. What
    is not a number, such as stamps, frames, ids and the number of faces, must be the same
    everywhere.
    """

    #: Of boxes, points, depths and the detector's key points.
    pixels: float = 0.2
    scores: float = 0.01
    #: Of places in space, as a part of the head's distance from the camera.
    distances: float = 0.01
    #: Of the directions of heads and gazes.
    degrees: float = 2.0
