"""The examinations of the remote: is it there, may we push, how did the last session end, who holds the lease."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from nbvault.azuredevops import find_repository
from nbvault.azuredevops.obstacles import Weight
from nbvault.azuredevops.repositories import ADVISED_BYTES
from nbvault.clock import iso, parse_iso
from nbvault.errors import AuthenticationError, LockedError, NbvaultError, PushRefused, WorkspaceError
from nbvault.gitstore.glance import Glance, glance
from nbvault.gitstore.process import is_alive
from nbvault.gitstore.remote import remote_url
from nbvault.hosting import FEW_ATTEMPTS, azure_devops, obstacles
from nbvault.setup.check import credential_for
from nbvault.setup.conversion import OPEN, RECORDS, Conversion, Stage, latest
from nbvault.setup.examining import Around, Found
from nbvault.setup.workspace_checks import asked, trusted
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.errors import NotFound
from nbvault.workspace.reach import reach
from nbvault.workspace.transport import ClientOptions

OLD = timedelta(days=2)
"""A nightly backup that has not run for so long does not run."""
VIEWS = 20
"""So many Git folders of a conversion are looked for."""
_PUSH_HINT = (
    "Give the backup identity the rights 'Contribute' and 'Create branch' on the repository; a token needs 'Code: read "
    "and write'."
)


def host(around: Around) -> Found:
    """Somebody answers there, over TLS that is verified; what is no web address is left to git."""
    url = _url(around)
    if not url.startswith(("https://", "http://")):
        return Found(f"{url} is reached by git itself.")
    asyncio.run(reach(url, key="vault.remote", options=ClientOptions.of(around.settings)))
    return Found(f"{url} answers{trusted(around, url)}.")


def credential(around: Around) -> Found:
    """The token for the Git server can be had: from its variable, file, secret scope or key vault, or from Entra."""
    standing = around.auth.git_standing()
    if standing.method == "none":
        return Found("None is configured, and none may be needed.")
    who = f", as {standing.identity}" if standing.identity else ""
    return Found(f"By {standing.method}{who}" + (f", until {iso(standing.expires)}." if standing.expires else "."))


def repository(around: Around) -> Found:
    """It is there, and may be read."""
    settings = around.settings
    with _glance(around) as seen:
        head = seen.refs.get(f"refs/heads/{settings.vault.branch}")
    where = f"its {settings.vault.branch} is at {head[:12]}" if head else f"it has no {settings.vault.branch} yet"
    return Found(f"{settings.vault.remote} answers; {where}.")


def push_right(around: Around) -> Found:
    """A push of a new branch would be let in; it is tried without pushing (`git push --dry-run`)."""
    with _glance(around) as seen:
        try:
            seen.check_push(at=around.clock.now())
        except (AuthenticationError, PushRefused) as error:
            # Reading has worked with these credentials: it is a right that they lack.
            error.hint = _PUSH_HINT
            raise
    return Found("A push would be let in (tried without pushing).")


def pushes(around: Around) -> Found:
    """What the host of the remote would refuse; the repository itself, and the credentials, are looked at by others."""
    try:
        found = asyncio.run(obstacles(around.settings, around.auth, attempts=FEW_ATTEMPTS, clock=around.clock))
    except NbvaultError as error:
        return Found("It could not be asked what would refuse a push.", hint=error.message)
    refusing = [each for each in found if each.weight is Weight.REFUSES]
    if refusing:
        raise PushRefused(" ".join(each.what for each in refusing), hint=" ".join(each.hint for each in refusing))
    told = " ".join(each.what for each in found)
    return Found(
        told or "Nothing is known that would refuse a push.", hint=" ".join(each.hint for each in found).strip()
    )


def size(around: Around) -> Found:
    """How large its host says that the repository is, against what it advises."""
    bytes_there = asyncio.run(_size(around))
    if bytes_there is None:
        return Found("Its host does not tell; 'nbvault status' has what sessions counted.")
    told = f"{bytes_there / 1e9:,.2f} GB of the {ADVISED_BYTES / 1e9:,.0f} GB that Azure Repos advises."
    if bytes_there > ADVISED_BYTES:
        raise NbvaultError(told, hint="Begin a new repository: 'nbvault rotate' (the old one keeps the history).")
    return Found(told)


async def _size(around: Around) -> int | None:
    client = azure_devops(around.settings, around.auth, attempts=FEW_ATTEMPTS, clock=around.clock)
    if client is None:
        return None
    try:
        async with client:
            found = await find_repository(client)
    except NbvaultError:
        # A host that has no such API: `repository` has seen that git can use it.
        return None
    return found.size_bytes if found else None


def last_session(around: Around) -> Found:
    """When the last session was, and how it ended, by the vault's own records.

    And that the vault is one for the next session: it was not rotated, and is of our root.
    """
    with _glance(around) as seen:
        seen.check_root(around.settings.workspace.root)
        seen.check_in_force()
        record = next(reversed(seen.records("sessions", months=1)), None)
    if record is None:
        return Found("There was none yet.", "Begin with 'nbvault sync'.")
    ended = str(record.get("ended_at") or "")
    session, status, ended = record["session"], record["status"], str(record.get("ended_at") or "")
    when = f" at {ended}" if ended else ""
    if status in ("failed", "interrupted"):
        said = f" It said: {record['error']}" if record.get("error") else ""
        hint = "Run 'nbvault sync' and see whether it comes to its end."
        raise NbvaultError(f"Session {session} ended {status}{when}.{said}", hint=hint)
    if ended and around.clock.now() - parse_iso(ended) > OLD:
        hint = "See whether the job or timer that starts 'nbvault sync' still runs."
        raise NbvaultError(f"The last session, {session}, is over {OLD.days} days ago: {status}{when}.", hint=hint)
    partial = "'nbvault problems list' names what could not be saved."
    return Found(f"Session {session} ended {status}{when}.", partial if status == "partial" else "")


def git_folder(around: Around) -> Found:
    """Whether a conversion to Git folders is complete, or was never made."""
    with _glance(around) as seen:
        found = latest(seen.records(RECORDS))
    if found is None or found.stage is Stage.ROLLED_BACK:
        return Found("The vault is not shown as a Git folder.")
    if found.stage in OPEN:
        why = f" {found.problem}" if found.problem else ""
        told = f"The conversion of {found.root} to {found.target} is not complete ({found.stage.value}).{why}"
        raise NbvaultError(told, hint="Run 'nbvault convert' to go on, or 'nbvault rollback' to go back.")
    asked(around, lambda workspace: _shown(workspace, found), answers=2)
    shown = f"{found.root} is shown as {found.target}: {found.stage.value}."
    return Found(shown, "'nbvault convert status' compares it with the vault.")


async def _shown(workspace: WorkspaceClient, conversion: Conversion) -> None:
    """That the Git folders are there, and a Git credential to pull them with."""
    for view in conversion.views[:VIEWS]:
        try:
            await workspace.get_status(view.path)
        except NotFound as error:
            hint = "'nbvault convert' makes it again; 'nbvault rollback' takes the others away, too."
            raise WorkspaceError(f"The Git folder {view.path} is gone.", hint=hint) from error
    if not await credential_for(workspace, conversion.provider):
        raise WorkspaceError(
            f"This identity has no Git credential for {conversion.provider}: {conversion.target} cannot be pulled.",
            hint="'nbvault convert' registers one again.",
        )


def lease(around: Around) -> Found:
    """Whether another session holds the right to write, and whether it seems to live."""
    with _glance(around) as seen:
        entry = seen.lease()
    if entry is None or entry.action == "release":
        return Found("Nobody holds it.")
    stale_s = around.settings.sync.lease_stale_s
    machine = entry.holder.machine.split()[0] if entry.holder.machine.strip() else "an unknown machine"
    who = f"session {entry.session} on {machine} (process {entry.holder.pid})"
    if is_alive(entry.holder) is False:
        return Found(f"It was left by {who}, which has ended.", "The next session on this machine takes over at once.")
    if (around.clock.now() - parse_iso(entry.at)).total_seconds() > stale_s:
        hint = f"If that session is dead, the next one watches for {stale_s:.0f} s (sync.lease_stale_s) and takes over."
        raise LockedError(f"The lease is held by {who}, and was not renewed since {entry.at}.", hint=hint)
    hint = "Wait until it has ended; a sync now would end with 5."
    raise LockedError(f"The lease is held by {who}, which renewed it at {entry.at}.", hint=hint)


def _url(around: Around) -> str:
    return remote_url(str(around.settings.vault.remote), base=around.settings.vault.path.parent)


@contextmanager
def _glance(around: Around) -> Iterator[Glance]:
    environment, timeout_s = around.settings.process_environment, around.patience_s
    with glance(_url(around), environment, token=around.auth.git_token, timeout_s=timeout_s) as seen:
        yield seen
