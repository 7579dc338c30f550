"""Cameras for tests: those of real calibrations, MediaPipe's, and a calibration file."""

from __future__ import annotations

import math

from maix_facemesh_ros.camera.model import CameraModel, Region

#: As calibrations of real cameras come out: a webcam, one with a wide lens, and a fisheye.
CAMERA_MATRIX = (600.0, 0, 322, 0, 598, 243, 0, 0, 1)
CAMERAS = {
    "no distortion": CameraModel.from_calibration(640, 480, CAMERA_MATRIX, (), ""),
    "plumb_bob": CameraModel.from_calibration(
        640, 480, CAMERA_MATRIX, (-0.35, 0.14, 0.002, -0.0015, -0.02), "plumb_bob"
    ),
    "thin_prism": CameraModel.from_calibration(
        640,
        480,
        CAMERA_MATRIX,
        (0.8, 0.05, 0.0004, -0.0002, 0.001, 1.15, 0.2, 0.01, 0.002, -0.001, 0.003, 0.001),
        "rational_polynomial",
    ),
    "tilted": CameraModel.from_calibration(
        640,
        480,
        CAMERA_MATRIX,
        (-0.3, 0.1, 0.0004, -0.0002, 0.001, 0.0, 0.0, 0.0, 0.002, 0.0, 0.001, 0.0, 0.03, -0.02),
        "rational_polynomial",
    ),
    "rational": CameraModel.from_calibration(
        1280,
        720,
        (640.0, 0, 640, 0, 641, 362, 0, 0, 1),
        (0.8, 0.05, 0.0004, -0.0002, 0.001, 1.15, 0.2, 0.01),
        "rational_polynomial",
    ),
    "fisheye": CameraModel.from_calibration(
        1280,
        960,
        (420.0, 0, 645, 0, 421, 475, 0, 0, 1),
        (-0.02, 0.006, -0.004, 0.0007),
        "equidistant",
    ),
    "binned part": CameraModel.from_calibration(
        1280,
        960,
        (1200.0, 0, 640, 0, 1200, 480, 0, 0, 1),
        (-0.2, 0.05, 0, 0),
        "plumb_bob",
        binning=(2, 2),
    ),
    "part of the sensor": CameraModel.from_calibration(
        1920,
        1200,
        (1300.0, 0, 950, 0, 1302, 610, 0, 0, 1),
        (-0.3, 0.1, 0.001, 0.0005, -0.01),
        "plumb_bob",
        binning=(2, 2),
        region=Region(200, 100, 1400, 1000),
    ),
    "rectified part": CameraModel.from_projection(
        1280,
        960,
        (1100.0, 0, 638, -110, 0, 1100, 479, 0, 0, 0, 1, 0),
        binning=(2, 2),
        region=Region(100, 80, 1000, 800),
    ),
    "rectified": CameraModel.from_projection(
        640, 480, (550.0, 0, 318, -55, 0, 550, 241, 0, 0, 0, 1, 0)
    ),
}

#: As cameracalibrator of camera_calibration writes it.
CALIBRATION = """
image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [525., 0., 320., 0., 530., 240., 0., 0., 1.]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [0.1, -0.2, 0.001, 0.002, 0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1., 0., 0., 0., 1., 0., 0., 0., 1.]
projection_matrix:
  rows: 3
  cols: 4
  data: [520., 0., 319., 0., 0., 528., 241., 0., 0., 0., 1., 0.]
"""


def mediapipe_camera(width: int, height: int) -> CameraModel:
    """Return the camera that MediaPipe assumes: 63 degrees from top to bottom."""
    half = math.atan(math.tan(math.radians(63) / 2) * width / height)
    return CameraModel.from_field_of_view(width, height, 2 * math.degrees(half))
