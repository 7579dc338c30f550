"""Names of image sources: telling URLs from paths, and hiding passwords."""

from __future__ import annotations

import re

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def public_name(source: str) -> str:
    """Return a source as it may be shown: a URL without its user, password and values.

    Cameras take passwords in front of the host, in the query, and even in the path
    (`/user=admin_password=secret`). A password may itself hold a `/` or `@`, so everything up to
    the last `@` is taken away: better too much than too little.
    """
    url = URL.match(source)
    if url is None:
        return source
    rest = re.sub(r"^.+@", "***@", source[url.end() :], flags=re.DOTALL)
    return url.group() + re.sub(r"([?=]).+", r"\1***", rest, flags=re.DOTALL)
