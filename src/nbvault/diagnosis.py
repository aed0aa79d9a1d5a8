"""The doctor: the examinations of `setup/doctor.py`, and folder export, whose proof is kept in the vault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from nbvault.administration import noting, write_note
from nbvault.auth import AuthenticationManager
from nbvault.backup.bulk import ACTION, day_of, lines_of
from nbvault.backup.probe import Finding, Picker, Probe, Sample, look_around
from nbvault.backup.scope import Scope
from nbvault.backup.trust import KIND, Result, finding, trust_of
from nbvault.clock import Clock, SystemClock, iso
from nbvault.credentials import renews_itself
from nbvault.credentials import status as credential_status
from nbvault.errors import AuthenticationError, NbvaultError
from nbvault.opening import read_vault
from nbvault.settings import Bulk, ExportFormat, Settings
from nbvault.setup.doctor import EXAMINATIONS, configured, examine_machine
from nbvault.setup.examining import Around, Check, Examination, Found, broken, examine, not_made
from nbvault.state.store import AuditEvent
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.transport import ClientOptions

FOLDER_EXPORT = "folder export"
SOON = timedelta(days=7)
Say = Callable[[str], None]


def run_doctor(
    load: Callable[[], Settings], *, probe: bool = False, by: str = "", warn: Say, clock: Clock | None = None
) -> list[Check]:
    """Look at everything, whatever of it is out of order; without a configuration, at what needs none.

    Args:
        load: The settings.
        probe: Find out whether folders may be exported whole, and record it in the vault.
        by: Who asks, for the audit trail.
        warn: Told what a person should know meanwhile.
    """
    clock = clock or SystemClock()
    settings, configuration = configured(load)
    checks = [*examine_machine(), configuration]
    if settings is None:
        return checks
    git = next(check for check in checks if check.name == "git")
    checks += examine(Around.of(settings, clock=clock), [*EXAMINATIONS, EXPIRY], known=[git])
    if probe or settings.export.bulk is Bulk.ON:
        checks.append(_folder_export(settings, checks, probe=probe, by=by, warn=warn, clock=clock))
    return checks


def _folder_export(
    settings: Settings, before: Sequence[Check], *, probe: bool, by: str, warn: Say, clock: Clock
) -> Check:
    """What is known of folder export, or comes out now; both need the vault, and have more patience than the others."""
    wrong = next((check for check in before if not check.ok and check.name in ("workspace", "repository")), None)
    if wrong is not None:
        return not_made(FOLDER_EXPORT, wrong)
    look = _probed if probe else _remembered
    try:
        return look(settings, by=by, warn=warn, clock=clock)
    except NbvaultError as error:
        return Check(FOLDER_EXPORT, False, error.message, error.hint, error.exit_code)
    except Exception as error:  # noqa: BLE001 - what the others found must not be lost
        return broken(FOLDER_EXPORT, error)


def _expiry(around: Around) -> Found:
    """Until when the credentials are valid, where somebody tells."""
    found = credential_status(around.settings, clock=around.clock)
    told = " ".join(
        f"{each.system}: {f'until {iso(each.expires)}' if each.expires else 'nobody tells'}." for each in found
    )
    due = around.clock.now() + SOON
    ending = [
        each.system
        for each in found
        if each.expires and each.expires < due and not renews_itself(around.settings, each.system)
    ]
    if ending:
        hint = " ".join(f"Run 'nbvault credentials rotate {system}', or make a new token by hand." for system in ending)
        raise AuthenticationError(f"Credentials end within {SOON.days} days. {told}", hint=hint)
    return Found(told)


EXPIRY = Examination("credentials", _expiry, needs=("workspace", "repository"))


def _remembered(settings: Settings, *, by: str, warn: Say, clock: Clock) -> Check:  # noqa: ARG001 - as `_probed`
    """What the vault says of folder export on this workspace."""
    host = AuthenticationManager(settings).host
    native = settings.export.format is ExportFormat.NATIVE
    with read_vault(settings, warn=warn, clock=clock) as vault:
        trust = trust_of(Bulk.ON, host, lines_of(vault), native=native)
    if trust.layout is None:
        return Check(FOLDER_EXPORT, False, f"Not used. {trust.why_not}", trust.hint, 1)
    return Check(FOLDER_EXPORT, True, f"Proven on {host}.")


def _probed(settings: Settings, *, by: str, warn: Say, clock: Clock) -> Check:
    """Try it, and record what came of it; a proof that is not recorded is of no use."""
    host, found = asyncio.run(_probe(settings, clock=clock))
    detail = " ".join([*found.sentences(), *([f"Not to be used: {found.reason}."] if found.reason else [])])
    now = clock.now()
    line = finding(now, by, host, found.result, **found.record())
    event = AuditEvent(now, by, ACTION, host, found.result.value, found.reason or "proven")
    with noting(settings, say=warn, clock=clock) as (vault, state):
        write_note(settings, vault, [event], state=state, records={KIND: [line]}, clock=clock)
    if found.result is Result.OK:
        in_use = settings.export.bulk is Bulk.ON
        return Check(FOLDER_EXPORT, True, detail, "" if in_use else 'Set export.bulk = "on" to use it.')
    return Check(FOLDER_EXPORT, False, detail, 'Leave export.bulk at "off": notebooks are exported one by one.', 1)


async def _probe(settings: Settings, *, clock: Clock) -> tuple[str, Finding]:
    scope = Scope.of(settings.workspace.include, settings.workspace.exclude)
    day = day_of(clock.now())
    picker = Picker(Sample(), day=day)
    async with WorkspaceClient(
        AuthenticationManager(settings), options=ClientOptions.of(settings), clock=clock
    ) as workspace:
        await look_around(workspace, settings.workspace.root, picker, may_contain=scope.may_contain, seed=day)
        return workspace.host, await Probe(workspace, day=day).run(picker)
