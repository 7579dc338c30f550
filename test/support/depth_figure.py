"""Makes docs/images/depth.jpg: a small head in an image and in its depth image.

    AMENT_PREFIX_PATH=$PWD/.venv .venv/bin/python test/support/depth_figure.py docs/images

The face is NASA's public-domain portrait of Eileen Collins, from scikit-image; its depth image is
computed from its landmarks, for a head of 0.85 of the average size, with 30 % of holes and 2 % of
noise. PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from depth_images import Faults, rendered_mesh
from maix_facemesh_ros import CameraModel, Face, FaceMesh, draw_face
from maix_facemesh_ros.analysis.head_scale import RELIABLE
from maix_facemesh_ros.image import Pixels
from scenes import scene

SCALE = 0.85
NEAR, FAR = 0.28, 0.44
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def main() -> None:
    """Write the image."""
    path = Path(sys.argv[1]) / "depth.jpg"
    image = scene(np.asarray(data.astronaut(), np.uint8), (320, 180, 170.0))
    camera = CameraModel.from_calibration(640, 360, (500.0, 0, 320, 0, 500, 180, 0, 0, 1), (), "")
    with FaceMesh(pose=True) as mesh:
        mesh.camera = camera
        (assumed,) = mesh.process(image)
        assert assumed.points_3d is not None
        meters = rendered_mesh(camera, SCALE * assumed.points_3d[:468], wall=FAR)
        depth = Faults().applied(meters, np.random.default_rng(1))
        (measured,) = mesh.process(image, depth=depth)
    draw_face(image, assumed, mesh=True, box=False, label=False)
    shown = np.clip((FAR - depth.values / 1000) / (FAR - NEAR), 0, 1)
    turbo = cv2.applyColorMap((255 * shown).astype(np.uint8), cv2.COLORMAP_TURBO)[:, :, ::-1]
    colors: Pixels = np.where(depth.values[:, :, np.newaxis] > 0, turbo, 0).astype(np.uint8)
    for x, y in assumed.points[RELIABLE]:
        for radius, color in ((3, BLACK), (2, WHITE)):
            cv2.circle(colors, (int(x), int(y)), radius, color, -1, cv2.LINE_AA)
    _write(image, "without depth", assumed)
    _write(colors, "with depth", measured)
    both = np.hstack([image[:, 110:530], colors[:, 110:530]])
    cv2.imwrite(str(path), both[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    print(path, path.stat().st_size // 1000, "kB")


def _write(image: Pixels, title: str, face: Face) -> None:
    assert face.pose is not None
    lines = (title, f"size {face.head_scale:.2f}, {face.scale_source}: {face.pose[2, 3]:.2f} m")
    for row, text in enumerate(lines):
        place = (118, 316 + 26 * row)
        for color, thickness in ((BLACK, 4), (WHITE, 1)):
            cv2.putText(
                image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, color, thickness, cv2.LINE_AA
            )


if __name__ == "__main__":
    main()
