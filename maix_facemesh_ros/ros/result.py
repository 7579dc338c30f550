"""`Result`: one image's faces and all that publishers need with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from maix_facemesh_ros.camera.model import CameraModel
from maix_facemesh_ros.face import Face
from maix_facemesh_ros.image import Image, Stamp
from maix_facemesh_ros.parameters import NodeParameters


@dataclass(frozen=True, eq=False)
class Result:
    """The faces of one image, as every publisher gets them."""

    #: The image's own.
    stamp: Stamp
    #: The image's own; empty where its publisher has set none.
    frame_id: str
    #: Width and height of the image in pixels.
    size: tuple[int, int]
    #: Largest first.
    faces: Sequence[Face]
    #: The camera model for images of this size; None: there is no calibration that fits.
    camera: CameraModel | None
    #: The parameters in force for this image.
    parameters: NodeParameters
    #: The pixels; None from a MaixCAM, which sends faces alone.
    image: Image | None = None
    #: The JPEG of a MaixCAM; it comes after its faces, which have been published already.
    jpeg: bytes | None = None
    #: Whether `faces` are those of this image: not of a JPEG whose faces were dropped.
    has_faces: bool = True

    @cached_property
    def header(self) -> Header:
        """Stamp and frame as a message; the parameter `frame_id` where the image has no frame.

        RViz and tf2 refuse what is in no frame. `faces` alone keeps the image's empty frame.
        """
        stamp = Time(sec=self.stamp.sec, nanosec=self.stamp.nanosec)
        return Header(stamp=stamp, frame_id=self.frame_id or self.parameters.frame_id)


class ResultPublisher(Protocol):
    """Publishes results in one kind of message."""

    def publish(self, result: Result) -> None:
        """Publish one result; nothing without subscribers."""
        ...
