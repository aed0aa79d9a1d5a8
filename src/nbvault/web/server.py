"""What listens: one process, until SIGTERM or SIGINT."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

import uvicorn

from nbvault.errors import ConfigurationError
from nbvault.settings import Settings, SignIn, is_loopback
from nbvault.web.app import create_app
from nbvault.web.signing import LocalSignIn
from nbvault.web.site import Site, way_of

# Answers under way get so long; restores end in their own time (`Tasks.close`).
ENDS_WITHIN_S = 5
# Longer than proxies keep a connection open (60 s with most of them): whoever closes one first must be the one who
# sends, or a request arrives on a connection that is just being closed, and its person sees an error.
KEEP_ALIVE_S = 75
# So long a thread that computes keeps the others waiting. Python's own 5 ms are paid at every turn of the event loop.
TURN_S = 0.0005


def serve(settings: Settings, *, host: str, port: int, say: Callable[[str], None]) -> int:
    """Serve the page until the process is asked to stop; returns the exit code 0.

    Args:
        host: The address to listen on.
        port: 0 takes a free one.
        say: Told where the page is, once it answers.

    Raises:
        ConfigurationError: the address is taken, or is open to others while anybody could come in.
        NbvaultError: the vault cannot be opened.
    """
    way = way_of(settings)
    if way is SignIn.LOCAL and not is_loopback(host):
        raise ConfigurationError(
            f"On {host} others can reach the page, and nobody would have to sign in.",
            hint="Listen on 127.0.0.1, or set web.sign_in to proxy or oidc.",
        )
    site = Site.of(settings)
    listening = bound(host, port)
    with listening:
        port = listening.getsockname()[1]
        https = settings.web.address.startswith("https://") or way is SignIn.APP
        app = create_app(site, hosts=_hosts(settings, host, port), https=https)
        config = uvicorn.Config(
            app,
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=True,
            timeout_graceful_shutdown=ENDS_WITHIN_S,
            timeout_keep_alive=KEEP_ALIVE_S,
            h11_max_incomplete_event_size=64 * 1024,
        )
        sys.setswitchinterval(TURN_S)
        # Before the server begins: what is wrong with the vault is then said like any other error.
        site.warm.open()
        # The server has ended in order, and then passes on the signal that ended it.
        with suppress(KeyboardInterrupt):
            _Server(config, lambda: say(_told(site, settings, host, port))).run(sockets=[listening])
    return 0


class _Server(uvicorn.Server):
    """Tells when it has started."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._told = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._told()


def bound(host: str, port: int) -> socket.socket:
    """The socket to listen on.

    Raises:
        ConfigurationError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named: only then the event loop sends what is short at once. Otherwise the end of each answer
    # would wait for the browser's acknowledgement of its beginning, which comes 40 ms later.
    made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except (OSError, OverflowError) as error:
        made.close()
        raise ConfigurationError(
            f"The page cannot listen on {host} port {port}: {getattr(error, 'strerror', None) or error}.",
            hint="Take another one with --port, or 0 for any that is free.",
        ) from error
    return made


def _hosts(settings: Settings, host: str, port: int) -> frozenset[str]:
    """As whom the page may be addressed; anything for an app, whose proxy decides."""
    if settings.web.address:
        return frozenset({urlsplit(settings.web.address).netloc.lower()})
    if is_loopback(host):
        return frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]", _bracketed(host)))
    return frozenset()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host.lower()


def _told(site: Site, settings: Settings, host: str, port: int) -> str:
    address = settings.web.address or f"http://{_bracketed(host)}:{port}"
    if isinstance(site.signs_in, LocalSignIn):
        return f"Open {address}/enter?key={site.signs_in.key}\nThe link works once. Ctrl-C ends."
    return f"Serving at {address}"
