"""Git over smart HTTP: the real `git http-backend` behind credentials, with pushes that can be refused or overtaken."""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from nbvault_emulator.backend import cgi_head, end, feed, output, start
from nbvault_emulator.faults import Fault
from nbvault_emulator.gate import Answer, Gate
from nbvault_emulator.http import Request, Response
from nbvault_emulator.organisation import Organisation
from nbvault_emulator.push_guard import MESSAGE as SECRETS_FOUND
from nbvault_emulator.receive import retold
from nbvault_emulator.world import WorldError

_PROJECT_PATH = "/ORG/PROJECT/_git/"
REPOSITORY_PATH = _PROJECT_PATH + "vault"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_ENDPOINTS = {
    ("GET", "/info/refs", "git-upload-pack"): "git-fetch-refs",
    ("GET", "/info/refs", "git-receive-pack"): "git-push-refs",
    ("POST", "/git-upload-pack", ""): "git-fetch-pack",
    ("POST", "/git-receive-pack", ""): "git-push-pack",
}
# git starts these for every push; what they refuse comes in their environment, so that concurrent pushes do not meet.
_UPDATE_HOOK = """#!/bin/sh
for pattern in $NBVAULT_EMULATOR_POLICIES; do
case "$1" in
$pattern) exit 1 ;;
esac
done
[ -n "$NBVAULT_EMULATOR_PROTECTED" ] || exit 0
case "$1" in
$NBVAULT_EMULATOR_PROTECTED) ;;
*) exit 0 ;;
esac
echo "${NBVAULT_EMULATOR_MESSAGE}" >&2
exit 1
"""
_PRE_RECEIVE_HOOK = """#!/bin/sh
[ -z "$NBVAULT_EMULATOR_FINDINGS" ] || exec "$NBVAULT_EMULATOR_PYTHON" "$NBVAULT_EMULATOR_GUARD"
[ -n "$NBVAULT_EMULATOR_DECLINE" ] || exit 0
echo "${NBVAULT_EMULATOR_MESSAGE}" >&2
exit 1
"""
_NOT_THERE = (
    "TF401019: The Git repository with name or identifier {name} does not exist or you do not have permissions for the "
    "operation you are attempting."
)
_NEEDS = (
    "TF401027: You need the Git '{right}' permission to perform this action. "
    "Details: identity '{caller}', scope 'repository'."
)
_GUARD = Path(__file__).with_name("push_guard.py")
_POLICY = "TF402455: Pushes to this branch are not permitted; you must use a pull request to update this branch."


class GitServer:
    """Serves the bare repositories of a directory: `vault.git` at `REPOSITORY_PATH`, and those made beside it."""

    def __init__(self, git_dir: Path, gate: Gate, organisation: Organisation) -> None:
        self._git_dir = git_dir
        self._gate = gate
        self._organisation = organisation
        self._prepare(git_dir / "vault.git")

    def make(self, name: str) -> str:
        """Make an empty repository, as an administrator does; returns the path of its URL.

        Raises:
            ValueError: the name is none, or taken.
        """
        repository = self._git_dir / f"{name}.git"
        if not _NAME.fullmatch(name) or name.endswith(".git"):
            raise ValueError(f"{name!r} is no name for a repository")
        if repository.exists():
            raise ValueError(f"there is a repository {name} already")
        self._prepare(repository)
        return _PROJECT_PATH + name

    def names(self) -> list[str]:
        """The names of all repositories."""
        return sorted(
            path.name.removesuffix(".git") for path in self._git_dir.glob("*.git") if (path / "HEAD").exists()
        )

    def set_default_branch(self, name: str, ref: str) -> None:
        """What a clone checks out."""
        _git(self._git_dir / f"{name}.git", "symbolic-ref", "HEAD", ref)

    def size_and_default_branch(self, name: str) -> tuple[int, str]:
        """Bytes of all packs and loose objects, and the branch of a clone; empty while that does not exist."""
        repository = self._git_dir / f"{name}.git"
        size = sum(path.stat().st_size for path in (repository / "objects").rglob("*") if path.is_file())
        head = _git(repository, "symbolic-ref", "HEAD").strip()
        return size, head if _git(repository, "for-each-ref", head) else ""

    def _prepare(self, repository: Path) -> None:
        if not (repository / "HEAD").exists():
            repository.mkdir(parents=True, exist_ok=True)
            _git(repository, "init", "--quiet", "--bare", "--initial-branch=main", ".")
        settings = {
            "http.receivepack": "true",
            "uploadpack.allowFilter": "true",
            "uploadpack.allowAnySHA1InWant": "true",
            "receive.denyDeletes": "false",
            "gc.auto": "0",
        }
        for name, value in settings.items():
            _git(repository, "config", name, value)
        for name, text in (("update", _UPDATE_HOOK), ("pre-receive", _PRE_RECEIVE_HOOK)):
            hook = repository / "hooks" / name
            hook.parent.mkdir(exist_ok=True)
            hook.write_text(text, encoding="utf-8")
            hook.chmod(0o755)

    def serves(self, path: str) -> bool:
        """Whether a path is one of this server's."""
        return path.startswith(_PROJECT_PATH)

    def read_blobs(self, url: str, oids: list[str]) -> dict[str, bytes]:
        """The bytes of these blobs of the repository at a URL of this server.

        Raises:
            WorldError: one is not here.
        """
        repository = self._git_dir / f"{url.rstrip('/').rpartition('/')[2].removesuffix('.git')}.git"
        wanted = list(dict.fromkeys(oids))
        done = subprocess.run(
            ["git", "cat-file", "--batch"],
            cwd=repository,
            env=_git_environment(repository),
            input="".join(f"{oid}\n" for oid in wanted).encode(),
            capture_output=True,
            check=False,
        )
        found, output = {}, io.BytesIO(done.stdout)
        for oid in wanted:
            head = output.readline().split()
            if len(head) != 3:
                raise WorldError(500, "GIT", f"There is no blob {oid}.")
            found[oid] = output.read(int(head[2]))
            output.read(1)
        return found

    def is_streamed(self, request: Request) -> bool:
        """Whether a request's body may be large and is to be handed on as it comes."""
        return request.method == "POST" and self.serves(request.path)

    def answer(self, request: Request) -> Answer:
        """The answer to a request that this server serves."""
        name, slash, rest = request.path.removeprefix(_PROJECT_PATH).partition("/")
        rest = slash + rest
        service = re.sub(r".*service=([a-z-]+).*", r"\1", request.query)
        endpoint = _ENDPOINTS.get((request.method, rest, service if rest == "/info/refs" else ""), "git-other")
        caller = self._organisation.caller(request.headers.get(b"authorization", b""))
        if caller is None:
            self._gate.shared.count(endpoint, 401)
            headers = (("WWW-Authenticate", 'Basic realm="https://dev.azure.com/ORG"'),)
            return Response(401, b"Access denied: sign in.", content_type="text/plain", headers=headers)
        repository = self._git_dir / f"{name}.git"
        if not _NAME.fullmatch(name) or not (repository / "HEAD").exists():
            self._gate.shared.count(endpoint, 404)
            return Response(404, _NOT_THERE.format(name=name).encode(), content_type="text/plain")
        if endpoint == "git-push-refs" and not self._organisation.may("GenericContribute"):
            self._gate.shared.count(endpoint, 403)
            return _may_not_push(caller)
        if endpoint == "git-push-pack" and request.header(b"content-length") == "4":
            # The empty request with which git tries its credentials before a large push is no push.
            return self._backend(endpoint, request, repository, rest, [])
        return self._gate.pass_through(
            endpoint, rest, lambda fired: self._backend(endpoint, request, repository, rest, fired)
        )

    async def _backend(
        self, endpoint: str, request: Request, repository: Path, rest: str, fired: list[Fault]
    ) -> Response:
        for fault in fired:
            if fault.kind == "remote-moved":
                await asyncio.to_thread(_move_on, repository, fault)
        environment = _environment(request, repository, rest, fired)
        restrictions = self._restrictions(repository) if endpoint == "git-push-pack" else {}
        if restrictions:
            return await self._judged(endpoint, request, {**environment, **restrictions})
        process = await start(environment)
        shared = self._gate.shared
        feeder = asyncio.create_task(feed(request, process, lambda size: shared.carried(endpoint, received=size)))
        try:
            status, headers = await cgi_head(process)
        except (asyncio.IncompleteReadError, asyncio.CancelledError):
            await end(process, feeder)
            raise
        content_type = headers.pop("content-type", "text/plain")
        drop = any(fault.kind == "drop" for fault in fired)
        return Response(
            status,
            content_type=content_type,
            headers=tuple(headers.items()),
            stream=output(process, feeder, lambda size: shared.carried(endpoint, sent=size), drop=drop),
        )

    def _restrictions(self, repository: Path) -> dict[str, str]:
        """What the organisation's rules would refuse, for the hooks."""
        branches = self._organisation.blocked_branches(repository.name.removesuffix(".git"))
        found = {"NBVAULT_EMULATOR_POLICIES": " ".join(branches)} if branches else {}
        if self._organisation.state()["push_protection"]:
            found |= {"NBVAULT_EMULATOR_PYTHON": sys.executable, "NBVAULT_EMULATOR_GUARD": str(_GUARD)}
        return found

    async def _judged(self, endpoint: str, request: Request, environment: dict[str, str]) -> Response:
        """A push under rules: its answer is collected, and told in the service's words."""
        with tempfile.TemporaryDirectory(prefix="nbvault-emulator-push-") as folder:
            findings = Path(folder) / "findings"
            if "NBVAULT_EMULATOR_GUARD" in environment:
                environment = {**environment, "NBVAULT_EMULATOR_FINDINGS": str(findings)}
            process = await start(environment)
            shared = self._gate.shared
            feeder = asyncio.create_task(feed(request, process, lambda size: shared.carried(endpoint, received=size)))
            try:
                status, headers = await cgi_head(process)
                body = await process.stdout.read(-1)
            finally:
                await end(process, feeder)
            found = findings.read_text(encoding="utf-8") if findings.exists() else ""
        reasons = {"*": found or _POLICY}
        body = retold(body, reasons=reasons, unpack=SECRETS_FOUND if found else "")
        shared.carried(endpoint, sent=len(body))
        content_type = headers.pop("content-type", "text/plain")
        return Response(status, body, content_type=content_type, headers=tuple(headers.items()))


def _may_not_push(caller: str) -> Response:
    """The real answer has its own protocol's first line in front, as git shows it."""
    said = _NEEDS.format(right="GenericContribute", caller=caller)
    body = f"001f# service=git-receive-pack\n0000{len(said) + 4:04x}{said}"
    return Response(403, body.encode(), content_type="text/plain")


def _environment(request: Request, repository: Path, rest: str, fired: list[Fault]) -> dict[str, str]:
    environment = {
        **_git_environment(repository),
        "GIT_PROJECT_ROOT": str(repository.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{repository.name}{rest}",
        "QUERY_STRING": request.query,
        "REQUEST_METHOD": request.method,
        "CONTENT_TYPE": request.header(b"content-type"),
        "REMOTE_USER": "nbvault",
        "REMOTE_ADDR": "127.0.0.1",
        **_refusals(fired),
    }
    for name, header in (
        ("CONTENT_LENGTH", b"content-length"),
        ("HTTP_CONTENT_ENCODING", b"content-encoding"),
        ("GIT_PROTOCOL", b"git-protocol"),
    ):
        if header in request.headers:
            environment[name] = request.header(header)
    if any(fault.kind == "no-partial-clone" for fault in fired):
        environment |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "uploadpack.allowFilter",
            "GIT_CONFIG_VALUE_0": "false",
        }
    return environment


def _move_on(repository: Path, fault: Fault) -> None:
    """Add a commit by a person to a branch: the remote is no longer where the pusher saw it."""
    branch = f"refs/heads/{fault.text('branch', 'main')}"
    path, content = fault.text("path", "people.md"), fault.text("content", "A person was here.\n")
    tip = _git(repository, "rev-parse", "--verify", "--quiet", branch, check=False).strip()
    blob = _git(repository, "hash-object", "-w", "--stdin", stdin=content).strip()
    index = repository / f"emulator-{os.getpid()}-{os.urandom(4).hex()}.index"
    try:
        more = {"GIT_INDEX_FILE": str(index)}
        _git(repository, "read-tree", *([tip] if tip else ["--empty"]), more=more)
        _git(repository, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", more=more)
        tree = _git(repository, "write-tree", more=more).strip()
    finally:
        index.unlink(missing_ok=True)
    parents = ["-p", tip] if tip else []
    message = fault.text("message", "Change by hand")
    person = _person(fault.text("author", "Pat Person <pat@clients.example>"))
    commit = _git(repository, "commit-tree", tree, *parents, "-m", message, more=person).strip()
    _git(repository, "update-ref", branch, commit)


def _git(
    repository: Path, *arguments: str, stdin: str = "", check: bool = True, more: dict[str, str] | None = None
) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=repository,
        env={**_git_environment(repository), **(more or {})},
        input=stdin.encode(),
        capture_output=True,
        check=False,
    )
    if check and done.returncode:
        raise WorldError(500, "GIT", f"git {arguments[0]}: {done.stderr.decode('utf-8', 'replace').strip()}")
    return done.stdout.decode("utf-8", "replace")


def _git_environment(repository: Path) -> dict[str, str]:
    # Nothing of the person who runs the emulator may change what the server does.
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(repository),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_COMMITTER_NAME": "Azure DevOps",
        "GIT_COMMITTER_EMAIL": "noreply@dev.azure.example",
        "LC_ALL": "C.UTF-8",
    }


def _person(text: str) -> dict[str, str]:
    name, _, mail = text.partition("<")
    who = {"NAME": name.strip() or "Someone", "EMAIL": mail.rstrip("> ") or "someone@clients.example"}
    return {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}


def _refusals(fired: list[Fault]) -> dict[str, str]:
    for fault in fired:
        if fault.kind == "push-rejected":
            message = {"NBVAULT_EMULATOR_MESSAGE": fault.text("message", _POLICY)}
            if "refs" in fault.data:
                return {"NBVAULT_EMULATOR_PROTECTED": fault.text("refs"), **message}
            return {"NBVAULT_EMULATOR_DECLINE": "1", **message}
    return {}
