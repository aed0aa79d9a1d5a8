"""Who somebody is. Whatever the way in, only the workspace says whose token it is; no header is believed."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hmac import compare_digest
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Protocol

from starlette.requests import HTTPConnection

from nbvault.clock import Clock
from nbvault.errors import AuthenticationError, NbvaultError
from nbvault.model import Identity
from nbvault.settings import WebSection
from nbvault.web.refusals import CannotSay, NotAllowed, NotSignedIn
from nbvault.web.viewer import Role, Viewer, fingerprint
from nbvault.web.workspaces import Workspaces
from nbvault.workspace.errors import Forbidden

COOKIE = "nbvault"
TOKEN_HEADER = "x-forwarded-access-token"  # noqa: S105 - the name of a header
# Headers by which proxies say who somebody is: the Apps proxy, oauth2-proxy, App Service, and their like.
NAMING = (
    "x-forwarded-access-token",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-preferred-username",
    "x-forwarded-groups",
    "x-auth-request-user",
    "x-auth-request-email",
    "x-auth-request-access-token",
    "x-ms-client-principal",
    "x-ms-client-principal-name",
    "x-ms-token-aad-access-token",
    "remote-user",
)
GRACE_S = 3600.0
SESSION_S = 12 * 3600.0
KEPT = 5000


class SignsIn(Protocol):
    """A way in."""

    async def viewer(self, connection: HTTPConnection) -> Viewer:
        """Whose request this is.

        Raises:
            NotSignedIn: nobody's.
            NotAllowed: it pretends to be somebody's, or this person may not come in.
        """


class People:
    """Viewers by their tokens, as the workspace knows them; asked anew after a while."""

    def __init__(self, workspaces: Workspaces, section: WebSection, *, clock: Clock) -> None:
        self._workspaces = workspaces
        self._section = section
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Identity]] = OrderedDict()
        self._asking: dict[str, asyncio.Future[Identity]] = {}

    async def viewer(self, token: str) -> Viewer:
        """Whose token this is.

        Raises:
            NotSignedIn: the workspace does not accept it.
            NotAllowed: none of its groups may come in.
            CannotSay: the workspace does not answer, and has never said before.
        """
        found = await self._identity(token)
        role = Role.of(found.groups, self._section)
        if role is Role.NOBODY:
            raise NotAllowed(
                f"{found.user_name} is in none of the groups that may use this page.",
                hint="Ask the administrator of nbvault (web.readers).",
            )
        return Viewer(found.user_name, role, sees_all=found.is_admin, token=token)

    async def _identity(self, token: str) -> Identity:
        key, now_s = fingerprint(token), self._clock.monotonic()
        at_s, known = self._known.get(key, (0.0, None))
        if known and now_s - at_s < self._section.access_s:
            return known
        # A page and its parts come at the same time: the workspace is asked once.
        if key not in self._asking:
            self._asking[key] = asyncio.ensure_future(self._ask(token, key, known, at_s))
            self._asking[key].add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(self._asking[key])

    async def _ask(self, token: str, key: str, known: Identity | None, at_s: float) -> Identity:
        now_s = self._clock.monotonic()
        try:
            found = await self._workspaces.ask(token, lambda workspace: workspace.me())
        except (AuthenticationError, Forbidden) as error:
            self._known.pop(key, None)
            raise NotSignedIn("The workspace does not accept your token.", hint="Sign in again.") from error
        except NbvaultError as error:
            if known and now_s - at_s < GRACE_S:
                return known
            raise CannotSay(
                "The workspace does not answer, so it is not known who you are.", hint="Try again in a minute."
            ) from error
        self._known[key] = (now_s, found)
        self._known.move_to_end(key)
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return found


@dataclass(slots=True)
class _Session:
    value: str
    ends_s: float


class Sessions:
    """What a cookie stands for; in memory, so that a restart signs everybody out."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[str, _Session] = OrderedDict()

    def begin(self, value: str, *, lasts_s: float = SESSION_S) -> str:
        """The cookie of a new session."""
        cookie = secrets.token_urlsafe(32)
        self._known[fingerprint(cookie)] = _Session(value, self._clock.monotonic() + lasts_s)
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return cookie

    def value(self, cookie: str) -> str | None:
        """What a session was begun with; None if it is none, or has ended."""
        found = self._known.get(fingerprint(cookie))
        if found is None or found.ends_s < self._clock.monotonic():
            return None
        return found.value

    def end(self, cookie: str) -> None:
        """Sign out."""
        self._known.pop(fingerprint(cookie), None)


class LocalSignIn:
    """Whoever has seen the terminal: a link with a key that is good once."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._key = secrets.token_urlsafe(32)
        self.key = self._key

    def enter(self, key: str) -> str:
        """The cookie for a key; the key is used up.

        Raises:
            NotSignedIn: it is not the key, or was used before.
        """
        if not self._key or not compare_digest(key.encode(), self._key.encode()):
            raise NotSignedIn(
                "This link is not valid, or was used before.",
                hint="It opens the page once, in one browser. Start `nbvault serve` again for another one.",
            )
        self._key = ""
        return self._sessions.begin("local", lasts_s=30 * 86400)

    async def viewer(self, connection: HTTPConnection) -> Viewer:
        """As `SignsIn`: the one who has the configuration, who is also the service itself."""
        refuse_names(connection)
        cookie = connection.cookies.get(COOKIE, "")
        if self._sessions.value(cookie) is None:
            raise NotSignedIn(
                "This page opens with the link that `nbvault serve` printed.", hint="Look at the terminal it runs in."
            )
        return Viewer("local", Role.ADMINISTRATOR, sees_all=True)


class ForwardedSignIn:
    """Behind a proxy that signs people in and hands their own token on.

    Args:
        proxies: Whose headers are believed; None: only the proxy can reach us.
    """

    def __init__(self, people: People, proxies: Sequence[str] | None) -> None:
        self._people = people
        self._proxies = None if proxies is None else [ip_network(each, strict=False) for each in proxies]

    async def viewer(self, connection: HTTPConnection) -> Viewer:
        """As `SignsIn`."""
        if self._proxies is not None and not _is_in(connection, self._proxies):
            refuse_names(connection)
            raise NotSignedIn("This page is reached through its proxy.", hint="Use the address you were given.")
        values = connection.headers.getlist(TOKEN_HEADER)
        if len(values) > 1:
            raise NotAllowed("The request names more than one person.")
        if not values or not values[0].strip():
            raise NotSignedIn(
                "The proxy hands on no token of yours, so it is not known what you may see.",
                hint="Ask an administrator to turn on user authorization, or the proxy's passing on of tokens.",
            )
        return await self._people.viewer(values[0].strip())


class OidcSignIn:
    """People who have signed in at an identity provider, which gave us a token of theirs for the workspace."""

    def __init__(self, people: People, sessions: Sessions, *, secure: bool) -> None:
        self._people = people
        self._sessions = sessions
        self._cookie = cookie_name(secure=secure)

    async def begin(self, token: str, *, lasts_s: float) -> str:
        """The cookie for somebody whom the provider and the workspace know.

        Raises:
            NotSignedIn, NotAllowed, CannotSay: as `People.viewer`.
        """
        await self._people.viewer(token)
        return self._sessions.begin(token, lasts_s=lasts_s)

    async def viewer(self, connection: HTTPConnection) -> Viewer:
        """As `SignsIn`."""
        refuse_names(connection)
        token = self._sessions.value(connection.cookies.get(self._cookie, ""))
        if token is None:
            raise NotSignedIn("You are not signed in.", hint="Sign in to go on.")
        return await self._people.viewer(token)


def cookie_name(*, secure: bool) -> str:
    """A `__Host-` cookie is bound to this host and to HTTPS by the browser itself."""
    return f"__Host-{COOKIE}" if secure else COOKIE


def refuse_names(connection: HTTPConnection) -> None:
    """Nobody but a proxy that we trust says who somebody is.

    Raises:
        NotAllowed: this request does.
    """
    if found := next((name for name in NAMING if name in connection.headers), None):
        raise NotAllowed(
            f"The header {found} is believed from configured proxies only, and this request comes from elsewhere.",
            hint='If a proxy of yours sent it, name its address in web.proxies and set web.sign_in = "proxy".',
        )


def _is_in(connection: HTTPConnection, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    if connection.client is None:
        return False
    try:
        address = ip_address(connection.client.host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)
