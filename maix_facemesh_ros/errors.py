"""`FaceMeshError`, the base of this package's errors, and those that belong to no single room.

Each error is also one of Python's own kinds, so `except ValueError` and the like catch it too.
"""

from __future__ import annotations


class FaceMeshError(Exception):
    """Base of every error of this package; the message says what is wrong and what to do."""


class ArgumentError(FaceMeshError, ValueError):
    """An argument has a value that the function does not take."""


class ArgumentTypeError(ArgumentError, TypeError):
    """An argument has a type that the function does not take."""


class LandmarkIndexError(ArgumentError, IndexError):
    """A mesh index that is not among the landmarks."""


class ClosedError(FaceMeshError, RuntimeError):
    """The object has been closed and cannot be used any more."""
