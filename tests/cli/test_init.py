"""`nbvault init`: a configuration that works and says what every key means."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from cli_places import Desk, run_program
from nbvault.settings import Credential, VaultAuth, load_settings
from nbvault.setup.template import Answers, configuration
from nbvault_emulator.testing import Emulator

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
    assert set(keys["vault"]) == {"path", "remote", "token", "auth", "branch"}


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


def variables(emulator: Emulator) -> dict[str, str]:
    """What somebody has set before they begin."""
    return {"DATABRICKS_TOKEN": emulator.workspace_token, "AZURE_DEVOPS_PAT": emulator.git_token}


def test_each_answer_is_tried(emulator: Emulator, tmp_path: Path) -> None:
    """By options, without a terminal: what was tried is told, nothing is pushed, and doctor finds all in order."""
    given = ["--host", emulator.workspace_url, "--remote", emulator.git_url]
    ended = run_program(["init", *given, "--json"], tmp_path, variables(emulator))
    assert ended.code == 0, ended
    assert (ended.json["missing"], ended.json["file"]) == ([], "nbvault.toml")
    tried = {check["name"]: check["ok"] for check in ended.json["checks"]}
    assert {"workspace host", "workspace", "root", "repository", "push right"} <= set(tried)
    assert set(tried.values()) == {True}
    assert "git-push-pack" not in emulator.requests()
    assert [each.name for each in tmp_path.iterdir()] == ["nbvault.toml"]
    assert run_program(["doctor"], tmp_path, variables(emulator)).code == 0


def test_what_is_not_right_is_told_and_written(emulator: Emulator, tmp_path: Path) -> None:
    """A root that is not there and a token that is refused: both are named with their remedy; `--no-try` asks none."""
    given = ["--host", emulator.workspace_url, "--remote", emulator.git_url, "--root", "/Nowhere"]
    ended = run_program(["init", *given], tmp_path, variables(emulator) | {"AZURE_DEVOPS_PAT": "wrong"})
    assert ended.code == 0
    assert "root: not ok" in ended.out
    assert "Check workspace.root" in ended.out
    assert "repository: not ok" in ended.out
    assert load_settings(tmp_path / "nbvault.toml", environment={}).workspace.root == "/Nowhere"
    emulator.reset_requests()
    assert run_program(["init", *given, "--no-try", "--force"], tmp_path, variables(emulator)).code == 0
    assert emulator.requests() == {}


def test_somebody_is_asked(desk: Desk) -> None:
    """Each answer is tried at once, a wrong one can be given again, and a secret is not taken for a reference."""
    emulator = desk.emulator
    said = [
        "http://127.0.0.1:1",
        "y",
        emulator.workspace_url,
        "dapi0123456789abcdef0123456789abcdef",
        "env:DATABRICKS_TOKEN",
        "/Nowhere",
        "y",
        "/Clients",
        emulator.git_url,
        "pat",
        "env:AZURE_DEVOPS_PAT",
        "127.0.0.1",
        "ann@example.com, bob@example.com",
        "lead@example.com",
        "",
        "env:HOOK",
        "",
        "n",
    ]
    process = desk.start("init", "new.toml", "--ask", stdin=True, HOOK="http://127.0.0.1:1/geheim")
    ended = desk.ended(process, said="\n".join([*said, ""]))
    assert ended.code == 0, ended
    assert ended.err.count("Answer again?") == 3
    for name in ("mail server", "Slack"):
        assert f"{name}: not ok" in ended.err
    assert "geheim" not in ended.out + ended.err
    assert "dapi0123" not in ended.out + ended.err
    written = load_settings(desk.folder / "new.toml", environment={})
    assert (written.workspace.host, written.workspace.root) == (emulator.workspace_url, "/Clients")
    assert (written.email.host, written.email.to) == ("127.0.0.1", ("ann@example.com", "bob@example.com"))
    assert written.email.changes_to == ("lead@example.com",)
    assert (written.slack.webhook is not None, written.teams.webhook) == (True, None)
    assert ended.out.endswith("Then try: nbvault sync --dry-run --config new.toml\n")


def test_a_repository_that_is_not_there_is_made(emulator: Emulator, tmp_path: Path) -> None:
    """By an option, or when somebody says so; never for a sync, and not where it is no repository of Azure DevOps."""
    missing = emulator.git_url.replace("/_git/vault", "/_git/anew")
    given = ["--host", emulator.workspace_url, "--remote", missing]
    assert run_program(["init", *given, "--no-try"], tmp_path, variables(emulator)).code == 0
    assert run_program(["sync"], tmp_path, variables(emulator)).code == 7
    assert not (emulator.git_dir / "anew.git").exists()
    for told in ("Made the repository anew.", "The repository anew was there."):
        ended = run_program(["init", *given, "--create-repository", "--force"], tmp_path, variables(emulator))
        assert (ended.code, told in ended.err, "not ok" in ended.out) == (0, True, False), ended
    assert run_program(["doctor"], tmp_path, variables(emulator)).code == 0
    (tmp_path / "nbvault.toml").unlink()
    elsewhere = run_program(["init", "--remote", "vault", "--create-repository"], tmp_path, variables(emulator))
    assert (elsewhere.code, "is not in Azure DevOps" in elsewhere.err) == (7, True)
    emulator.azure_devops(rights={"CreateRepository": False})
    refused = [*given[:3], missing.replace("anew", "forbidden"), "--create-repository"]
    ended = run_program(["init", *refused], tmp_path, variables(emulator))
    assert (ended.code, "CreateRepository" in ended.err, (tmp_path / "nbvault.toml").exists()) == (1, True, False)


def test_somebody_is_asked_whether_to_make_it(desk: Desk) -> None:
    """After the token for it is known; without a yes nothing is made, and the answer is tried again after one."""
    emulator = desk.emulator
    missing = emulator.git_url.replace("/_git/vault", "/_git/asked")
    given = ["--host", emulator.workspace_url, "--token", "env:DATABRICKS_TOKEN", "--root", "/Clients"]
    given += ["--remote", missing, "--vault-token", "env:AZURE_DEVOPS_PAT", "--slack-webhook", "env:HOOK"]
    for said, made in (("n", False), ("y", True)):
        process = desk.start("init", f"{said}.toml", "--ask", *given, stdin=True, HOOK="http://127.0.0.1:1/x")
        ended = desk.ended(process, said=f"{said}\n")
        assert (ended.code, "There is no such repository. Make it?" in ended.err) == (0, True), ended
        assert (emulator.git_dir / "asked.git").exists() == made
        assert (("push right: ok" in ended.err), "Answer again?" in ended.err) == (made, False)


def test_who_gets_mail(tmp_path: Path) -> None:
    """By options: alerts and the daily report each have their people; a wrong address, and no server, too."""
    mail = ["--mail-host", "mail.example.com", "--mail-to", "ann@example.com"]
    readers = ["--mail-changes-to", "lead@example.com, bob@example.com"]
    assert run_program(["init", *mail, *readers, "--no-try"], tmp_path).code == 0
    written = load_settings(tmp_path / "nbvault.toml", environment={}).email
    assert (written.to, written.changes_to) == (("ann@example.com",), ("lead@example.com", "bob@example.com"))
    wrong = run_program(["init", "wrong.toml", *mail, "--mail-changes-to", "lead", "--no-try"], tmp_path)
    assert (wrong.code, "email.changes_to" in wrong.err) == (7, True)
    alone = run_program(["init", "alone.toml", *readers, "--no-try"], tmp_path)
    assert (alone.code, "--mail-changes-to needs a mail server" in alone.err) == (7, True)
    assert [each.name for each in tmp_path.iterdir()] == ["nbvault.toml"]


@pytest.mark.parametrize("how", ["--ask", "--no-ask"])
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--tenant-id", "t"], "--tenant-id needs --auth entra."),
        (["--auth", "pat", "--client-secret", "env:SECRET"], "--client-secret needs --auth entra."),
        (["--slack-webhook", "env:HOOK", "--mail-to", "ann@example.com"], "--mail-to needs a mail server."),
    ],
)
def test_nothing_that_is_said_is_lost(tmp_path: Path, how: str, options: list[str], told: str) -> None:
    """An option that means nothing without another is refused, whether somebody is asked or not."""
    ended = run_program(["init", how, "--no-try", *options], tmp_path)
    assert (ended.code, told in ended.err, list(tmp_path.iterdir())) == (7, True, [])


def test_an_identity_of_entra(tmp_path: Path) -> None:
    """What is given for Entra is in its section; both tokens are left out."""
    entra = ["--auth", "entra", "--tenant-id", "t", "--client-id", "c", "--client-secret", "env:SECRET"]
    ended = run_program(["init", "--remote", REMOTE, "--token", "none", *entra, "--ca-file", "ca.pem"], tmp_path)
    assert ended.code == 0, ended
    written = load_settings(tmp_path / "nbvault.toml", environment={"SECRET": "s"})
    assert (written.vault.auth, written.vault.token, written.workspace.token) == (VaultAuth.ENTRA, None, None)
    azure = written.azure
    assert (azure.tenant_id, azure.client_id, azure.credential) == ("t", "c", Credential.AUTO)
    assert azure.client_secret is not None
    assert azure.client_secret.reference == "env:SECRET"
    assert written.network.ca_file == tmp_path / "ca.pem"


def test_relative_names_mean_the_same_while_trying(tmp_path: Path) -> None:
    """A file named in an answer is looked for where the configuration will be, also while that is a draft elsewhere."""
    answers = Answers(workspace_token="file:token", remote="backup.git", ca_file="ca.pem")
    (tmp_path / "nbvault.toml").write_text(configuration(answers.absolute(tmp_path)))
    (tmp_path / "token").write_text("secret")
    found = load_settings(tmp_path / "nbvault.toml", environment={})
    assert found.workspace.token is not None
    assert (found.workspace.token.reveal(), found.vault.remote) == ("secret", str(tmp_path / "backup.git"))
