"""The One-Euro filter: less jitter for still faces, little lag for moving ones.

Casiez, Roussel, Vogel: «1€ Filter: A Simple Speed-based Low-pass Filter for Noisy Input in
    Interactive Systems», CHI 2012. Defaults and scaling are MediaPipe's
    (face_landmarks_detector_graph.cc, landmarks_smoothing_calculator.cc): speeds are measured in
    face sizes, so that near and far faces are smoothed alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.face import Face
from maix_facemesh_ros.parameters import FaceMeshParameters


class OneEuro(NamedTuple):
    """The filter's parameters; those of `FaceMeshParameters` by default are MediaPipe's."""

    #: Cutoff frequency for what does not move, in hertz.
    min_cutoff: float
    #: By how much it grows with the speed, in hertz for a face size a second.
    beta: float
    #: Cutoff frequency for the speed itself, in hertz.
    derivate_cutoff: float

    @classmethod
    def from_parameters(cls, parameters: FaceMeshParameters) -> OneEuro:
        """Return the filter that the parameters ask for."""
        return cls(
            parameters.one_euro_min_cutoff,
            parameters.one_euro_beta,
            parameters.one_euro_derivate_cutoff,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """The filter's state for one face; arrays are (3, N) x, y, z in pixels."""

    stamp: float
    raw: npt.NDArray[np.float64]
    smoothed: npt.NDArray[np.float64]
    #: Face sizes per second.
    speeds: npt.NDArray[np.float64]


class LandmarkSmoother:
    """Smooths the landmarks of tracked faces over time, each face by its id."""

    def __init__(self) -> None:
        self._states: dict[int, _State] = {}

    def smooth(self, faces: list[Face], stamp: float, one_euro: OneEuro) -> None:
        """Replace `points` and `points_z` of each face that has an id by their smoothed values.

        Args:
            faces: the faces of one image; a face that is not among them is forgotten.
            stamp: time of the image in seconds. If it does not advance, the filter is reset.
            one_euro: the filter's parameters.
        """
        states = {}
        for face in faces:
            if face.id and len(face.points):
                raw = np.array([*face.points.T, face.points_z], np.float64)
                state = _advance(self._states.get(face.id), raw, stamp, one_euro)
                face.points = state.smoothed[:2].T.astype(np.float32, order="C")
                face.points_z = state.smoothed[2].astype(np.float32)
                states[face.id] = state
        self._states = states

    def forget(self) -> None:
        """Reset: the next image starts a new stream."""
        self._states = {}


def _advance(
    before: _State | None, raw: npt.NDArray[np.float64], stamp: float, one_euro: OneEuro
) -> _State:
    if before is None or stamp <= before.stamp:
        return _State(stamp, raw, raw, np.zeros_like(raw))
    elapsed = stamp - before.stamp
    width, height = np.ptp(raw[:2], axis=1)
    face_size = max((width + height) / 2, 1.0)

    speeds = (raw - before.raw) / (face_size * elapsed)
    share = _share_of_new(one_euro.derivate_cutoff, elapsed)
    speeds = share * speeds + (1 - share) * before.speeds
    cutoffs = one_euro.min_cutoff + one_euro.beta * np.abs(speeds)
    share_of_each = _share_of_new(cutoffs, elapsed)
    smoothed = share_of_each * raw + (1 - share_of_each) * before.smoothed
    return _State(stamp, raw, smoothed, speeds)


def _share_of_new(
    cutoff: npt.NDArray[np.float64] | float, elapsed: float
) -> npt.NDArray[np.float64] | float:
    """Return the weight of the new value in a low-pass filter of this cutoff frequency (Hz)."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * elapsed))
