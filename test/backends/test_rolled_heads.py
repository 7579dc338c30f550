"""Heads that are rolled: in the image plane, by any angle."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from maix_facemesh_ros.analysis.head_pose import HeadPoseEstimator
from maix_facemesh_ros.backends.onnx.landmarks import FaceLandmarksNetwork
from maix_facemesh_ros.backends.onnx.roi import Roi
from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.face import DoubleArray
from maix_facemesh_ros.image import Image, Pixels, Stamp
from posed_faces import degrees_between
from scenes import ASTRONAUT_CENTER, ASTRONAUT_WIDTH

SHAPES = ((900, 900), (640, 480), (1280, 720), (720, 1280), (1920, 480))


def rolled(astronaut: Pixels, degrees: float, size: tuple[int, int], face_width: float) -> Pixels:
    """Return an image with the astronaut in its middle, on gray.

    Args:
        astronaut: (512, 512, 3).
        degrees: roll, counterclockwise.
        size: width and height of the image in pixels.
        face_width: width of the upright face in pixels.
    """
    center = (float(ASTRONAUT_CENTER[0]), float(ASTRONAUT_CENTER[1]))
    scale = face_width / ASTRONAUT_WIDTH
    matrix = np.asarray(cv2.getRotationMatrix2D(center, degrees, scale), np.float64)
    matrix[:, 2] += np.array(size) / 2 - ASTRONAUT_CENTER
    image = cv2.warpAffine(astronaut, matrix, size, borderValue=(110, 110, 110))
    return np.asarray(image, np.uint8)


@pytest.mark.parametrize("degrees", [0, 45, 90])
def test_depth_and_pose_do_not_depend_on_the_shape_of_the_image(
    astronaut: Pixels, degrees: float
) -> None:
    network = FaceLandmarksNetwork()
    depths: list[float] = []
    poses: list[DoubleArray] = []
    for width, height in SHAPES:
        image = Image(rolled(astronaut, degrees, (width, height), 200), "rgb", Stamp(0, 0))
        roi = Roi(width / 2, height / 2, 300, 300, -math.radians(degrees))
        found = network.find(image, roi)
        matrix = [900, 0, (width - 1) / 2, 0, 900, (height - 1) / 2, 0, 0, 1]
        camera = CameraModel.from_calibration(width, height, matrix, [0] * 5, "plumb_bob")
        head = HeadPoseEstimator(camera).estimate(found.points, found.points_z)
        assert head is not None
        depths.append(float(np.ptp(head.points_3d[:468, 2])))
        poses.append(head.pose)

    np.testing.assert_allclose(depths, depths[0], rtol=0.01)
    for pose in poses[1:]:
        assert degrees_between(pose[:3, :3], poses[0][:3, :3]) < 0.2
        np.testing.assert_allclose(pose[2, 3], poses[0][2, 3], rtol=0.002)
