"""The parameters of the programs: `facemesh_node` and `facemesh_view`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from maix_facemesh_ros.parameters.face_mesh import FaceMeshParameters
from maix_facemesh_ros.parameters.table import ParameterTable, description_of, parameter


@dataclass(frozen=True, kw_only=True)
class NodeParameters(FaceMeshParameters):
    """The parameters of `facemesh_node`: those of `FaceMesh`, the image source and the outputs.

    A node processes a stream, so `tracking` and `ids` are on by default. It receives the camera's
    calibration, so `pose` is on as well.
    """

    backend: str = parameter(
        "auto",
        description_of(FaceMeshParameters, "backend")
        + " maixcam: on a MaixCAM connected to this machine, see maixcam_address.",
        choices=("auto", "onnx", "maix", "maixcam"),
    )
    tracking: bool = parameter(
        True, description_of(FaceMeshParameters, "tracking"), changeable=False
    )
    ids: bool = parameter(True, description_of(FaceMeshParameters, "ids"), changeable=True)
    pose: bool = parameter(True, description_of(FaceMeshParameters, "pose"), changeable=True)
    tf: bool = parameter(
        False,
        "With pose: publish the frames face_<id>, and with gaze gaze_<id>, on /tf with the "
        "camera's frame as parent. Needs tf2_msgs.",
        changeable=True,
    )
    frame_prefix: str = parameter(
        "",
        "With tf: prefix of the published frame names, such as left/ for left/face_1. With "
        "several cameras each node needs its own prefix, because a frame has one parent.",
        changeable=True,
    )
    frame_limit: int = parameter(
        0,
        "With tf: maximum number of frame names, after which numbers start at 1 again: with 100, "
        "the face with id 101 is face_1. A tf2 listener keeps about 32 kB per frame name it has "
        "received. 0: no limit, the number is the id.",
        minimum=0,
        maximum=1_000_000,
        changeable=True,
    )
    vision_msgs: bool = parameter(
        False, "Publish vision_msgs/Detection2DArray on ~/detections. Needs vision_msgs."
    )
    foxglove_msgs: bool = parameter(
        False, "Publish foxglove_msgs/ImageAnnotations on ~/image_annotations. Needs foxglove_msgs."
    )
    hri_msgs: bool = parameter(
        False,
        "Publish faces under /humans/faces as in REP-155. Needs hri_msgs. The face with id 7 is "
        "f7 there, and with tf the frames face_f7 and gaze_f7 are published too.",
    )
    marker_lifetime: float = parameter(
        0.5,
        "Time in s after which RViz removes a marker that is not updated. 0: never.",
        minimum=0.0,
        maximum=3600.0,
        changeable=True,
    )
    marker_depth: float = parameter(
        1.0,
        "Distance from the camera, in m, at which markers of faces without pose are drawn.",
        minimum=0.1,
        maximum=100.0,
        changeable=True,
    )
    rectified: str = parameter(
        "auto",
        "Whether images on a topic are rectified, so that camera_info's P describes them without "
        "distortion. yes: rectified. no: not rectified. auto: rectified when the last part of the "
        "topic name begins with image_rect.",
        choices=("auto", "yes", "no"),
    )
    depth_topic: str = parameter(
        "",
        "With pose and images on a topic: topic of depth images that are aligned with the images "
        "(16UC1 in mm or 32FC1 in m), such as /camera/camera/aligned_depth_to_color/image_raw. "
        "The sizes of the heads are measured with them, so that distances are true, see "
        "docs/depth.md. Empty: the sizes are assumed, see face_scale.",
    )
    source: str = parameter(
        "",
        "Image source. Empty: the topic image_raw. Otherwise a camera (0, /dev/video0), an image "
        "or video file, a folder of images, the URL of a live stream (rtsp://, http://, udp:// "
        "and more), or, on a MaixCAM, maix for its camera.",
    )
    image_transport: str = parameter(
        "raw",
        "Without a source: raw subscribes to image_raw, compressed to image_raw/compressed (JPEG "
        "or PNG), foxglove and ffmpeg to image_raw/foxglove and image_raw/ffmpeg (H.264 or H.265 "
        "of the image_transport of that name; they need PyAV).",
        choices=("raw", "compressed", "foxglove", "ffmpeg"),
    )
    autostart: bool = parameter(
        True,
        "true: the node is active from the start. false: it waits, unconfigured, until a lifecycle "
        "manager or `ros2 lifecycle` configures and activates it, see docs/lifecycle.md.",
    )
    always_process: bool = parameter(
        False,
        "Without a source. false: while no output has a subscriber, the node rests and receives "
        "no images; the first subscriber wakes it. With tf, listeners of /tf count too. true: "
        "images are always processed, for example for the counts on /diagnostics.",
    )
    source_loop: bool = parameter(
        False,
        "With a file or folder as source. true: restart at its end. false: the node exits at its "
        "end.",
    )
    frame_id: str = parameter(
        "camera_optical_frame",
        "frame_id of the faces when the node reads source itself or uses a MaixCAM. Images on a "
        "topic carry their own; where that is empty, markers, points and tf frames use this one.",
    )
    camera_delay: float = parameter(
        0.0,
        "Time in s from exposure until source or a MaixCAM's camera delivers the image; it is "
        "subtracted from the stamp. Not used for images on a topic, which carry their stamp.",
        minimum=0.0,
        maximum=1.0,
    )
    calibration_file: str = parameter(
        "",
        "YAML file of camera_calibration for the camera in source or of a MaixCAM; the node "
        "publishes it as camera_info with every image. A path, or a URL such as "
        "package://my_robot/config/camera.yaml. Not used for images on a topic, which come with "
        "their camera_info.",
    )
    maixcam_address: str = parameter(
        "",
        "With backend maixcam: host name or address of the device, and its port unless that is "
        "5478, such as maixcam-1a2b.local or 10.131.167.1:5478.",
    )
    maixcam_token_file: str = parameter(
        "",
        "With backend maixcam: file with the token that the device shows on its screen.",
    )
    maixcam_token: str = parameter(
        "",
        "With backend maixcam, instead of a file: the token. Everyone on this robot can read it "
        "with ros2 param get.",
    )
    maixcam_certificate: str = parameter(
        "",
        "With backend maixcam: the device's certificate (PEM), for an encrypted connection. "
        "Empty: not encrypted.",
    )
    maixcam_jpeg: bool = parameter(
        False,
        "With backend maixcam: publish the device's images on image_raw/compressed.",
        changeable=True,
    )
    maixcam_jpeg_rate: float = parameter(
        10.0,
        "With maixcam_jpeg: maximum number of images per second. Lower: less network load.",
        minimum=0.1,
        maximum=120.0,
        changeable=True,
    )
    maixcam_jpeg_quality: int = parameter(
        80,
        "With maixcam_jpeg: JPEG quality. Higher: better images, more network load.",
        minimum=1,
        maximum=100,
        changeable=True,
    )
    maixcam_reconnect: bool = parameter(
        True,
        "With backend maixcam. true: retry until the device is connected. false: the node exits "
        "with an error when the device is missing or the connection is lost.",
    )

    def __post_init__(self) -> None:
        # ROS parses a camera's number as an integer: `-p source:=0`.
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
                f"source is {self.source!r}, but backend 'maixcam' uses the device's camera: "
                "leave source empty",
            ),
            (
                self.depth_topic != "" and (from_maixcam or self.source != ""),
                f"depth_topic is {self.depth_topic!r}, but the images come from no topic: leave "
                "depth_topic empty",
            ),
        )
        return super()._contradictions() + [message for broken, message in checks if broken]


@dataclass(frozen=True, kw_only=True)
class ViewParameters(ParameterTable):
    """The parameters of `facemesh_view`."""

    pictures: str = parameter(
        "auto",
        "Which images to show. raw: those on image_raw. compressed: those on "
        "image_raw/compressed, unchanged. annotated: the node's own on "
        "facemesh/image_annotated/compressed, with the faces already drawn. auto: the first of "
        "compressed, raw and annotated that has a publisher.",
        choices=("auto", "compressed", "raw", "annotated"),
    )
    address: str = parameter(
        "127.0.0.1",
        "Address to listen on. 127.0.0.1: browsers on this machine only. 0.0.0.0: also browsers "
        "on other machines, which needs token_file, token or open_to_all.",
    )
    port: int = parameter(8478, "Port to listen on. 0: any free port.", minimum=0, maximum=65535)
    token_file: str = parameter(
        "",
        "File with the token that browsers must give. A missing file is created with a random "
        "token.",
    )
    token: str = parameter(
        "",
        "Instead of a file: the token, with at least 8 characters where other machines can reach "
        "the address. Everyone on this robot can read it with ros2 param get.",
    )
    open_to_all: bool = parameter(
        False, "Show the images, without a token, to everyone who can reach the address."
    )
    host_names: str = parameter(
        "",
        "Other names by which browsers may reach this machine, separated by commas. Its own host "
        "name, with and without .local, and numeric addresses are always allowed.",
    )
    rate: float = parameter(
        30.0,
        "Maximum number of images per second for each browser. A slow browser gets fewer.",
        minimum=0.1,
        maximum=120.0,
        changeable=True,
    )
    largest_width: int = parameter(
        1280,
        "Maximum image width in pixels; wider images are scaled down. Lower: less network load.",
        minimum=64,
        maximum=8192,
        changeable=True,
    )
    jpeg_quality: int = parameter(
        80,
        "Quality of the JPEGs encoded by facemesh_view; JPEGs from a topic stay unchanged. "
        "Higher: better images, more network load.",
        minimum=1,
        maximum=100,
        changeable=True,
    )

    def _contradictions(self) -> list[str]:
        has_token = bool(self.token or self.token_file)
        checks = (
            (
                not (self.is_local or has_token or self.open_to_all),
                f"address is {self.address!r}, so other machines could see the images: give "
                "token_file or token, or set open_to_all to show the images to everyone",
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
