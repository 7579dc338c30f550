"""The parameters of `FaceMesh`, each declared once."""

from __future__ import annotations

from dataclasses import dataclass

from maix_facemesh_ros.mesh.landmark_subsets import LANDMARK_SUBSETS, LANDMARKS
from maix_facemesh_ros.parameters.table import ParameterTable, parameter


@dataclass(frozen=True, kw_only=True)
class FaceMeshParameters(ParameterTable):
    """The parameters of `FaceMesh`."""

    backend: str = parameter(
        "auto",
        "Where faces are computed. onnx: on this machine's processor. maix: on the NPU of the "
        "MaixCAM that this runs on. auto: maix on a MaixCAM, elsewhere onnx.",
        choices=("auto", "onnx", "maix"),
    )
    detector: str = parameter(
        "full_range",
        "With backend onnx: the face detector. full_range: MediaPipe's, near and far; short_range: "
        "MediaPipe's, to about 2 m, cheapest; yolov8_face and yunet: your own ONNX file, named by "
        "detector_model. A MaixCAM has MaixPy's.",
        choices=("full_range", "short_range", "yolov8_face", "yunet"),
    )
    detector_model: str = parameter(
        "",
        "Path of the ONNX file for detector yolov8_face or yunet, or with backend maix of a face "
        "detector's .mud file; empty for the other detectors and for MaixPy's own.",
    )
    landmarks_model: str = parameter(
        "",
        "With backend maix: path of the landmarks' .mud file; empty for MaixPy's own.",
    )
    detect_conf_th: float = parameter(
        0.5, "Least confidence of the detector.", minimum=0.0, maximum=1.0, changeable=True
    )
    detect_iou_th: float = parameter(
        0.45,
        "Boxes that overlap more than this (intersection over union) are one face. MediaPipe's two "
        "detectors blend many boxes and use two thirds of it: the default is MediaPipe's own 0.3.",
        minimum=0.0,
        maximum=1.0,
        changeable=True,
    )
    landmarks_conf_th: float = parameter(
        0.5,
        "Least presence score of the landmarks; a face below is left out, see require_landmarks.",
        minimum=0.0,
        maximum=1.0,
        changeable=True,
    )
    max_face_num: int = parameter(
        2, "At most this many faces, the largest; 0 or less: no limit.", changeable=True
    )
    min_face_size: float = parameter(
        0.03,
        "Smallest face to find, as a fraction of the image's width. Half of it costs the "
        "detector four times the time. A detector with a fixed input, as short_range, has its own.",
        minimum=0.0075,
        maximum=1.0,
        changeable=True,
    )
    tracking: bool = parameter(
        False,
        "Images are consecutive frames of one stream: faces are followed and keep their id, and "
        "the detector rests while all are in view. Off: each image is looked at anew. A MaixCAM "
        "looks at every image anew.",
    )
    detect_interval: int = parameter(
        10,
        "With tracking: look for new faces in every n-th image while fewer than max_face_num "
        "are tracked. Without any face every image is looked at, and after losing one every "
        "third of the next 15.",
        minimum=1,
        changeable=True,
    )
    landmarks_interval: int = parameter(
        1,
        "With tracking and backend onnx: look for a face's landmarks in every n-th image, and in "
        "between let them move along with the face as a whole, at a sixth of the cost. When it "
        "moves otherwise, as when an eye closes, they are looked for at once. 1: in every image.",
        minimum=1,
        changeable=True,
    )
    ids: bool = parameter(
        False,
        "Images are consecutive frames of one stream, and a face keeps its id in it. With "
        "tracking always; on its own for faces that are looked for anew in every image.",
        changeable=True,
    )
    id_timeout: float = parameter(
        0.5,
        "Seconds that a face may be out of sight and keep its id.",
        minimum=0.0,
        maximum=60.0,
        changeable=True,
    )
    smoothing: str = parameter(
        "one_euro",
        "With ids: how landmarks, and with them pose and gaze, are smoothed over time.",
        choices=("off", "one_euro"),
        changeable=True,
    )
    one_euro_min_cutoff: float = parameter(
        0.05,
        "With smoothing one_euro: hertz up to which a still face is let through. Less: stiller. "
        "The default of this and of the next two is MediaPipe's.",
        minimum=0.001,
        maximum=100.0,
        changeable=True,
    )
    one_euro_beta: float = parameter(
        80.0,
        "With smoothing one_euro: hertz more for each face size a second of speed. More: less lag.",
        minimum=0.0,
        maximum=10000.0,
        changeable=True,
    )
    one_euro_derivate_cutoff: float = parameter(
        1.0,
        "With smoothing one_euro: hertz up to which changes of speed are let through.",
        minimum=0.001,
        maximum=100.0,
        changeable=True,
    )
    require_landmarks: bool = parameter(
        True,
        "Leave out faces without valid landmarks, as MaixPy does. Off: they come with box and "
        "score, without points.",
        changeable=True,
    )
    landmarks_abs: bool = parameter(True, "Give points in pixels of the image.", changeable=True)
    landmarks_rel: bool = parameter(
        False, "Give points in pixels of the landmark network's input too.", changeable=True
    )
    landmarks_num: int = parameter(
        LANDMARKS,
        "How many landmarks to give: all, or MaixPy's subsets.",
        choices=tuple(LANDMARK_SUBSETS),
        changeable=True,
    )
    landmarks_indices: tuple[int, ...] = parameter(
        (),
        "Mesh indices of the landmarks to give, in this order; empty: landmarks_num decides.",
        changeable=True,
    )
    blendshapes: bool = parameter(False, "Compute 52 expression scores per face.", changeable=True)
    pose: bool = parameter(
        False,
        "Compute each head's place and direction in metres, and the landmarks in space. It takes "
        "the camera's calibration, or assumed_field_of_view.",
        changeable=True,
    )
    gaze: bool = parameter(
        False, "With pose: compute where each face's eyes look.", changeable=True
    )
    face_scale: float = parameter(
        1.0,
        "Size of the heads beside an average adult's. All distances are proportional to it: with "
        "1, a child whose head is a tenth smaller seems to be a tenth further away than it is.",
        minimum=0.3,
        maximum=3.0,
        changeable=True,
    )
    assumed_field_of_view: float = parameter(
        0.0,
        "The camera's horizontal field of view in degrees, for pose while there is no calibration; "
        "0: then there is no pose. Distances are as wrong as this number.",
        minimum=0.0,
        maximum=170.0,
        changeable=True,
    )
    execution_provider: str = parameter(
        "cpu",
        "With backend onnx: the execution provider of onnxruntime that runs the networks. cpu: its "
        "own kernels, everywhere. The others need another build of onnxruntime or other hardware; "
        "where that is missing the start fails and says what it needs.",
        choices=("cpu", "openvino", "cuda", "tensorrt", "coreml"),
    )
    threads: int = parameter(
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
