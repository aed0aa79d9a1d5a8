"""Values as TOML writes them. Pure."""

from __future__ import annotations

import json


def as_toml(value: object) -> str:
    """A text, a number, a truth or a list of these; anything else as its text."""
    # JSON's form is TOML's, but that JSON lets DEL stand as it is.
    return json.dumps(value, ensure_ascii=False, default=str).replace("\x7f", "\\u007f")
