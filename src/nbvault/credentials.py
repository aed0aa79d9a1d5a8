"""How nbvault signs in, seen from an administrator's desk: as whom, how, until when; and a new token in time.

A rotation makes a new token, writes it where the reference says, uses it, and only then ends the old one. Whoever
kills it between two steps leaves both tokens valid; the next rotation ends what is left over, by its name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from nbvault.administration import noting, write_note
from nbvault.auth import AuthenticationManager, Standing
from nbvault.azuredevops import AzureDevOpsClient, who_am_i
from nbvault.azuredevops.pats import PersonalToken, create_token, list_tokens, revoke_token
from nbvault.clock import Clock, SystemClock, iso
from nbvault.errors import AuthenticationError, ConfigurationError, NbvaultError
from nbvault.hosting import azure_devops
from nbvault.settings import Secret, Settings, VaultAuth
from nbvault.state.store import AuditEvent
from nbvault.workspace.client import WorkspaceClient
from nbvault.workspace.tokens import FixedToken, WorkspaceToken, WorkspaceTokens
from nbvault.workspace.transport import ClientOptions

# A new token is not known to every server of the service at once.
TRIES, BETWEEN_S = 5, 3.0
DEFAULT_LIFETIME = timedelta(days=90)
WORKSPACE, VAULT = "workspace", "vault"


@dataclass(frozen=True, slots=True)
class Credential:
    """How we stand with one system. `expires` is None where nobody tells; `error` says why it does not take us."""

    system: str
    method: str
    identity: str = ""
    expires: datetime | None = None
    error: str = ""

    def as_json(self) -> dict[str, str | bool | None]:
        """For scripts."""
        until = iso(self.expires) if self.expires else None
        return {
            "system": self.system,
            "method": self.method,
            "identity": self.identity,
            "expires_at": until,
            "ok": not self.error,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did. `revoked` are the old tokens' ids; `notes` what is left to do."""

    system: str
    reference: str
    expires: datetime | None
    revoked: tuple[str, ...]
    notes: tuple[str, ...] = ()


# --- looking ---------------------------------------------------------------------------------------------------------


def status(settings: Settings, *, clock: Clock | None = None) -> list[Credential]:
    """How we stand with the workspace and with the Git server; each is asked, and what it answers is told."""
    clock = clock or SystemClock()
    auth = AuthenticationManager(settings, clock=clock)

    async def look() -> list[Credential]:
        return [await _workspace_status(settings, auth, clock), await _vault_status(settings, auth, clock)]

    return asyncio.run(look())


def renews_itself(settings: Settings, system: str) -> bool:
    """Tokens of an hour come anew; only those that somebody has put somewhere end for good."""
    if system == VAULT:
        return settings.vault.auth is VaultAuth.ENTRA
    return settings.workspace.token is None


async def _workspace_status(settings: Settings, auth: AuthenticationManager, clock: Clock) -> Credential:
    standing = Standing(WORKSPACE, "unknown")
    try:
        standing = await asyncio.to_thread(auth.workspace_standing)
        async with WorkspaceClient(auth, options=ClientOptions.of(settings), clock=clock) as client:
            standing = replace(standing, identity=(await client.me()).user_name or standing.identity)
        expires = standing.expires
        if expires is None and settings.workspace.token:
            expires = await _workspace_expiry(settings, auth, clock)
    except NbvaultError as error:
        return Credential(WORKSPACE, standing.method, standing.identity, standing.expires, str(error))
    return Credential(WORKSPACE, standing.method, standing.identity, expires)


async def _workspace_expiry(settings: Settings, auth: AuthenticationManager, clock: Clock) -> datetime | None:
    """When our token ends, if the workspace lists exactly one of its name: it does not say which one we showed."""
    try:
        async with WorkspaceTokens(auth, options=ClientOptions.of(settings), clock=clock) as tokens:
            named = [each for each in await tokens.list() if each.comment == settings.workspace.token_name]
    except NbvaultError:
        return None
    return named[0].expires if len(named) == 1 else None


async def _vault_status(settings: Settings, auth: AuthenticationManager, clock: Clock) -> Credential:
    standing = Standing(VAULT, auth.git_method)
    try:
        standing = await asyncio.to_thread(auth.git_standing)
        client = azure_devops(settings, auth, clock=clock)
        if client is None:
            return Credential(VAULT, standing.method, standing.identity, standing.expires)
        async with client:
            identity = str(await who_am_i(client)) or standing.identity
    except NbvaultError as error:
        return Credential(VAULT, standing.method, standing.identity, standing.expires, str(error))
    expires = standing.expires or await _pat_expiry(settings, auth, clock)
    return Credential(VAULT, standing.method, identity, expires)


async def _pat_expiry(settings: Settings, auth: AuthenticationManager, clock: Clock) -> datetime | None:
    """When our token ends, if an identity of Entra is configured that may ask, and it has one token of that name."""
    azure = settings.azure
    if not (azure.tenant_id or azure.client_id or azure.credential.value != "auto"):
        return None
    client = azure_devops(settings, auth, headers=auth.entra_headers, clock=clock)
    if client is None:
        return None
    try:
        async with client:
            named = [each for each in await list_tokens(client) if each.name == settings.vault.token_name]
    except NbvaultError:
        return None
    return named[0].valid_to if len(named) == 1 else None


# --- rotating --------------------------------------------------------------------------------------------------------


def rotate(
    settings: Settings,
    system: str,
    *,
    lifetime: timedelta | None = None,
    by: str,
    say: Callable[[str], None],
    clock: Clock | None = None,
) -> Rotation:
    """A new token for the workspace or the vault, written, used, and the old one ended; noted in the audit trail.

    Args:
        lifetime: How long the new one is to be valid; otherwise as long as the old one was, else 90 days.
        by: Who does it, for the audit trail.

    Raises:
        ConfigurationError: there is no token to rotate, or it is where nobody can write.
        NbvaultError: the new token could not be made, written or used; the old one is in its place, and valid.
    """
    clock = clock or SystemClock()
    auth = AuthenticationManager(settings, clock=clock)
    work = _rotate_vault if system == VAULT else _rotate_workspace
    try:
        done = asyncio.run(work(settings, auth, lifetime, clock))
    except NbvaultError as error:
        _note(settings, AuditEvent(clock.now(), by, "rotate token", system, "failed", error.message), say, clock)
        raise
    until = f", valid until {iso(done.expires)}" if done.expires else ""
    detail = f"{done.reference}{until}, {len(done.revoked)} old revoked"
    _note(settings, AuditEvent(clock.now(), by, "rotate token", system, "ok", detail), say, clock)
    return done


class _Issuer(Protocol):
    """Who makes and ends the tokens of one system."""

    async def old(self) -> Sequence[_Issued]:
        """Those that are called as ours is, and valid."""

    async def make(self, like: _Issued | None, lifetime: timedelta | None) -> _Issued:
        """Another one."""

    async def use(self, token: str) -> None:
        """Sign in with it, or raise AuthenticationError."""

    async def end(self, token: _Issued) -> None:
        """Revoke it."""


@dataclass(frozen=True, slots=True)
class _Issued:
    token_id: str
    begins: datetime | None
    ends: datetime | None
    scope: str = ""
    secret: str = ""

    def __repr__(self) -> str:
        return f"token {self.token_id}"

    @property
    def lifetime(self) -> timedelta:
        return self.ends - self.begins if self.ends and self.begins else DEFAULT_LIFETIME


async def _replace(system: str, place: Secret, issuer: _Issuer, lifetime: timedelta | None, clock: Clock) -> Rotation:
    """The order that leaves a valid token in its place whenever it is cut off."""
    place.check_writable()
    old = sorted(await issuer.old(), key=lambda each: each.begins.timestamp() if each.begins else 0.0)
    before = await asyncio.to_thread(place.reveal)
    made = await issuer.make(old[-1] if old else None, lifetime)
    try:
        await asyncio.to_thread(place.replace, made.secret)
        place.forget()
        if await asyncio.to_thread(place.reveal) != made.secret:
            raise AuthenticationError(f"{place.reference} does not hold what was just written there.")
        await _until_taken(issuer, made.secret, clock)
    except NbvaultError:
        await asyncio.to_thread(place.replace, before)
        place.forget()
        with suppress(NbvaultError):
            await issuer.end(made)
        raise
    return await _end_all(system, place, issuer, made, old)


async def _end_all(system: str, place: Secret, issuer: _Issuer, made: _Issued, old: Sequence[_Issued]) -> Rotation:
    revoked, notes = [], []
    for each in old:
        try:
            await issuer.end(each)
            revoked.append(each.token_id)
        except NbvaultError as error:
            notes.append(f"The old token {each.token_id} is still valid: {error.message}")
    if not old:
        notes.append("No old token of that name is known; if there is one by another name, revoke it by hand.")
    return Rotation(system, place.reference, made.ends, tuple(revoked), tuple(notes))


async def _until_taken(issuer: _Issuer, token: str, clock: Clock) -> None:
    for _ in range(TRIES - 1):
        try:
            await issuer.use(token)
            return
        except AuthenticationError:
            await clock.sleep(BETWEEN_S)
    await issuer.use(token)


# --- the two systems -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _AzureDevOps:
    """By the lifecycle API, which takes tokens of Entra only."""

    entra: AzureDevOpsClient
    with_token: Callable[[str], AzureDevOpsClient]
    name: str
    clock: Clock

    async def old(self) -> Sequence[_Issued]:
        """The valid tokens of our name."""
        return [_of_pat(each) for each in await list_tokens(self.entra) if each.name == self.name]

    async def make(self, like: _Issued | None, lifetime: timedelta | None) -> _Issued:
        """With the scope and lifetime of the old one."""
        if like is None:
            raise ConfigurationError(
                f"Azure DevOps knows no valid token of this identity called {self.name!r}, to make one like it.",
                hint="Set vault.token_name to the name of the token as Azure DevOps shows it.",
            )
        until = self.clock.now() + (lifetime or like.lifetime)
        return _of_pat(await create_token(self.entra, name=self.name, scope=like.scope, valid_to=until))

    async def use(self, token: str) -> None:
        """Ask who we are with it."""
        async with self.with_token(token) as client:
            await who_am_i(client)

    async def end(self, token: _Issued) -> None:
        """Revoke it."""
        await revoke_token(self.entra, token.token_id)


def _of_pat(pat: PersonalToken) -> _Issued:
    return _Issued(pat.authorization_id, pat.valid_from, pat.valid_to, pat.scope, pat.secret)


async def _rotate_vault(
    settings: Settings, auth: AuthenticationManager, lifetime: timedelta | None, clock: Clock
) -> Rotation:
    token = settings.vault.token
    if settings.vault.auth is VaultAuth.ENTRA or token is None:
        raise ConfigurationError("The vault is not opened by a token of its own; Entra renews its tokens by itself.")
    client = azure_devops(settings, auth, headers=auth.entra_headers, clock=clock)
    if client is None:
        raise ConfigurationError(
            "Only tokens of Azure DevOps can be rotated from here.", hint="Make a new one where the remote is."
        )

    def with_token(secret: str) -> AzureDevOpsClient:
        return client.signed_in_by(lambda: _basic(secret))

    async with client:
        issuer = _AzureDevOps(client, with_token, settings.vault.token_name, clock)
        return await _replace(VAULT, token, issuer, lifetime, clock)


def _basic(secret: str) -> dict[str, str]:
    return {"Authorization": AuthenticationManager.basic(secret)}


@dataclass(frozen=True, slots=True)
class _Workspace:
    """By the workspace's token API, signed in by whatever method is configured."""

    tokens: WorkspaceTokens
    host: str
    name: str
    options: ClientOptions
    clock: Clock

    async def old(self) -> Sequence[_Issued]:
        """The tokens of our name."""
        return [_of_token(each) for each in await self.tokens.list() if each.comment == self.name]

    async def make(self, like: _Issued | None, lifetime: timedelta | None) -> _Issued:
        """With the lifetime of the old one."""
        lasting = lifetime or (like.lifetime if like else DEFAULT_LIFETIME)
        return _of_token(await self.tokens.create(comment=self.name, lifetime_s=int(lasting.total_seconds())))

    async def use(self, token: str) -> None:
        """Ask who we are with it."""
        async with WorkspaceClient(FixedToken(self.host, token), options=self.options, clock=self.clock) as client:
            await client.me()

    async def end(self, token: _Issued) -> None:
        """Revoke it."""
        await self.tokens.delete(token.token_id)


def _of_token(token: WorkspaceToken) -> _Issued:
    return _Issued(token.token_id, token.created, token.expires, secret=token.secret)


async def _rotate_workspace(
    settings: Settings, auth: AuthenticationManager, lifetime: timedelta | None, clock: Clock
) -> Rotation:
    token = settings.workspace.token
    if token is None:
        raise ConfigurationError("The workspace is not opened by a token of its own; there is nothing to rotate.")
    options = ClientOptions.of(settings)
    host = await asyncio.to_thread(lambda: auth.host)
    # The token that is to go signs in until it has gone; the one that comes ends it.
    async with WorkspaceTokens(auth, options=options, clock=clock) as tokens:
        issuer = _Workspace(tokens, host, settings.workspace.token_name, options, clock)
        return await _replace(WORKSPACE, token, issuer, lifetime, clock)


def _note(settings: Settings, event: AuditEvent, say: Callable[[str], None], clock: Clock) -> None:
    """Into the vault's audit trail and the state store; a rotation that happened is not undone where that fails."""
    try:
        with noting(settings, say=say, clock=clock) as (vault, state):
            write_note(settings, vault, [event], state=state, clock=clock)
    except NbvaultError as error:
        say(f"The audit trail in the vault could not be told: {error.message}")
