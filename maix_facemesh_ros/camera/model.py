"""`CameraModel`: the viewing rays of an image's pixels.

The numbers are those of a ROS calibration (sensor_msgs/msg/CameraInfo), without ROS.

Pixels are counted as everywhere in this package, with (0, 0) at the top left *corner* of the top
left pixel. Calibrations count from the *center* of that pixel (OpenCV, and with it ROS), so half a
pixel is added to their principal points. Directions are in the camera's optical frame (REP-103): x
to the right, y down, z forwards.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.errors import FaceMeshError
from maix_facemesh_ros.face import DoubleArray
from maix_facemesh_ros.wording import counted

#: Names of distortion models (sensor_msgs/distortion_models.hpp; "fisheye" is what some drivers
#: call "equidistant"), and their numbers of coefficients. As in OpenCV, the number determines the
#: terms: k1, k2, p1, p2, then k3; k4, k5, k6; s1 to s4 (thin prism); and the sensor's tilt.
COEFFICIENTS: Final = {
    "plumb_bob": (4, 5, 8, 12, 14),
    "rational_polynomial": (4, 5, 8, 12, 14),
    "equidistant": (4,),
    "fisheye": (4,),
}
#: All coefficients are 0, or there are none.
NO_DISTORTION: Final = ""

#: A calibration counts from the center of the first pixel, this package from its corner.
HALF_PIXEL: Final = 0.5

#: Undistorting iterates until it is this exact, or after this number of steps.
UNDISTORTION_STEPS: Final = 30
UNDISTORTION_TOLERANCE: Final = 1e-4
#: A ray whose projection is off by this number of pixels is invalid.
LARGEST_UNDISTORTION_ERROR: Final = 0.05

#: The part of an image, in points of a grid, that a calibration has to hold for.
LEAST_USABLE_PART: Final = 0.5

# OpenCV 5 has one function for both, under the old name.
_undistort_points: Any = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)


class CalibrationError(FaceMeshError, ValueError):
    """A calibration that cannot be used; the message gives the reason and a remedy."""


class Region(NamedTuple):
    """The part of the sensor that is in the image (sensor_msgs/msg/RegionOfInterest).

    Unbinned pixels; a width or a height of 0 is that of the whole sensor.
    """

    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0


WHOLE: Final = Region()
NOT_BINNED: Final = (1, 1)


@dataclass(frozen=True, slots=True, eq=False)
class CameraModel:
    """A camera, its lens and the size of its images.

    Made by one of the methods `from_...`, or directly with numbers that count pixels from the
    corner.

    Raises:
        CalibrationError: the numbers describe no camera.
    """

    #: Pixels of the images.
    width: int
    height: int
    #: (3, 3): focal lengths and principal point in pixels, the latter from the image's corner.
    matrix: DoubleArray
    #: (4,), (5,), (8,), (12,) or (14,) in OpenCV's order, or (0,).
    distortion: DoubleArray
    #: One of `COEFFICIENTS`, or `NO_DISTORTION`.
    model: str = NO_DISTORTION

    def __post_init__(self) -> None:
        _check_size(self.width, self.height)
        _check_matrix(self.matrix)
        _check_distortion(self.model, self.distortion)
        if self.model != NO_DISTORTION:
            self._check_rays()

    @classmethod
    def from_calibration(
        cls,
        width: int,
        height: int,
        matrix: Sequence[float] | DoubleArray,
        distortion: Sequence[float] | DoubleArray,
        model: str,
        *,
        binning: tuple[int, int] = NOT_BINNED,
        region: Region = WHOLE,
    ) -> CameraModel:
        """Return the camera model for raw (not rectified) images.

        Args:
            width: pixels of the full sensor, as calibrated; so the height and the matrix.
            height: see width.
            matrix: the 9 numbers K of a CameraInfo.
            distortion: the numbers D; none, or all 0: the lens does not distort. More of them than
                the model has count if they are not 0.
            model: the name of the distortion model; it may be empty where the lens does not
                distort.
            binning: pixels of the sensor in one pixel of the image, across and down; 0 is 1.
            region: the part of the sensor in the image.

        Raises:
            CalibrationError: the camera is not calibrated, or the numbers describe no camera.
        """
        coefficients = _numbers("D", distortion)
        if not coefficients.any():
            model, coefficients = NO_DISTORTION, np.zeros(0)
        else:
            coefficients = _without_zeros(coefficients, model)
        focal_lengths_and_center = _numbers("K", matrix, 9).reshape(3, 3)
        sensor = _sensor_matrix("K", focal_lengths_and_center)
        size, cut = _cut(width, height, sensor, binning, region)
        return cls(*size, cut, coefficients, model)

    @classmethod
    def from_projection(
        cls,
        width: int,
        height: int,
        projection: Sequence[float] | DoubleArray,
        *,
        binning: tuple[int, int] = NOT_BINNED,
        region: Region = WHOLE,
    ) -> CameraModel:
        """Return the camera model for rectified images.

        Its optical frame is the rectified one, so R does not matter. The fourth column of P, the
        place of a second camera as seen from the first one, does not either: directions are those
        of the camera's own frame.

        Args:
            width: pixels of the full sensor, as calibrated; so the height and the projection.
            height: see width.
            projection: the 12 numbers P of a CameraInfo.
            binning: pixels of the sensor in one pixel of the image, across and down; 0 is 1.
            region: the part of the sensor in the image.

        Raises:
            CalibrationError: the camera is not calibrated, or the numbers describe no camera.
        """
        sensor = _sensor_matrix("P", _numbers("P", projection, 12).reshape(3, 4)[:, :3])
        size, cut = _cut(width, height, sensor, binning, region)
        return cls(*size, cut, np.zeros(0))

    @classmethod
    def from_field_of_view(cls, width: int, height: int, degrees: float) -> CameraModel:
        """Return a camera model without distortion and with its axis through the image's center.

        Args:
            width: pixels of the images.
            height: see width.
            degrees: the angle between the left and the right edge of the image.

        Raises:
            CalibrationError: no such angle or size.
        """
        _check_size(width, height)
        if not 0.0 < degrees < 180.0:
            raise CalibrationError(
                f"the field of view is {degrees} degrees: give the angle between the image's "
                "left and right edge, more than 0 and less than 180"
            )
        focal_length = width / 2 / math.tan(math.radians(degrees) / 2)
        matrix = _matrix(focal_length, focal_length, width / 2, height / 2)
        return cls(width, height, matrix, np.zeros(0))

    def rays(self, points: npt.NDArray[np.floating]) -> DoubleArray:
        """Return the viewing rays of points of the image.

        Args:
            points: (N, 2) pixels, also outside the image.

        Returns:
            (N, 2) float64: x / z and y / z of each direction. NaN where the distortion has no
            inverse: beyond the part of the lens that its coefficients describe, and for directions
            of 90 degrees and more.
        """
        straight = (points - self._center) / self._focal_lengths
        if self.model == NO_DISTORTION:
            return straight
        if self.model in ("equidistant", "fisheye"):
            rays = _undistort_equidistant(straight, self.distortion)
        else:
            rays = self._undistort(points)
        # Where the coefficients do not describe the lens, the result is an arbitrary ray.
        error = (_distort(rays, self.distortion, self.model) - straight) * self._focal_lengths
        wrong = ~((error * error).sum(axis=1) < LARGEST_UNDISTORTION_ERROR**2)
        if wrong.any():
            rays[wrong] = np.nan
        return rays

    def project(self, points_3d: npt.NDArray[np.floating]) -> DoubleArray:
        """Return the positions of 3D points in the image.

        Args:
            points_3d: (N, 3) in the optical frame, in any unit.

        Returns:
            (N, 2) float64 pixels; NaN for points that are not in front of the camera.
        """
        points_3d = np.asarray(points_3d, np.float64)
        depth = np.where(points_3d[:, 2:] > 0.0, points_3d[:, 2:], np.nan)
        rays = points_3d[:, :2] / depth
        if self.model != NO_DISTORTION:
            rays = _distort(rays, self.distortion, self.model)
        pixels: DoubleArray = rays * self._focal_lengths + self._center
        return pixels

    @property
    def _focal_lengths(self) -> DoubleArray:
        return self.matrix.diagonal()[:2]

    @property
    def _center(self) -> DoubleArray:
        return self.matrix[:2, 2]

    def _undistort(self, points: npt.NDArray[np.floating]) -> DoubleArray:
        rays = _undistort_points(
            np.array(points, np.float64)[:, np.newaxis],
            self.matrix,
            self.distortion,
            R=None,
            P=None,
            criteria=(
                cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS,
                UNDISTORTION_STEPS,
                UNDISTORTION_TOLERANCE,
            ),
        )
        return np.asarray(rays, np.float64)[:, 0]

    def _check_rays(self) -> None:
        across, down = np.meshgrid(np.linspace(0, self.width, 9), np.linspace(0, self.height, 9))
        rays = self.rays(np.column_stack([across.ravel(), down.ravel()]))
        usable = float(np.isfinite(rays).all(axis=1).mean())
        if usable < LEAST_USABLE_PART:
            raise CalibrationError(
                f"the distortion {self.distortion.tolist()} ({self.model}) has an inverse in "
                f"{usable:.0%} of the image: calibrate the camera again, with the target in all "
                "parts of the image"
            )


def _distort(rays: DoubleArray, coefficients: DoubleArray, model: str) -> DoubleArray:
    """Return the distorted rays: (N, 2), x / z and y / z.

    The formulas are OpenCV's (modules "calib3d" and "fisheye", detailed descriptions).
    """
    squared = (rays * rays).sum(axis=1, keepdims=True)
    if model in ("equidistant", "fisheye"):
        radius = np.sqrt(squared)
        angle = np.arctan(radius)
        bent = _bend(angle, coefficients)
        distorted: DoubleArray = rays * (bent / np.maximum(radius, 1e-12))
        return distorted
    if len(coefficients) > 8:
        return _distort_with_opencv(rays, coefficients)
    k1, k2, p1, p2, k3, k4, k5, k6 = (*coefficients, 0.0, 0.0, 0.0, 0.0)[:8]
    radial = 1.0 + squared * (k1 + squared * (k2 + squared * k3))
    if k4 or k5 or k6:
        radial = radial / (1.0 + squared * (k4 + squared * (k5 + squared * k6)))
    along = 2.0 * (rays @ (p2, p1))[:, np.newaxis]
    return np.asarray(rays * (radial + along) + squared * (p2, p1), np.float64)


def _distort_with_opencv(rays: DoubleArray, coefficients: DoubleArray) -> DoubleArray:
    finite = np.isfinite(rays).all(axis=1)
    distorted = np.full(rays.shape, np.nan)
    if finite.any():
        points = np.column_stack([rays[finite], np.ones(finite.sum())])
        nothing = np.zeros(3)
        projected, _ = cv2.projectPoints(points, nothing, nothing, np.eye(3), coefficients)
        distorted[finite] = projected[:, 0]
    return distorted


def _bend(angle: DoubleArray, coefficients: DoubleArray) -> DoubleArray:
    k1, k2, k3, k4 = coefficients
    squared = angle * angle
    bent: DoubleArray = angle * (
        1.0 + squared * (k1 + squared * (k2 + squared * (k3 + squared * k4)))
    )
    return bent


def _undistort_equidistant(bent_rays: DoubleArray, coefficients: DoubleArray) -> DoubleArray:
    """Return the undistorted rays, by Newton's method on their angle to the optical axis."""
    k1, k2, k3, k4 = coefficients
    bent = np.sqrt((bent_rays * bent_rays).sum(axis=1, keepdims=True))
    angle = np.minimum(bent, math.pi / 2)
    for _ in range(UNDISTORTION_STEPS):
        squared = angle * angle
        slope = 1.0 + squared * (
            3.0 * k1 + squared * (5.0 * k2 + squared * (7.0 * k3 + squared * 9.0 * k4))
        )
        # With a slope of the wrong sign the coefficients do not describe a lens: the result is
        # recognized as wrong.
        step = (_bend(angle, coefficients) - bent) / np.maximum(slope, 1e-3)
        angle = angle - step
        if not (np.abs(step) > 1e-10).any():
            break
    straight = np.tan(np.where((angle >= 0.0) & (angle < math.pi / 2), angle, np.nan))
    return np.asarray(bent_rays * (straight / np.maximum(bent, 1e-12)), np.float64)


def _without_zeros(coefficients: DoubleArray, model: str) -> DoubleArray:
    """Return the coefficients without trailing zeros, in the shortest valid length of the model.

    Drivers pad D to 5, 8 or 14 numbers, independent of the model. Four of plumb_bob become five.
    """
    needed = int(np.flatnonzero(coefficients)[-1]) + 1
    lengths = [length for length in COEFFICIENTS.get(model, ()) if length >= max(needed, 5)]
    if model in ("equidistant", "fisheye"):
        lengths = [4] if needed <= 4 else []
    given = len(coefficients)
    if not lengths or given < 4 or (given not in COEFFICIENTS[model] and given < lengths[0]):
        return coefficients  # refused by name later
    return np.resize(np.append(coefficients, np.zeros(lengths[0])), lengths[0])


def _numbers(name: str, values: Sequence[float] | DoubleArray, count: int = -1) -> DoubleArray:
    numbers = np.asarray(values, np.float64).ravel()
    if count >= 0 and len(numbers) != count:
        raise CalibrationError(
            f"{name} has {counted(len(numbers), 'number')}: a CameraInfo has {count}"
        )
    if not np.isfinite(numbers).all():
        raise CalibrationError(
            f"{name} is {reprlib.repr(numbers.tolist())}: calibrate the camera again"
        )
    return numbers


def _sensor_matrix(name: str, matrix: DoubleArray) -> DoubleArray:
    """Check K, or the first three columns of P, and count its pixels from the corner."""
    if matrix[0, 0] == 0.0:
        raise CalibrationError(
            f"{name} begins with 0, so this camera is not calibrated: calibrate it, or give an "
            "assumed field of view"
        )
    return _matrix(matrix[0, 0], matrix[1, 1], matrix[0, 2] + HALF_PIXEL, matrix[1, 2] + HALF_PIXEL)


def _cut(
    width: int,
    height: int,
    matrix: DoubleArray,
    binning: tuple[int, int],
    region: Region,
) -> tuple[tuple[int, int], DoubleArray]:
    """Return the size and the matrix of a binned image of a part of the sensor.

    First the part, which is given in unbinned pixels, then the binning (image_geometry,
    pinhole_camera_model.cpp). With pixels counted from the corner, binning is a plain division;
    image_geometry counts from the pixel's center, which is wrong by up to half a pixel.
    """
    if min(*binning, *region) < 0:
        raise CalibrationError(
            f"binning {binning} and {region} have negative numbers: correct the camera_info"
        )
    binning_x, binning_y = max(binning[0], 1), max(binning[1], 1)
    size = (
        (region.width or width) // binning_x,
        (region.height or height) // binning_y,
    )
    cut = _matrix(
        matrix[0, 0] / binning_x,
        matrix[1, 1] / binning_y,
        (matrix[0, 2] - region.x) / binning_x,
        (matrix[1, 2] - region.y) / binning_y,
    )
    return size, cut


def _matrix(focal_x: float, focal_y: float, center_x: float, center_y: float) -> DoubleArray:
    return np.array([[focal_x, 0.0, center_x], [0.0, focal_y, center_y], [0.0, 0.0, 1.0]])


def _check_size(width: int, height: int) -> None:
    if width <= 0 or height <= 0:
        raise CalibrationError(
            f"the calibration is for images of {width}x{height} pixels: give the size of the "
            "images that the camera was calibrated with"
        )


def _check_matrix(matrix: DoubleArray) -> None:
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all():
        raise CalibrationError(f"the camera matrix is {matrix.tolist()}: give 3x3 finite numbers")
    if not (matrix[0, 0] > 0.0 and matrix[1, 1] > 0.0):
        raise CalibrationError(
            f"the focal lengths are {matrix[0, 0]} and {matrix[1, 1]} pixels: they are more than "
            "0; calibrate the camera again"
        )


def _check_distortion(model: str, coefficients: DoubleArray) -> None:
    if model == NO_DISTORTION:
        if coefficients.any():
            raise CalibrationError(
                f"the distortion is {reprlib.repr(coefficients.tolist())} without a model: "
                f"name it, {', '.join(COEFFICIENTS)}"
            )
        return
    if model not in COEFFICIENTS:
        raise CalibrationError(
            f"the distortion model is {reprlib.repr(model)}: known are "
            f"{', '.join(COEFFICIENTS)}; with another one use rectified images"
        )
    if len(coefficients) not in COEFFICIENTS[model]:
        raise CalibrationError(
            f"{model} has {counted(len(coefficients), 'coefficient')}: it needs "
            f"{' or '.join(map(str, COEFFICIENTS[model]))}"
        )
