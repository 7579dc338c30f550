"""A face that has not moved since its landmarks were found need not be looked at again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from maix_facemesh_ros.backends.onnx.face_landmarks import FaceLandmarks
from maix_facemesh_ros.face import Picture
from maix_facemesh_ros.roi import Roi, crop

#: Pixels of a crop, as large as the landmark network's input, and of the small picture of it that
#: is compared: large enough to see an eyelid move, small enough to average a camera's noise.
CROP = (256, 256)
SMALL = (32, 32)

#: A ROI has settled when the next one is no further away, as a fraction of its width and in
#: radians. The first ones of a face come nearer step by step, and so do its landmarks.
SETTLED = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class StillFace:
    """What a face looked like when its landmarks were found."""

    roi: Roi
    #: uint8 (32, 32, 3).
    look: Picture
    landmarks: FaceLandmarks

    @classmethod
    def remember(cls, picture: Picture, roi: Roi, landmarks: FaceLandmarks) -> StillFace:
        """Remember a face of which the landmarks have been found."""
        return cls(roi, _look_at(picture, roi), landmarks)

    def still_there(self, picture: Picture, roi: Roi, threshold: float) -> bool:
        """Whether the landmarks hold for a later picture.

        Args:
            picture: uint8 (H, W, 3).
            roi: where the face is expected.
            threshold: by how many grey levels any part of the face may look different.
        """
        before = self.roi
        distance = max(
            abs(roi.center_x - before.center_x),
            abs(roi.center_y - before.center_y),
            abs(roi.width - before.width),
        )
        if distance > SETTLED * before.width or abs(roi.rotation - before.rotation) > SETTLED:
            return False
        difference = cv2.absdiff(_look_at(picture, before), self.look)
        return float(np.max(difference)) <= threshold

    def landmarks_again(self) -> FaceLandmarks:
        """Return the landmarks in arrays of their own."""
        found = self.landmarks
        return replace(
            found,
            points=found.points.copy(),
            points_z=found.points_z.copy(),
            points_rel=found.points_rel.copy(),
        )


def _look_at(picture: Picture, roi: Roi) -> Picture:
    face = crop(picture, roi, CROP, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(face, SMALL, interpolation=cv2.INTER_AREA), np.uint8)
