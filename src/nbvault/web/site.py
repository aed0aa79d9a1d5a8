"""The parts of the page, put together; made and closed by the server on its event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from nbvault.clock import Clock, SystemClock
from nbvault.errors import ConfigurationError
from nbvault.reporting.query import last_week
from nbvault.settings import Settings, SignIn
from nbvault.web.access import Access
from nbvault.web.deeds import Deeds, Parts
from nbvault.web.guard import Seal
from nbvault.web.library import Library
from nbvault.web.signing import ForwardedSignIn, LocalSignIn, OidcSignIn, People, Sessions, SignsIn
from nbvault.web.stock import Stock
from nbvault.web.tasks import Tasks
from nbvault.web.warm import WarmVault
from nbvault.web.watch import Watch
from nbvault.web.workspaces import Workspaces


@dataclass(slots=True)
class Site:
    """Everything that routes use. `library` and `deeds` are there once it is open."""

    settings: Settings
    clock: Clock
    workspaces: Workspaces
    warm: WarmVault
    watch: Watch
    tasks: Tasks
    sessions: Sessions
    signs_in: SignsIn
    seal: Seal
    library: Library
    access: Access
    stock: Stock
    deeds: Deeds | None = None

    @classmethod
    def of(cls, settings: Settings, *, clock: Clock | None = None) -> Site:
        """For these settings; nothing is opened yet.

        Raises:
            ConfigurationError: the section [web] lacks something for its way to sign in.
        """
        clock = clock or SystemClock()
        workspaces = Workspaces(settings, clock=clock)
        warm = WarmVault(settings, clock=clock)
        access = Access(workspaces, root=settings.workspace.root, keep_s=settings.web.access_s, clock=clock)
        sessions = Sessions(clock=clock)
        people = People(workspaces, settings.web, clock=clock)
        return cls(
            settings,
            clock,
            workspaces,
            warm,
            Watch(settings, warm, clock=clock),
            Tasks(clock=clock),
            sessions,
            _way_in(settings, people, sessions),
            Seal(),
            Library(warm, access),
            access,
            Stock(settings, warm, clock=clock),
        )

    @property
    def to_do(self) -> Deeds:
        """What is done in the background.

        Raises:
            ConfigurationError: the site is not open.
        """
        if self.deeds is None:
            raise ConfigurationError("The page is not open yet.")
        return self.deeds

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """While it serves."""
        await run_in_threadpool(self.warm.open)
        parts = Parts(self.library, self.warm, self.workspaces, self.access)
        deeds = self.deeds = Deeds(self.settings, parts, self.tasks, clock=self.clock)

        def know() -> None:
            # What people look at first comes first.
            self.library.know_changes(last_week(self.clock.now()))
            deeds.know_records()
            self.stock.begin()

        self.watch.beside = know
        self.watch.open()
        self.stock.open()
        try:
            yield
        finally:
            await run_in_threadpool(self.stock.close)
            await run_in_threadpool(self.tasks.close)
            await run_in_threadpool(self.watch.close)
            await run_in_threadpool(self.warm.close)
            await self.workspaces.close()


def way_of(settings: Settings) -> SignIn:
    """How people sign in, with `auto` resolved."""
    chosen = settings.web.sign_in
    if chosen is SignIn.AUTO:
        return SignIn.APP if settings.in_databricks_app else SignIn.LOCAL
    return chosen


def _way_in(settings: Settings, people: People, sessions: Sessions) -> SignsIn:
    section = settings.web
    way = way_of(settings)
    if way is SignIn.LOCAL:
        return LocalSignIn(sessions)
    if way is SignIn.APP:
        if not settings.in_databricks_app:
            raise ConfigurationError(
                'web.sign_in = "databricks-app" believes the platform\'s proxy, and this is no Databricks App.',
                hint='Behind a proxy of your own: web.sign_in = "proxy" and its address in web.proxies.',
            )
        return ForwardedSignIn(people, None)
    if way is SignIn.PROXY:
        if not section.proxies:
            raise ConfigurationError(
                "web.proxies names no proxy, so nobody could come in.", hint='Such as web.proxies = ["10.0.0.5"].'
            )
        return ForwardedSignIn(people, section.proxies)
    missing = [
        name
        for name, value in (
            ("web.address", section.address),
            ("web.oidc_issuer", section.oidc_issuer),
            ("web.oidc_client_id", section.oidc_client_id),
            ("web.oidc_client_secret", section.oidc_client_secret),
        )
        if not value
    ]
    if missing:
        raise ConfigurationError(f"To sign in by OpenID Connect, {', '.join(missing)} must be set.")
    return OidcSignIn(people, sessions, secure=section.address.startswith("https://"))
