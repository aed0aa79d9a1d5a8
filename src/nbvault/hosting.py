"""What the host of the remote says of the vault's repository, where it is Azure DevOps; silence for any other host."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nbvault.auth import AuthenticationManager, AuthEvent
from nbvault.azuredevops import (
    AzureDevOpsClient,
    ClientOptions,
    Obstacle,
    Repository,
    address_of,
    ensure_repository,
    find_obstacles,
    find_repository,
    protecting_policies,
)
from nbvault.clock import Clock
from nbvault.errors import ConfigurationError, NbvaultError, PushRefused
from nbvault.gitstore.meta import Record
from nbvault.settings import Settings

# A backup does not wait long for advice.
FEW_ATTEMPTS, SHORT_S = 2, 10.0


def azure_devops(
    settings: Settings,
    auth: AuthenticationManager,
    *,
    headers: Callable[[], Mapping[str, str]] | None = None,
    attempts: int | None = None,
    clock: Clock | None = None,
) -> AzureDevOpsClient | None:
    """A client for the organisation of the remote, not entered yet; None where the remote is elsewhere.

    Args:
        headers: Instead of those of the Git server's own credentials.
        attempts: For advice that is not worth a long wait; otherwise patience.
    """
    address = address_of(str(settings.vault.remote))
    if address is None:
        return None
    options = ClientOptions(proxy_for=settings.proxy_for, ca_file=settings.ca_file)
    if attempts is not None:
        options = ClientOptions(SHORT_S, options.proxy_for, options.ca_file, attempts)
    return AzureDevOpsClient(address, headers or auth.azure_devops_headers, options=options, clock=clock)


async def ensure_remote(settings: Settings, auth: AuthenticationManager) -> tuple[Repository, bool] | None:
    """The repository of the remote, made where it is missing, and whether it was; None where the host is another.

    Raises:
        NbvaultError: it can be neither found nor made; the message says which right or project is missing.
    """
    client = azure_devops(settings, auth)
    if client is None:
        return None
    async with client:
        return await ensure_repository(client, branch=settings.vault.branch)


async def lacks_repository(settings: Settings, auth: AuthenticationManager) -> bool:
    """Whether Azure DevOps says that the project has no such repository; False where it says anything else."""
    client = azure_devops(settings, auth, attempts=FEW_ATTEMPTS)
    if client is None:
        return False
    async with client:
        try:
            return await find_repository(client) is None
        except NbvaultError:
            # Another examination tells what is wrong.
            return False


async def obstacles(
    settings: Settings, auth: AuthenticationManager, *, attempts: int | None = None, clock: Clock | None = None
) -> list[Obstacle]:
    """What would or might refuse our pushes, the worst first; empty where the host cannot be asked such things.

    Raises:
        ConfigurationError: there is no such repository.
        NbvaultError: the host does not answer, or refuses the credentials.
    """
    client = azure_devops(settings, auth, attempts=attempts, clock=clock)
    if client is None:
        return []
    async with client:
        repository = await find_repository(client)
        if repository is None:
            raise ConfigurationError(
                f"There is no repository {client.address.repository} in the project {client.address.project}, or it is "
                "hidden from this identity.",
                hint="Check vault.remote, and that the identity may read the repository.",
            )
        return await find_obstacles(client, repository, branch=settings.vault.branch)


async def foretold(settings: Settings, auth: AuthenticationManager, *, clock: Clock | None = None) -> list[str]:
    """Sentences on what stands in the way of a first session. Never an error: the session itself will tell."""
    try:
        found = await obstacles(settings, auth, attempts=FEW_ATTEMPTS, clock=clock)
    except NbvaultError as error:
        return [f"Azure DevOps could not be asked what would refuse a push: {error.message}"]
    return [f"{obstacle.what} {obstacle.hint}".strip() for obstacle in found]


async def explained(
    error: NbvaultError, settings: Settings, auth: AuthenticationManager, *, clock: Clock | None = None
) -> NbvaultError:
    """The same error, with the names of the policies that refused the push, where the host tells them."""
    client = azure_devops(settings, auth, attempts=FEW_ATTEMPTS, clock=clock)
    if client is None or not isinstance(error, PushRefused) or "TF402455" not in error.message:
        return error
    try:
        async with client:
            repository = await find_repository(client)
            names = await protecting_policies(client, repository, branch=settings.vault.branch) if repository else []
    except NbvaultError:
        # The refusal is what counts; who may not look at policies reads it without their names.
        return error
    if not names:
        return error
    told = f"{error.message.rstrip('.')}. The policies are: {', '.join(names)}."
    return type(error)(told, hint=error.hint)


@dataclass(frozen=True, slots=True)
class SessionHost:
    """What a session may ask of who signs it in, and of the host of its remote."""

    settings: Settings
    auth: AuthenticationManager
    clock: Clock
    waiting: Callable[[], Sequence[Record]] = list

    def signed_in(self, identity: str) -> None:
        """The workspace has said whom it takes us for."""
        self.auth.workspace_accepted(identity)

    def auth_events(self) -> Sequence[AuthEvent]:
        """What happened when we signed in, since this was asked last."""
        return self.auth.witness.take()

    def untold(self) -> Sequence[Record]:
        """Lines of the audit trail that the vault has not been told yet."""
        return self.waiting()

    async def foretold(self) -> Sequence[str]:
        """As `foretold`."""
        return await foretold(self.settings, self.auth, clock=self.clock)

    async def explained(self, error: NbvaultError) -> NbvaultError:
        """As `explained`."""
        return await explained(error, self.settings, self.auth, clock=self.clock)
