"""The remote: looking, fetching, pushing; credentials in the environment only; every failure told by its kind."""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit

from nbvault.clock import Clock, SystemClock
from nbvault.errors import AuthenticationError, ConfigurationError, GitError, PushRefused, RemoteUnreachable, VaultError
from nbvault.gitstore.complaints import remote_failure
from nbvault.gitstore.runner import Completed, Git, TookTooLong, configure, masked

FILTER = "blob:none"
OBJECTS_A_FETCH = 5000
NAME = "origin"

_EVERYTHING = "--no-filter"
_MEMORY = "nbvault.fetch"

_AS_LONG_AS_A_TOKEN = 32
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SCP_LIKE = re.compile(r"[^/\\:]+@?[^/\\:]*:(?!//)[^\\]")
_JWT = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_MOVED = re.compile(
    r"fetch first|non-fast-forward|stale info|already been updated|incorrect old value|reference already exists"
    r"|is at [0-9a-f]{7,} but expected|\.lock': File exists|already exists\)?$"
)
# A server's reason may have several lines; git prints it as it came.
_PORCELAIN = re.compile(
    r"^(?P<flag>.)\t[^\t\n]*:(?P<ref>[^\t\n:]*)\t(?P<summary>.*?)(?=^.\t[^\t\n]*:[^\t\n:]*\t|^Done$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_Result = TypeVar("_Result")


class PushRef(NamedTuple):
    """What to push: a local commit (or any object) and the full name of the ref it is to be at the remote."""

    sha: str
    ref: str


class PushState(str, Enum):
    """What became of one ref of a push."""

    OK = "ok"
    UP_TO_DATE = "up to date"
    MOVED = "moved"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class PushResult:
    """The remote's answer for one ref; `reason` is in its own words where it did not take the ref."""

    state: PushState
    reason: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the remote's ref is now what was pushed."""
        return self.state in (PushState.OK, PushState.UP_TO_DATE)


def remote_url(text: str, *, base: Path) -> str:
    """The remote of the configuration as a URL for git: a local path becomes ``file://``, so depth and filter work.

    Raises:
        ConfigurationError: plain HTTP to another machine, or a password in the URL.
    """
    text = text.strip()
    if not text:
        raise ConfigurationError("vault.remote is empty.", hint="Name a Git URL or a local path.")
    if "://" not in text:
        return text if _is_scp_like(text) else (base / Path(text).expanduser()).resolve().as_uri()
    parts = urlsplit(text)
    if parts.scheme == "file":
        return text
    web = parts.scheme in ("http", "https")
    if parts.password or (web and len(parts.username or "") >= _AS_LONG_AS_A_TOKEN):
        raise ConfigurationError(
            f"The remote {masked(text)} has a password in its URL.",
            hint="Take it out and name the secret in vault.token, such as env:AZURE_DEVOPS_PAT.",
        )
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ConfigurationError(f"The remote {masked(text)} is plain HTTP.", hint="Use https://.")
    if parts.scheme not in ("http", "https", "ssh", "git+ssh"):
        raise ConfigurationError(f"The remote {masked(text)} is of no known kind.", hint="Use https:// or ssh://.")
    # Azure's own clone URLs name the organisation as a user, which would only make git ask for a password.
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if web else text


def _is_scp_like(text: str) -> bool:
    return bool(_SCP_LIKE.match(text)) and not text.startswith((".", "~"))


class _RefusedToken(Exception):
    """The remote has refused a token; not for others than `Remote`."""

    def __init__(self, error: AuthenticationError) -> None:
        super().__init__(str(error))
        self.error = error


class Answered(Protocol):
    """Who wants to know what became of a token."""

    def __call__(self, *, accepted: bool) -> bool:
        """The remote has taken or refused the last token; whether another one may be had."""


class Remote:
    """One remote repository, seen from one local one.

    Args:
        url: As from `remote_url`.
        name: What git calls it; the local repository's configuration knows ``origin`` only.
        token: Asked before every command, so that a token may change; None for none. Used for http(s) only.
        answered: Told after every command with a token whether the remote took it; where it did not, says whether
            another one may be had, and the command is tried once more.
        attempts: How often a command is tried where the remote does not answer.
        patience_s: No further attempt is begun after that many seconds.
        timeout_s: After so many seconds a command counts as unanswered; None trusts git, which notices within minutes.
        clock: Waits between attempts.
    """

    def __init__(
        self,
        git: Git,
        url: str,
        *,
        name: str = NAME,
        token: Callable[[], str | None] = lambda: None,
        answered: Answered | None = None,
        attempts: int = 5,
        patience_s: float = 60.0,
        timeout_s: float | None = None,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._git = git
        self.url = url
        self._name = name
        self._token = token
        self._answered = answered
        self._attempts = attempts
        self._patience_s = patience_s
        self._timeout_s = timeout_s
        self._clock = clock or SystemClock()
        self._jitter = jitter

    def seen_from(self, git: Git) -> Remote:
        """The same remote, with the same credentials and patience, for another local repository."""
        return self._like(git, self.url, self._name)

    def elsewhere(self, url: str, *, name: str) -> Remote:
        """Another remote of this local repository, which is given the same credentials.

        Args:
            url: As from `remote_url`, and one that may have them.
            name: Not ``origin``; a word.
        """
        return self._like(self._git, url, name)

    def _like(self, git: Git, url: str, name: str) -> Remote:
        return Remote(
            git,
            url,
            name=name,
            token=self._token,
            answered=self._answered,
            attempts=self._attempts,
            patience_s=self._patience_s,
            timeout_s=self._timeout_s,
            clock=self._clock,
            jitter=self._jitter,
        )

    def ls_remote(self) -> dict[str, str]:
        """Every branch and tag of the remote with its sha (of an annotated tag, the tag object's).

        Raises:
            AuthenticationError, ConfigurationError, RemoteUnreachable: see `complaints`.
        """
        # The old protocol answers in one request, the new one in two.
        command = ("-c", "protocol.version=0", "ls-remote", "--quiet", "--refs", self.url)
        done = self._retried(lambda: self._command(self._git, *command))
        lines = (line.split("\t", 1) for line in done.text.splitlines())
        return {ref: sha for sha, ref in lines}

    def fetch(
        self,
        refspecs: Sequence[str],
        *,
        depth: int | None = None,
        filter: str | None = FILTER,  # noqa: A002 - git's own word
        unshallow: bool = False,
    ) -> None:
        """Fetch refs or commits, without tags that are not named and without blobs.

        Where the server refuses the filter or the depth, more is fetched: first without depth, then without filter,
        then everything; what worked is remembered in the repository's configuration.

        Args:
            depth: So many commits of each ref; what is here beyond them is hidden from git.
            filter: ``blob:none`` leaves the blobs for `fetch_objects`; None fetches those of the commits that are new.
            unshallow: Get the whole history of a repository that has only its end.

        Raises:
            AuthenticationError, ConfigurationError, RemoteUnreachable, GitError: see `complaints`.
        """
        deepen = f"--depth={depth}" if depth is not None else ""
        if unshallow and (self._git.repo / "shallow").exists():
            deepen = "--unshallow"
        wanted = (f"--filter={filter}" if filter else _EVERYTHING, deepen)
        variants = _variants(wanted, self._refused())
        for variant in variants:
            try:
                self._fetch(variant, refspecs)
            except (AuthenticationError, ConfigurationError, RemoteUnreachable):
                raise
            except GitError as error:
                if variant == variants[-1] or not _may_be_about_options(error):
                    raise
            else:
                self._remember_refusals(wanted, variant)
                return

    def fetch_objects(self, oids: Iterable[str]) -> None:
        """Fetch these objects, 5,000 in a request; what is here already costs nothing but its name.

        Raises:
            VaultError: the remote does not have one of them.
            AuthenticationError, ConfigurationError, RemoteUnreachable, GitError: see `complaints`.
        """
        wanted = list(dict.fromkeys(oids))
        for start in range(0, len(wanted), OBJECTS_A_FETCH):
            names = "".join(f"{oid}\n" for oid in wanted[start : start + OBJECTS_A_FETCH])
            self._fetch_chunk(names.encode())

    def push(self, refs: Sequence[PushRef]) -> dict[str, PushResult]:
        """Push, never by force, and tell for each ref what became of it.

        Nothing is fetched for it, not even in a partial clone.

        Raises:
            PushRefused: the remote refused the push as a whole.
            AuthenticationError, ConfigurationError, RemoteUnreachable, GitError: see `complaints`.
        """
        if not refs:
            return {}
        specs = [f"{item.sha}:{item.ref}" for item in refs]
        found = self._retried(lambda: self._push(specs))
        lost = [item.ref for item in refs if item.ref not in found]
        if lost:
            raise PushRefused(f"The remote {self.url} gave no answer for {', '.join(lost)}.")
        return found

    def check_push(self, item: PushRef) -> None:
        """See that the remote would let us push, as far as its greeting: its rules for what arrives are not seen.

        Raises:
            AuthenticationError, ConfigurationError, RemoteUnreachable, PushRefused: see `complaints`.
        """
        self._command(self._git.offline(), "push", "--dry-run", "--no-verify", self.url, f"{item.sha}:{item.ref}")

    def _push(self, specs: Sequence[str]) -> dict[str, PushResult]:
        done = self._command(self._git.offline(), "push", "--porcelain", "--no-verify", self.url, *specs, ok=(0, 1))
        found = parse_push(done.stdout.decode("utf-8", "replace"), done.stderr)
        lost = b"[remote failure]" in done.stdout
        if lost or (done.returncode and all(result.accepted for result in found.values())):
            said = f"{done.stderr}\nfailed to report status" if lost else done.stderr
            raise remote_failure(self.url, said, pushing=True)
        return found

    def _fetch(self, variant: Sequence[str], refspecs: Sequence[str]) -> None:
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", *filter(None, variant))
        self._retried(lambda: self._command(self._git, *self._known(), "fetch", *options, self._name, *refspecs))

    def _fetch_chunk(self, names: bytes) -> None:
        options = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", f"--filter={FILTER}")
        command = (*self._known(), "-c", "fetch.negotiationAlgorithm=noop", "fetch", *options, "--stdin", self._name)
        try:
            self._retried(lambda: self._command(self._git, *command, stdin=names))
        except GitError as error:
            if "not our ref" in error.message or "unadvertised object" in error.message:
                raise VaultError(
                    f"The remote {self.url} does not have, or does not give, an object: {error}"
                ) from error
            raise

    def _known(self) -> tuple[str, ...]:
        """What tells git of a remote that its configuration does not name: one that gives missing objects, too."""
        if self._name == NAME:
            return ()
        settings = {"url": self.url, "promisor": "true", "partialCloneFilter": FILTER}
        return tuple(part for key, value in settings.items() for part in ("-c", f"remote.{self._name}.{key}={value}"))

    @property
    def _memory(self) -> str:
        """Where the configuration says what this remote refused before."""
        return _MEMORY if self._name == NAME else f"nbvault.{self._name}.fetch"

    def _refused(self) -> frozenset[str]:
        """What this remote refused before: ``filter``, ``depth``, or both."""
        return frozenset(self._git.run("config", "--local", "--get", self._memory, ok=(0, 1)).text.split())

    def _remember_refusals(self, wanted: tuple[str, str], taken: tuple[str, str]) -> None:
        refused = {name for name, old, new in zip(("filter", "depth"), wanted, taken, strict=True) if old != new}
        if refused - self._refused():
            configure(self._git, {self._memory: " ".join(sorted(refused | self._refused()))})

    def _command(self, git: Git, *args: str, stdin: bytes | None = None, ok: Sequence[int] = (0,)) -> Completed:
        """One command that talks to the remote, with credentials asked for anew; once more where others may be had."""
        try:
            return self._try(git, *args, stdin=stdin, ok=ok)
        except _RefusedToken as refused:
            if self._answered is None or not self._answered(accepted=False):
                raise refused.error from None
        try:
            return self._try(git, *args, stdin=stdin, ok=ok)
        except _RefusedToken as refused:
            raise refused.error from None

    @property
    def is_web(self) -> bool:
        """Whether it is spoken to by HTTP."""
        return self.url.startswith(("http://", "https://"))

    def signing_in(self) -> tuple[Mapping[str, str], Sequence[str], Callable[[], None]]:
        """For who speaks to this remote by another command: environment, secrets, and what to call if it was taken.

        Raises:
            AuthenticationError: there is no token to be had.
        """
        token = self._token() if self.is_web else None
        return *credentials(self.url, token), lambda: self._took(token)

    def _took(self, token: str | None) -> None:
        if token and self._answered is not None:
            self._answered(accepted=True)

    def _try(self, git: Git, *args: str, stdin: bytes | None, ok: Sequence[int]) -> Completed:
        token = self._token() if self.is_web else None
        environment, secrets = credentials(self.url, token)
        done = self._run(git, *args, stdin=stdin, environment=environment, secrets=secrets)
        if done.returncode not in ok:
            failure = remote_failure(self.url, done.stderr, pushing="push" in args, folder=git.repo)
            if isinstance(failure, AuthenticationError) and not token:
                raise AuthenticationError(
                    f"The remote {self.url} wants credentials, and none are configured.",
                    hint='Set vault.token, such as "env:AZURE_DEVOPS_PAT", and that variable.',
                )
            if isinstance(failure, AuthenticationError):
                raise _RefusedToken(failure)
            raise failure
        self._took(token)
        return done

    def _run(self, git: Git, *args: str, **more: Any) -> Completed:
        try:
            return git.run(*args, ok=range(-64, 256), timeout_s=self._timeout_s, **more)
        except TookTooLong as error:
            hint = "Check the network, the proxy settings and the address in vault.remote."
            raise RemoteUnreachable(
                f"The remote {self.url} gave no answer in {self._timeout_s:.0f} s.", hint=hint
            ) from error

    def _retried(self, attempt: Callable[[], _Result]) -> _Result:
        """The one place where git commands are tried again: only where the remote did not answer."""
        begun = self._clock.monotonic()
        for number in range(1, self._attempts):
            try:
                return attempt()
            except RemoteUnreachable:
                pause = min(2.0 ** (number - 1), 30.0) * (0.5 + self._jitter())
                if self._clock.monotonic() - begun + pause > self._patience_s:
                    raise
                self._clock.wait(pause)
        return attempt()


def credentials(url: str, token: str | None) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """The environment that hands a token to git, and the texts that must not be shown.

    The header goes to this URL only: redirects are not followed.
    """
    settings = {"credential.helper": ""}
    secrets: tuple[str, ...] = ()
    if token:
        basic = base64.b64encode(f":{token}".encode()).decode()
        header = f"Bearer {token}" if _JWT.fullmatch(token) else f"Basic {basic}"
        settings |= {f"http.{url}.extraHeader": f"Authorization: {header}", "http.followRedirects": "false"}
        secrets = (token, basic)
    environment = {"GIT_CONFIG_COUNT": str(len(settings))}
    for place, (name, value) in enumerate(settings.items()):
        environment |= {f"GIT_CONFIG_KEY_{place}": name, f"GIT_CONFIG_VALUE_{place}": value}
    return environment, secrets


def parse_push(stdout: str, stderr: str) -> dict[str, PushResult]:
    """What `git push --porcelain` says of each ref, by the ref's name at the remote."""
    found: dict[str, PushResult] = {}
    for entry in _PORCELAIN.finditer(stdout):
        found[entry["ref"]] = _push_result(entry["flag"], entry["summary"].rstrip(), stderr)
    return found


def _push_result(flag: str, summary: str, stderr: str) -> PushResult:
    if flag == "=":
        return PushResult(PushState.UP_TO_DATE)
    if flag != "!":
        return PushResult(PushState.OK)
    said = [line.removeprefix("remote:").strip() for line in stderr.splitlines() if line.startswith("remote:")]
    told = "; ".join([summary, *filter(None, said)])
    vague = "failed to update ref" in summary or "cannot lock ref" in summary
    moved = _MOVED.search(told if vague else summary) or "TF401028" in told
    return PushResult(PushState.MOVED if moved else PushState.REFUSED, told)


def _variants(wanted: tuple[str, str], refused: Collection[str]) -> list[tuple[str, str]]:
    """Ways to fetch, the thriftiest first: with filter and depth, filter, depth, neither."""
    kind, deepen = wanted
    kinds = [kind, _EVERYTHING] if "filter" not in refused else [_EVERYTHING]
    depths = [deepen, ""] if "depth" not in refused else [""]
    # Less than what `--unshallow` asks for would be no answer to it.
    depths = [deepen] if deepen == "--unshallow" else depths
    return list(dict.fromkeys((kind, depth) for kind in kinds for depth in depths))


def _may_be_about_options(error: GitError) -> bool:
    others = ("remote ref", "No space left", "Read-only file system")
    return not any(words in error.message for words in others)
