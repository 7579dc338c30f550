"""Access control of the browser view: the machine's names, and the token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
import socket
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from maix_facemesh_ros.errors import FaceMeshError
from maix_facemesh_ros.user_files import read_token

#: Bytes of a token that is made here.
TOKEN_BYTES = 18

#: Characters that a token has at least where other machines can try it.
SHORTEST_TOKEN = 8


class AccessError(FaceMeshError, ValueError):
    """A token that cannot be used; the message gives the reason."""


class Access:
    """Decides by its Host and its token whether a request is answered."""

    def __init__(self, token: str | None = None, host_names: Iterable[str] = ()) -> None:
        """Allow clients that have the token.

        Args:
            token: None allows every client.
            host_names: by which browsers may reach this machine, in addition to its own.
        """
        self._token = token
        own = socket.gethostname().lower()
        self._names = {"localhost", own, f"{own}.local", *(name.lower() for name in host_names)}

    @property
    def needs_token(self) -> bool:
        """Whether browsers need a token."""
        return self._token is not None

    def knows_host(self, host: str) -> bool:
        """Tell whether a Host header names this machine.

        A foreign page can let its own host name resolve to this machine (DNS rebinding) and would
        then be of the same origin; checking the name prevents that. A numeric address is safe.
        """
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def is_token(self, given: str) -> bool:
        """Tell whether this is the token, in constant time."""
        return self._token is None or hmac.compare_digest(given.encode(), self._token.encode())

    def session(self) -> str:
        """Return the session key for a browser that has given the token.

        It stays the same as long as the token does, also when the server starts again.
        """
        key = (self._token or "").encode()
        return hmac.new(key, b"facemesh_view session", hashlib.sha256).hexdigest()

    def is_session(self, given: str | None) -> bool:
        """Tell whether a session key is valid."""
        if self._token is None:
            return True
        return given is not None and hmac.compare_digest(given.encode(), self.session().encode())


def check_token(token: str) -> None:
    """Check a token that other machines can try.

    Raises:
        AccessError: it is too short.
    """
    if len(token) < SHORTEST_TOKEN:
        raise AccessError(
            f"the token has {len(token)} characters and other machines can try it: give one of "
            f"{SHORTEST_TOKEN} or more, or name a token_file that does not exist: a long token is "
            "written into it"
        )


def token_of(file: Path) -> str:
    """Read a token from a file; where there is none, make both, for this user only.

    Raises:
        AccessError: the file cannot be read or made, or is empty.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            token = read_token(file)
        else:
            token = secrets.token_urlsafe(TOKEN_BYTES)
            with os.fdopen(descriptor, "w") as made:
                made.write(f"{token}\n")
    except OSError as error:
        raise AccessError(f"token_file {file} can neither be read nor made: {error}") from error
    if not token:
        raise AccessError(f"token_file {file} is empty: write a token into it, or delete it")
    return token
