"""Every parameter, declared once: default, meaning, range, and whether it may change while running.

The Python API, the node, `config/facemesh.yaml` and the table in the README all come from here.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import math
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeVar

from maix_facemesh_ros.mesh.landmark_subsets import LANDMARK_SUBSETS

#: The landmark network's number of points; valid mesh indices are 0..477.
LANDMARKS = 478

#: Parameters that every ROS node has; `qos_overrides.<topic>...` has a part for each topic.
PARAMETERS_OF_EVERY_NODE = ("use_sim_time", "start_type_description_service", "qos_overrides")


class ParameterError(ValueError):
    """A parameter has an unknown name, a wrong type, or a value outside its range."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """What is known of one parameter beside its value."""

    name: str
    default: Any
    description: str
    minimum: float | None
    maximum: float | None
    choices: tuple[Any, ...]
    changeable: bool

    def check(self, value: Any) -> Any:
        """Return the value in the parameter's own type.

        Raises:
            ParameterError: wrong type or out of range; the message says what would be right.
        """
        value = self._in_type(value)
        if self.choices and value not in self.choices:
            raise ParameterError(
                f"{self.name} is {reprlib.repr(value)}: give {_one_of(self.choices)}"
            )
        if self.minimum is not None and value < self.minimum:
            raise ParameterError(f"{self.name} is {value}: give {self._range()}")
        if self.maximum is not None and value > self.maximum:
            raise ParameterError(f"{self.name} is {value}: give {self._range()}")
        return value

    @property
    def type_name(self) -> str:
        """The type in words, as errors and the documentation name it."""
        return _TYPE_NAMES[type(self.default)]

    def range_text(self) -> str:
        """The range in words, empty when every value of the type will do."""
        if self.choices:
            return " | ".join('""' if choice == "" else str(choice) for choice in self.choices)
        return self._range() if self.minimum is not None or self.maximum is not None else ""

    def _range(self) -> str:
        if self.minimum is None:
            return f"at most {self.maximum:g}"
        if self.maximum is None:
            return f"at least {self.minimum:g}"
        return f"{self.minimum:g} to {self.maximum:g}"

    def _in_type(self, value: Any) -> Any:
        wanted = type(self.default)
        if wanted is float and isinstance(value, Real) and not isinstance(value, bool):
            if not math.isfinite(value):
                raise ParameterError(f"{self.name} is {value}: give a finite number")
            return float(value)
        if wanted is int and isinstance(value, Integral) and not isinstance(value, bool):
            return int(value)
        if wanted is tuple:
            return self._index_tuple(value)
        if wanted in (bool, str) and isinstance(value, wanted):
            return value
        if wanted is str and isinstance(value, bool):
            # YAML, and so `-p smoothing:=off`, takes these words for true and false.
            for word in ("yes", "on") if value else ("no", "off"):
                if word in self.choices:
                    return word
        raise ParameterError(
            f"{self.name} is {reprlib.repr(value)}, a {type(value).__name__}: give {self.type_name}"
            + (f", such as {self.default!r}" if self.default != "" else "")
        )

    def _index_tuple(self, value: Any) -> tuple[int, ...]:
        if isinstance(value, str | bytes | bytearray) or not isinstance(value, Iterable):
            raise ParameterError(f"{self.name} is {reprlib.repr(value)}: give {self.type_name}")
        items = tuple(value)
        if len(items) > LANDMARKS:
            raise ParameterError(f"{self.name} has {len(items)} entries: give at most {LANDMARKS}")
        for item in items:
            if isinstance(item, bool) or not hasattr(item, "__index__"):
                raise ParameterError(
                    f"{self.name} has {reprlib.repr(item)} in it: give {self.type_name}"
                )
            if not 0 <= item < LANDMARKS:
                raise ParameterError(
                    f"{self.name} has {item} in it: mesh indices are 0 to {LANDMARKS - 1}"
                )
        return tuple(int(item) for item in items)


_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a list of whole numbers",
}


def _one_of(choices: tuple[Any, ...]) -> str:
    return "one of " + ", ".join(repr(choice) for choice in choices)


def _description(table: type, name: str) -> str:
    (description,) = (
        field.metadata["description"] for field in dataclasses.fields(table) if field.name == name
    )
    return str(description)


def _parameter(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[Any, ...] = (),
    changeable: bool = False,
) -> Any:
    facts = {
        "description": description,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "changeable": changeable,
    }
    return dataclasses.field(default=default, metadata=facts)


Parameters = TypeVar("Parameters", bound="ParameterTable")


@dataclass(frozen=True, kw_only=True)
class ParameterTable:
    """Parameters that are checked together: an object of a table holds valid values only.

    Raises:
        ParameterError: names every parameter that is wrong, and what would be right.
    """

    def __post_init__(self) -> None:
        wrong = []
        for parameter in parameters_of(type(self)):
            try:
                object.__setattr__(
                    self, parameter.name, parameter.check(getattr(self, parameter.name))
                )
            except ParameterError as error:
                wrong.append(str(error))
        wrong += [] if wrong else self._contradictions()
        if wrong:
            raise ParameterError("; ".join(wrong))

    @classmethod
    def from_values(cls: type[Parameters], values: Mapping[str, Any]) -> Parameters:
        """Return parameters with values by their names, as a command line or a file gives them.

        Args:
            values: those that differ from the defaults. Parameters of every ROS node, such as
                use_sim_time, are left out.

        Raises:
            ParameterError: names every unknown parameter, and every value that is wrong.
        """
        names = {parameter.name for parameter in parameters_of(cls)}
        wrong = [
            unknown_parameter(name, names)
            for name in values
            if name not in names and name.partition(".")[0] not in PARAMETERS_OF_EVERY_NODE
        ]
        try:
            parameters = cls(**{name: value for name, value in values.items() if name in names})
        except ParameterError as error:
            wrong.append(str(error))
        if wrong:
            raise ParameterError("; ".join(wrong))
        return parameters

    def _contradictions(self) -> list[str]:
        """Return what is wrong with values that are right each for itself."""
        return []

    def changed(self: Parameters, **changes: Any) -> Parameters:
        """Return these parameters with changes applied while running.

        Raises:
            ParameterError: an unknown name, a bad value, or one that is fixed at the start; nothing
                changes.
        """
        known = {parameter.name: parameter for parameter in parameters_of(type(self))}
        wrong = [unknown_parameter(name, known) for name in changes if name not in known]
        wrong += [
            f"{name} is fixed at the start: set it there and start again"
            for name, value in changes.items()
            if name in known and not known[name].changeable and value != getattr(self, name)
        ]
        if wrong:
            raise ParameterError("; ".join(wrong))
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, kw_only=True)
class FaceMeshParameters(ParameterTable):
    """The parameters of `FaceMesh`."""

    backend: str = _parameter(
        "auto",
        "Where faces are computed. onnx: on this machine's processor. maix: on the NPU of the "
        "MaixCAM that this runs on. auto: maix on a MaixCAM, elsewhere onnx.",
        choices=("auto", "onnx", "maix"),
    )
    detector: str = _parameter(
        "full_range",
        "With backend onnx: the face detector. full_range: MediaPipe's, near and far; short_range: "
        "MediaPipe's, to about 2 m, cheapest; yolov8_face and yunet: your own ONNX file, named by "
        "detector_model. A MaixCAM has MaixPy's.",
        choices=("full_range", "short_range", "yolov8_face", "yunet"),
    )
    detector_model: str = _parameter(
        "",
        "Path of the ONNX file for detector yolov8_face or yunet, or with backend maix of a face "
        "detector's .mud file; empty for the other detectors and for MaixPy's own.",
    )
    landmarks_model: str = _parameter(
        "",
        "With backend maix: path of the landmarks' .mud file; empty for MaixPy's own.",
    )
    detect_conf_th: float = _parameter(
        0.5, "Least confidence of the detector.", minimum=0.0, maximum=1.0, changeable=True
    )
    detect_iou_th: float = _parameter(
        0.45,
        "Boxes that overlap more than this (intersection over union) are one face. MediaPipe's two "
        "detectors blend many boxes and use two thirds of it: the default is MediaPipe's own 0.3.",
        minimum=0.0,
        maximum=1.0,
        changeable=True,
    )
    landmarks_conf_th: float = _parameter(
        0.5,
        "Least presence score of the landmarks; a face below is left out, see require_landmarks.",
        minimum=0.0,
        maximum=1.0,
        changeable=True,
    )
    max_face_num: int = _parameter(
        2, "At most this many faces, the largest; 0 or less: no limit.", changeable=True
    )
    min_face_size: float = _parameter(
        0.03,
        "Smallest face to find, as a fraction of the picture's width. Half of it costs the "
        "detector four times the time. A detector with a fixed input, as short_range, has its own.",
        minimum=0.0075,
        maximum=1.0,
        changeable=True,
    )
    tracking: bool = _parameter(
        False,
        "Pictures are consecutive frames of one stream: faces are followed and keep their id, and "
        "the detector rests while all are in view. Off: each picture is looked at anew. A MaixCAM "
        "looks at every picture anew.",
    )
    detect_interval: int = _parameter(
        10,
        "With tracking: look for new faces in every n-th picture while fewer than max_face_num "
        "are tracked. Without any face every picture is looked at, and after losing one every "
        "third of the next 15.",
        minimum=1,
        changeable=True,
    )
    landmarks_interval: int = _parameter(
        1,
        "With tracking and backend onnx: look for a face's landmarks in every n-th picture, and in "
        "between let them move along with the face as a whole, at a sixth of the cost. When it "
        "moves otherwise, as when an eye closes, they are looked for at once. 1: in every picture.",
        minimum=1,
        changeable=True,
    )
    ids: bool = _parameter(
        False,
        "Pictures are consecutive frames of one stream, and a face keeps its id in it. With "
        "tracking always; on its own for faces that are looked for anew in every picture.",
        changeable=True,
    )
    id_timeout: float = _parameter(
        0.5,
        "Seconds that a face may be out of sight and keep its id.",
        minimum=0.0,
        maximum=60.0,
        changeable=True,
    )
    smoothing: str = _parameter(
        "one_euro",
        "With ids: how landmarks, and with them pose and gaze, are smoothed over time.",
        choices=("off", "one_euro"),
        changeable=True,
    )
    one_euro_min_cutoff: float = _parameter(
        0.05,
        "With smoothing one_euro: hertz up to which a still face is let through. Less: stiller. "
        "The default of this and of the next two is MediaPipe's.",
        minimum=0.001,
        maximum=100.0,
        changeable=True,
    )
    one_euro_beta: float = _parameter(
        80.0,
        "With smoothing one_euro: hertz more for each face size a second of speed. More: less lag.",
        minimum=0.0,
        maximum=10000.0,
        changeable=True,
    )
    one_euro_derivate_cutoff: float = _parameter(
        1.0,
        "With smoothing one_euro: hertz up to which changes of speed are let through.",
        minimum=0.001,
        maximum=100.0,
        changeable=True,
    )
    require_landmarks: bool = _parameter(
        True,
        "Leave out faces without valid landmarks, as MaixPy does. Off: they come with box and "
        "score, without points.",
        changeable=True,
    )
    landmarks_abs: bool = _parameter(True, "Give points in pixels of the picture.", changeable=True)
    landmarks_rel: bool = _parameter(
        False, "Give points in pixels of the landmark network's input too.", changeable=True
    )
    landmarks_num: int = _parameter(
        478,
        "How many landmarks to give: all, or MaixPy's subsets.",
        choices=tuple(LANDMARK_SUBSETS),
        changeable=True,
    )
    landmarks_indices: tuple[int, ...] = _parameter(
        (),
        "Mesh indices of the landmarks to give, in this order; empty: landmarks_num decides.",
        changeable=True,
    )
    blendshapes: bool = _parameter(False, "Compute 52 expression scores per face.", changeable=True)
    pose: bool = _parameter(
        False,
        "Compute each head's place and direction in metres, and the landmarks in space. It takes "
        "the camera's calibration, or assumed_field_of_view.",
        changeable=True,
    )
    gaze: bool = _parameter(
        False, "With pose: compute where each face's eyes look.", changeable=True
    )
    face_scale: float = _parameter(
        1.0,
        "Size of the heads beside an average adult's. All distances are proportional to it: with "
        "1, a child whose head is a tenth smaller seems to be a tenth further away than it is.",
        minimum=0.3,
        maximum=3.0,
        changeable=True,
    )
    assumed_field_of_view: float = _parameter(
        0.0,
        "The camera's horizontal field of view in degrees, for pose while there is no calibration; "
        "0: then there is no pose. Distances are as wrong as this number.",
        minimum=0.0,
        maximum=170.0,
        changeable=True,
    )
    execution_provider: str = _parameter(
        "cpu",
        "With backend onnx: the execution provider of onnxruntime that runs the networks. cpu: its "
        "own kernels, everywhere. The others need another build of onnxruntime or other hardware; "
        "where that is missing the start fails and says what it needs.",
        choices=("cpu", "openvino", "cuda", "tensorrt", "coreml"),
    )
    threads: int = _parameter(
        0,
        "Faces computed side by side; 0: as many as this process has processors.",
        minimum=0,
        maximum=64,
    )

    def _contradictions(self) -> list[str]:
        own_file = self.detector in ("yolov8_face", "yunet") and self.backend != "maix"
        checks = (
            (
                not self.landmarks_abs and not self.landmarks_rel,
                "landmarks_abs and landmarks_rel are both off: switch one on",
            ),
            (
                self.gaze and not self.pose,
                "gaze is on and pose is off: gaze needs pose, switch it on",
            ),
            (
                own_file and not self.detector_model,
                f"detector {self.detector!r} needs detector_model, the path of your ONNX file",
            ),
            (
                not own_file and self.detector_model != "" and self.backend != "maix",
                f"detector_model is {self.detector_model!r}, but detector {self.detector!r} brings "
                "its own: set detector to yolov8_face or yunet, or leave detector_model empty",
            ),
            (
                self.landmarks_model != "" and self.backend != "maix",
                f"landmarks_model is {self.landmarks_model!r}, but backend is {self.backend!r}: "
                "only maix takes one",
            ),
        )
        return [message for broken, message in checks if broken]

    @property
    def has_ids(self) -> bool:
        """Whether faces keep their ids."""
        return self.tracking or self.ids

    @property
    def face_limit(self) -> int | None:
        """`max_face_num` as a limit; None when there is none."""
        return self.max_face_num if self.max_face_num > 0 else None

    @property
    def landmark_indices(self) -> tuple[int, ...] | None:
        """Mesh indices of the landmarks to give; None for all 478 in their own order."""
        if self.landmarks_indices:
            return self.landmarks_indices
        return LANDMARK_SUBSETS[self.landmarks_num] if self.landmarks_num != LANDMARKS else None


@dataclass(frozen=True, kw_only=True)
class NodeParameters(FaceMeshParameters):
    """The parameters of `facemesh_node`: those of `FaceMesh`, and where pictures come from.

    A node sees a stream, so `tracking` and `ids` are on unless they are switched off, and it hears
    of the camera's calibration, so `pose` is too.
    """

    backend: str = _parameter(
        "auto",
        _description(FaceMeshParameters, "backend")
        + " maixcam: on a MaixCAM beside this machine, see maixcam_address.",
        choices=("auto", "onnx", "maix", "maixcam"),
    )
    tracking: bool = _parameter(
        True, _description(FaceMeshParameters, "tracking"), changeable=False
    )
    ids: bool = _parameter(True, _description(FaceMeshParameters, "ids"), changeable=True)
    pose: bool = _parameter(True, _description(FaceMeshParameters, "pose"), changeable=True)
    tf: bool = _parameter(
        False,
        "With pose: publish the frames face_<id>, and with gaze gaze_<id>, under the camera's on "
        "/tf, where tf2 is installed.",
        changeable=True,
    )
    frame_prefix: str = _parameter(
        "",
        "With tf: what the names of the published frames begin with, such as left/ for "
        "left/face_1. Nodes of several cameras need a prefix each: a frame has one parent.",
        changeable=True,
    )
    frame_limit: int = _parameter(
        0,
        "With tf: how many numbers the names of frames have before they start again at 1: with "
        "100, the face with id 101 has face_1. A listener of tf2 keeps some 32 kB for each name "
        "that it has heard. 0: no limit, the number is the id.",
        minimum=0,
        maximum=1_000_000,
        changeable=True,
    )
    vision_msgs: bool = _parameter(
        False, "Publish vision_msgs/Detection2DArray on ~/detections, where it is installed."
    )
    foxglove_msgs: bool = _parameter(
        False, "Publish foxglove_msgs/ImageAnnotations on ~/image_annotations, where installed."
    )
    hri_msgs: bool = _parameter(
        False,
        "Publish faces under /humans/faces as REP-155 has them, where hri_msgs is installed. The "
        "face with id 7 is f7 there, and with tf the frames face_f7 and gaze_f7 too.",
    )
    marker_lifetime: float = _parameter(
        0.5,
        "Seconds after which RViz takes a marker away by itself; 0: never.",
        minimum=0.0,
        maximum=3600.0,
        changeable=True,
    )
    marker_depth: float = _parameter(
        1.0,
        "Metres before the camera at which the markers of faces without pose stand.",
        minimum=0.1,
        maximum=100.0,
        changeable=True,
    )
    rectified: str = _parameter(
        "auto",
        "Whether pictures on a topic are rectified, so that camera_info's P describes them and no "
        "distortion is left. auto: when the last part of the topic's name begins with image_rect.",
        choices=("auto", "yes", "no"),
    )
    source: str = _parameter(
        "",
        "Where pictures come from. Empty: the topic image_raw; else a camera (0, /dev/video0), a "
        "picture or video file, a folder of pictures, the URL of a live stream (rtsp://, http://, "
        "udp:// and more), or on a MaixCAM maix, its own camera.",
    )
    image_transport: str = _parameter(
        "raw",
        "Without a source: raw for image_raw, compressed for image_raw/compressed (JPEG or PNG).",
        choices=("raw", "compressed"),
    )
    source_loop: bool = _parameter(
        False,
        "With a file or folder as source: start again at its end. Off: the node stops there.",
    )
    frame_id: str = _parameter(
        "camera_optical_frame",
        "Frame of the faces when the node reads source itself or the faces come from a MaixCAM. "
        "Images on a topic bring theirs; if that is empty, markers, points and frames are in this.",
    )
    camera_delay: float = _parameter(
        0.0,
        "Seconds from a picture's exposure until source or a MaixCAM's camera hands it over, taken "
        "off its stamp. Pictures on a topic bring their stamp.",
        minimum=0.0,
        maximum=1.0,
    )
    calibration_file: str = _parameter(
        "",
        "YAML file of camera_calibration for the camera that is source or of a MaixCAM: it is "
        "published as camera_info with every picture. Pictures on a topic bring theirs. A path, or "
        "a URL such as package://my_robot/config/camera.yaml.",
    )
    maixcam_address: str = _parameter(
        "",
        "With backend maixcam: name or address of the device and, unless it is 5478, its port, "
        "such as maixcam-1a2b.local or 10.131.167.1:5478.",
    )
    maixcam_token_file: str = _parameter(
        "",
        "With backend maixcam: a file that holds the token which the device shows on its screen.",
    )
    maixcam_token: str = _parameter(
        "",
        "With backend maixcam, instead of a file: the token itself. Everyone on this robot can "
        "read it with ros2 param get.",
    )
    maixcam_certificate: str = _parameter(
        "",
        "With backend maixcam: the device's certificate (PEM), for an encrypted link; empty: not "
        "encrypted.",
    )
    maixcam_jpeg: bool = _parameter(
        False,
        "With backend maixcam: publish the device's pictures on image_raw/compressed.",
        changeable=True,
    )
    maixcam_jpeg_rate: float = _parameter(
        10.0,
        "With maixcam_jpeg: pictures a second at most.",
        minimum=0.1,
        maximum=120.0,
        changeable=True,
    )
    maixcam_jpeg_quality: int = _parameter(
        80, "With maixcam_jpeg: quality of the JPEG.", minimum=1, maximum=100, changeable=True
    )
    maixcam_reconnect: bool = _parameter(
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
                f"source is {self.source!r}, but the pictures of backend 'maixcam' are those of "
                "the device's camera: leave source empty",
            ),
        )
        return super()._contradictions() + [message for broken, message in checks if broken]


@dataclass(frozen=True, kw_only=True)
class ViewParameters(ParameterTable):
    """The parameters of `facemesh_view`."""

    pictures: str = _parameter(
        "auto",
        "Which pictures to show. raw: those on image_raw. compressed: those on "
        "image_raw/compressed, as they came. annotated: the node's own, on "
        "facemesh/image_annotated/compressed, in which the faces are drawn already. auto: the "
        "first of compressed, raw and annotated that somebody publishes.",
        choices=("auto", "compressed", "raw", "annotated"),
    )
    address: str = _parameter(
        "127.0.0.1",
        "Where to listen. 127.0.0.1: for browsers on this machine; 0.0.0.0: for those of other "
        "machines too, which takes token_file, token or open_to_all.",
    )
    port: int = _parameter(
        8478, "Port to listen at; 0: any that is free.", minimum=0, maximum=65535
    )
    token_file: str = _parameter(
        "",
        "A file that holds a token, which browsers have to give. Where there is no such file, it "
        "is made, with a token that nobody can guess.",
    )
    token: str = _parameter(
        "",
        "Instead of a file: the token itself, of 8 characters or more where other machines can "
        "reach the address. Everyone on this robot can read it with ros2 param get.",
    )
    open_to_all: bool = _parameter(
        False, "Let everybody who can reach the address see the pictures, without a token."
    )
    host_names: str = _parameter(
        "",
        "Names, with commas between them, by which browsers may reach this machine, beside its "
        "own host name, that with .local, and numeric addresses.",
    )
    rate: float = _parameter(
        30.0,
        "Pictures a second at most, for each browser. A slow one gets fewer by itself.",
        minimum=0.1,
        maximum=120.0,
        changeable=True,
    )
    largest_width: int = _parameter(
        1280,
        "Pixels; wider pictures are made smaller.",
        minimum=64,
        maximum=8192,
        changeable=True,
    )
    jpeg_quality: int = _parameter(
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
                f"address is {self.address!r}, so other machines could look at the pictures: give "
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


def parameters_of(table: type[ParameterTable]) -> tuple[Parameter, ...]:
    """Return the parameters that a parameter class declares, in order."""
    return tuple(
        Parameter(name=field.name, default=field.default, **field.metadata)
        for field in dataclasses.fields(table)
    )


def unknown_parameter(name: str, known: Iterable[str]) -> str:
    """Return the message for a parameter that does not exist, with the name it may mean."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"there is no parameter {name!r}" + (f": do you mean {near[0]!r}?" if near else "")
