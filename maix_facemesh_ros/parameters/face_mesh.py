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
        "Where the networks run. onnx: on this machine with onnxruntime. maix: on the NPU of the "
        "MaixCAM that runs this program. auto: maix on a MaixCAM, onnx elsewhere.",
        choices=("auto", "onnx", "maix"),
    )
    detector: str = parameter(
        "full_range",
        "With backend onnx: the face detector. full_range: MediaPipe's, for near and far faces. "
        "short_range: MediaPipe's for faces up to about 2 m, the cheapest. yolov8_face, yunet: "
        "your own ONNX file, set by detector_model. On a MaixCAM MaixPy's detector runs.",
        choices=("full_range", "short_range", "yolov8_face", "yunet"),
    )
    detector_model: str = parameter(
        "",
        "Path of the ONNX file for detector yolov8_face or yunet, or, with backend maix, of a "
        "detector's .mud file. Empty: the built-in file of the other detectors, or MaixPy's.",
    )
    landmarks_model: str = parameter(
        "",
        "With backend maix: path of the landmark model's .mud file. Empty: MaixPy's.",
    )
    detect_conf_th: float = parameter(
        0.5,
        "Minimum detector score. Lower finds more faces and more false ones.",
        minimum=0.0,
        maximum=1.0,
        changeable=True,
    )
    detect_iou_th: float = parameter(
        0.45,
        "Maximum overlap (intersection over union) of two detections; with more overlap they are "
        "merged to one face. Lower: fewer duplicates, but close faces may merge. full_range "
        "and short_range use 10/9 of the value, so that the default equals the 0.5 of MediaPipe's "
        "FaceLandmarker; the other detectors use the value itself.",
        minimum=0.0,
        maximum=1.0,
        changeable=True,
    )
    landmarks_conf_th: float = parameter(
        0.5,
        "Minimum presence score of the landmarks. Higher drops more uncertain faces, see "
        "require_landmarks.",
        minimum=0.0,
        maximum=1.0,
        changeable=True,
    )
    max_face_num: int = parameter(
        2,
        "Maximum number of faces per image; the largest are kept. 0 or less: no limit.",
        changeable=True,
    )
    min_face_size: float = parameter(
        0.03,
        "Smallest face to detect, as a fraction of the image width. Half the value takes the "
        "detector four times as long, or four times as many images with tracking. Detectors with "
        "a fixed input size, such as short_range, ignore it.",
        minimum=0.0075,
        maximum=1.0,
        changeable=True,
    )
    rotation: int = parameter(
        0,
        "With backend onnx: how the camera is mounted, as degrees by which its images have to be "
        "turned clockwise to be upright. Points, boxes and poses are those of the image as it "
        "arrives.",
        choices=(0, 90, 180, 270),
    )
    any_roll: bool = parameter(
        True,
        "With backend onnx: find heads at any roll, up to upside down. When a mesh is not certain, "
        "or without any face, the detector also runs on the turned image, with tracking in every "
        "24th image. false: only heads that are rolled by less than about 60 degrees are found, "
        "and others may get a wrong mesh.",
        changeable=True,
    )
    tracking: bool = parameter(
        False,
        "true: images are consecutive frames of one stream; faces are tracked and keep their ids, "
        "and the detector pauses while all faces are tracked. false: the detector runs on every "
        "image. On a MaixCAM the detector always runs on every image.",
    )
    detect_interval: int = parameter(
        10,
        "With tracking: search for new faces on every n-th image while fewer than max_face_num "
        "faces are tracked. Higher: less CPU, but new faces are found later. Without any face the "
        "search is spread over all images, and after a face is lost it is on every third of the "
        "next 15 (docs/search.md). 1: the whole image, on every image.",
        minimum=1,
        changeable=True,
    )
    landmarks_interval: int = parameter(
        1,
        "With tracking and backend onnx: run the landmark network on every n-th image; on the "
        "images between, optical flow moves the landmarks with the face at a sixth of the cost. "
        "When the face changes otherwise, such as a closing eye, the network runs at once. 1: on "
        "every image.",
        minimum=1,
        changeable=True,
    )
    ids: bool = parameter(
        False,
        "true: images are consecutive frames of one stream, and each face keeps its id. Always on "
        "with tracking; without tracking, ids also work with the detector on every image.",
        changeable=True,
    )
    id_timeout: float = parameter(
        0.5,
        "Time in s that a face may be out of view and keep its id. Higher: fewer new ids after an "
        "occlusion, but a new person at the same place may get the old id.",
        minimum=0.0,
        maximum=60.0,
        changeable=True,
    )
    smoothing: str = parameter(
        "one_euro",
        "With ids: temporal filter of the landmarks, and so of pose and gaze. one_euro: One-Euro "
        "filter. off: no filter.",
        choices=("off", "one_euro"),
        changeable=True,
    )
    one_euro_min_cutoff: float = parameter(
        0.05,
        "With smoothing one_euro: cutoff frequency for a still face, in Hz. Lower: less jitter, "
        "more lag. The defaults of this and the next two parameters are MediaPipe's.",
        minimum=0.001,
        maximum=100.0,
        changeable=True,
    )
    one_euro_beta: float = parameter(
        80.0,
        "With smoothing one_euro: increase of the cutoff frequency with speed, in Hz per face "
        "size per second. Higher: less lag in fast motion, more jitter.",
        minimum=0.0,
        maximum=10000.0,
        changeable=True,
    )
    one_euro_derivate_cutoff: float = parameter(
        1.0,
        "With smoothing one_euro: cutoff frequency of the speed estimate, in Hz. Lower: steadier, "
        "but slower to react to motion.",
        minimum=0.001,
        maximum=100.0,
        changeable=True,
    )
    require_landmarks: bool = parameter(
        True,
        "true: drop faces without valid landmarks, as MaixPy does. false: publish them with box "
        "and score, without points.",
        changeable=True,
    )
    landmarks_abs: bool = parameter(True, "Output points in pixels of the image.", changeable=True)
    landmarks_rel: bool = parameter(
        False, "Also output points in pixels of the landmark network's input.", changeable=True
    )
    landmarks_num: int = parameter(
        LANDMARKS,
        "Number of landmarks to output: all 478, or one of MaixPy's subsets.",
        choices=tuple(LANDMARK_SUBSETS),
        changeable=True,
    )
    landmarks_indices: tuple[int, ...] = parameter(
        (),
        "Mesh indices of the landmarks to output, in this order. Empty: as landmarks_num.",
        changeable=True,
    )
    blendshapes: bool = parameter(False, "Compute 52 expression scores per face.", changeable=True)
    pose: bool = parameter(
        False,
        "Compute the position and orientation of each head in meters, and the landmarks in 3D. "
        "Needs the camera's calibration or assumed_field_of_view.",
        changeable=True,
    )
    gaze: bool = parameter(
        False, "With pose: compute the gaze direction of each face.", changeable=True
    )
    face_scale: float = parameter(
        1.0,
        "Size of the heads relative to an average adult. All distances are proportional to it: "
        "with 1, a child whose head is 10 % smaller appears 10 % too far away.",
        minimum=0.3,
        maximum=3.0,
        changeable=True,
    )
    assumed_field_of_view: float = parameter(
        0.0,
        "Horizontal field of view of the camera in degrees, used for pose while there is no "
        "calibration. An error in it makes all distances wrong. 0: no pose without calibration.",
        minimum=0.0,
        maximum=170.0,
        changeable=True,
    )
    execution_provider: str = parameter(
        "cpu",
        "With backend onnx: the execution provider of onnxruntime. cpu: onnxruntime's own "
        "kernels, available everywhere. The others need another build of onnxruntime or other "
        "hardware; if that is missing, the start fails with an error that names it.",
        choices=("cpu", "openvino", "cuda", "tensorrt", "coreml"),
    )
    threads: int = parameter(
        0,
        "Number of faces computed in parallel. 0: one per available processor.",
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
                f"detector_model is {self.detector_model!r}, but detector {self.detector!r} has a "
                "built-in model: set detector to yolov8_face or yunet, or leave detector_model "
                "empty",
            ),
            (
                self.rotation != 0 and self.backend == "maix",
                f"rotation is {self.rotation}, but backend is 'maix': only onnx turns images",
            ),
            (
                self.landmarks_model != "" and self.backend != "maix",
                f"landmarks_model is {self.landmarks_model!r}, but backend is {self.backend!r}: "
                "only backend maix uses it",
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
        """Mesh indices of the landmarks to output; None for all 478 in mesh order."""
        if self.landmarks_indices:
            return self.landmarks_indices
        return LANDMARK_SUBSETS[self.landmarks_num] if self.landmarks_num != LANDMARKS else None
