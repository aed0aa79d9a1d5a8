"""The administrator's guide lists every key of the configuration, with the default that it really has."""

from __future__ import annotations

import json
import re
from enum import Enum
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from nbvault.settings.sections import Settings

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "admin.md"
ROW = re.compile(r"^\| `(\w+\.\w+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)


def written(default: object) -> str:
    """A default as the guide writes it."""
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return "none"
    plain = default.value if isinstance(default, Enum) else str(default) if isinstance(default, Path) else default
    return f"`{json.dumps(plain)}`"


def defaults() -> dict[str, str]:
    sections = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {
        f"{name}.{key}": written(field.default)
        for name, section in sections.items()
        if isinstance(section, type) and issubclass(section, BaseModel)
        for key, field in section.model_fields.items()
    }


def test_every_key_is_in_the_table_with_its_default() -> None:
    """The table has exactly the keys of settings/sections.py, in their order, each with its default and a meaning."""
    rows = ROW.findall(GUIDE.read_text("utf-8"))
    missing = [f"| `{key}` | {default} | what it means |" for key, default in defaults().items()]
    told = [f"| `{key}` | {default} | what it means |" for key, default, _ in rows]
    assert told == missing, "docs/admin.md, 'Every key': paste or correct the rows that differ"
