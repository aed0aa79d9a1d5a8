"""Reading the vault: trees, commits, history and blobs, as streams and without a working tree."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from hashlib import sha1
from typing import IO, NamedTuple

from nbvault.errors import GitError, VaultError
from nbvault.gitstore.runner import Git, LongProcess, decode, encode
from nbvault.gitstore.standing import Standing
from nbvault.model import Person

# So many blobs are asked for one by one where a git stands by; a process of their own is quicker for more.
_ONE_BY_ONE = 100
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


def missing_objects(git: Git, oids: Iterable[str]) -> list[str]:
    """Those of the objects that are not in the local repository, in their order; asks no remote."""
    wanted = list(dict.fromkeys(oids))
    if not wanted:
        return []
    names = "".join(f"{oid}\n" for oid in wanted).encode()
    done = git.offline().run("cat-file", "--batch-check=%(objectname)", "--buffer", stdin=names)
    return [line.split()[0] for line in done.stdout.decode().splitlines() if line.endswith(" missing")]


def blob_sizes(git: Git, oids: Iterable[str]) -> dict[str, int]:
    """The size in bytes of each blob that is here; those that are not are left out, and never fetched."""
    names = "".join(f"{oid}\n" for oid in oids).encode()
    asked = ("cat-file", "--buffer", "--batch-check=%(objectname) %(objectsize)")
    lines = git.offline().run(*asked, stdin=names).stdout.decode().splitlines()
    return {oid: int(size) for oid, _, size in (line.partition(" ") for line in lines) if size.isdigit()}


class BlobReader:
    """Reads blobs in bulk through one process.

    Args:
        fetch_missing: Gets what this partial clone lacks, all in one call; without it a missing blob is an error.
        standing: Is asked for a few.
    """

    def __init__(
        self,
        git: Git,
        fetch_missing: Callable[[list[str]], None] | None = None,
        *,
        standing: Standing | None = None,
    ) -> None:
        self._git = git
        self._fetch_missing = fetch_missing
        self._standing = standing

    def ensure(self, oids: Iterable[str]) -> None:
        """See that all these are here.

        Raises:
            VaultError: one is missing here and at the remote.
        """
        missing = missing_objects(self._git, oids)
        if missing and self._fetch_missing:
            self._fetch_missing(missing)
            missing = missing_objects(self._git, missing)
        if missing:
            raise VaultError(
                f"{len(missing)} objects are missing in the vault, the first is {missing[0]}.",
                hint="Run `nbvault verify --full`; another clone of the vault may still have them.",
            )

    def read(self, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Each object id with its bytes, in the order asked for (sorted by base name of their paths is fastest).

        Raises:
            VaultError: an object is missing for good, is no blob, or its bytes are not what its id says.
        """
        wanted = list(oids)
        if not wanted:
            return
        if self._standing is not None and len(wanted) <= _ONE_BY_ONE:
            yield from self._one_by_one(self._standing, wanted)
            return
        with self._asked(wanted) as process:
            for oid in wanted:
                yield oid, _read_blob(process, oid)

    def _one_by_one(self, standing: Standing, wanted: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        for place, oid in enumerate(wanted):
            data = standing.read(oid)
            if data is None:
                # Whatever else is not here comes along.
                self.ensure(wanted[place:])
                data = standing.read(oid)
            if data is None:
                said = "missing"
                raise VaultError(f"Object {oid} is no readable blob: git says {said!r}.")
            yield oid, data

    def lines(self, oids: Iterable[str]) -> Iterator[tuple[int, bytes]]:
        """Each line of each object, with the object's place among those asked for; only a piece is in memory at a time.

        Raises:
            VaultError: as `read`, for a damaged object after its last line: believe nothing before the end.
        """
        wanted = list(oids)
        if not wanted:
            return
        with self._asked(wanted) as process:
            for place, oid in enumerate(wanted):
                for line in _blob_lines(process, oid):
                    yield place, line

    @contextmanager
    def _asked(self, wanted: Sequence[str]) -> Iterator[LongProcess]:
        """A process that gives these objects one after another; whoever leaves early ends it."""
        self.ensure(wanted)
        with self._git.offline().spawn("cat-file", "--batch", "--buffer") as process:
            feeder = threading.Thread(target=_feed, args=(process.stdin, wanted), daemon=True)
            feeder.start()
            try:
                yield process
                feeder.join()
                process.finish()
            finally:
                process.kill()
                feeder.join()


def _feed(pipe: IO[bytes], oids: Iterable[str]) -> None:
    # The reader has left, or git has died: whoever reads the output finds out.
    with suppress(OSError, ValueError):
        for oid in oids:
            pipe.write(encode(oid) + b"\n")
        pipe.close()


def _read_blob(process: LongProcess, oid: str) -> bytes:
    return b"".join(_blob_pieces(process, oid, _blob_size(process, oid)))


def _blob_lines(process: LongProcess, oid: str) -> Iterator[bytes]:
    rest = b""
    for data in _blob_pieces(process, oid, _blob_size(process, oid), at_once=_CHUNK_BYTES):
        *whole, rest = (rest + data).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _blob_size(process: LongProcess, oid: str) -> int:
    head = process.stdout.readline().decode().split()
    if not head:
        raise process.error()
    if len(head) != 3 or head[1] != "blob":
        raise VaultError(f"Object {oid} is no readable blob: git says {' '.join(head)!r}.")
    return int(head[2])


def _blob_pieces(process: LongProcess, oid: str, size: int, *, at_once: int | None = None) -> Iterator[bytes]:
    """The bytes of a blob, whole or in pieces; the error of a damaged one comes after the last."""
    digest, left = sha1(b"blob %d\0" % size), size
    while left:
        data = process.stdout.read(min(left, at_once or left))
        if not data:
            raise process.error()
        digest.update(data)
        left -= len(data)
        yield data
    if process.stdout.read(1) != b"\n":
        raise process.error()
    if digest.hexdigest() != oid:
        raise VaultError(f"Blob {oid} is damaged: its bytes are not what its id says.")
