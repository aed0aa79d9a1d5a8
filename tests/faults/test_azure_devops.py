"""Azure DevOps says no: to a secret, to a push past a policy, to who lacks a right; what is saved, and what is said."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from entra_places import SECRET, Entra, azure_settings, local_entra
from fault_places import Place, source
from nbvault.backup.survey import Survey
from nbvault.model import SessionReport, State
from nbvault.state.store import StateManager

FOLDER = "/Clients/2024/ENG-1001/NOTEBOOKS"
EDITED = f"{FOLDER}/00_ingest_ledger"
REVIEWERS = "fa4e907d-c16b-4a4c-9dfa-4906e5d171dd"


def key(mark: str) -> str:
    """A text that push protection takes for a key of a container registry; put together here, so none lies about."""
    return (mark * 42)[:42] + "+ACR" + "D" + "aaaaa"


@pytest.fixture
def place(served: Place) -> Place:
    """A remote behind a server that has rules."""
    return served


def require_reviewers(place: Place, **more: Any) -> None:
    """An administrator protects `main`, by the service's own API."""
    where = urlsplit(place.emulator.git_url)
    body = {
        "type": {"id": REVIEWERS},
        "isEnabled": True,
        "isBlocking": True,
        "settings": {"scope": [{"refName": "refs/heads/main", "matchKind": "Exact", "repositoryId": None}]},
        **more,
    }
    connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=10)
    headers = {"Authorization": f"Bearer {place.emulator.entra_token()}"}
    connection.request("POST", "/ORG/PROJECT/_apis/policy/configurations", json.dumps(body), headers)
    assert connection.getresponse().status == 200
    connection.close()


def held_back(report: SessionReport) -> dict[str, str]:
    """The notebooks that failed, and why."""
    return {problem.path: problem.reason for problem in report.problems if problem.state is State.FAILED}


# --- push protection -------------------------------------------------------------------------------------------------


def test_a_secret_is_held_back_and_the_rest_is_saved(place: Place) -> None:
    """A modified notebook keeps its last good version, a new one stays out; all others are on the remote."""
    place.emulator.azure_devops(push_protection=True)
    fine, new = f"{FOLDER}/05_aggregate_ledger", f"{FOLDER}/new"
    old = place.saved()
    place.emulator.edit(EDITED, source(f"a = 1\nkey = '{key('a')}'"))
    place.emulator.edit(fine, source("no secret"))
    place.emulator.create(new, source(f"'{key('b')}'"))
    report = place.sync()
    assert (report.status.value, report.exit_code, report.pushed) == ("partial", 3, True), report
    reason = (
        "held back for a secret: the remote's push protection found AzureContainerRegistryIdentifiableKey (SEC101/176)"
    )
    assert held_back(report) == {EDITED: f"{reason} in line 3", new: f"{reason} in line 2"}
    world = place.world()
    assert place.saved() == {**{p: d for p, d in world.items() if p != new}, EDITED: old[EDITED]}
    assert report.head == place.tip("main")


def test_a_notebook_that_moved_and_got_a_secret(place: Place) -> None:
    """It is moved, with its last good version."""
    place.emulator.azure_devops(push_protection=True)
    before = place.saved()[EDITED]
    place.emulator.move(EDITED, f"{FOLDER}/moved")
    place.emulator.edit(f"{FOLDER}/moved", source(f"'{key('a')}'"))
    report = place.sync()
    assert (report.exit_code, list(held_back(report))) == (3, [f"{FOLDER}/moved"])
    assert place.saved() == {**place.world(), f"{FOLDER}/moved": before}


def test_a_notebook_replaced_by_one_with_a_secret(place: Place) -> None:
    """Deleted and made anew at its path, as deployments do: the old content stays until the new one can be saved."""
    place.emulator.azure_devops(push_protection=True)
    before = place.saved()[EDITED]
    place.emulator.delete(EDITED)
    place.emulator.create(EDITED, source(f"'{key('a')}'"))
    report = place.sync()
    assert (report.exit_code, report.counts.deleted, list(held_back(report))) == (3, 0, [EDITED])
    assert place.saved() == {**place.world(), EDITED: before}


def test_what_was_exported_before_the_refusal_is_not_exported_again(place: Place) -> None:
    """A refusal costs a listing and no second export."""
    place.emulator.azure_devops(push_protection=True)
    for number in range(5):
        place.emulator.create(f"{FOLDER}/new{number}", source(f"number {number}"))
    place.emulator.edit(EDITED, source(f"'{key('a')}'"))
    place.emulator.reset_requests()
    report = place.sync(changes={"sync.recheck_days": 100_000})
    assert (report.exit_code, report.counts.saved, report.counts.failed) == (3, 5, 1)
    assert place.emulator.requests()["export"] == {"200": 6}


def test_a_held_back_notebook_is_saved_once_its_secret_is_gone(place: Place) -> None:
    """It is tried again each time: refused again, accepted by an administrator, and then clean."""
    place.emulator.azure_devops(push_protection=True)
    place.emulator.edit(EDITED, source(f"'{key('a')}'"))
    assert place.sync().exit_code == 3
    place.acknowledge(EDITED)
    report = place.sync()
    assert (report.exit_code, report.counts.failed) == (0, 1)
    place.emulator.edit(EDITED, source("read from a scope"))
    place.assert_whole(place.sync())


def test_secrets_in_the_first_session_of_all(fresh: Place) -> None:
    """In batches, with pushes between them: what is clean is saved, the rest is named, and no secret is there."""
    fresh.emulator.azure_devops(push_protection=True)
    paths = sorted(fresh.world())
    for place in (3, 30, 60):
        fresh.emulator.edit(paths[place], source(f"'{key('abc'[place % 3])}'"))
    report = fresh.sync(changes={"sync.batch_size": 10, "sync.push_every": 20})
    assert (report.exit_code, report.counts.failed, report.pushed) == (3, 3, True), report.error
    assert held_back(report).keys() == {paths[3], paths[30], paths[60]}
    assert fresh.saved() == {path: digest for path, digest in fresh.world().items() if path not in held_back(report)}
    there = fresh.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)")
    blobs = "\n".join(line.split()[0] for line in there.splitlines() if line.endswith("blob"))
    assert "+ACRDaaaaa" not in fresh.git("cat-file", "--batch", stdin=blobs + "\n")


def test_a_secret_that_another_machine_left_unpushed(place: Place) -> None:
    """A session whose push failed leaves the secret in a commit here; the next one leaves it out all the same."""
    place.emulator.edit(EDITED, source(f"'{key('a')}'"))
    place.emulator.faults({"kind": "drop", "when": "before", "match": {"endpoint": "git-push-pack", "after": 1}})
    assert place.sync().exit_code == 1
    place.emulator.faults()
    place.emulator.azure_devops(push_protection=True)
    report = place.sync()
    assert (report.exit_code, list(held_back(report))) == (3, [EDITED]), report


def test_a_secret_in_a_conclusion_that_was_never_pushed(fresh: Place) -> None:
    """A first session that came to its end and could not push: its main is given up, and everything else is saved."""
    path = min(fresh.world())
    fresh.emulator.edit(path, source(f"'{key('a')}'"))
    fresh.emulator.faults({"kind": "drop", "when": "before", "match": {"endpoint": "git-push-pack", "after": 1}})
    assert fresh.sync().exit_code == 1
    assert fresh.git("for-each-ref", "refs/heads/main", repo=fresh.local)
    fresh.emulator.faults()
    fresh.emulator.azure_devops(push_protection=True)
    report = fresh.sync()
    assert (report.exit_code, list(held_back(report))) == (3, [path]), report.error
    assert fresh.saved() == {each: digest for each, digest in fresh.world().items() if each != path}


def test_a_first_session_that_is_refused_at_its_end(fresh: Place) -> None:
    """The conclusion with the secret in it was made already, and is made anew without it."""
    fresh.emulator.azure_devops(push_protection=True)
    path = min(fresh.world())
    fresh.emulator.edit(path, source(f"'{key('a')}'"))
    report = fresh.sync()
    assert (report.exit_code, list(held_back(report))) == (3, [path]), report.error
    assert fresh.saved() == {each: digest for each, digest in fresh.world().items() if each != path}


# --- policies and rights ---------------------------------------------------------------------------------------------


def test_a_policy_on_main_is_named_and_what_was_saved_stays(place: Place) -> None:
    """`backup/daily` has the work; `main` does not move; the error says which policy, and what to click."""
    require_reviewers(place)
    place.emulator.edit(EDITED, source("edited"))
    tip = place.tip("main")
    report = place.sync()
    place.assert_nothing_claimed(report)
    assert (report.exit_code, place.tip("main")) == (1, tip)
    for words in ("TF402455", "main", "Minimum number of reviewers", "'Bypass policies when pushing'"):
        assert words in report.error
    assert "edited" in place.git("show", "backup/daily:2024/ENG-1001/NOTEBOOKS/00_ingest_ledger.py")
    place.emulator.azure_devops(rights={"PolicyExempt": True})
    after = place.sync()
    place.assert_whole(after)


@pytest.mark.parametrize("more", [{"isEnabled": False}, {"isBlocking": False}, {"settings": {"scope": []}}])
def test_a_policy_that_does_not_guard_main_is_no_obstacle(place: Place, more: dict[str, Any]) -> None:
    """Switched off, optional, or about nothing."""
    require_reviewers(place, **more)
    place.emulator.edit(EDITED, source("edited"))
    place.assert_whole(place.sync())


def test_a_missing_right_is_named(place: Place) -> None:
    """Exit 6, one sentence: who lacks which right, and where to give it."""
    place.emulator.azure_devops(rights={"GenericContribute": False})
    report = place.sync()
    place.assert_nothing_claimed(report)
    assert report.exit_code == 6
    assert report.error.startswith("backup@clients.example may not push to ")
    assert "'Contribute'" in report.error


def test_a_wrong_token_is_one_sentence(place: Place) -> None:
    """Exit 6; nothing of the token, and nothing written."""
    place.environment["GIT_TOKEN"] = wrong = "x" * 20 + "wrong"
    shutil.rmtree(place.local)
    report = place.sync()
    place.assert_nothing_claimed(report)
    assert (report.exit_code, wrong in json.dumps(report.as_json())) == (6, False)
    assert "refuses the credentials" in report.error


# --- tokens that end in mid-run --------------------------------------------------------------------------------------


@pytest.fixture
def entra(tmp_path: Path, place: Place) -> Iterator[Entra]:
    """A local Microsoft Entra that gives tokens of this organisation, and the settings that lead there."""
    with local_entra(tmp_path) as made:
        made.mint = lambda lifetime_s: place.emulator.entra_token(lifetime_s=lifetime_s)
        place.environment |= {"ENTRA_SECRET": SECRET, "SSL_CERT_FILE": str(made.certificate)}
        yield made


ENTRA = {"vault.auth": "entra", "azure.client_secret": "env:ENTRA_SECRET"}


def at_stage(place: Place, words: str, then: Callable[[], None]) -> None:
    """Let something happen when the session comes to a stage, once."""
    told, done = place.screen.stage, []

    def stage(text: str) -> None:
        told(text)
        if words in text and not done:
            done.append(text)
            then()

    place.screen.stage = stage  # type: ignore[method-assign]


def audit_of(place: Place) -> list[tuple[str, str, str]]:
    """What the vault's own trail says of signing in: what, where, with what result."""
    names = [path for path in place.files("nbvault/meta") if path.startswith("records/audit-")]
    lines = [json.loads(line) for name in names for line in place.git("show", f"nbvault/meta:{name}").splitlines()]
    return [
        (line["action"], line["object"], line["result"])
        for line in lines
        if "token" in line["action"] or line["action"] == "authenticate"
    ]


def test_a_session_by_entra(place: Place, entra: Entra) -> None:
    """One token for the whole session; the trail in the vault and in the state store says who signed in."""
    place.emulator.azure_devops(first_pat=False)
    place.emulator.edit(EDITED, source("edited"))
    before = len(audit_of(place))
    place.assert_whole(place.sync(changes={**ENTRA, **azure_settings(entra)}))
    assert len(entra.asked) == 1
    expected = [("authenticate", "git", "ok"), ("authenticate", "workspace", "ok")]
    assert audit_of(place)[before:] == expected
    with StateManager(place.settings().state.connection_url()) as state:
        told = [event for event in state.audit() if event.action == "authenticate"][-2:]
    assert [(event.object, event.result) for event in told] == [("git", "ok"), ("workspace", "ok")]
    assert "backup-principal" in told[0].actor
    assert "by entra client_secret, until 20" in told[0].detail


def test_a_token_of_entra_that_expires_in_mid_run(place: Place, entra: Entra) -> None:
    """The pushes come after its end: a new one was asked for in time, and none was refused."""
    place.emulator.edit(EDITED, source("edited"))
    before = len(audit_of(place))

    def later() -> None:
        place.emulator.azure_devops(ahead_s=4000)
        place.clock.wait(4000)

    at_stage(place, "Committing", later)
    place.assert_whole(place.sync(changes={**ENTRA, **azure_settings(entra)}))
    assert len(entra.asked) == 2
    assert ("renew token", "git", "ok") in audit_of(place)[before:]
    assert ("authenticate", "git", "refused") not in audit_of(place)[before:]
    assert place.emulator.requests()["git-push-refs"].get("401") is None


def test_a_token_of_entra_that_is_revoked_in_mid_run(place: Place, entra: Entra) -> None:
    """Nobody told us that it would end: refused once, a new one is asked for, and the session goes on."""
    place.emulator.edit(EDITED, source("edited"))
    before = len(audit_of(place))
    at_stage(place, "Committing", lambda: place.emulator.azure_devops(ahead_s=4000))
    place.assert_whole(place.sync(changes={**ENTRA, **azure_settings(entra)}))
    assert len(entra.asked) == 2
    assert [each for each in audit_of(place)[before:] if each[1] == "git"][-2:] == [
        ("authenticate", "git", "refused"),
        ("renew token", "git", "ok"),
    ]


def test_a_token_of_the_workspace_that_expires_in_mid_run(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service principal of Databricks: the listing is refused once, and goes on with a new token."""
    monkeypatch.setenv("DATABRICKS_CLIENT_ID", "sp-1")
    monkeypatch.setenv("DATABRICKS_CLIENT_SECRET", "sp-secret")
    place.emulator.azure_devops(service_principals={"sp-1": {"secret": "sp-secret", "lifetime_s": 3600}})
    place.emulator.edit(EDITED, source("edited"))
    before = len(audit_of(place))
    watched = place.screen.watch

    def watch(survey: Survey) -> None:
        watched(survey)
        place.emulator.azure_devops(ahead_s=4000)

    place.screen.watch = watch  # type: ignore[method-assign]
    place.assert_whole(place.sync(changes={"workspace.token": ""}))
    assert place.emulator.requests()["oauth"]["200"] >= 3
    events = [each for each in audit_of(place)[before:] if each[1] == "workspace"]
    assert events == [
        ("authenticate", "workspace", "ok"),
        ("authenticate", "workspace", "refused"),
        ("renew token", "workspace", "ok"),
    ]
