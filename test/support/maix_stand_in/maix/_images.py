"""What the camera sees: images from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def read_images(path: Path | None) -> list[Pixels]:
    """Return RGB images of a file or of a folder of files; None: the astronaut."""
    if path is None:
        return [_astronaut()]
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    known = [file for file in files if file.suffix.lower() in (".npy", ".png", ".jpg", ".jpeg")]
    images = [image for file in known for image in _read(file)]
    if not images:
        raise FileNotFoundError(f"there is no .npy, .png or .jpg image at {path}")
    return images


def scale_to_fit(image: Pixels, width: int, height: int) -> Pixels:
    """Return the whole image as large as it fits, in the middle of black."""
    source_height, source_width = image.shape[:2]
    scale = min(width / source_width, height / source_height)
    inner = (max(1, round(source_width * scale)), max(1, round(source_height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(image, inner, interpolation=method)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    fitted = np.zeros((height, width, 3), np.uint8)
    fitted[top : top + inner[1], left : left + inner[0]] = scaled
    return fitted


def _read(file: Path) -> list[Pixels]:
    if file.suffix.lower() == ".npy":
        # Of a long film, only what is shown is read.
        stack: Any = np.load(file, mmap_mode="r")
        return list(stack) if stack.ndim == 4 else [stack]
    image = cv2.imread(str(file))
    if image is None:
        raise ValueError(f"{file} is not an image")
    return [np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)]


def _astronaut() -> Pixels:
    from skimage import data

    image: Pixels = data.astronaut()
    return image
