"""The long story of the recovery tests, which reports read, too."""

from __future__ import annotations

from recovery.conftest import desk, story

__all__ = ["desk", "story"]
