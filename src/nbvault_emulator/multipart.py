"""multipart/form-data as HTTP clients send it for an upload."""

from __future__ import annotations

import re

_BOUNDARY = re.compile(rb'boundary="?([^";,]+)"?', re.IGNORECASE)
_NAME = re.compile(rb'\bname="([^"]*)"')


def parse(content_type: str, body: bytes) -> dict[str, bytes]:
    """The fields of a form by name.

    Raises:
        ValueError: there is no boundary, or the body does not use it.
    """
    found = _BOUNDARY.search(content_type.encode("latin-1"))
    if found is None:
        raise ValueError("multipart body without a boundary")
    parts = (b"\r\n" + body).split(b"\r\n--" + found.group(1))
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise ValueError("multipart body does not end with its boundary")
    fields: dict[str, bytes] = {}
    for part in parts[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if name is None:
            raise ValueError("a part of the multipart body has no name")
        fields[name.group(1).decode("utf-8", "replace")] = content
    return fields
