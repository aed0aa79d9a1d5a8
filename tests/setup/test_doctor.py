"""The doctor with one fault planted at a time: it names that one, says what to do, and blames nothing else."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from databricks.sdk import WorkspaceClient as SdkClient

from cli_places import Desk, notebooks
from doctor_places import WAITS, Patient, only, wrong
from entra_places import SECRET, azure_settings, local_entra
from nbvault.administration import noting, write_note
from nbvault.clock import SystemClock, iso
from nbvault.gitstore.lease import Holder, Lease
from nbvault.gitstore.remote import Remote
from nbvault.gitstore.runner import init_bare
from nbvault.setup import remote_checks
from nbvault.setup.conversion import RECORDS, Conversion, began
from nbvault.setup.doctor import EXAMINATIONS, disk
from nbvault.setup.examining import ANSWERS_IN_A_ROW, Around, Examination, Found, examine
from nbvault.state.store import AuditEvent, StateManager
from nbvault_emulator.testing import Emulator
from told_places import loopback, mail_server

REVIEWERS = "fa4e907d-c16b-4a4c-9dfa-4906e5d171dd"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A workspace with four notebooks in three folders."""
    with Emulator(world=notebooks("/Clients/2024/a", "/Clients/2024/b", "/Clients/2025/c", "/Clients/d")) as running:
        yield running


@pytest.fixture
def patient(emulator: Emulator, tmp_path: Path) -> Patient:
    """Somebody who is well."""
    return Patient(tmp_path, emulator)


def test_nothing_is_wrong_and_nothing_is_written(patient: Patient) -> None:
    """Before the first session, and after it: everything is in order, and looking changes neither side."""
    before = patient.checks()
    assert wrong(before) == {}
    assert [check.name for check in before][3:] == [*(each.name for each in EXAMINATIONS), "credentials"]
    assert [file.name for file in patient.folder.iterdir()] == ["nbvault.toml"]
    assert "git-push-pack" not in patient.emulator.requests()
    patient.sync()
    files = sorted(file.name for file in patient.folder.iterdir())
    after = {check.name: check for check in patient.checks()}
    assert [check for check in after.values() if not check.ok] == []
    assert "ended complete" in after["last session"].detail
    assert sorted(file.name for file in patient.folder.iterdir()) == files


@pytest.mark.parametrize(
    ("variables", "name", "hint", "code"),
    [
        ({"DATABRICKS_TOKEN": "dapi-wrong"}, "workspace", "has not expired", 6),
        ({"DATABRICKS_TOKEN": ""}, "workspace", "Set the variable DATABRICKS_TOKEN", 6),
        ({"NBVAULT_WORKSPACE__HOST": "http://127.0.0.1:1"}, "workspace host", "Check workspace.host", 1),
        ({"NBVAULT_WORKSPACE__HOST": "https://nbvault.invalid"}, "workspace host", "typing error", 7),
        ({"NBVAULT_WORKSPACE__ROOT": "/Nowhere"}, "root", "Check workspace.root", 7),
        ({"AZURE_DEVOPS_PAT": "wrong"}, "repository", "Check vault.token", 6),
        ({"AZURE_DEVOPS_PAT": ""}, "git credential", "Set the variable AZURE_DEVOPS_PAT", 6),
        ({"NBVAULT_VAULT__TOKEN": "databricks:nowhere/pat"}, "git credential", "Check the scope and the key", 6),
        ({"NBVAULT_VAULT__REMOTE": "nowhere.git"}, "repository", "Check vault.remote", 7),
        ({"NBVAULT_VAULT__REMOTE": "http://127.0.0.1:1/r"}, "remote host", "Check vault.remote", 1),
        ({"NBVAULT_VAULT__PATH": "/proc/nbvault/vault.git"}, "disk", "Choose another vault.path", 7),
        ({"NBVAULT_STATE__URL": "sqlite:////nowhere/at/all.db"}, "state store", "Create the folder", 1),
        ({"NBVAULT_STATE__URL": "sqlite:////proc/x.db"}, "state store", "right to write there", 1),
        ({"NBVAULT_WORKSPACE__ROOT": "/Clients/d"}, "root", "the folder above the notebooks", 7),
        ({"NBVAULT_WORKSPACE__HOST": "http://example.com"}, "configuration", "", 7),
        ({"NBVAULT_VAULT__REMOTE": "http://example.com/r"}, "configuration", "", 7),
    ],
)
def test_a_wrong_setting(patient: Patient, variables: Mapping[str, str], name: str, hint: str, code: int) -> None:
    """One wrong thing is named with its remedy and the exit code of a sync; what hangs on it only says so."""
    found = wrong(patient.checks(**variables))
    assert (list(found), found[name].exit_code) == ([name], code), found
    assert hint in found[name].hint


@pytest.mark.parametrize(
    ("fault", "name", "hint", "code"),
    [
        ({"kind": "forbid", "path": "/Clients/2024"}, "folders", "CAN READ", 3),
        ({"kind": "status", "status": 403, "match": {"endpoint": "export"}}, "export", "CAN READ", 1),
        ({"kind": "status", "status": 403, "match": {"endpoint": "git-push-refs"}}, "push right", "Contribute", 6),
        ({"kind": "status", "status": 500, "match": {"endpoint": "list"}}, "root", "Try again", 1),
        ({"kind": "empty-body", "match": {"endpoint": "scim"}}, "workspace", "Try again", 1),
        ({"kind": "nonsense", "match": {"endpoint": "git-push-refs"}}, "push right", "Try again", 1),
    ],
)
def test_a_refusal(patient: Patient, fault: dict[str, object], name: str, hint: str, code: int) -> None:
    """What is refused or answered with nonsense is named, and who must be given what, or what to try."""
    patient.emulator.faults(fault)
    found = only(patient.checks(), name)
    assert (hint in found.hint, found.exit_code) == (True, code), found


MAIL = {"NBVAULT_EMAIL__TO": "a@b.example", "NBVAULT_EMAIL__HOST": "127.0.0.1", "NBVAULT_EMAIL__PORT": "1"}
BOT = {"NBVAULT_SLACK__TOKEN": "env:BOT", "NBVAULT_SLACK__CHANNEL": "C1", "BOT": "xoxb-1"}


@pytest.mark.parametrize(
    ("variables", "name", "hint"),
    [
        (MAIL, "mail server", "Check email.host"),
        (
            {"NBVAULT_SLACK__WEBHOOK": "env:HOOK", "HOOK": "http://127.0.0.1:1/geheim"},
            "Slack",
            "Check slack.webhook",
        ),
        ({"NBVAULT_SLACK__WEBHOOK": "env:HOOK"}, "Slack", "Set the variable HOOK"),
        ({**BOT, "NBVAULT_SLACK__API": "http://127.0.0.1:1/api"}, "Slack", "Check the network"),
        ({"NBVAULT_TEAMS__WEBHOOK": "env:HOOK", "HOOK": "geheim"}, "Microsoft Teams", "Put the whole address"),
    ],
)
def test_a_channel_out_of_order(patient: Patient, variables: Mapping[str, str], name: str, hint: str) -> None:
    """A mail server that is not there, a webhook that is none or leads nowhere, a token that is missing."""
    found = only(patient.checks(**variables), name)
    assert (hint in found.hint, "geheim" in found.detail + found.hint) == (True, False), found


def test_channels_in_order(patient: Patient) -> None:
    """A mail server and both services answer: all is in order, and nobody is written to."""
    with mail_server() as post, loopback() as service:
        service.always = (200, {}, '{"ok": true, "user": "nbvault"}')
        hooks = {f"NBVAULT_{name}__WEBHOOK": "env:HOOK" for name in ("SLACK", "TEAMS")}
        mail = {**MAIL, "NBVAULT_EMAIL__PORT": str(post.port), "NBVAULT_EMAIL__SECURITY": "none"}
        bot = {**BOT, "NBVAULT_SLACK__API": service.url("/api")}
        checks = patient.checks(**hooks, **mail, **bot, HOOK=service.url("/geheim"))
    told = {check.name: check.detail for check in checks}
    assert (wrong(checks), post.envelopes, [each.path for each in service.asked]) == ({}, [], ["/api/auth.test"])
    assert told["mail server"] == f"127.0.0.1:{post.port} answers in clear text."
    assert told["Slack"] == "Slack answers at 127.0.0.1. Slack knows the bot as nbvault."


def test_an_unreadable_folder_is_named(patient: Patient) -> None:
    """With the status that it answers."""
    patient.emulator.faults({"kind": "forbid", "path": "/Clients/2024"})
    assert "/Clients/2024 (403)" in only(patient.checks(), "folders").detail


def test_a_policy_on_main(patient: Patient) -> None:
    """A policy that would refuse the push of a conclusion is named, with the right that overrides it."""
    patient.sync()
    where = urlsplit(patient.emulator.git_url)
    scope = [{"refName": "refs/heads/main", "matchKind": "Exact", "repositoryId": None}]
    policy = {"type": {"id": REVIEWERS}, "isEnabled": True, "isBlocking": True, "settings": {"scope": scope}}
    with closing(http.client.HTTPConnection(str(where.hostname), where.port, timeout=30)) as connection:
        headers = {"Authorization": f"Bearer {patient.emulator.entra_token()}"}
        connection.request("POST", "/ORG/PROJECT/_apis/policy/configurations", json.dumps(policy), headers)
        assert connection.getresponse().status == 200
    assert "Bypass policies when pushing" in only(patient.checks(), "pushes").hint


def test_a_repository_over_the_limit(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the size that its host advises: a new one is to be begun."""
    patient.sync()
    # Ten gigabytes are not written for this test; the limit comes down instead.
    monkeypatch.setattr(remote_checks, "ADVISED_BYTES", 10)
    assert "nbvault rotate" in only(patient.checks(), "repository size").hint


def test_a_clock_that_is_off(patient: Patient) -> None:
    """By five minutes: told, by how much, against whom; by half a minute: not."""
    found = only(patient.checks(ahead=timedelta(minutes=-5)), "clock")
    assert ("behind" in found.detail, "NTP" in found.hint) == (True, True)
    assert wrong(patient.checks(ahead=timedelta(seconds=30))) == {}


def test_a_backup_that_has_not_run_for_days(patient: Patient) -> None:
    """Three days after the last session, its schedule is asked after."""
    patient.sync()
    found = wrong(patient.checks(ahead=timedelta(days=3)))
    assert set(found) == {"last session", "clock"}
    assert "job or timer" in found["last session"].hint


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_session_that_did_not_end_well(patient: Patient, status: str) -> None:
    """The vault's record of the last session is told with what it said."""
    patient.sync()
    ended = {"session": "20261121T020000Z-ffffff", "status": status, "ended_at": iso(SystemClock().now())}
    settings, event = patient.settings(), AuditEvent(SystemClock().now(), "dana", "a session", "vault", "ok")
    with noting(settings, say=print, clock=SystemClock()) as (vault, _):
        write_note(settings, vault, [event], records={"sessions": [{**ended, "error": "The disk is full."}]})
    found = only(patient.checks(), "last session")
    assert f"ended {status}" in found.detail
    assert "The disk is full." in found.detail


def test_a_key_vault_that_cannot_be_reached(patient: Patient, tmp_path: Path) -> None:
    """The token cannot be had: which vault, and what to check."""
    with local_entra(tmp_path) as entra:
        keys = {
            **azure_settings(entra),
            "azure.client_secret": "env:SECRET",
            "azure.key_vault_url": "https://127.0.0.1:1",
        }
        variables = {f"NBVAULT_{name.replace('.', '__').upper()}": value for name, value in keys.items()}
        given = {
            "SECRET": SECRET,
            "SSL_CERT_FILE": str(entra.certificate),
            "NBVAULT_VAULT__TOKEN": "keyvault:vault1/pat",
        }
        found = only(patient.checks(**given, **variables), "git credential")
    assert "The key vault vault1 cannot be reached" in found.detail
    assert "may reach" in found.hint


def test_a_held_lease(patient: Patient) -> None:
    """A lease that another machine renewed just now: exit 5; one that it has not renewed for long: who takes over."""
    git = init_bare(patient.folder / "other.git", patient.variables)
    remote = Remote(git, patient.emulator.git_url, token=lambda: patient.emulator.git_token)
    holder = Holder("elsewhere boot pid", 42, "1", "/somewhere/vault.git")
    with StateManager("sqlite://") as state:
        lease = Lease(
            git,
            remote,
            holder,
            session="20261121T020000Z-aaaaaa",
            clock=SystemClock(),
            stale_s=900,
            sightings=state,
            is_alive=lambda _: None,
        )
        lease.acquire()
    found = only(patient.checks(), "lease")
    assert (found.exit_code, "elsewhere" in found.detail, "Wait until it has ended" in found.hint) == (5, True, True)
    late = wrong(patient.checks(ahead=timedelta(hours=1)))
    assert "sync.lease_stale_s" in late["lease"].hint
    lease.release()
    assert wrong(patient.checks()) == {}


def test_a_conversion_that_was_cut_off(patient: Patient) -> None:
    """Its last line says that it was under way: how to go on, and how to go back."""
    settings = patient.settings()
    conversion = Conversion(
        conversion="c1",
        at="2026-11-21T02:00:00.000Z",
        by="dana",
        root="/Clients",
        target="/Clients_git",
        url=patient.emulator.git_url,
        provider="azureDevOpsServices",
        branch="main",
        views=(),
        folders=(),
        own_credential="",
        credential=0,
    )
    line = {"event": "began", "conversion": "c1", **began(conversion)}
    with noting(settings, say=print, clock=SystemClock()) as (vault, _):
        event = AuditEvent(SystemClock().now(), "dana", "convert: began", "/Clients_git", "ok")
        write_note(settings, vault, [event], records={RECORDS: [line]})
    found = only(patient.checks(), "git folder")
    assert ("nbvault convert" in found.hint, "nbvault rollback" in found.hint) == (True, True)


def test_a_git_folder_or_its_credential_is_gone(patient: Patient) -> None:
    """What stood in the workspace after a conversion and was removed by hand is named; `convert` makes it again."""
    desk = Desk(patient.folder / "desk", patient.emulator)
    assert desk.run("convert").code == 0
    assert wrong(patient.checks()) == {}
    client = SdkClient(host=patient.emulator.workspace_url, token=patient.emulator.workspace_token, auth_type="pat")
    (registered,) = client.git_credentials.list()
    client.git_credentials.delete(int(registered.credential_id or 0))
    found = only(patient.checks(), "git folder")
    assert "no Git credential for azureDevOpsServices" in found.detail
    assert "nbvault convert" in found.hint
    assert desk.run("convert").code == 0
    assert wrong(patient.checks()) == {}
    client.workspace.delete("/Clients_git", recursive=True)
    found = only(patient.checks(), "git folder")
    assert (found.detail, "nbvault convert" in found.hint) == ("The Git folder /Clients_git is gone.", True)
    assert desk.run("convert").code == 0
    assert wrong(patient.checks()) == {}


def test_a_broken_state_store(patient: Patient) -> None:
    """A file that is no database, and one of a newer nbvault: both stay as they are, and the remedy is said."""
    file = patient.folder / "nbvault.db"
    file.write_bytes(b"not a database " * 1000)
    assert "Name another file" in only(patient.checks(), "state store").hint
    assert file.read_bytes() == b"not a database " * 1000
    file.unlink()
    with StateManager(f"sqlite:///{file}"):
        pass
    import sqlite3

    with closing(sqlite3.connect(file)) as database, database:
        database.execute("INSERT INTO schema_version VALUES (99, 'from the future', '2030-01-01')")
    assert "newer nbvault" in only(patient.checks(), "state store").hint


def test_a_file_where_a_folder_of_the_vault_is_to_be(patient: Patient, tmp_path: Path) -> None:
    """What a session would end with is told before it."""
    (tmp_path / "taken").touch()
    found = only(patient.checks(NBVAULT_VAULT__PATH=str(tmp_path / "taken" / "v.git")), "disk")
    assert (found.ok, found.exit_code, f"{tmp_path / 'taken'} is in the way" in found.detail) == (False, 7, True)


def test_a_folder_that_is_no_repository(patient: Patient, tmp_path: Path) -> None:
    """Files of somebody else where the vault is to be: a session would not touch them, and ends with 7."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").touch()
    found = only(patient.checks(NBVAULT_VAULT__PATH=str(tmp_path / "taken")), "disk")
    assert (found.exit_code, "no Git repository" in found.detail, "is empty" in found.hint) == (7, True, True)


def test_the_vault_of_another_root(patient: Patient) -> None:
    """A vault that backs up another root is told before a session refuses it."""
    patient.sync()
    found = only(patient.checks(NBVAULT_WORKSPACE__ROOT="/Clients/2024"), "last session")
    assert (found.exit_code, "The vault backs up /Clients" in found.detail) == (7, True)
    assert "Another root is another vault" in found.hint


def test_a_full_disk(patient: Patient) -> None:
    """Too little room is told; how much there is comes from a reader that the test hands in."""
    around = replace(Around.of(patient.settings()), free=lambda _: 5_000_000)
    (check,) = examine(around, [Examination("disk", disk)])
    assert (check.ok, "Make room" in check.hint) == (False, True)


def test_a_token_that_ends_soon(patient: Patient) -> None:
    """A token that lives an hour more, kept in a variable, is told with the command that makes another."""
    found = only(patient.checks(AZURE_DEVOPS_PAT=patient.emulator.entra_token(lifetime_s=3600)), "credentials")
    assert (found.exit_code, "credentials rotate vault" in found.hint) == (6, True)


def test_a_host_that_hangs(patient: Patient) -> None:
    """A server that takes connections and says nothing is given up after the time of one answer, once."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        quick = {"NBVAULT_NETWORK__CHECK_TIMEOUT_S": "2"}
        found = only(patient.checks(NBVAULT_WORKSPACE__HOST=url, **quick), "workspace host")
        assert ("gave no answer in 2 s" in found.detail, found.exit_code) == (True, 1)
        found = only(patient.checks(NBVAULT_VAULT__REMOTE=f"{url}/r", **quick), "remote host")
        assert "gave no answer in 2 s" in found.detail


def test_a_workspace_that_hangs_later(patient: Patient) -> None:
    """It answers who we are, and then nothing: only that is told."""
    patient.emulator.faults({"kind": "hang", "match": {"endpoint": "list"}})
    found = only(patient.checks(NBVAULT_NETWORK__CHECK_TIMEOUT_S="3"), "root")
    assert "in 3 s" in found.detail


def test_the_whole_is_bounded(patient: Patient) -> None:
    """What never ends is left behind: under 30 s with the usual patience, and the others are told."""
    assert ANSWERS_IN_A_ROW * patient.settings().network.check_timeout_s + 3 < 30
    for_ever = threading.Event()

    def hangs(_around: Around) -> Found:
        for_ever.wait()
        return Found("never")

    around = Around.of(patient.settings(NBVAULT_NETWORK__CHECK_TIMEOUT_S="0.01"))
    listed = [Examination("stuck", hangs), Examination("waits", disk, needs=("stuck",)), Examination("disk", disk)]
    assert [check.ok for check in examine(around, listed)] == [False, False, True]
    for_ever.set()


def test_a_fault_of_our_own_is_one_check(patient: Patient) -> None:
    """An examination that breaks is told as that, without its words, and takes no other with it."""

    def breaks(_around: Around) -> Found:
        raise ValueError("the token is dapi-geheim")

    listed = [Examination("broken", breaks), Examination("waits", disk, needs=("broken",)), Examination("disk", disk)]
    broken, waits, other = examine(Around.of(patient.settings()), listed)
    assert (broken.ok, broken.exit_code, broken.detail) == (False, 1, "nbvault did not expect this (ValueError).")
    assert (waits.detail, other.ok, "geheim" in json.dumps(broken.as_json())) == (f"{WAITS}broken.", True, False)
