"""What comes from others is what it says it is."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import nbvault.web

STATIC = Path(nbvault.web.__file__).parent / "static"
VENDOR = STATIC / "vendor"
TEMPLATES = STATIC.parent / "templates"


def test_every_file_of_others_has_name_version_and_hash() -> None:
    """The manifest names every script and style of others, and the bytes are those that it was made for."""
    told = {each["file"]: each for each in json.loads((VENDOR / "vendor.json").read_text("utf-8"))}
    assert set(told) == {path.name for path in VENDOR.iterdir() if path.suffix in (".js", ".css")}
    for name, each in told.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", each["version"]), name
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == each["sha256"], name


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_inline() -> None:
    """No template and no file of ours names another host, an inline script or style, or a handler in an attribute."""
    ours = [*TEMPLATES.glob("*.html"), *STATIC.glob("*.js"), *STATIC.glob("*.css")]
    pattern = re.compile(
        r"""(?:src|href|url\()\s*=?\s*["']?(?:https?:)?//|<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+="""
    )
    assert {path.name: found[0] for path in ours if (found := pattern.search(path.read_text("utf-8")))} == {}
    assert [path.name for path in TEMPLATES.glob("*.html") if "|safe" in path.read_text("utf-8")] == []
