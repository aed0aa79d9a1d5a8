"""The Git server with real git."""

from __future__ import annotations

import base64
import os
import random
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nbvault_emulator.testing import Emulator, EmulatorError


class Person:
    """Someone with a clone."""

    def __init__(self, emulator: Emulator, folder: Path, header: str | None = None) -> None:
        self.folder = folder
        credentials = base64.b64encode(f"anyone:{emulator.git_token}".encode()).decode()
        self.environment = {
            **os.environ,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_COUNT": "3",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": header or f"Authorization: Basic {credentials}",
            "GIT_CONFIG_KEY_1": "user.name",
            "GIT_CONFIG_VALUE_1": "Ana",
            "GIT_CONFIG_KEY_2": "user.email",
            "GIT_CONFIG_VALUE_2": "ana@x.org",
        }
        self.url = emulator.git_url

    def git(self, *arguments: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run git in the clone; ``status`` None accepts any failure."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == status if status is not None else done.returncode, done.stderr
        return done

    def start(self) -> None:
        """A repository with one commit on main and the emulator as origin."""
        self.folder.mkdir()
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", self.url)
        self.commit("first")

    def commit(self, name: str, content: str = "text") -> str:
        """One commit more."""
        (self.folder / name).write_text(content)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", name)
        return self.git("rev-parse", "HEAD").stdout.strip()


@pytest.fixture
def person(emulator: Emulator, tmp_path: Path) -> Person:
    """Someone whose first commit is on the server."""
    someone = Person(emulator, tmp_path / "clone")
    someone.start()
    someone.git("push", "-q", "origin", "main")
    return someone


def _heads(emulator: Emulator) -> dict[str, str]:
    listed = subprocess.run(
        ["git", "for-each-ref", "--format=%(refname:short) %(objectname)"],
        cwd=emulator.git_dir / "vault.git",
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split() for line in listed.stdout.splitlines())


def test_push_and_clone(emulator: Emulator, person: Person, tmp_path: Path) -> None:
    """What one pushes another clones: whole, shallow, and without blobs."""
    tip = person.commit("second")
    person.git("push", "-q", "origin", "main")
    assert _heads(emulator) == {"main": tip}
    for number, options in enumerate(([], ["--depth=1"], ["--filter=blob:none", "--bare", "--depth=1"])):
        target = tmp_path / f"copy{number}"
        person.git("clone", "-q", *options, person.url, str(target))
        assert subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=target, text=True).strip() == tip
    missing = subprocess.check_output(
        ["git", "rev-list", "--objects", "--missing=print", "HEAD"], cwd=target, text=True
    )
    assert sum(line.startswith("?") for line in missing.splitlines()) == 1


def test_large_pushes_arrive(emulator: Emulator, person: Person) -> None:
    """A push larger than git's buffer comes in chunks after an empty first request, and arrives."""
    (person.folder / "big").write_bytes(os.urandom(5_000_000))
    tip = person.commit("more")
    person.git("push", "-q", "origin", "main")
    assert _heads(emulator)["main"] == tip


def test_concurrent_requests(person: Person, tmp_path: Path) -> None:
    """Several clones at once all succeed."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: person.git("clone", "-q", person.url, str(tmp_path / f"c{n}")), range(4)))


@pytest.mark.parametrize("header", ["Authorization: Bearer {}", "Authorization: bearer {}"])
def test_bearer_tokens_are_taken(emulator: Emulator, person: Person, tmp_path: Path, header: str) -> None:
    """A token of the directory works as well as a personal one."""
    tmp_path.joinpath("x").mkdir()
    Person(emulator, tmp_path / "x", header.format(emulator.git_token)).git("ls-remote", person.url)


@pytest.mark.parametrize(
    "header",
    ["X-None: 1", "Authorization: Bearer wrong", "Authorization: Basic d3Jvbmc6d3Jvbmc=", "Authorization: Basic %%"],
)
def test_wrong_credentials_are_refused(emulator: Emulator, person: Person, tmp_path: Path, header: str) -> None:
    """Without the right token there is a 401 that asks for one."""
    tmp_path.joinpath("x").mkdir()
    stranger = Person(emulator, tmp_path / "x", header)
    failed = stranger.git("ls-remote", person.url, status=128)
    assert "could not read Username" in failed.stderr or "Authentication failed" in failed.stderr
    assert emulator.requests()["git-fetch-refs"]["401"] >= 1


def test_protected_branch(emulator: Emulator, person: Person) -> None:
    """A policy refuses one ref, with git's own answer; another ref of the same push goes through."""
    emulator.faults({"kind": "push-rejected", "refs": "refs/heads/main"})
    tip = person.commit("second")
    failed = person.git("push", "origin", "main", "main:refs/heads/other", status=1)
    assert "TF402455" in failed.stderr
    assert "! [remote rejected] main -> main (hook declined)" in failed.stderr
    assert _heads(emulator)["other"] == tip != _heads(emulator)["main"]


def test_pre_receive_hook(emulator: Emulator, person: Person) -> None:
    """A hook refuses a whole push, as often as asked."""
    emulator.faults({"kind": "push-rejected", "message": "secret found", "match": {"times": 1}})
    person.commit("second")
    failed = person.git("push", "origin", "main", status=1)
    assert "secret found" in failed.stderr
    assert "! [remote rejected] main -> main (pre-receive hook declined)" in failed.stderr
    person.git("push", "-q", "origin", "main")


@pytest.mark.parametrize("endpoint", ["git-push-refs", "git-push"])
def test_remote_moved_on(emulator: Emulator, person: Person, endpoint: str) -> None:
    """A person's commit arrives just before a push, which is then refused; the commit has their name."""
    emulator.faults(
        {
            "kind": "remote-moved",
            "branch": "main",
            "path": "docs/note.md",
            "content": "by hand",
            "author": "Pat P <pat@x.org>",
            "match": {"endpoint": endpoint, "nth": 1},
        }
    )
    person.commit("second")
    person.git("push", "origin", "main", status=1)
    person.git("fetch", "-q", "origin")
    shown = person.git("log", "-1", "--format=%an <%ae>", "--name-only", "origin/main").stdout.split("\n")
    assert shown[0] == "Pat P <pat@x.org>"
    assert "docs/note.md" in shown
    person.git("merge", "-q", "origin/main")
    person.git("push", "-q", "origin", "main")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 401},
        {"kind": "status", "status": 403},
        {"kind": "status", "status": 500},
        {"kind": "drop"},
        {"kind": "drop", "when": "mid-body"},
        {"kind": "hang", "seconds": 0.2},
    ],
)
@pytest.mark.parametrize("endpoint", ["git-fetch", "git-push"])
def test_a_server_that_fails(emulator: Emulator, person: Person, fault: dict[str, Any], endpoint: str) -> None:
    """Errors, silence and broken connections end git with an error, at fetch and at push; afterwards all is well."""
    person.commit("second")
    emulator.faults({**fault, "match": {"endpoint": endpoint}})
    action = ["fetch", "origin"] if endpoint == "git-fetch" else ["push", "origin", "main"]
    person.git(*action, status=None)
    emulator.faults()
    person.git(*action)


def test_push_whose_answer_is_lost(emulator: Emulator, person: Person) -> None:
    """The connection breaks after the server took the push: it happened, though the pusher saw an error."""
    tip = person.commit("second")
    emulator.faults({"kind": "drop", "when": "mid-body", "match": {"endpoint": "git-push-pack"}})
    person.git("push", "origin", "main", status=None)
    assert _heads(emulator)["main"] == tip


def test_server_without_partial_clone(emulator: Emulator, person: Person, tmp_path: Path) -> None:
    """Where filters are not allowed git says so, and sends everything."""
    emulator.faults({"kind": "no-partial-clone"})
    done = person.git("clone", "--bare", "--filter=blob:none", person.url, str(tmp_path / "copy"))
    assert "filtering not recognized by server" in done.stderr


def test_the_repository_is_kept(person: Person, tmp_path: Path) -> None:
    """An existing repository in the directory is served as it is."""
    with Emulator(notebooks=0, git_dir=tmp_path / "kept") as first:
        pusher = Person(first, person.folder)
        pusher.git("push", "-q", first.git_url, "main")
    with Emulator(notebooks=0, git_dir=tmp_path / "kept") as second:
        assert "refs/heads/main" in Person(second, person.folder).git("ls-remote", second.git_url).stdout


def test_traffic_is_counted(emulator: Emulator, person: Person, tmp_path: Path) -> None:
    """`/traffic` has the bytes of a push and of a clone, and what the pack's own overhead adds, until it is reset."""
    size = 300_000
    (person.folder / "noise").write_bytes(random.Random(1).randbytes(size))
    person.git("add", "-A")
    person.git("commit", "-q", "-m", "noise")
    emulator.reset_requests()
    person.git("push", "-q", "origin", "main")
    pushed = emulator.traffic()
    assert size < pushed["git-push-pack"]["received"] < size + 2000
    assert "git-fetch-pack" not in pushed
    person.git("clone", "-q", "--bare", person.url, str(tmp_path / "copy"))
    assert size < emulator.traffic()["git-fetch-pack"]["sent"] < size + 4000
    emulator.reset_requests()
    assert emulator.traffic() == {}


def test_several_repositories(emulator: Emulator, tmp_path: Path) -> None:
    """A repository that was made is served beside the first one, and one that was not made is not there."""
    person = Person(emulator, tmp_path / "clone")
    url = person.url = emulator.repository("vault-2027")
    person.start()
    person.git("push", "-q", "origin", "main")
    tip = person.git("rev-parse", "HEAD").stdout
    assert person.git("ls-remote", url, "refs/heads/main").stdout.split() == [tip.strip(), "refs/heads/main"]
    assert person.git("ls-remote", emulator.git_url).stdout == ""
    assert "not found" in person.git("ls-remote", url + "-2", status=None).stderr


@pytest.mark.parametrize("name", ["", "../vault", "a/b", "vault", ".git", "x.git"])
def test_repository_names(emulator: Emulator, name: str) -> None:
    """A repository is made only under a plain name that is free."""
    with pytest.raises(EmulatorError, match="400"):
        emulator.repository(name)
