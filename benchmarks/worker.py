"""A process that works on images step by step, as another one asks it to.

`python -m benchmarks.worker` runs in any of the environments.

One JSON object on each line of standard input, and one answer on each line of standard output:

    {"open": NAME, "kind": KIND, "cores": 1, ...}    {} or {"error": TEXT}
    {"step": NAME, "number": 5}                      {"wall": 0.009, "cpu": 0.009, "answer": ...}
    {"close": NAME}                                  {}
    {"version": "mediapipe"}                         {"version": "0.10.21"}
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from importlib.metadata import version
from typing import Any

from benchmarks.measurement import Contender

#: Contenders by name: their factory, called with the rest of the request.
KINDS = {
    "face_mesh": "benchmarks.ours:face_mesh",
    "onnx_network": "benchmarks.ours:network",
    "face_landmarker": "benchmarks.peers:face_landmarker",
    "tflite_network": "benchmarks.peers:tflite_network",
}


class Worker:
    """Answers the requests."""

    def __init__(self) -> None:
        self._contenders: dict[str, tuple[Contender, set[int]]] = {}
        self._all_cores = sorted(os.sched_getaffinity(0))

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Serve requests."""
        if "open" in request:
            return self._open(request.pop("open"), request.pop("kind"), request)
        if "step" in request:
            contender, cores = self._contenders[request["step"]]
            os.sched_setaffinity(0, cores)
            return contender(request["number"])._asdict()
        if "close" in request:
            del self._contenders[request["close"]]
            return {}
        return {"version": version(request["version"])}

    def _open(self, name: str, kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
        module, function = KINDS[kind].split(":")
        # The threads that it starts stay on the same cores.
        cores = set(self._all_cores[-arguments.pop("cores") :])
        os.sched_setaffinity(0, cores)
        contender = getattr(importlib.import_module(module), function)(**arguments)
        self._contenders[name] = (contender, cores)
        return {}


def main() -> None:
    """Answer until standard input ends."""
    # Libraries write where they like: only the answers may go to the other process.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker()
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:  # the other process reports the error
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
