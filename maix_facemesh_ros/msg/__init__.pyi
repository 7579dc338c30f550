"""The messages, for type checkers: rosidl generates them without types."""

from typing import Any

def __getattr__(name: str) -> Any: ...
