"""Makes docs/images/demo.webp, the moving image at the top of README.md.

    AMENT_PREFIX_PATH=$PWD/.venv .venv/bin/python test/support/readme_animation.py docs/images

The face is NASA's public-domain portrait of Eileen Collins, from scikit-image, moved as `make demo`
does. Needs OpenCV 4.11 or newer. PYTEST_DONT_REWRITE.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from skimage import data

from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.drawing import draw_face
from maix_facemesh_ros.face_mesh import FaceMesh
from maix_facemesh_ros.ros.demo import HEIGHT, WIDTH, Scene

#: Images per second, seconds, and the size in pixels.
RATE, SECONDS, SIZE = 8, 5, (360, 270)
QUALITY = 55


def main() -> None:
    """Write the animation."""
    path = Path(sys.argv[1]) / "demo.webp"
    scene = Scene(np.asarray(data.astronaut(), np.uint8))
    animation = cv2.Animation()
    frames = []
    with FaceMesh(tracking=True, pose=True) as mesh:
        mesh.camera = CameraModel.from_field_of_view(WIDTH, HEIGHT, 60.0)
        for number in range(RATE * SECONDS):
            image = scene.image(number / RATE)
            for face in mesh.process(image, number / RATE):
                draw_face(image, face, mesh=True, box=True, label=True)
            frames.append(cv2.resize(image[:, :, ::-1], SIZE, interpolation=cv2.INTER_AREA))
    animation.frames = frames
    animation.durations = [1000 // RATE] * len(frames)
    cv2.imwriteanimation(str(path), animation, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    print(path, path.stat().st_size // 1000, "kB")


if __name__ == "__main__":
    main()
