"""Reading the vault: trees, commits and history, as streams and without a working tree."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import NamedTuple

from nbvault.errors import GitError, VaultError
from nbvault.gitstore.runner import Git, LongProcess, decode
from nbvault.model import Person

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

_CHUNK_BYTES = 256 * 1024
# Ends with a NUL of its own, so that a commit without changes ends like one with some.
_FIELDS = ("%H", "%T", "%P", "%an", "%ae", "%at", "%cn", "%ce", "%ct", "%s", "%B", "%(trailers:only,unfold)")
_FORMAT = "%x00".join(_FIELDS) + "%x00"
_OID = re.compile(r"[0-9a-f]{40}")


class TreeEntry(NamedTuple):
    """One file of a tree; `kind` is ``blob``, or ``commit`` for a submodule."""

    path: str
    mode: str
    kind: str
    oid: str


class TreeDifference(NamedTuple):
    """A path that differs between two trees; an id is empty where the path is absent."""

    path: str
    old_oid: str
    new_oid: str


class PathChange(NamedTuple):
    """What a commit did to a path, against its first parent: ``A``, ``M``, ``D``, or ``T`` for a change of kind."""

    status: str
    path: str


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit; times are aware, in UTC. `body` is the message without its subject, trailers included."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    author_at: datetime
    committer: Person
    committed_at: datetime
    subject: str
    body: str
    trailers: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A commit of a history; `changes` is empty unless the history was asked for with paths or changes."""

    commit: Commit
    changes: tuple[PathChange, ...] = ()

    @property
    def sha(self) -> str:
        """The commit's sha."""
        return self.commit.sha


def resolve(git: Git, revision: str) -> str | None:
    """The sha of a commit that is here; None if the revision names none."""
    done = git.offline().run(
        "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", ok=(0, 1, 128)
    )
    return done.text if done.returncode == 0 else None


def blob_in(git: Git, commit: str, path: str) -> str:
    """The blob at a path of a commit that is here; empty if there is none."""
    options = ("rev-parse", "--verify", "--quiet", "--end-of-options")
    done = git.offline().run(*options, f"{commit}:{path}", ok=(0, 1, 128))
    return done.text if done.returncode == 0 else ""


def ls_tree(git: Git, commit: str, path: str = "") -> Iterator[TreeEntry]:
    """All files of a commit's tree, or those below ``path``, sorted by path as Git does.

    Raises:
        GitError: the commit, or a tree of it, is not here.
    """
    below = ["--", path] if path else []
    options = ("-r", "-z", "--full-tree")
    with git.offline().spawn("--literal-pathspecs", "ls-tree", *options, commit, *below) as process:
        for record in _tokens(process):
            head, _, name = record.partition(b"\t")
            mode, kind, oid = head.decode().split()
            yield TreeEntry(decode(name), mode, kind, oid)


def entries_at(git: Git, commit: str, paths: Sequence[str]) -> list[TreeEntry]:
    """What a commit's tree has at these very paths, files and folders; needs trees only, no blobs.

    Of a path with a slash at its end, what is directly in that folder.
    """
    if not paths:
        return []
    listing = git.offline().run("--literal-pathspecs", "ls-tree", "-z", "--full-tree", commit, "--", *paths).stdout
    found = []
    for record in filter(None, listing.split(b"\0")):
        head, _, name = record.partition(b"\t")
        mode, kind, oid = head.decode().split()
        found.append(TreeEntry(decode(name), mode, kind, oid))
    return found


def diff_trees(git: Git, old: str, new: str) -> Iterator[TreeDifference]:
    """The paths in which two commits or trees differ; an empty name is the empty tree. Needs trees only, no blobs.

    Raises:
        GitError: a commit or a tree is not here.
    """
    sides = (old or EMPTY_TREE, new or EMPTY_TREE)
    options = ("-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--full-index")
    with git.offline().spawn("diff-tree", *options, *sides) as process:
        tokens = _tokens(process)
        for head in tokens:
            _, _, old_oid, new_oid, _ = head.decode().split()
            yield TreeDifference(decode(next(tokens)), _absent(old_oid), _absent(new_oid))


def commit_info(git: Git, sha: str) -> Commit:
    """One commit.

    Raises:
        VaultError: it is not here.
    """
    try:
        (entry,) = _log(git, ["--no-walk", f"{sha}^{{commit}}", "--"], changes=False)
    except GitError as error:
        raise VaultError(f"Commit {sha} is not in the local repository, or is damaged.") from error
    return entry.commit


def log(
    git: Git,
    tip: str,
    *,
    paths: Sequence[str] = (),
    first_parent: bool = False,
    changes: bool = False,
    limit: int | None = None,
    until: datetime | None = None,
    exclude: Sequence[str] = (),
) -> Iterator[LogEntry]:
    """The history of ``tip``, newest first.

    Args:
        paths: Only commits that changed one of these, taken literally, files or folders; they then name what they did.
        first_parent: Only the commits along first parents; merges then name what they brought, and otherwise nothing.
        changes: Name the changed paths even where no path was asked for.
        limit: At most that many.
        until: Only commits committed at this moment or before.
        exclude: Nothing that these commits can reach.

    Raises:
        GitError: the tip is not here.
    """
    options = ["--first-parent"] if first_parent else []
    options += [f"--max-count={limit}"] if limit is not None else []
    options += [f"--until={_date(until)}"] if until is not None else []
    options += [tip, *(f"^{sha}" for sha in exclude), "--", *paths]
    yield from _log(git, options, changes=changes or bool(paths))


def blob_log(
    git: Git,
    tip: str,
    *,
    exclude: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    saying: str = "",
) -> Generator[tuple[Commit, tuple[TreeDifference, ...]], None, None]:
    """The history of ``tip`` along first parents, newest first: each commit with the files that it set or removed.

    Needs commits and trees only, no blobs, and of commits that are not wanted no trees.

    Args:
        exclude: Nothing that these commits can reach.
        since: Only commits committed at this moment or after; commits know whole seconds.
        until: Only commits committed at this moment or before.
        saying: Only commits with this text in their message.

    Raises:
        GitError: the tip is not here.
    """
    tips = [tip, *(f"^{sha}" for sha in exclude)]
    tips += [f"--since={_date(since)}"] if since is not None else []
    tips += [f"--until={_date(until)}"] if until is not None else []
    tips += ["--fixed-strings", f"--grep={saying}"] if saying else []
    shape = ("-z", f"--format=tformat:{_FORMAT}", "--raw", "--no-abbrev", "--no-renames", "--root", "--first-parent")
    with git.offline().spawn("log", *shape, "--encoding=UTF-8", "--no-color", "--no-mailmap", *tips, "--") as process:
        tokens = _tokens(process)
        token = next(tokens, None)
        while token is not None:
            fields = [token, *(next(tokens) for _ in _FIELDS[1:])]
            token, found = _differences(tokens)
            yield _commit([decode(field) for field in fields]), found


def _date(moment: datetime) -> str:
    """As git is told a date: a number alone it takes for one only from 1973 on, and none before 1970."""
    return f"@{max(int(moment.timestamp()), 0)} +0000"


def _log(git: Git, options: Sequence[str], *, changes: bool) -> Iterator[LogEntry]:
    shape = ["--name-status", "--no-renames", "--root"] if changes else ["--no-patch"]
    common = ("-z", f"--format=tformat:{_FORMAT}", "--encoding=UTF-8", "--no-color", "--no-mailmap", *shape)
    with git.offline().spawn("--literal-pathspecs", "log", *common, *options) as process:
        tokens = _tokens(process)
        token = next(tokens, None)
        while token is not None:
            fields = [token, *(next(tokens) for _ in _FIELDS[1:])]
            token, found = _changes(tokens)
            yield LogEntry(_commit([decode(field) for field in fields]), found)


def _changes(tokens: Iterator[bytes]) -> tuple[bytes | None, tuple[PathChange, ...]]:
    """The changes that follow a commit, and the token after them: the sha of the next commit, or None at the end."""
    found: list[PathChange] = []
    for token in tokens:
        status = token.lstrip(b"\n")
        if len(status) >= 40:
            return status, tuple(found)
        if status:
            found.append(PathChange(status.decode(), decode(next(tokens))))
    return None, tuple(found)


def _differences(tokens: Iterator[bytes]) -> tuple[bytes | None, tuple[TreeDifference, ...]]:
    """The raw changes that follow a commit, and the sha of the next commit, or None at the end."""
    found: list[TreeDifference] = []
    for token in tokens:
        head = token.lstrip(b"\n")
        if head.startswith(b":"):
            _, _, old_oid, new_oid, _ = head.decode().split()
            found.append(TreeDifference(decode(next(tokens)), _absent(old_oid), _absent(new_oid)))
        elif head:
            return head, tuple(found)
    return None, tuple(found)


def _commit(fields: Sequence[str]) -> Commit:
    sha, tree, parents, author, author_mail, author_at, committer, mail, at, subject, message, trailers = fields
    return Commit(
        sha=sha,
        tree=tree,
        parents=tuple(parents.split()),
        author=Person(author, author_mail),
        author_at=datetime.fromtimestamp(int(author_at), timezone.utc),
        committer=Person(committer, mail),
        committed_at=datetime.fromtimestamp(int(at), timezone.utc),
        subject=subject,
        body=_body(message),
        trailers=_trailers(trailers),
    )


def _body(message: str) -> str:
    return message.lstrip("\n").partition("\n\n")[2]


def _trailers(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            found.setdefault(name.strip(), []).append(value.strip())
    return found


def _absent(oid: str) -> str:
    return "" if set(oid) == {"0"} else oid


def _tokens(process: LongProcess) -> Iterator[bytes]:
    """What a command prints, cut at NUL; its failure is an error at the end."""
    process.stdin.close()
    yield from zero_ended(process)
    process.finish()


def zero_ended(process: LongProcess) -> Iterator[bytes]:
    """What a command prints, cut at NUL, as it comes; whether it failed is left to the caller."""
    rest = b""
    while data := process.stdout.read1(_CHUNK_BYTES):  # type: ignore[attr-defined] # a BufferedReader
        *whole, rest = (rest + data).split(b"\0")
        yield from whole
    if rest:
        yield rest
