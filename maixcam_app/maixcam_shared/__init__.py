"""What a MaixCAM and its host share: the faces that MaixPy finds, and the link between the two.

This folder runs in two places, on the device next to the app's `main.py` and on the host inside
`maix_facemesh_ros` (there it is a symbolic link). So it needs the standard library only, and its
modules import each other relatively.
"""
