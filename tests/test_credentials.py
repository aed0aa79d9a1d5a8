"""`nbvault credentials`: what it tells, and a rotation that leaves a valid token wherever it is cut off."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cli_places import Desk
from entra_places import SECRET, Entra, azure_settings, local_entra
from nbvault import credentials
from nbvault.alarms import Trouble
from nbvault.alerting import check_alerts
from nbvault.clock import SystemClock
from nbvault.credentials import rotate, status
from nbvault.errors import AuthenticationError, ConfigurationError, NbvaultError
from nbvault.settings import Settings, load_settings
from nbvault_emulator.testing import Emulator
from told_places import loopback

NAME = "nbvault"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(notebooks=3, years=1, engagements=1) as made:
        yield made


@pytest.fixture
def entra(tmp_path: Path, emulator: Emulator) -> Iterator[Entra]:
    with local_entra(tmp_path) as made:
        made.mint = lambda lifetime_s: emulator.entra_token(lifetime_s=lifetime_s, subject="ann@clients.example")
        yield made


@pytest.fixture
def given(tmp_path: Path, emulator: Emulator, entra: Entra) -> dict[str, str]:
    """Both tokens in files; the vault's was made by hand for 30 days and is called `nbvault`."""
    (tmp_path / "ws").write_text(emulator.workspace_token)
    (tmp_path / "pat").write_text(pat_of(emulator, "2099-01-01"))
    values = {
        "workspace.host": emulator.workspace_url,
        "workspace.token": "file:ws",
        "workspace.retry_s": "0.2",
        "vault.remote": emulator.git_url,
        "vault.token": "file:pat",
        "azure.client_secret": "env:SECRET",
        **azure_settings(entra),
    }
    variables = {f"NBVAULT_{name.replace('.', '__').upper()}": value for name, value in values.items()}
    return {"SECRET": SECRET, "SSL_CERT_FILE": str(entra.certificate), **variables}


@pytest.fixture
def place(given: dict[str, str], tmp_path: Path) -> Settings:
    """What they are to a command."""
    return load_settings(environment=given, cwd=tmp_path)


def pat_of(emulator: Emulator, valid_to: str) -> str:
    """A person makes a token in Azure DevOps' settings."""
    token = "q" * 40 + valid_to.replace("-", "")
    pat = {
        "displayName": NAME,
        "scope": "vso.code_write",
        "validFrom": "2098-12-02T00:00:00.0000000Z",
        "validTo": f"{valid_to}T00:00:00.0000000Z",
        "authorizationId": f"by-hand-{valid_to}",
        "token": token,
    }
    emulator.azure_devops(pats=[pat], first_pat=False)
    return token


def quiet(_text: str) -> None:
    """Nobody listens."""


def test_status_says_who_how_and_until_when(place: Settings) -> None:
    """The workspace does not tell when its token ends; Azure DevOps does, to an identity of Entra."""
    workspace, vault = status(place)
    assert (workspace.method, workspace.expires, workspace.error) == ("token file:ws", None, "")
    assert "@" in workspace.identity
    assert (vault.method, vault.identity, vault.error) == ("token file:pat", "backup@clients.example", "")
    assert vault.as_json()["expires_at"] == "2099-01-01T00:00:00.000Z"


def test_rotating_the_vaults_token(place: Settings, tmp_path: Path) -> None:
    """Made with the old one's scope and lifetime, written, used, the old one revoked, and noted in the vault."""
    old = (tmp_path / "pat").read_text()
    done = rotate(place, "vault", lifetime=timedelta(days=20), by="ann", say=quiet)
    new = (tmp_path / "pat").read_text().strip()
    assert new != old
    assert (done.revoked, done.notes, done.reference) == (("by-hand-2099-01-01",), (), "file:pat")
    assert status(place)[1].error == ""
    (tmp_path / "pat").write_text(old)
    assert "refuses the credentials" in status(place)[1].error
    assert new not in repr(done)


def test_a_token_that_ends_soon_is_an_alert(given: dict[str, str], tmp_path: Path, emulator: Emulator) -> None:
    """Three days before its end somebody is told, once; when it has been rotated, that it is over, once."""
    soon = SystemClock().now() + timedelta(days=3)
    (tmp_path / "pat").write_text(pat_of(emulator, f"{soon:%Y-%m-%d}"))
    others = ",".join(each.value for each in Trouble if each is not Trouble.CREDENTIALS_END)
    with loopback() as slack:
        told = {"NBVAULT_SLACK__WEBHOOK": "env:HOOK", "HOOK": slack.url("/hook"), "NBVAULT_ALERTS__OFF": others}
        settings = load_settings(environment={**given, **told}, cwd=tmp_path)
        for _ in range(2):
            assert check_alerts(settings, say=quiet).notes == ()
        assert ["HIGH: Credentials end soon" in text for text in slack.texts()] == [True]
        rotate(settings, "vault", lifetime=timedelta(days=20), by="ann", say=quiet)
        for _ in range(2):
            check_alerts(settings, say=quiet)
        assert ["Over: Credentials end soon" in text for text in slack.texts()] == [False, True]


def test_rotating_the_workspaces_token(place: Settings, tmp_path: Path) -> None:
    """The first one has another name and stays; from then on each rotation ends the one before."""
    first = rotate(place, "workspace", by="ann", say=quiet)
    one = (tmp_path / "ws").read_text().strip()
    assert (first.revoked, len(first.notes)) == ((), 1)
    second = rotate(place, "workspace", by="ann", say=quiet)
    two = (tmp_path / "ws").read_text().strip()
    assert (len(second.revoked), second.notes) == (1, ())
    told = status(place)[0]
    assert (told.error, told.expires, one != two) == ("", second.expires, True)
    (tmp_path / "ws").write_text(one)
    assert status(place)[0].error


def test_a_new_token_that_does_not_work_is_taken_back(
    place: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one is back in its place, and valid; the new one is revoked."""
    old = (tmp_path / "pat").read_text().strip()

    async def refused(_issuer: object, _token: str) -> None:
        raise AuthenticationError("not taken")

    # A server that takes no new token cannot be had from the emulator.
    monkeypatch.setattr(credentials._AzureDevOps, "use", refused)
    monkeypatch.setattr(credentials, "BETWEEN_S", 0.0)
    with pytest.raises(AuthenticationError, match="not taken"):
        rotate(place, "vault", lifetime=timedelta(days=20), by="ann", say=quiet)
    assert (tmp_path / "pat").read_text().strip() == old
    assert status(place)[1].error == ""
    assert status(place)[1].expires is not None


def test_killed_before_the_old_one_is_revoked(place: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are valid; the next rotation ends both."""

    async def cut_off(_client: object, _id: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        # The moment of the kill cannot be met from outside.
        during.setattr(credentials, "revoke_token", cut_off)
        with pytest.raises(KeyboardInterrupt):
            rotate(place, "vault", lifetime=timedelta(days=20), by="ann", say=quiet)
    assert status(place)[1].error == ""
    done = rotate(place, "vault", lifetime=timedelta(days=20), by="ann", say=quiet)
    assert len(done.revoked) == 2
    assert status(place)[1].error == ""


def test_what_cannot_be_rotated_is_left_alone(place: Settings, emulator: Emulator, tmp_path: Path) -> None:
    """A secret in a variable, a token by another name, a lifetime that the organisation forbids: nothing is changed."""
    old = (tmp_path / "pat").read_text()
    by_variable = place.model_copy(update={"vault": _vault(place, tmp_path, emulator, "env:PAT")})
    with pytest.raises(ConfigurationError, match="variable"):
        rotate(by_variable, "vault", by="ann", say=quiet)
    with pytest.raises(NbvaultError, match="invalidValidTo"):
        rotate(place, "vault", lifetime=timedelta(days=800), by="ann", say=quiet)
    emulator.azure_devops(pats=[])
    with pytest.raises(NbvaultError):
        rotate(place, "vault", by="ann", say=quiet)
    assert (tmp_path / "pat").read_text() == old


def _vault(place: Settings, tmp_path: Path, emulator: Emulator, token: str) -> object:
    environment = {"NBVAULT_VAULT__REMOTE": emulator.git_url, "NBVAULT_VAULT__TOKEN": token}
    return load_settings(environment=environment, cwd=tmp_path).vault


def test_on_the_command_line(tmp_path: Path, emulator: Emulator) -> None:
    """One line for each system, JSON for scripts, and exit 6 where one refuses; no secret is printed."""
    desk = Desk(tmp_path / "desk", emulator)
    told = desk.run("credentials", "status")
    assert (told.code, told.out.count("signed in as")) == (0, 2)
    listed = desk.run("credentials", "status", "--json")
    assert [(each["system"], each["ok"], each["expires_at"]) for each in listed.json] == [
        ("workspace", True, None),
        ("vault", True, None),
    ]
    wrong = desk.run("credentials", "status", "--json", AZURE_DEVOPS_PAT="w" * 52)
    assert (wrong.code, [each["ok"] for each in wrong.json]) == (6, [True, False])
    assert "w" * 52 not in wrong.out + wrong.err
    assert desk.run("credentials", "rotate", "vault").code == 7


def test_a_rotation_is_in_the_vaults_trail(tmp_path: Path, emulator: Emulator) -> None:
    """Who, what, and until when."""
    desk = Desk(tmp_path / "desk", emulator)
    (desk.folder / "ws").write_text(emulator.workspace_token)
    variables = {"NBVAULT_WORKSPACE__TOKEN": "file:ws"}
    assert desk.run("sync", **variables).code == 0
    done = desk.run("credentials", "rotate", "workspace", "--by", "ann", "--days", "9", "--json", **variables)
    assert (done.code, done.json["reference"]) == (0, "file:ws")
    assert desk.run("sync", **variables).code == 0
    other = Desk(tmp_path / "other", emulator)
    (other.folder / "ws").write_text((desk.folder / "ws").read_text())
    assert other.run("state", "rebuild", **variables).code == 0
    assert (desk.folder / "ws").read_text().strip() not in json.dumps(done.json)
