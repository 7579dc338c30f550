"""A stand-in for MaixPy: its module `maix`, for tests on a host.

With this package's parent folder on PYTHONPATH an unchanged MaixPy app runs on any Linux host. The
names, arguments and defaults are those of MaixPy 4.12 as far as an app for face landmarks needs
them; what the real one does at the edges is done here too, where its source (MaixCDK) or a run of
it shows it:

- It can be imported on the main thread only, takes SIGINT, SIGILL and SIGABRT, and prints.
- Every call holds the interpreter lock, also while it waits for the camera.
- `crop_image` without two eyes and `detect` without a model end the process.
- Errors are plain RuntimeErrors, whose texts end in a line break.
- A key point that is not seen is (-1, -1) in the detector's input. In an image of another size it
  is moved and scaled like any other.

Behind it run the ONNX networks of `maix_facemesh_ros`. Unlike MaixPy's face detector, that one
knows neither the corners of the mouth nor how sure it is of each key point; both are estimated.

Environment variables change what it does. They are read when they are needed; those of the camera
when it is opened.

MAIX_STAND_IN_IMAGES: what the camera sees: an .npy file (RGB, one image or a stack of them), a
    .png or .jpg file, or a folder of such, in the order of their names, again and again. Without
    it: scikit-image's astronaut.
MAIX_STAND_IN_FPS: images a second of a camera that is opened without `fps`; 30.
MAIX_STAND_IN_CAMERA_FAILS_AT: numbers of images, separated by commas, counted from 0; in place of
    each of these `read` waits for three images and raises the error of a timeout.
MAIX_STAND_IN_CAMERA_HOLDS_LOCK: 0: other threads run while `read` waits. The real one keeps them
    waiting.
MAIX_STAND_IN_CAPTURE_LOG: a file that gets a line for every image of the camera: its number,
    counted from 0, and the host's `time.monotonic_ns()` when `read` returned. It is written with
    the next `read`, or when the camera is closed.
MAIX_STAND_IN_CLOCK_OFFSET_S, MAIX_STAND_IN_CLOCK_DRIFT_PPM: the device's clock, that of
    `maix.time.ticks_us` and the like, is the host's monotonic clock times (1 + drift / 1e6) plus
    the offset; both 0. The sum must stay positive.
MAIX_STAND_IN_NPU_MS: every call of a network holds the interpreter lock for this many ms,
    on top of the time that the host's network takes; 0.
MAIX_STAND_IN_UNSEEN_EYE: 1: the first key point of every face is (-1, -1), in images of any size.
    moved: the same as the real one has it, moved with the rest in an image of another size than
    the detector's input.
MAIX_STAND_IN_MODELS_AT: the folder that stands for /root/models. Without it every path in
    /root/models counts as there.
MAIX_STAND_IN_DEVICE_NAME: `maix.sys.device_name()`; maixcam.
MAIX_STAND_IN_MAIXPY_VERSION: `maix.sys.maixpy_version()` and `maix.__version__`; 4.12.1.
MAIX_STAND_IN_DATA_PATH: `maix.app.get_app_data_path()`; a folder under `tempfile.gettempdir()`.
MAIX_STAND_IN_EXIT_FILE: `maix.app.need_exit()` is true once this file exists.
MAIX_STAND_IN_SCREEN_LOG: a file that gets a line for every image shown: its number, counted from
    0. The last image is next to it as .png, at most two a second.
"""

from __future__ import annotations

import signal as _signal
import threading as _threading
from types import FrameType as _FrameType

from . import _knobs, app, camera, display, err, image, nn, sys, time

__all__ = ["__version__", "app", "camera", "display", "err", "image", "nn", "sys", "time"]

__version__ = _knobs.text("MAIXPY_VERSION", "4.12.1")

_SIGNALS = (_signal.SIGINT, _signal.SIGILL, _signal.SIGABRT)


def _leave(number: int, frame: _FrameType | None) -> None:  # noqa: ARG001  what signal calls with
    app.set_exit_flag(True)
    for taken in _SIGNALS:
        _signal.signal(taken, _signal.SIG_DFL)
    raise SystemExit(0)


if _threading.current_thread() is not _threading.main_thread():
    raise RuntimeError("maix takes signal handlers, so it can be imported on the main thread only")
for _taken in _SIGNALS:
    _signal.signal(_taken, _leave)
print(f"-- [I] maix {__version__}: the stand-in for tests", flush=True)
