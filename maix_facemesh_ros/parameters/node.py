"""The parameters of the programs: `facemesh_node` and `facemesh_view`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from maix_facemesh_ros.parameters.face_mesh import FaceMeshParameters
from maix_facemesh_ros.parameters.table import ParameterTable, description_of, parameter


@dataclass(frozen=True, kw_only=True)
class NodeParameters(FaceMeshParameters):
    """The parameters of `facemesh_node`: those of `FaceMesh`, and where images come from.

    A node sees a stream, so `tracking` and `ids` are on unless they are switched off, and it hears
    of the camera's calibration, so `pose` is too.
    """

    backend: str = parameter(
        "auto",
        description_of(FaceMeshParameters, "backend")
        + " maixcam: on a MaixCAM beside this machine, see maixcam_address.",
        choices=("auto", "onnx", "maix", "maixcam"),
    )
    tracking: bool = parameter(
        True, description_of(FaceMeshParameters, "tracking"), changeable=False
    )
    ids: bool = parameter(True, description_of(FaceMeshParameters, "ids"), changeable=True)
    pose: bool = parameter(True, description_of(FaceMeshParameters, "pose"), changeable=True)
    tf: bool = parameter(
        False,
        "With pose: publish the frames face_<id>, and with gaze gaze_<id>, under the camera's on "
        "/tf, where tf2 is installed.",
        changeable=True,
    )
    frame_prefix: str = parameter(
        "",
        "With tf: what the names of the published frames begin with, such as left/ for "
        "left/face_1. Nodes of several cameras need a prefix each: a frame has one parent.",
        changeable=True,
    )
    frame_limit: int = parameter(
        0,
        "With tf: how many numbers the names of frames have before they start again at 1: with "
        "100, the face with id 101 has face_1. A listener of tf2 keeps some 32 kB for each name "
        "that it has heard. 0: no limit, the number is the id.",
        minimum=0,
        maximum=1_000_000,
        changeable=True,
    )
    vision_msgs: bool = parameter(
        False, "Publish vision_msgs/Detection2DArray on ~/detections, where it is installed."
    )
    foxglove_msgs: bool = parameter(
        False, "Publish foxglove_msgs/ImageAnnotations on ~/image_annotations, where installed."
    )
    hri_msgs: bool = parameter(
        False,
        "Publish faces under /humans/faces as REP-155 has them, where hri_msgs is installed. The "
        "face with id 7 is f7 there, and with tf the frames face_f7 and gaze_f7 too.",
    )
    marker_lifetime: float = parameter(
        0.5,
        "Seconds after which RViz takes a marker away by itself; 0: never.",
        minimum=0.0,
        maximum=3600.0,
        changeable=True,
    )
    marker_depth: float = parameter(
        1.0,
        "Metres before the camera at which the markers of faces without pose stand.",
        minimum=0.1,
        maximum=100.0,
        changeable=True,
    )
    rectified: str = parameter(
        "auto",
        "Whether images on a topic are rectified, so that camera_info's P describes them and no "
        "distortion is left. auto: when the last part of the topic's name begins with image_rect.",
        choices=("auto", "yes", "no"),
    )
    source: str = parameter(
        "",
        "Where images come from. Empty: the topic image_raw; else a camera (0, /dev/video0), a "
        "image or video file, a folder of images, the URL of a live stream (rtsp://, http://, "
        "udp:// and more), or on a MaixCAM maix, its own camera.",
    )
    image_transport: str = parameter(
        "raw",
        "Without a source: raw for image_raw, compressed for image_raw/compressed (JPEG or PNG).",
        choices=("raw", "compressed"),
    )
    source_loop: bool = parameter(
        False,
        "With a file or folder as source: start again at its end. Off: the node stops there.",
    )
    frame_id: str = parameter(
        "camera_optical_frame",
        "Frame of the faces when the node reads source itself or the faces come from a MaixCAM. "
        "Images on a topic bring theirs; if that is empty, markers, points and frames are in this.",
    )
    camera_delay: float = parameter(
        0.0,
        "Seconds from an image's exposure until source or a MaixCAM's camera hands it over, taken "
        "off its stamp. Images on a topic bring their stamp.",
        minimum=0.0,
        maximum=1.0,
    )
    calibration_file: str = parameter(
        "",
        "YAML file of camera_calibration for the camera that is source or of a MaixCAM: it is "
        "published as camera_info with every image. Images on a topic bring theirs. A path, or "
        "a URL such as package://my_robot/config/camera.yaml.",
    )
    maixcam_address: str = parameter(
        "",
        "With backend maixcam: name or address of the device and, unless it is 5478, its port, "
        "such as maixcam-1a2b.local or 10.131.167.1:5478.",
    )
    maixcam_token_file: str = parameter(
        "",
        "With backend maixcam: a file that holds the token which the device shows on its screen.",
    )
    maixcam_token: str = parameter(
        "",
        "With backend maixcam, instead of a file: the token itself. Everyone on this robot can "
        "read it with ros2 param get.",
    )
    maixcam_certificate: str = parameter(
        "",
        "With backend maixcam: the device's certificate (PEM), for an encrypted link; empty: not "
        "encrypted.",
    )
    maixcam_jpeg: bool = parameter(
        False,
        "With backend maixcam: publish the device's images on image_raw/compressed.",
        changeable=True,
    )
    maixcam_jpeg_rate: float = parameter(
        10.0,
        "With maixcam_jpeg: images a second at most.",
        minimum=0.1,
        maximum=120.0,
        changeable=True,
    )
    maixcam_jpeg_quality: int = parameter(
        80, "With maixcam_jpeg: quality of the JPEG.", minimum=1, maximum=100, changeable=True
    )
    maixcam_reconnect: bool = parameter(
        True,
        "With backend maixcam: try again until the device is there. Off: the node stops with an "
        "error when the device is not there or is lost.",
    )

    def __post_init__(self) -> None:
        # A camera's number is a number to ROS too: `-p source:=0`.
        source: object = self.source
        if isinstance(source, int) and not isinstance(source, bool):
            object.__setattr__(self, "source", str(source))
        super().__post_init__()

    def _contradictions(self) -> list[str]:
        from_maixcam = self.backend == "maixcam"
        checks = (
            (
                from_maixcam and not self.maixcam_address,
                "backend 'maixcam' needs maixcam_address, such as 'maixcam-1a2b.local'",
            ),
            (
                from_maixcam and (self.maixcam_token == "") == (self.maixcam_token_file == ""),
                "backend 'maixcam' needs the device's token: give either maixcam_token_file or "
                "maixcam_token",
            ),
            (
                from_maixcam and self.source != "",
                f"source is {self.source!r}, but the images of backend 'maixcam' are those of "
                "the device's camera: leave source empty",
            ),
        )
        return super()._contradictions() + [message for broken, message in checks if broken]


@dataclass(frozen=True, kw_only=True)
class ViewParameters(ParameterTable):
    """The parameters of `facemesh_view`."""

    pictures: str = parameter(
        "auto",
        "Which images to show. raw: those on image_raw. compressed: those on "
        "image_raw/compressed, as they came. annotated: the node's own, on "
        "facemesh/image_annotated/compressed, in which the faces are drawn already. auto: the "
        "first of compressed, raw and annotated that somebody publishes.",
        choices=("auto", "compressed", "raw", "annotated"),
    )
    address: str = parameter(
        "127.0.0.1",
        "Where to listen. 127.0.0.1: for browsers on this machine; 0.0.0.0: for those of other "
        "machines too, which takes token_file, token or open_to_all.",
    )
    port: int = parameter(8478, "Port to listen at; 0: any that is free.", minimum=0, maximum=65535)
    token_file: str = parameter(
        "",
        "A file that holds a token, which browsers have to give. Where there is no such file, it "
        "is made, with a token that nobody can guess.",
    )
    token: str = parameter(
        "",
        "Instead of a file: the token itself, of 8 characters or more where other machines can "
        "reach the address. Everyone on this robot can read it with ros2 param get.",
    )
    open_to_all: bool = parameter(
        False, "Let everybody who can reach the address see the images, without a token."
    )
    host_names: str = parameter(
        "",
        "Names, with commas between them, by which browsers may reach this machine, beside its "
        "own host name, that with .local, and numeric addresses.",
    )
    rate: float = parameter(
        30.0,
        "Images a second at most, for each browser. A slow one gets fewer by itself.",
        minimum=0.1,
        maximum=120.0,
        changeable=True,
    )
    largest_width: int = parameter(
        1280,
        "Pixels; wider images are made smaller.",
        minimum=64,
        maximum=8192,
        changeable=True,
    )
    jpeg_quality: int = parameter(
        80,
        "Quality of the JPEGs that are made here; those that come as such stay as they are.",
        minimum=1,
        maximum=100,
        changeable=True,
    )

    def _contradictions(self) -> list[str]:
        has_token = bool(self.token or self.token_file)
        checks = (
            (
                not (self.is_local or has_token or self.open_to_all),
                f"address is {self.address!r}, so other machines could look at the images: give "
                "token_file or token, or set open_to_all to let everybody in",
            ),
            (
                bool(self.token and self.token_file),
                "token and token_file are both given: give one of them",
            ),
            (
                has_token and self.open_to_all,
                "there is a token and open_to_all is on: choose one of them",
            ),
        )
        return [message for broken, message in checks if broken]

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.address == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return False
