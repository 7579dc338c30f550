"""`facemesh`: one program for everything, with a verb for each job.

    facemesh see 0                       the faces of a camera, video or URL, in a browser
    facemesh find talk.mp4 -o talk.csv   the faces of recordings and images, as a table or a bag
    facemesh node --ros-args ...         the ROS 2 node
    facemesh view --ros-args ...         the browser view of a running node
    facemesh replay bag --start-node     a bag through the node, with a check against golden faces
    facemesh maixcam-check ADDRESS ...   whether a MaixCAM does what the node needs
    facemesh info                        versions, backends, models, and missing packages

`facemesh VERB --help` explains a verb.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from maix_facemesh_ros.programs.start import start

#: Verbs that run another program.
PROGRAM_OF_VERB = {
    "find": "facemesh_bag",
    "node": "facemesh_node",
    "replay": "facemesh_replay",
    "view": "facemesh_view",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the verb of the command line; returns the exit code."""
    verb, *rest = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if verb in ("-h", "--help"):
        print((__doc__ or "").rstrip())
        return 0
    if verb in PROGRAM_OF_VERB:
        return start(PROGRAM_OF_VERB[verb], rest)
    own = _OWN_VERBS.get(verb)
    if own is None:
        known = ", ".join((*_OWN_VERBS, *PROGRAM_OF_VERB))
        print(f"facemesh has no verb {verb!r}: it has {known}", file=sys.stderr)
        return 2
    return own(rest)


def _see(arguments: list[str]) -> int:
    from maix_facemesh_ros.browser import see

    return see.main(arguments)


def _info(arguments: list[str]) -> int:
    from maix_facemesh_ros.programs import info

    return info.main(arguments)


def _maixcam_check(arguments: list[str]) -> int:
    from maix_facemesh_ros.programs import maixcam_check

    return maixcam_check.main(arguments)


#: Verbs of this program; their imports are deferred until they run.
_OWN_VERBS: dict[str, Callable[[list[str]], int]] = {
    "see": _see,
    "info": _info,
    "maixcam-check": _maixcam_check,
}
