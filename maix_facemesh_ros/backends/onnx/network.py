"""One ONNX network on one execution provider: the only place that touches onnxruntime."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnxruntime

from maix_facemesh_ros.backends.base import BackendError
from maix_facemesh_ros.face import FloatArray
from maix_facemesh_ros.image import ChannelOrder, Pixels
from maix_facemesh_ros.model_files import ModelError

#: Metadata key for the kind of the package's model files (models/make_models.py).
KIND_KEY = "maix_facemesh_ros.kind"

CPU = "cpu"

#: Bytes by which the networks' memory grows. More than glibc ever takes from its heap (32 MB), so
#: the system gives it in one piece and gets it back as one; what is not used of it takes no memory.
MEMORY_PIECE = 64 << 20


class _Provider(NamedTuple):
    """An execution provider of onnxruntime."""

    #: Its name in onnxruntime.
    name: str
    #: Its requirements, as a text.
    needs: str
    options: Mapping[str, str] = {}


#: Execution providers by the value of `execution_provider`.
PROVIDERS = {
    CPU: _Provider("CPUExecutionProvider", "pip install onnxruntime"),
    "openvino": _Provider(
        "OpenVINOExecutionProvider",
        "an x86 processor and, in place of onnxruntime, pip install onnxruntime-openvino",
        # As many threads as with cpu: faces run side by side already.
        {"device_type": "CPU", "num_of_threads": "1"},
    ),
    "cuda": _Provider(
        "CUDAExecutionProvider",
        "an NVIDIA GPU with its driver, CUDA and cuDNN and, in place of onnxruntime, "
        "pip install onnxruntime-gpu",
    ),
    "tensorrt": _Provider(
        "TensorrtExecutionProvider",
        "an NVIDIA GPU with its driver, CUDA, cuDNN and TensorRT and, in place of onnxruntime, "
        "pip install onnxruntime-gpu",
    ),
    "coreml": _Provider("CoreMLExecutionProvider", "macOS and pip install onnxruntime"),
}


def available_providers() -> list[str]:
    """Return onnxruntime's names of the execution providers that it has here."""
    return list(onnxruntime.get_available_providers())


class Network:
    """A loaded network.

    One thread per run: networks this small gain little from more, and several faces run side by
        side in threads of their own (onnxruntime releases the interpreter lock). Threads that spin
        while they wait would fight over a robot's few cores, so they do not.
    """

    def __init__(
        self,
        path: Path,
        *,
        kind: str | None = None,
        dimensions: Mapping[str, int] | None = None,
        provider: str = CPU,
    ) -> None:
        """Load the file.

        Args:
            path: an .onnx file.
            kind: required kind in the file's metadata; None for a user's file.
            dimensions: values for the input's symbolic dimensions, by name. Fixing them at load
                time lets onnxruntime plan its memory and kernels once.
            provider: which of `PROVIDERS` computes; what it cannot, the processor does.

        Raises:
            BackendError: there is no such provider here.
            ModelError: missing, damaged, or of another kind.
        """
        if not path.is_file():
            raise ModelError(f"there is no model file {path}: check the path in 'detector_model'")
        wanted = _available(provider)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Planning the memory of a run beforehand is no faster here, and keeps what the first run
        # took in addition to the plan's memory: 26 MB more with the default detector at 640x480.
        options.enable_mem_pattern = False
        if provider == CPU:
            _make_shared_memory()
            options.add_session_config_entry("session.use_env_allocators", "1")
            # Weights stay, and so would the piece that they are in.
            options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
        options.log_severity_level = 3
        for name, value in (dimensions or {}).items():
            options.add_free_dimension_override_by_name(name, value)
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=[(wanted.name, dict(wanted.options))]
            )
        except Exception as error:  # onnxruntime raises many unrelated types
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(
                f"{path} ({path.stat().st_size} bytes) is not a readable ONNX model: {reason}. "
                "The file may be truncated, or not an .onnx file: download it again "
                "(the package's own: 'git checkout -- models' or install the package again)"
            ) from error
        _give_back_freed_memory()
        found_kind = self._session.get_modelmeta().custom_metadata_map.get(KIND_KEY)
        if kind is not None and found_kind != kind:
            raise ModelError(
                f"{path} is a {found_kind or 'foreign'} model where a {kind} model is needed: "
                "restore the package's file with 'git checkout -- models' or install the package "
                "again"
            )
        self.path = path
        self.input_name: str = self._session.get_inputs()[0].name
        self.input_shape: list[int | str | None] = self._session.get_inputs()[0].shape
        #: onnxruntime's name of the execution provider.
        self.provider: str = self._session.get_providers()[0]
        # onnxruntime turns to the processor where a provider's libraries cannot be loaded, and
        # writes the reason past Python to standard error.
        if self.provider != wanted.name:
            raise BackendError(
                f"execution_provider {provider!r} ({wanted.name}) does not start here: it needs "
                f"{wanted.needs}. See onnxruntime's message above; execution_provider 'cpu' runs "
                "everywhere"
            )

    def run(self, tensor: FloatArray | Pixels) -> list[FloatArray]:
        """Run the network on one input; returns its outputs in the file's order."""
        inputs = {self.input_name: np.ascontiguousarray(tensor)}
        outputs: list[FloatArray] = self._session.run(None, inputs)
        return outputs

    def run_and_give_back_memory(self, tensor: FloatArray | Pixels) -> None:
        """Run the network, then free the memory that runs of all networks have kept.

        The next run of each allocates it again: 6 ms once with the default detector at 640x480.
        After the first time it grows by `MEMORY_PIECE`.
        """
        options = onnxruntime.RunOptions()
        if self.provider == PROVIDERS[CPU].name:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._session.run(None, {self.input_name: tensor}, options)
        _give_back_freed_memory()


@lru_cache(maxsize=1)
def _make_shared_memory() -> None:
    """Let all networks share one memory arena.

    Its first piece is never given back, so it is as small as can be (onnxruntime's bfc_arena.cc).
    """
    kind = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    arena = onnxruntime.OrtArenaCfg(
        {
            "max_mem": 0,  # no limit
            "arena_extend_strategy": 0,  # kNextPowerOfTwo
            "initial_chunk_size_bytes": 1,
            "initial_growth_chunk_size_bytes": MEMORY_PIECE,
        }
    )
    # An arena that other code in this process has created serves as well.
    with suppress(RuntimeError):
        onnxruntime.create_and_register_allocator(kind, arena)


def _give_back_freed_memory() -> None:
    """Return the memory that loading a network needed to the system: up to three times its file.

    Where it stays with the process, most of it lies in pieces between what is kept.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if malloc_trim is not None:
        malloc_trim(0)


def _available(provider: str) -> _Provider:
    """Return a provider of `PROVIDERS`.

    Raises:
        BackendError: the installed onnxruntime does not have it.
    """
    wanted = PROVIDERS[provider]
    there = onnxruntime.get_available_providers()
    if wanted.name not in there:
        known = ", ".join(repr(key) for key, one in PROVIDERS.items() if one.name in there)
        raise BackendError(
            f"execution_provider {provider!r} is not in the installed onnxruntime "
            f"{onnxruntime.__version__}, which has {known}. It needs {wanted.needs}"
        )
    return wanted


def writes_blocks(path: Path, folder: Path) -> bool:
    """Whether onnxruntime's processor kernels bring this network into a layout of channel groups.

    Args:
        path: an .onnx file with convolutions.
        folder: an empty folder, for the network as onnxruntime would run it.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=[PROVIDERS[CPU].name])
    # The operator that leads out of that layout again; only there is it ever needed.
    return b"ReorderOutput" in (folder / "optimized.onnx").read_bytes()


def image_bytes(pixels: Pixels, order: ChannelOrder) -> Pixels:
    """Return the image as an input of the package's own networks (models/README.md): RGB bytes.

    Args:
        pixels: uint8 (H, W, 3).
        order: of the channels.

    Returns:
        uint8 (1, H, W, 3).
    """
    if order == "bgr":
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
    return pixels[np.newaxis]


def image_planes(pixels: Pixels, order: ChannelOrder, *, scale: float) -> FloatArray:
    """Return the image as an input of other people's networks: RGB planes, value * scale.

    Args:
        pixels: uint8 (H, W, 3).
        order: of the channels.

    Returns:
        float32 (1, 3, H, W).
    """
    height, width = pixels.shape[:2]
    tensor = np.empty((1, 3, height, width), np.float32)
    planes = cv2.split(pixels)
    for channel, plane in zip(
        tensor[0], planes if order == "rgb" else reversed(planes), strict=True
    ):
        np.multiply(plane, np.float32(scale), out=channel)
    return tensor
