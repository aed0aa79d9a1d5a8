"""Repositories that most tests of the Git layer begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_places import ENVIRONMENT, make_server
from nbvault.gitstore.runner import Git, init_bare


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """An empty local repository without a remote."""
    return init_bare(tmp_path / "local.git", ENVIRONMENT)


@pytest.fixture
def server(tmp_path: Path) -> Git:
    """An empty repository that plays the remote."""
    return make_server(tmp_path / "server.git")
