"""The version of this package, read from package.xml."""

from __future__ import annotations

import re

from maix_facemesh_ros.model_files import find_share_file

#: Where there is no package.xml, as in a copy of the Python folder alone.
UNKNOWN = "0+unknown"


def read_version() -> str:
    """Return the version, such as "0.1.0", in a checkout, a colcon install or a wheel."""
    file = find_share_file("package.xml")
    found = file and re.search(r"<version>\s*([^<\s]+)\s*</version>", file.read_text("utf-8"))
    return found[1] if found else UNKNOWN
