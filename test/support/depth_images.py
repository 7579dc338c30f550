"""Depth images of posed heads, with the faults of depth cameras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maix_facemesh_ros.browser.frame_packet import mesh_facts
from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.depth_image import DepthImage
from maix_facemesh_ros.face import DoubleArray
from maix_facemesh_ros.image import Stamp
from posed_faces import HEAD

#: (M, 3) mesh indices: the mesh with eyes and mouth filled.
TRIANGLES = np.array(mesh_facts()["triangles"]).reshape(-1, 3)


def rendered(camera: CameraModel, pose: DoubleArray, face_scale: float = 1.0) -> DoubleArray:
    """Return the (H, W) meters of the canonical face, 1 m in front of a wall, without faults.

    Args:
        camera: without distortion.
        pose: (4, 4) of the head.
        face_scale: size of the head.
    """
    places = HEAD * face_scale @ pose[:3, :3].T + pose[:3, 3]
    return rendered_mesh(camera, places, float(pose[2, 3]) + 1.0)


def rendered_mesh(
    camera: CameraModel, places: npt.NDArray[np.floating], wall: float
) -> DoubleArray:
    """Return the (H, W) meters of a mesh in front of a wall.

    Args:
        camera: without distortion.
        places: (468, 3) meters in the camera's optical frame.
        wall: its distance in meters.
    """
    depth = np.full((camera.height, camera.width), wall)
    pixels, inverse = camera.project(places), 1.0 / places[:, 2]
    corners = pixels[TRIANGLES]
    lows = np.maximum(np.floor(corners.min(axis=1)), 0).astype(int)
    highs = np.minimum(np.ceil(corners.max(axis=1)), (camera.width, camera.height)).astype(int)
    edges = np.concatenate([corners, np.ones((len(corners), 3, 1))], axis=2)
    flat = np.abs(np.linalg.det(edges)) < 1e-9
    edges[flat] = np.eye(3)
    # (M, 3, 3): from x, y and 1 to the weight of each corner.
    to_weights = np.linalg.inv(edges).transpose(0, 2, 1)
    for number in np.flatnonzero(~flat & (highs > lows).all(axis=1)).tolist():
        (left, top), (right, bottom) = lows[number], highs[number]
        x, y = np.arange(left, right) + 0.5, np.arange(top, bottom)[:, np.newaxis] + 0.5
        weights = [across * x + down * y + rest for across, down, rest in to_weights[number]]
        # The inverse of the distance is linear in the image.
        nearness = sum(map(np.multiply, inverse[TRIANGLES[number]], weights))
        part = depth[top:bottom, left:right]
        shown = np.minimum(np.minimum(*weights[:2]), weights[2]) >= 0
        shown &= nearness > 1.0 / part
        part[shown] = 1.0 / nearness[shown]
    return depth


@dataclass(frozen=True)
class Faults:
    """The faults of a depth camera."""

    #: Part of the pixels without a measurement.
    holes: float = 0.3
    #: Standard deviation of the noise, as a part of the distance.
    noise: float = 0.02

    def applied(
        self, depth: DoubleArray, random: np.random.Generator, seconds: float = 0.0
    ) -> DepthImage:
        """Return the depth image, in whole millimeters, with a stamp."""
        noise = random.standard_normal(depth.shape, np.float32)
        meters = depth * (1.0 + self.noise * noise)
        meters[random.random(depth.shape, np.float32) < self.holes] = 0.0
        return DepthImage(np.round(meters * 1000).astype(np.uint16), Stamp.from_seconds(seconds))
