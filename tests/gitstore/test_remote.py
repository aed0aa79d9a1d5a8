"""The remote: addresses, credentials, fetching and pushing, and what each failure is called."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from git_places import ENVIRONMENT, MAIN, SteppingClock, commit_files, fill, local_of, make_server, recording_git
from nbvault.errors import (
    AuthenticationError,
    ConfigurationError,
    GitError,
    NbvaultError,
    NoRepository,
    PushRefused,
    RemoteUnreachable,
    VaultError,
)
from nbvault.gitstore.blobs import missing_objects
from nbvault.gitstore.cache import open_cache
from nbvault.gitstore.complaints import remote_failure
from nbvault.gitstore.reader import ls_tree, resolve
from nbvault.gitstore.remote import PushRef, PushState, Remote, credentials, remote_url
from nbvault.gitstore.runner import Git
from nbvault_emulator.testing import Emulator

JWT = "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """A Git server over real HTTP with credentials and faults."""
    with Emulator(notebooks=1) as running:
        yield running


@pytest.fixture
def over_http(tmp_path: Path, emulator: Emulator) -> Iterator[tuple[Git, Remote]]:
    """A local repository of the emulator's vault."""
    git = open_cache(tmp_path / "http.git", url=emulator.git_url, base_environment=ENVIRONMENT).git
    yield git, Remote(git, emulator.git_url, token=lambda: emulator.git_token, clock=SteppingClock())
    emulator.faults()


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("vault.git", "file:///base/vault.git"),
        ("/srv/a b/ü.git", "file:///srv/a%20b/%C3%BC.git"),
        ("file:///srv/x.git", "file:///srv/x.git"),
        ("https://ORG@dev.azure.com/ORG/P/_git/R", "https://dev.azure.com/ORG/P/_git/R"),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("ssh://git@ssh.dev.azure.com/v3/ORG/P/R", "ssh://git@ssh.dev.azure.com/v3/ORG/P/R"),
        ("git@ssh.dev.azure.com:v3/ORG/P/R", "git@ssh.dev.azure.com:v3/ORG/P/R"),
        ("./odd:name", "file:///base/odd%3Aname"),
    ],
)
def test_addresses_become_urls(text: str, url: str) -> None:
    """Local paths become absolute file URLs; those of servers stay, without a user for http(s)."""
    assert remote_url(text, base=Path("/base")) == url


@pytest.mark.parametrize(
    "text", ["", "http://dev.azure.com/x", "https://me:pw@h/x", f"https://{'t' * 52}@h/x", "ftp://h/x", "ext::sh -c x"]
)
def test_unsafe_addresses_are_refused_without_being_quoted(text: str) -> None:
    """Plain HTTP, secrets in the URL, and helpers that run programs are errors of configuration that show no secret."""
    if text.startswith("ext::"):
        assert not remote_url(text, base=Path("/base")).startswith("file:")
        return
    with pytest.raises(ConfigurationError) as caught:
        remote_url(text, base=Path("/base"))
    assert "pw" not in str(caught.value)
    assert "ttt" not in str(caught.value)


def test_a_path_with_spaces_works(tmp_path: Path) -> None:
    """The file URL of an odd path is understood by git."""
    server = make_server(tmp_path / "Ü %20 #?.git")
    sha = fill(server, tmp_path / "work.git", {"a": b"1"})
    assert resolve(server, MAIN) == sha


def test_tokens_go_by_header_to_that_url_only() -> None:
    """A personal token as Basic, a JWT as Bearer; other helpers are off and redirects are not followed."""
    environment, secrets = credentials("https://h/x", "pat")
    basic = base64.b64encode(b":pat").decode()
    assert secrets == ("pat", basic)
    pairs = {environment[f"GIT_CONFIG_KEY_{n}"]: environment[f"GIT_CONFIG_VALUE_{n}"] for n in range(3)}
    assert pairs == {
        "credential.helper": "",
        "http.https://h/x.extraHeader": f"Authorization: Basic {basic}",
        "http.followRedirects": "false",
    }
    assert f"Authorization: Bearer {JWT}" in credentials("https://h/x", JWT)[0].values()
    assert credentials("https://h/x", None)[0] == {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "credential.helper",
        "GIT_CONFIG_VALUE_0": "",
    }


def test_a_round_trip_over_http(tmp_path: Path, over_http: tuple[Git, Remote], emulator: Emulator) -> None:
    """Push, look, clone thin, and fetch blobs in one batch, with the token asked for at every command."""
    git, remote = over_http
    sha = commit_files(git, {f"{n}": b"v%d" % n for n in range(50)}, ref="refs/heads/trip")
    assert remote.push([PushRef(sha, "refs/heads/trip")])["refs/heads/trip"].state is PushState.OK
    assert remote.ls_remote()["refs/heads/trip"] == sha
    asked: list[str] = []

    def token() -> str:
        asked.append("once")
        return emulator.git_token

    other = open_cache(tmp_path / "other.git", url=emulator.git_url, base_environment=ENVIRONMENT).git
    thin = Remote(other, emulator.git_url, token=token)
    thin.fetch(["+refs/heads/trip:refs/heads/trip"], depth=1)
    blobs = [entry.oid for entry in ls_tree(other, sha)]
    assert len(missing_objects(other, blobs)) == 50
    emulator.reset_requests()
    thin.fetch_objects(blobs)
    assert missing_objects(other, blobs) == []
    assert sum(emulator.requests()["git-fetch-pack"].values()) <= 2
    assert len(asked) == 2


def test_tokens_appear_nowhere(tmp_path: Path, over_http: tuple[Git, Remote], emulator: Emulator) -> None:
    """Not in any command line of git, not in the repository's files, not in errors; only in the environment."""
    environment, record = recording_git(tmp_path / "bin")
    git = Git(over_http[0].repo, environment)
    sha = commit_files(git, {"a": b"1"}, ref="refs/heads/secretive")
    remote = Remote(git, emulator.git_url, token=lambda: emulator.git_token)
    remote.push([PushRef(sha, "refs/heads/secretive")])
    remote.fetch(["refs/heads/secretive"], depth=1)
    remote.ls_remote()
    basic = base64.b64encode(f":{emulator.git_token}".encode()).decode()
    written = b"".join(path.read_bytes() for path in [record, *git.repo.rglob("*")] if path.is_file())
    assert b"push --porcelain" in written
    assert b"GIT_CONFIG_VALUE_1" in written
    assert emulator.git_token.encode() not in written
    assert basic.encode() not in written
    wrong = Remote(git, emulator.git_url, token=lambda: "wrong-token-42")
    with pytest.raises(AuthenticationError) as caught:
        wrong.ls_remote()
    assert "wrong-token-42" not in repr(caught.value) + str(caught.value)


@pytest.mark.parametrize("token", ["wrong", None])
def test_bad_credentials_are_called_so(over_http: tuple[Git, Remote], emulator: Emulator, token: str | None) -> None:
    """A wrong or missing token is refused at once, without retries and without a prompt."""
    git, _ = over_http
    clock = SteppingClock()
    remote = Remote(git, emulator.git_url, token=lambda: token, clock=clock)
    with pytest.raises(AuthenticationError) as caught:
        remote.ls_remote()
    assert "vault.token" in caught.value.hint
    assert clock.waits == []


def test_a_missing_repository_is_configuration(
    tmp_path: Path, over_http: tuple[Git, Remote], emulator: Emulator
) -> None:
    """A path without a repository, by file or by HTTP, is an error of configuration."""
    emulator.faults({"kind": "status", "status": 404, "match": {"endpoint": "git"}})
    url = (tmp_path / "none").as_uri()
    for remote in (over_http[1], Remote(over_http[0], url)):
        with pytest.raises(ConfigurationError, match="no Git repository"):
            remote.ls_remote()


@pytest.mark.parametrize(
    "kind", [{"kind": "status", "status": 503}, {"kind": "status", "status": 429}, {"kind": "drop"}]
)
def test_a_passing_trouble_is_waited_out(
    over_http: tuple[Git, Remote], emulator: Emulator, kind: dict[str, object]
) -> None:
    """Server errors, too many requests and broken connections are tried again with growing pauses."""
    git, _ = over_http
    clock = SteppingClock()
    remote = Remote(git, emulator.git_url, token=lambda: emulator.git_token, clock=clock, jitter=lambda: 0.5)
    emulator.faults({**kind, "match": {"endpoint": "git", "times": 2}})
    assert isinstance(remote.ls_remote(), dict)
    assert clock.waits == [1.0, 2.0]


def test_a_remote_that_stays_away_is_unreachable(tmp_path: Path) -> None:
    """Nothing listens: after the attempts allowed, or when patience ends, the error says so."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
        git = open_cache(tmp_path / "x.git", url=url, base_environment=ENVIRONMENT).git
        clock = SteppingClock()
        with pytest.raises(RemoteUnreachable):
            Remote(git, url, clock=clock, attempts=3, jitter=lambda: 0.5).ls_remote()
        assert clock.waits == [1.0, 2.0]
        with pytest.raises(RemoteUnreachable):
            Remote(git, url, clock=clock, patience_s=0.0).ls_remote()
        assert clock.waits == [1.0, 2.0]


def test_a_remote_that_moved_is_told_from_one_that_refuses(tmp_path: Path, server: Git) -> None:
    """One push, four outcomes: taken, already there, moved on meanwhile, refused by a hook in its own words."""
    git, remote = local_of(server, tmp_path / "one.git")
    base = commit_files(git, {"a": b"1"})
    refs = ["refs/heads/main", "refs/heads/same", "refs/heads/protected"]
    assert all(result.accepted for result in remote.push([PushRef(base, ref) for ref in refs]).values())
    fill_other = local_of(server, tmp_path / "two.git")
    fill_other[1].fetch([f"+{MAIN}:{MAIN}"])
    theirs = commit_files(fill_other[0], {"b": b"2"}, parents=[base])
    fill_other[1].push([PushRef(theirs, MAIN)])
    hook = server.repo / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ncase "$1" in *protected) echo "TF402455: use a pull request" >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    ours = commit_files(git, {"c": b"3"}, parents=[base])
    wanted = [PushRef(ours, MAIN), PushRef(base, refs[1]), PushRef(ours, refs[2]), PushRef(ours, "refs/heads/new")]
    found = remote.push(wanted)
    assert {ref: result.state for ref, result in found.items()} == {
        MAIN: PushState.MOVED,
        refs[1]: PushState.UP_TO_DATE,
        refs[2]: PushState.REFUSED,
        "refs/heads/new": PushState.OK,
    }
    assert "TF402455" in found[refs[2]].reason
    assert resolve(server, MAIN) == theirs


def test_an_older_commit_is_never_pushed_over_a_newer(tmp_path: Path, server: Git) -> None:
    """Going back is `moved`, though both commits are known here."""
    git, remote = local_of(server, tmp_path / "one.git")
    old = commit_files(git, {"a": b"1"})
    new = commit_files(git, {"a": b"2"}, parents=[old])
    remote.push([PushRef(new, MAIN)])
    assert remote.push([PushRef(old, MAIN)])[MAIN].state is PushState.MOVED
    assert remote.push([]) == {}


def test_a_name_below_a_branch_is_refused_not_moved(tmp_path: Path, server: Git) -> None:
    """`main/x` beside `main` can never be; trying again would not help."""
    git, remote = local_of(server, tmp_path / "one.git")
    sha = commit_files(git, {"a": b"1"})
    remote.push([PushRef(sha, MAIN)])
    assert remote.push([PushRef(sha, f"{MAIN}/x")])[f"{MAIN}/x"].state is PushState.REFUSED


def test_a_race_at_the_server_is_moved(over_http: tuple[Git, Remote], emulator: Emulator) -> None:
    """The remote moves between its answer and our objects: told apart from a refusal, and people's commit stays."""
    git, remote = over_http
    base = commit_files(git, {"a": b"1"}, ref="refs/heads/raced")
    remote.push([PushRef(base, "refs/heads/raced")])
    emulator.faults({"kind": "remote-moved", "branch": "raced", "match": {"times": 1}})
    ours = commit_files(git, {"b": b"2"}, ref="refs/heads/raced", parents=[base])
    assert remote.push([PushRef(ours, "refs/heads/raced")])["refs/heads/raced"].state is PushState.MOVED
    assert remote.ls_remote()["refs/heads/raced"] not in (base, ours)


def test_a_policy_over_http_is_a_refusal(over_http: tuple[Git, Remote], emulator: Emulator) -> None:
    """A branch policy refuses, and its words are the reason."""
    git, remote = over_http
    sha = commit_files(git, {"a": b"policy"}, ref="refs/heads/policy")
    emulator.faults({"kind": "push-rejected"})
    result = remote.push([PushRef(sha, "refs/heads/policy")])["refs/heads/policy"]
    assert result.state is PushState.REFUSED
    assert "TF402455" in result.reason


def test_a_push_whose_answer_is_lost_is_found_done(over_http: tuple[Git, Remote], emulator: Emulator) -> None:
    """The server took the push and the connection broke: the next attempt finds it there."""
    git, remote = over_http
    sha = commit_files(git, {"a": b"lost"}, ref="refs/heads/lost")
    emulator.faults({"kind": "drop", "match": {"endpoint": "git-push-pack", "times": 1}})
    assert remote.push([PushRef(sha, "refs/heads/lost")])["refs/heads/lost"].accepted
    assert remote.ls_remote()["refs/heads/lost"] == sha


@pytest.mark.parametrize("configured", ["true", "false"])
def test_a_server_without_filters_still_serves(tmp_path: Path, server: Git, configured: str) -> None:
    """Where the server ignores the filter, everything comes, and what is asked for by id is simply there."""
    fill(server, tmp_path / "work.git", {"a": b"1"})
    server.run("config", "uploadpack.allowFilter", configured)
    git, remote = local_of(server, tmp_path / "local.git")
    remote.fetch([f"+{MAIN}:{MAIN}"], depth=1)
    blobs = [entry.oid for entry in ls_tree(git, MAIN)]
    assert bool(missing_objects(git, blobs)) == (configured == "true")
    remote.fetch_objects(blobs)
    assert missing_objects(git, blobs) == []


@pytest.mark.parametrize(
    ("refused", "remembered", "has_history", "has_blobs"),
    [
        ("*--filter=b*--depth*", "depth", True, False),
        ("*--depth*", "depth", True, False),
        ("*--filter=b*", "filter", False, True),
        ("*--filter=b*|*--depth*", "depth filter", True, True),
    ],
)
def test_what_the_server_refuses_is_left_out_and_remembered(
    tmp_path: Path, server: Git, *, refused: str, remembered: str, has_history: bool, has_blobs: bool
) -> None:
    """Depth and filter, filter alone, depth alone, everything: the first that works is taken, next time at once."""
    first = fill(server, tmp_path / "work.git", {"a": b"1"})
    work, pusher = local_of(server, tmp_path / "work.git")
    pusher.push([PushRef(commit_files(work, {"a": b"2"}, parents=[first]), MAIN)])
    # A git that refuses these options stands for servers that do; no server here can be made to.
    environment, record = recording_git(tmp_path / "bin")
    wrapper = tmp_path / "bin" / "git"
    refusal = f'case "$*" in {refused}) echo "fatal: remote error: not supported" >&2; exit 128;; esac'
    wrapper.write_text(wrapper.read_text().replace("\nexec", f"\n{refusal}\nexec"))
    plain, remote = local_of(server, tmp_path / "local.git")
    git = Git(plain.repo, environment)
    picky = Remote(git, remote.url, clock=SteppingClock())
    picky.fetch([f"+{MAIN}:{MAIN}"], depth=1)
    assert git.text("config", "nbvault.fetch") == remembered
    assert bool(resolve(git, f"{MAIN}~1")) == has_history
    assert (missing_objects(git, [entry.oid for entry in ls_tree(git, MAIN)]) == []) == has_blobs
    record.unlink()
    picky.fetch([f"+{MAIN}:{MAIN}"], depth=1)
    assert len([line for line in record.read_text().splitlines() if re.match("ARGV .* fetch ", line)]) == 1


def test_depth_can_be_had_later(tmp_path: Path, server: Git) -> None:
    """A clone of depth 1 can be given its history, still without blobs."""
    first = fill(server, tmp_path / "work.git", {"a": b"1"})
    work, pusher = local_of(server, tmp_path / "work.git")
    pusher.push([PushRef(commit_files(work, {"a": b"2"}, parents=[first]), MAIN)])
    git, remote = local_of(server, tmp_path / "local.git")
    remote.fetch([f"+{MAIN}:{MAIN}"], depth=1)
    assert resolve(git, f"{MAIN}~1") is None
    remote.fetch([f"+{MAIN}:{MAIN}"], unshallow=True)
    assert resolve(git, f"{MAIN}~1") == first
    assert missing_objects(git, [entry.oid for entry in ls_tree(git, first)])
    remote.fetch([f"+{MAIN}:{MAIN}"], unshallow=True)


def test_a_commit_is_fetched_by_its_sha(tmp_path: Path, server: Git) -> None:
    """A commit may be fetched by name of its sha, into a ref or not; with filter None its blobs come too."""
    sha = fill(server, tmp_path / "work.git", {"a": b"1"})
    git, remote = local_of(server, tmp_path / "local.git")
    remote.fetch([sha], depth=1, filter=None)
    assert missing_objects(git, [sha, *(entry.oid for entry in ls_tree(git, sha))]) == []
    remote.fetch([f"+{sha}:refs/heads/x"], depth=1)
    assert resolve(git, "refs/heads/x") == sha


def test_what_the_remote_does_not_have_is_named(tmp_path: Path, server: Git) -> None:
    """An object that the remote lacks is an error of the vault; a branch that it lacks is one of git."""
    fill(server, tmp_path / "work.git", {"a": b"1"})
    _, remote = local_of(server, tmp_path / "local.git")
    with pytest.raises(VaultError, match="1" * 40):
        remote.fetch_objects(["1" * 40])
    with pytest.raises(GitError, match="remote ref"):
        remote.fetch(["refs/heads/none"], depth=1)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("fatal: could not read Username for 'https://h': terminal prompts disabled", AuthenticationError),
        ("fatal: Authentication failed for 'https://h/'", AuthenticationError),
        ("fatal: unable to access 'https://h/': The requested URL returned error: 403", AuthenticationError),
        ("fatal: unable to access 'https://h/': The requested URL returned error: 302", AuthenticationError),
        ("git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", AuthenticationError),
        ("fatal: repository 'https://h/x/' not found", NoRepository),
        ("remote: TF401019: The Git repository with name or identifier R does not exist", NoRepository),
        ("fatal: https://h/info/refs not valid: is this a git repository?", NoRepository),
        ("fatal: unable to access: SSL certificate problem: self signed certificate", ConfigurationError),
        ("Host key verification failed.", NoRepository),
        ("fatal: unable to access 'https://h/': Could not resolve host: h", RemoteUnreachable),
        ("error: RPC failed; HTTP 503 curl 22 The requested URL returned error: 503", RemoteUnreachable),
        ("fatal: the remote end hung up unexpectedly", RemoteUnreachable),
        ("ssh: connect to host h port 22: Connection timed out", RemoteUnreachable),
        ("error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413", PushRefused),
        ("remote: VS403654: The push was rejected because it contains one or more secrets.", PushRefused),
        ("fatal: write error: No space left on device", GitError),
        ("fatal: something never heard of", GitError),
    ],
)
def test_complaints_have_names(said: str, kind: type[NbvaultError]) -> None:
    """What git, curl, ssh and Azure Repos say is told apart."""
    assert type(remote_failure("https://h/x", said, pushing=True)) is kind
