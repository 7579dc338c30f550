"""`FaceMesh`: images in, faces with landmarks out, on any backend and without ROS."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from maix_facemesh_ros.analysis.enrichment import Enrichment
from maix_facemesh_ros.analysis.head_scale import FindDepth
from maix_facemesh_ros.analysis.stream_stamps import StreamClock
from maix_facemesh_ros.backends.base import OpenedBackend
from maix_facemesh_ros.backends.registry import open_backend, open_blendshapes
from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.depth_image import DepthBuffer, DepthImage
from maix_facemesh_ros.errors import ArgumentTypeError, ClosedError
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.image import Image, ImageError, Pixels, Stamp
from maix_facemesh_ros.parameters import FaceMeshParameters, ParameterError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from maix_facemesh_ros.parameters.keywords import FaceMeshChanges, FaceMeshKeywords

#: OpenCV's warps count pixels in 16 bits.
LARGEST_SIDE = 2**15 - 2


class FaceMesh:
    """Finds faces and their landmarks in images.

    The keywords are the fields of `FaceMeshParameters`, which documents them with their ranges and
    defaults::

        with FaceMesh(max_face_num=1) as mesh:
            for face in mesh.process(rgb):
                print(face.box, face.points[4], face.points_z[4])

    Use one object per stream of images, from one thread at a time.
    """

    def __init__(
        self,
        parameters: FaceMeshParameters | None = None,
        *,
        opened: OpenedBackend | None = None,
        **values: Unpack[FaceMeshKeywords],
    ) -> None:
        """Open the backend and load its networks.

        Args:
            parameters: all parameters in one object, instead of keywords.
            opened: a backend to use instead of that of the parameters.
            **values: any of the fields of `FaceMeshParameters`.

        Raises:
            ParameterError: an unknown name, a wrong type, or a value out of range.
            BackendError: the backend cannot run here.
            ModelError: a model file is missing, damaged, or of another network.
        """
        if parameters is None:
            parameters = FaceMeshParameters.from_values(values, ignored=())
        elif values:
            raise ParameterError("give FaceMesh either one parameters object or keywords, not both")
        self._parameters = parameters
        opened = opened or open_backend(parameters)
        self.backend_name = opened.name
        self._backend = opened.detector
        self._backend_description = opened.description
        self._enrichment = Enrichment(parameters, open_blendshapes)
        #: Camera model of the images, for `pose`; None: unknown. Used from the next image on.
        self.camera: CameraModel | None = None
        self._clock = StreamClock()
        self._closed = False

    @property
    def parameters(self) -> FaceMeshParameters:
        """The parameters in force."""
        return self._parameters

    @property
    def facts(self) -> dict[str, str]:
        """Facts about the backend by name, for diagnostics."""
        return {"backend": self._backend_description, **self._backend.facts}

    def change(self, **changes: Unpack[FaceMeshChanges]) -> None:
        """Change parameters between two images: all of them, or none if one is invalid.

        Raises:
            ParameterError: an unknown name, a bad value, or a parameter that is fixed at the start.
        """
        self._parameters = self._parameters.changed(**changes)

    def reset(self) -> None:
        """Start a new stream with the next image, from any thread.

        Tracks and smoothing are reset, and the faces get new ids, which were not used before.
        """
        self._clock.restart()

    def process(
        self,
        image: Pixels | Image,
        stamp: float | None = None,
        *,
        bgr: bool = False,
        depth: DepthImage | DepthBuffer | None = None,
    ) -> list[Face]:
        """Find the faces of one image.

        Args:
            image: uint8 (H, W, 3), RGB; or an `Image`, which has its own channel order and stamp.
                It is not modified.
            stamp: time of the image in seconds, used for ids and smoothing. Without stamps, arrays
                count as 1/30 s apart. A stamp that goes back by less than `id_timeout`, as when a
                clock is corrected or two images are swapped, continues the stream. One that goes
                back further, or advances by more than a second and `id_timeout`, starts a new
                stream: tracks and smoothing are reset, and the faces get new ids.
            bgr: whether the channels of the array are blue, green, red.
            depth: with `pose`, the depth image of this image, from which the sizes of the heads are
                measured; or the latest ones of a stream, of which that with the image's stamp is
                used. See docs/depth.md.

        Returns:
            The faces, largest first, at most `max_face_num`.

        Raises:
            ArgumentTypeError: the image is not a uint8 array.
            ImageError: the image is not (H, W, 3), has no pixels, or is too wide or too high.
            ArgumentError: the stamp is not finite.
            ClosedError: the object is closed.
        """
        if self._closed:
            raise ClosedError("this FaceMesh is closed: make a new one")
        pixels = image.pixels if isinstance(image, Image) else image
        check_image(pixels)
        parameters = self._parameters
        if stamp is None:
            stamp = image.stamp.seconds if isinstance(image, Image) else self._clock.next_stamp
        time = self._clock.advance(stamp, parameters.id_timeout)
        if time.is_new_stream:
            self._backend.forget()
            self._enrichment.forget()
        if not isinstance(image, Image):
            image = Image(pixels, "bgr" if bgr else "rgb", Stamp.from_seconds(time.seconds))
        faces = self._backend.detect(image, parameters)
        self._enrichment.enrich(
            faces, time.seconds, image.size, self.camera, parameters, _finder(depth, stamp)
        )
        return faces

    def close(self) -> None:
        """Free the backend; the object cannot be used afterwards."""
        self._closed = True
        self._backend.close()

    def __enter__(self) -> FaceMesh:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


# For help() and editors: show the parameters by name, although they are declared elsewhere.
FaceMesh.__signature__ = inspect.signature(FaceMeshParameters)  # type: ignore[attr-defined]


def _finder(depth: DepthImage | DepthBuffer | None, stamp: float) -> FindDepth | None:
    if depth is None:
        return None
    return partial(depth.at, stamp) if isinstance(depth, DepthBuffer) else lambda: depth


def check_image(image: Pixels) -> None:
    """Check that an image is a uint8 (H, W, 3) array with at least one pixel.

    Raises:
        ArgumentTypeError: not a uint8 array.
        ImageError: another shape, or larger than OpenCV can crop from.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        found = getattr(image, "dtype", type(image).__name__)
        raise ArgumentTypeError(
            f"the image is {found}: give a uint8 array of shape (height, width, 3)"
        )
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ImageError(
            f"the image has shape {image.shape}: give (height, width, 3), red, green and blue"
        )
    if max(image.shape) > LARGEST_SIDE:
        raise ImageError(f"the image has shape {image.shape}: the maximum side is {LARGEST_SIDE}")
