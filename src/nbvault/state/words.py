"""Any text in a column: what databases refuse is spelled in a way that they take."""

from __future__ import annotations

import re

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]|\\\\(?=u(?:0000|005C|D[89A-F][0-9A-F]{2}))")
_STORED = re.compile(r"\\u(0000|005C|D[89A-F][0-9A-F]{2})")


def storable(text: str) -> str:
    """The text with NUL and lone surrogates as ``\\u0000``."""
    return _UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04X}", text)


def restored(text: str) -> str:
    """The inverse of `storable`."""
    return _STORED.sub(lambda found: chr(int(found[1], 16)), text)
