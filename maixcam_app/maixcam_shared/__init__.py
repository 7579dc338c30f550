"""Shared by a MaixCAM and its host: the faces that MaixPy finds, and the link.

This folder runs in two places, on the device next to the app's `main.py` and on the host inside
`maix_facemesh_ros` (there it is a symbolic link). So it needs the standard library only, and its
modules import each other relatively.
"""
