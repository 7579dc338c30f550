"""A node as a process: starting, spinning, and a clean shutdown in all cases."""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import os
import re
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn, Protocol

import rclpy
import rclpy.logging
import rclpy.utilities
from rclpy.exceptions import InvalidHandle
from rclpy.executors import Executor, ExternalShutdownException
from rclpy.node import Node
from rclpy.signals import (
    SignalHandlerOptions,
    install_signal_handlers,
    uninstall_signal_handlers,
)

from maix_facemesh_ros.errors import FaceMeshError
from maix_facemesh_ros.messages import decoder_warnings
from maix_facemesh_ros.ros.dds_profile import shared_memory_environment

#: Seconds between two messages about callbacks that fail.
WARNING_INTERVAL = 5.0

#: Seconds that the middleware has to end a node; `ros2 launch` would kill the process after ten.
DESTROY_TIMEOUT = 5.0

#: Seconds that a node has to start, of which one takes two on a busy machine, and with an execution
#: provider that compiles the networks first, as TensorRT does.
START_TIMEOUT = 120.0
COMPILE_TIMEOUT = 3600.0

#: Seconds between two checks whether the context has ended.
END_CHECK_INTERVAL = 0.5

#: Seconds that a shutdown waits for a thread that is decoding or reading an image.
WORKER_TIMEOUT = 1.0

#: Remedies for errors of rcl that contain one of these texts.
ADVICE = {
    "parameter override rule": "give -p NAME:=VALUE",
    "remap rule": "give -r OLD:=NEW",
    "params file": "give a YAML file such as config/facemesh.yaml or what ros2 param dump wrote",
    "--params-file flag": "give --params-file FILE",
}

#: A process's standard error, also where `sys.stderr` is something else.
STANDARD_ERROR = 2


class StartError(FaceMeshError, RuntimeError):
    """ROS cannot be initialized, such as with a parameter file that is missing."""


class NodeOfAProcess(Protocol):
    """The interface of a node that is run here, in addition to rclpy's."""

    #: Whether the process shall exit with 1 because of a fault.
    failed: bool

    @property
    def source_blocks(self) -> bool:
        """Whether, after `stop`, a thread is still in a call that nothing can end."""
        ...

    def stop(self) -> None:
        """Finish the current work and free everything."""
        ...


def run_node(
    make_node: Callable[[], NodeOfAProcess],
    start_errors: tuple[type[Exception], ...],
    arguments: list[str] | None,
    name: str = "facemesh",
    profile: str | None = None,
) -> int:
    """Run a node until it is stopped, or until one of its callbacks calls `stop_spinning`.

    Args:
        make_node: makes it, once rclpy is initialized.
        start_errors: errors at the start that are printed in one line without a traceback.
        arguments: the command line; None for the process's own.
        name: of the logger for errors at the start.
        profile: of Fast DDS, see `transport`; None: that of the environment.

    Returns:
        the exit code.
    """
    node: NodeOfAProcess | None = None
    one_line_errors: tuple[type[Exception], ...] = (StartError, *start_errors)
    try:
        start_bound.begin()
        decoder_warnings.limit()
        _set_up_heap()  # Before there are threads of the node.
        stop_request = start_ros(arguments, profile)
        # Made first: the context may have ended before the node spins.
        executor = rclpy.get_global_executor()
        node = make_node()
        start_bound.end()
        install_signal_handlers(SignalHandlerOptions.ALL)
        if not stop_request.made:
            _spin(node, executor)
    except one_line_errors as error:
        rclpy.logging.get_logger(name).fatal(str(error))
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # the usual ways to stop a node
    except Exception:
        # The context may end while the node is being made.
        if rclpy.ok():
            raise
    finally:
        start_bound.end()
        decoder_warnings.release()  # A stop that hangs in a decoder writes its stack trace.
        _end_signal_handling()
        if node is not None:
            node.stop()
        rclpy.utilities.try_shutdown()
    code = 1 if node is not None and node.failed else 0
    if node is not None and node.source_blocks:
        # OpenCV's reading or decoding cannot be interrupted. A call that returns while Python shuts
        # down aborts the process: its thread is ended in a C++ function that may not throw.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


@dataclass
class StopRequest:
    """Request to stop, set by SIGINT and SIGTERM.

    Not a threading.Event: a second signal in the middle of its set() waits for the first forever.
    """

    made: bool = False


def start_ros(arguments: list[str] | None, profile: str | None = None) -> StopRequest:
    """Initialize rclpy; returns the request that SIGINT and SIGTERM set from now on.

    rclpy's own handlers are unsuitable during start: they end the context at once, which while a
    node is created caused errors in many places, and once in several hundred starts a crash.
    Python's KeyboardInterrupt would be raised anywhere as well; onnxruntime, while it is imported,
    reports it as its own error. Everything else is therefore started after these handlers.

    Args:
        arguments: the command line; None for the process's own.
        profile: of Fast DDS, see `transport`; None: that of the environment.

    Raises:
        StartError: ROS cannot be initialized with these arguments.
    """
    stop_request = StopRequest()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop_request.made = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    _have_a_log_folder()
    _leave_message_generator_out()
    if profile is not None:
        os.environ.update(shared_memory_environment(profile))
    initialize_ros(arguments)
    return stop_request


def initialize_ros(arguments: list[str] | None) -> None:
    """Initialize rclpy, without its signal handlers.

    Args:
        arguments: the command line; None for the process's own.

    Raises:
        StartError: the arguments for ROS are wrong, or a parameter file cannot be read.
    """
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # The base of rclpy's own exceptions.
        reason = str(error)
        if type(error).__name__ == "UnknownROSArgsError":
            reason = f"unknown arguments after --ros-args: {reason}"
        # Without the places in rcl's source, and without the error that it has not set.
        reason = re.sub(r"\s*, at \S+:\d+|\s*Error: error not set", "", reason)
        reason = " ".join(reason.removeprefix("failed to initialize rcl: ").split())
        advice = [f": {what_to_do}" for words, what_to_do in ADVICE.items() if words in reason]
        raise StartError(f"ROS cannot be initialized: {reason}{''.join(advice)}") from error


class _StartBound:
    """Ends the process with 1 and a stack trace when its start hangs.

    So `ros2 launch` can start it again (`respawn`). Once in some 1,500 starts next to others that
    start and stop, a node printed nothing for a minute. As in `end_node`, what hangs may hold
    Python's lock.
    """

    def __init__(self) -> None:
        self._is_starting = False

    def begin(self) -> None:
        self._is_starting = True
        self.give(START_TIMEOUT)

    def give(self, seconds: float) -> None:
        """Give the rest of the start this time limit, if the start has one."""
        if self._is_starting:
            faulthandler.dump_traceback_later(seconds, exit=True, file=STANDARD_ERROR)

    def end(self) -> None:
        self._is_starting = False
        faulthandler.cancel_dump_traceback_later()


#: Of the node that `run_node` starts; a node that something else makes is not bounded.
start_bound = _StartBound()


def stop_spinning() -> NoReturn:
    """End `run_node`, from one of its callbacks: the node is destroyed before its context.

    Raises:
        ExternalShutdownException: always. Since Kilted, the shutdown of a context destroys what a
            node still needs to end, so a callback may not shut it down itself.
    """
    raise ExternalShutdownException


def end_node(node: Node) -> None:
    """Destroy a node; if the middleware never returns from that, the process ends with 1.

    This happens with a Fast DDS built for a glibc before 2.30, as in the wheels on PyPI (2.14 and
    3.2), once in several thousand shutdowns, when other nodes start or stop at the same moment. The
    participant's set_listener then waits for a discovery callback to end (DomainParticipantImpl
    .hpp), until the maximum of the steady clock. std::condition_variable adds that to the system
    clock's time, which overflows, so its wait returns at once, without having released the mutex
    that the callback needs, and retries. This thread holds Python's lock meanwhile: only
    faulthandler's thread, which needs no lock, can end the process, and it prints the stack.
    """
    faulthandler.dump_traceback_later(DESTROY_TIMEOUT, exit=True, file=STANDARD_ERROR)
    try:
        node.destroy_node()
    finally:
        faulthandler.cancel_dump_traceback_later()


def _spin(node: NodeOfAProcess, executor: Executor) -> None:
    """Run the node's callbacks until it is stopped; a fault in one is named and passed over.

    One that does occur: rclpy's parameter services raise on a value of a type that does not exist.
    """
    executor.add_node(node)
    threading.Thread(target=_wake_at_end, args=(executor,), name="end watch", daemon=True).start()
    while rclpy.ok():
        try:
            executor.spin_once()
        except ExternalShutdownException:
            return
        except Exception:
            if rclpy.ok():
                rclpy.logging.get_logger("facemesh").error(
                    f"a callback failed: {traceback.format_exc()}",
                    throttle_duration_sec=WARNING_INTERVAL,
                )


def _wake_at_end(executor: Executor) -> None:
    """Wake an executor that waits although the context has ended.

    rclpy's signal handler wakes it before it ends the context. In between the executor may begin to
    wait again, without end where no timer runs, as in a node that rests.
    """
    while rclpy.ok():
        time.sleep(END_CHECK_INTERVAL)
    with suppress(InvalidHandle):
        executor.wake()


def _end_signal_handling() -> None:
    """Wait for rclpy's signal handler to finish, and ignore signals during shutdown.

    The handler runs in its own thread: it ends the context, which wakes this one, and then uses
    objects that are freed here. Once in several hundred shutdowns that was a crash.
    """
    uninstall_signal_handlers()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _set_up_heap() -> None:
    """Make glibc use one heap for all threads, and keep freed memory for the next image.

    It gives so much memory back at once, and has each page allocated again and zeroed for the next
    image: 3 ms of computing with 1920x1080. And it has a heap for each thread, in which what one
    frees is lost to the others: 16 MB in a node that follows a face. Those of LTTng's two threads,
    which rclpy is imported with, are there already; MALLOC_ARENA_MAX=1 spares them too, 2 MB.

    The numbers are those of mallopt(3); 32 MB is the largest that glibc accepts for the second. Who
    has set the environment's variables for them knows better.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return
    for parameter, variable, value in (
        (-1, "MALLOC_TRIM_THRESHOLD_", 64 << 20),
        (-3, "MALLOC_MMAP_THRESHOLD_", 32 << 20),
        (-8, "MALLOC_ARENA_MAX", 1),
    ):
        if variable not in os.environ:
            mallopt(parameter, value)


def _leave_message_generator_out() -> None:
    """Import the parts of rosidl_generator_py that messages need, without its code generator.

    The package does without its generator where that cannot be imported. Here it is so that the
    generator's parser does not load OpenSSL and much else: 5 MB and a twentieth of a second.
    """
    if "rosidl_generator_py" in sys.modules:
        return
    generator = "rosidl_generator_py.generate_py_impl"
    sys.modules[generator] = None  # type: ignore[assignment]  # Marks the module as missing.
    try:
        importlib.import_module("rosidl_generator_py")
    finally:
        del sys.modules[generator]


def _have_a_log_folder() -> None:
    """Let ROS log to the temporary folder where it has no home to log to, as in a bare service."""
    if not any(name in os.environ for name in ("ROS_LOG_DIR", "ROS_HOME", "HOME")):
        os.environ["ROS_LOG_DIR"] = tempfile.gettempdir()
