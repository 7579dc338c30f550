"""Keeps the lines that OpenCV and FFmpeg print themselves out of a program's output."""

from __future__ import annotations

import os

#: Environment variables that OpenCV reads when it is imported, and when it opens the first video.
#: What a user needs to know of a file that cannot be read, the program says itself.
VARIABLES = {
    "OPENCV_LOG_LEVEL": "SILENT",
    # AV_LOG_QUIET of FFmpeg's libavutil/log.h
    "OPENCV_FFMPEG_LOGLEVEL": "-8",
}


def keep_quiet() -> None:
    """Do so in this process and its children, unless the user has set the variables."""
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
