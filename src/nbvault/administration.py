"""What an administrator does beside syncing: look at the health of the vault, accept problems, rebuild the index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from nbvault.auth import AuthenticationManager
from nbvault.backup.forecast import Forecast, Measure, forecast
from nbvault.backup.problems import accepted
from nbvault.backup.sessions import SessionHistory, growth_of
from nbvault.clock import Clock, SystemClock, parse_iso
from nbvault.errors import ConfigurationError, NbvaultError, StateError
from nbvault.gitstore import conclude, meta, publish
from nbvault.gitstore.blobs import BlobReader
from nbvault.gitstore.epochs import Lineage, Successor
from nbvault.gitstore.lease import Lease
from nbvault.gitstore.meta import MetaDraft, Record, read_records
from nbvault.gitstore.process import is_alive, this_process
from nbvault.gitstore.reader import commit_info, resolve
from nbvault.gitstore.remote import PushRef, Remote
from nbvault.gitstore.upkeep import RepositorySize, sizes
from nbvault.gitstore.vault import Vault
from nbvault.gitstore.writer import FastImport
from nbvault.ids import new_id
from nbvault.model import Frozen, Person, Problem, State, Status
from nbvault.monitoring.audit import Trail
from nbvault.opening import locked_by_another, opened_vault
from nbvault.settings import Settings
from nbvault.state.store import AuditEvent, SessionRow, StateManager
from nbvault.trail import Waiting, follow, read_trail
from nbvault.wiring import lease_of

SHOWN_SESSIONS = 10
# So many months of records are read to see how the vault grows.
MONTHS = 4
# A session tells the state store how far it is every five seconds.
FOLLOW_EVERY_S = 2.0
DRILL = "drill"
"""The action of a drill in the audit trail."""


@dataclass(frozen=True, slots=True)
class RemoteHealth:
    """Whether the remote answers; `head` is its tip of the main branch, `detail` why it does not answer.

    `name` is the remote as it is configured. `rotated`: it is known that a rotation put that tip there.
    """

    reachable: bool
    head: str = ""
    detail: str = ""
    name: str = ""
    rotated: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """How the backup is. `source` says where the sessions and problems come from: ``state``, ``vault`` or empty.

    `sessions` are the last ten, newest first. `protected` is the last one whose result the remote confirmed,
    `held` the one whose held deletions still wait to be accepted. `drill` is the last drill, `proven` the last one in
    which every notebook came back as it was. `growth` and `frozen` are as of the last fetch.
    """

    sessions: tuple[SessionRow, ...]
    problems: tuple[Problem, ...]
    source: str
    running: bool
    remote: RemoteHealth
    local: RepositorySize | None
    protected: SessionRow | None
    held: SessionRow | None
    notes: tuple[str, ...] = ()
    drill: AuditEvent | None = None
    proven: AuditEvent | None = None
    growth: Forecast | None = None
    frozen: tuple[Frozen, ...] = ()
    lineage: Lineage = field(default_factory=Lineage)
    successor: Successor | None = None


def held_by(row: SessionRow) -> int:
    """How many deletions a session held."""
    return int(row.metadata.get("counts", {}).get("held_deletions", 0))


def _is_dry(row: SessionRow) -> bool:
    return bool(row.metadata.get("dry_run"))


@dataclass(frozen=True, slots=True)
class Index:
    """What the vault's records say, as the state store holds it."""

    sessions: tuple[SessionRow, ...]
    problems: tuple[Problem, ...]
    audit: tuple[AuditEvent, ...]
    trail: Trail = field(default_factory=Trail)


def read_index(settings: Settings, vault: Vault) -> Index:
    """Sessions (oldest first), open problems and audit trail from the records of a vault that was refreshed."""
    lines = {str(line["session"]): line for line in read_records(vault.meta, "sessions", blobs=vault.blobs)}
    remote = str(settings.vault.remote)
    rows = (SessionRow.of_record(line, workspace_path=vault.root, repo_id=remote) for line in lines.values())
    trail = read_trail(vault)
    return Index(tuple(sorted(rows, key=lambda row: row.session)), vault.meta.problems, tuple(trail.events), trail)


# --- looking -------------------------------------------------------------------------------------------------------


def look_at(settings: Settings, *, clock: Clock | None = None) -> Health:
    """The health of the backup, from the state store or, where that is empty, from the vault's own records.

    Nothing that is out of reach makes it fail: what could not be seen is said in `remote` and `notes`.

    Raises:
        ConfigurationError: the local repository or the remote cannot be what the settings name.
    """
    notes: list[str] = []
    sessions, problems, audit = _from_state(settings, notes)
    source = "state" if sessions else ""
    with opened_vault(settings) as vault:
        remote = _probe(settings, vault)
        if not sessions:
            index = _from_vault(settings, vault, remote, notes)
            sessions, problems, audit = tuple(reversed(index.sessions)), index.problems, index.audit
            source = "vault" if sessions else ""
        remote = replace(remote, name=str(settings.vault.remote), rotated=_is_rotated(vault, remote.head))
        local = sizes(vault.git)
        measures, frozen = _from_records(vault, notes, fetching=remote.reachable)
        lineage, successor = vault.known_epochs()
    drills = [event for event in reversed(audit) if event.action == DRILL]
    return Health(
        sessions=sessions[:SHOWN_SESSIONS],
        problems=problems,
        source=source,
        running=locked_by_another(settings),
        remote=remote,
        local=local,
        protected=_protected(sessions),
        held=_held(sessions),
        notes=tuple(notes),
        drill=next(iter(drills), None),
        proven=next((event for event in drills if event.result == "ok"), None),
        growth=forecast(measures, now=(clock or SystemClock()).now()),
        frozen=frozen,
        lineage=lineage,
        successor=successor,
    )


def _from_records(vault: Vault, notes: list[str], *, fetching: bool) -> tuple[list[Measure], tuple[Frozen, ...]]:
    """What the repository held after each session of the last months, and what is frozen, as it is here."""
    try:
        tip = resolve(vault.git, meta.BRANCH) or resolve(vault.git, "refs/remotes/origin/nbvault/meta")
        if not tip:
            return [], ()
        blobs = BlobReader(vault.git, vault.remote.fetch_objects if fetching else None)
        known = meta.read_lightly(vault.git, tip, root=vault.root, blobs=blobs)
        sessions, after = read_records(known, "sessions", blobs=blobs, months=MONTHS), vault.known_epochs()[0].after
        return [*_measures(each for each in sessions if str(each["session"]) > after)], known.frozen
    except NbvaultError as error:
        notes.append(f"How the vault grows is not known: {error}")
        return [], ()


def _measures(records: Iterable[Record]) -> Iterator[Measure]:
    notebooks = 0
    for record in records:
        if found := growth_of(record):
            if record["status"] in (Status.COMPLETE.value, Status.PARTIAL.value):
                notebooks = max(int(record["listed"]) - int(record["skipped"]) + int(record["archived"]), 0)
            at = parse_iso(str(record["ended_at"]))
            yield Measure(at, found.total_objects, found.total_pack_bytes, notebooks, found.exact)


def _protected(sessions: Sequence[SessionRow]) -> SessionRow | None:
    pushed = (row for row in sessions if row.commit and row.metadata.get("pushed") and not _is_dry(row))
    # By name, which sorts as the sessions followed one another; a clock may have been wrong.
    return max(pushed, key=lambda row: row.session, default=None)


def _held(sessions: Sequence[SessionRow]) -> SessionRow | None:
    """Only the last session that looked at everything: it held again what still waits."""
    ended = (row for row in sessions if row.status in (Status.COMPLETE, Status.PARTIAL) and not _is_dry(row))
    last = next(ended, None)
    return last if last is not None and held_by(last) else None


def _from_state(
    settings: Settings, notes: list[str]
) -> tuple[tuple[SessionRow, ...], tuple[Problem, ...], tuple[AuditEvent, ...]]:
    try:
        with StateManager(settings.state.connection_url()) as state:
            return tuple(state.sessions(limit=200)), tuple(state.problems()), tuple(state.audit())
    except NbvaultError as error:
        notes.append(str(error))
        return (), (), ()


def _probe(settings: Settings, vault: Vault) -> RemoteHealth:
    # One try: who looks at the health wants to know now.
    auth = AuthenticationManager(settings)
    remote = Remote(vault.git, vault.remote.url, token=auth.git_token, answered=auth.git_answered, attempts=1)
    try:
        refs = remote.ls_remote()
    except NbvaultError as error:
        return RemoteHealth(reachable=False, detail=str(error))
    return RemoteHealth(reachable=True, head=refs.get(vault.main_ref, ""))


def _is_rotated(vault: Vault, head: str) -> bool:
    """Whether a tip of the main branch is what an epoch began with; False also where it is not here."""
    return bool(head) and vault.have(head) and conclude.EPOCH in commit_info(vault.git, head).trailers


def _from_vault(settings: Settings, vault: Vault, remote: RemoteHealth, notes: list[str]) -> Index:
    try:
        if remote.reachable:
            vault.refresh()
        else:
            vault.refresh_offline()
        return read_index(settings, vault)
    except ConfigurationError:
        raise
    except NbvaultError as error:
        notes.append(str(error))
        return Index((), (), ())


@dataclass(frozen=True, slots=True)
class Seen:
    """A session at one look. `killed` says that it seems to run, but its process on this machine is gone."""

    row: SessionRow
    killed: bool = False

    @property
    def runs(self) -> bool:
        """Whether there is something to wait for."""
        return self.row.status is Status.RUNNING and not self.killed


def watch_session(settings: Settings, *, clock: Clock | None = None, every_s: float = FOLLOW_EVERY_S) -> Iterator[Seen]:
    """The session that runs, at each look, until it has ended; nothing where none runs.

    Raises:
        StateError: the state store cannot be read.
    """
    clock = clock or SystemClock()
    with StateManager(settings.state.connection_url(), clock=clock) as state:
        running = [row for row in state.running() if row.repo_id in ("", str(settings.vault.remote))]
        found = running[0] if running else None
        while found is not None:
            seen = Seen(found, found.status is Status.RUNNING and _is_gone(settings, found))
            yield seen
            if not seen.runs:
                return
            clock.wait(every_s)
            found = state.session(found.session)


def _is_gone(settings: Settings, row: SessionRow) -> bool:
    """Whether the process of a session was on this machine, and is there no more."""
    holder = row.metadata.get("holder", {})
    here = this_process(settings.vault.path)
    if holder.get("machine") != here.machine.split()[0]:
        return False
    return is_alive(replace(here, pid=int(holder["pid"]), started="")) is False


def open_problems(settings: Settings) -> tuple[Problem, ...]:
    """The open problems of the last session: from the state store or, where that is empty, from the vault.

    Raises:
        NbvaultError: neither can be read.
    """
    with suppress(StateError), StateManager(settings.state.connection_url()) as state:
        if state.last_session() is not None:
            return tuple(state.problems())
    with opened_vault(settings) as vault:
        vault.refresh()
        return vault.meta.problems


# --- changing ------------------------------------------------------------------------------------------------------


def rebuild_state(settings: Settings, *, clock: Clock | None = None) -> Index:
    """Empty the state store and fill it from the vault's records; returns what it holds now.

    Raises:
        StateError: the store cannot be written; it is as it was.
        ConfigurationError: the rotation into this vault has not ended.
        NbvaultError: the vault cannot be read.
    """
    with opened_vault(settings) as vault:
        vault.refresh()
        vault.past.refuse_unless_begun()
        index = read_index(settings, vault)
    with StateManager(settings.state.connection_url()) as state:
        head = index.trail.head((clock or SystemClock()).now())
        state.rebuild(index.sessions, index.problems, index.audit, head=head)
    return index


def acknowledge(
    settings: Settings,
    which: str,
    *,
    by: str,
    reason: str = "",
    say: Callable[[str], None],
    clock: Clock | None = None,
) -> tuple[Problem, ...]:
    """Accept a problem, by path or object id, in the vault itself; returns what was accepted.

    The object stays counted as failed, but no longer makes a session partial, until it fails for another reason.

    Raises:
        ConfigurationError: there is no such problem.
        LockedError: a session runs.
        NbvaultError: the vault cannot be read or written.
    """
    clock = clock or SystemClock()
    with noting(settings, say=say, clock=clock) as (vault, state):
        after, chosen = accepted(vault.meta.problems, which, by=by)
        if not chosen:
            raise _no_such_problem(which)
        events = [AuditEvent(clock.now(), by, "acknowledge problem", p.path, "ok", reason) for p in chosen]
        write_note(settings, vault, events, state=state, problems=after, clock=clock)
        _tell_state(state, chosen)
    return chosen


@contextmanager
def under_lease(
    settings: Settings, *, say: Callable[[str], None], clock: Clock
) -> Iterator[tuple[Vault, StateManager, Lease]]:
    """The vault, refreshed and under the lease, which whoever needs it for long must renew; and the state store.

    Raises:
        LockedError: a session runs.
        NbvaultError: the vault cannot be read or written.
    """
    with (
        opened_vault(settings, writing=True, clock=clock) as vault,
        StateManager(settings.state.connection_url(), clock=clock) as state,
    ):
        vault.refresh()
        session = new_id(clock.now(), after=SessionHistory.read(vault).last)
        lease = lease_of(settings, vault, session, sightings=state, say=say, clock=clock)
        lease.acquire()
        try:
            vault.refresh()
            yield vault, state, lease
        finally:
            lease.release()


@contextmanager
def noting(settings: Settings, *, say: Callable[[str], None], clock: Clock) -> Iterator[tuple[Vault, StateManager]]:
    """The vault, refreshed and under the lease, for `write_note`; and the state store.

    Raises:
        LockedError: a session runs.
        NbvaultError: the vault cannot be read or written.
    """
    with under_lease(settings, say=say, clock=clock) as (vault, state, _):
        yield vault, state


def _no_such_problem(which: str) -> ConfigurationError:
    return ConfigurationError(
        f"No notebook that failed is known as {which}.", hint="nbvault problems list shows the paths and ids."
    )


def write_note(
    settings: Settings,
    vault: Vault,
    events: Sequence[AuditEvent],
    *,
    state: StateManager | None = None,
    problems: Sequence[Problem] | None = None,
    records: Mapping[str, Sequence[Record]] | None = None,
    frozen: Sequence[Frozen] | None = None,
    clock: Clock | None = None,
) -> None:
    """One commit on the meta branch, pushed and confirmed: audit events (one at least), and what they are about.

    Args:
        state: What waits there for the vault goes with it, and its index is brought up to the vault.
        problems: The open problems from now on, where they change.
        records: Lines for the month's records, by kind.
        frozen: The patterns of frozen folders from now on, where they change.

    Raises:
        NbvaultError: it is not known to be on the remote.
    """
    # What an unfinished session left must still look unfinished, or it would not be taken up again.
    unfinished = vault.meta.kind in ("checkpoint", "content")
    draft = MetaDraft(vault.meta, session=vault.meta.session, at=events[0].at)
    if problems is not None:
        draft.problems(problems)
    if frozen is not None:
        draft.freeze(frozen)
    for kind, items in (records or {}).items():
        draft.record(kind, items)
    draft.record("audit", Waiting(vault, state).records() if state else ())
    draft.record("audit", [event.as_record() for event in events])
    with FastImport(vault.git) as stream:
        mark = draft.commit(
            stream,
            content=vault.meta.content,
            kind=vault.meta.kind if unfinished else "note",
            blobs=vault.blobs,
            committer=Person(settings.vault.committer_name, settings.vault.committer_email),
        )
        vault.meta.tip = stream.sha_of(mark)
    refs = [PushRef(vault.meta.tip, meta.BRANCH)]
    publish.push(vault.remote, refs)
    vault.refs = publish.confirm(vault.remote, refs, contains=vault.contains)
    if state is not None:
        # The note is in the vault, whatever becomes of the index.
        with suppress(NbvaultError):
            follow(vault, state, clock=clock or SystemClock())


def _tell_state(state: StateManager, chosen: Sequence[Problem]) -> None:
    known = {problem.object_id: problem for problem in chosen}
    with suppress(StateError):
        last = state.last_session()
        found = [
            replace(p, acknowledged_by=known[p.object_id].acknowledged_by)
            if p.object_id in known and p.state is State.FAILED
            else p
            for p in state.problems()
        ]
        state.replace_problems(last.session if last else "", found)
