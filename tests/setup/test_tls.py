"""Workspace and Git server over TLS: verified by the machine's authorities or by `network.ca_file`, or not at all."""

from __future__ import annotations

import http.server
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from nbvault.errors import ConfigurationError
from nbvault.gitstore.remote import Remote
from nbvault.gitstore.runner import init_bare
from nbvault.settings import Settings, load_settings
from nbvault.setup.doctor import EXAMINATIONS
from nbvault.setup.examining import Around, Check, examine
from tls_places import make_certificate, server_context


class Served(NamedTuple):
    """A server of files over TLS, among them a Git repository, and the certificate it shows."""

    url: str
    certificate: Path


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files, without a log."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's word
        """Nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A real server with a real certificate, and a repository that git can read from plain files."""
    shown = tmp_path / "shown"
    tree = subprocess.run(["git", "init", "-q", "--bare", str(shown / "vault.git")], check=True, capture_output=True)
    assert tree.returncode == 0
    subprocess.run(["git", "-C", str(shown / "vault.git"), "update-server-info"], check=True)
    certificate = make_certificate(tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(shown)))
    server.socket = server_context(certificate).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Served(f"https://127.0.0.1:{server.server_address[1]}", certificate)
    server.shutdown()
    server.server_close()
    thread.join()


def settings_for(served: Served, folder: Path, **environment: str) -> Settings:
    """A configuration whose workspace and remote are both that server."""
    file = folder / "nbvault.toml"
    file.write_text(
        f'[workspace]\nhost = "{served.url}"\ntoken = "env:T"\n[vault]\nremote = "{served.url}/vault.git"\n'
    )
    clean = {"PATH": "/usr/bin:/bin", "T": "token"}
    return load_settings(file, environment={**clean, **environment})


def hosts(settings: Settings) -> list[Check]:
    """What is said of the two hosts."""
    listed = [each for each in EXAMINATIONS if each.name in ("workspace host", "remote host")]
    return examine(Around.of(settings), listed)


def read_refs(settings: Settings) -> dict[str, str]:
    """What git itself reads there."""
    git = init_bare(settings.vault.path, settings.process_environment)
    return Remote(git, settings.vault.remote, attempts=1).ls_remote()


def test_nobody_trusts_it(served: Served, tmp_path: Path) -> None:
    """Neither we nor git, also where a variable asks git to look away; the setting that would help is named."""
    settings = settings_for(served, tmp_path, GIT_SSL_NO_VERIFY="1")
    for check in hosts(settings):
        assert (check.ok, check.exit_code, "network.ca_file" in check.hint) == (False, 7, True), check
    with pytest.raises(ConfigurationError, match="not trusted") as told:
        read_refs(settings)
    assert "network.ca_file" in told.value.hint


@pytest.mark.parametrize("variable", ["NBVAULT_NETWORK__CA_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_private_authority(served: Served, tmp_path: Path, variable: str) -> None:
    """Named in a setting it serves us and git; the variable that databricks-sdk knows serves us."""
    settings = settings_for(served, tmp_path, **{variable: str(served.certificate)})
    for check in hosts(settings):
        assert (check.ok, str(served.certificate) in check.detail) == (True, True), check
    if variable.startswith("NBVAULT"):
        assert read_refs(settings) == {}


def test_a_server_without_tls(tmp_path: Path) -> None:
    """A port that speaks something else is told as that."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    settings = settings_for(Served(f"https://127.0.0.1:{server.server_address[1]}", tmp_path), tmp_path)
    assert [(check.ok, "Check " in check.hint) for check in hosts(settings)] == [(False, True), (False, True)]
    server.shutdown()
    server.server_close()
    thread.join()
