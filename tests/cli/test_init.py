"""`nbvault init`: a configuration that works and says what every key means."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from cli_places import run_program
from nbvault.settings import load_settings

tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

HOST = "https://adb-1.1.azuredatabricks.net"
REMOTE = "https://dev.azure.com/org/project/_git/vault"


def test_every_key_has_its_default(tmp_path: Path) -> None:
    """What init writes is a configuration whose every value is the default, except those that were given."""
    ended = run_program(["init", "--host", HOST, "--root", "/Müller & Söhne 💾", "--remote", REMOTE], tmp_path)
    assert ended.code == 0, ended.err
    written = load_settings(tmp_path / "nbvault.toml", environment={})
    assert (written.workspace.host, written.vault.remote) == (HOST, REMOTE)
    assert written.workspace.root == "/Müller & Söhne 💾"
    keys = tomllib.loads((tmp_path / "nbvault.toml").read_text("utf-8"))
    smallest = tmp_path / "smallest.toml"
    smallest.write_text(f'[workspace]\n[vault]\nremote = "{REMOTE}"\n[state]\n[sync]\n[export]\n')
    defaults = load_settings(smallest, environment={})
    for section in ("state", "sync", "export"):
        assert getattr(written, section) == getattr(defaults, section)
        assert keys[section]
    assert set(keys["vault"]) == {"path", "remote", "token", "branch"}


def test_without_options_it_can_be_filled_in(tmp_path: Path) -> None:
    """Without options it writes a file to be filled in, and says what is missing."""
    ended = run_program(["init", "sub/folder/nbvault.toml"], tmp_path)
    assert ended.code == 0
    assert "workspace.host and vault.remote" in ended.out
    assert load_settings(tmp_path / "sub" / "folder" / "nbvault.toml", environment={}).workspace.host is None


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    """A configuration that is there stays, byte for byte, until --force; a folder means the file in it."""
    file = tmp_path / "nbvault.toml"
    file.write_text("mine")
    for arguments in (["init"], ["init", "."], ["init", "--config", "nbvault.toml"]):
        ended = run_program(arguments, tmp_path)
        assert (ended.code, file.read_text()) == (7, "mine")
        assert "--force" in ended.err
    assert run_program(["init", ".", "--force"], tmp_path).code == 0
    assert "[workspace]" in file.read_text()


@pytest.mark.parametrize(
    ("option", "value", "secret"),
    [
        ("--remote", "https://me:s3cretpassword@dev.azure.com/o/p/_git/r", "s3cret"),
        ("--host", "https://token:dapi0123456789abcdef@adb-1.azuredatabricks.net", "dapi"),
        ("--root", "not/absolute", None),
    ],
)
def test_wrong_values_and_secrets_are_refused(tmp_path: Path, option: str, value: str, secret: str | None) -> None:
    """A value that cannot be, or that holds a secret, is refused without being quoted; no file is left."""
    ended = run_program(["init", option, value], tmp_path)
    assert ended.code == 7
    assert secret is None or secret not in ended.out + ended.err
    assert list(tmp_path.iterdir()) == []
