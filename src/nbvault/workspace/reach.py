"""Whether a server answers at all, over a connection that may be trusted, and what time it is there."""

from __future__ import annotations

import asyncio
import socket
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp

import nbvault
from nbvault.errors import ConfigurationError, NbvaultError
from nbvault.workspace.errors import Unreachable
from nbvault.workspace.transport import UNTRUSTED_HINT, ClientOptions, trust


class Reached(NamedTuple):
    """That a server answered: with which status, and at which time by its own clock; None where it does not say."""

    status: int
    date: datetime | None


async def reach(url: str, *, key: str, options: ClientOptions) -> Reached:
    """Ask a server for anything, without credentials, once; whatever it answers will do.

    Args:
        key: The setting that names the server, for what to do.

    Raises:
        ConfigurationError: there is no such name, its certificate is not trusted, or no TLS is spoken there.
        Unreachable: nobody answers.
    """
    host = urlsplit(url).netloc.rpartition("@")[2]
    timeout = aiohttp.ClientTimeout(total=options.timeout_s)
    connector = aiohttp.TCPConnector(ssl=trust(url, options))
    about = {"User-Agent": f"nbvault/{nbvault.__version__}"}
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, headers=about) as session,
            session.get(url, allow_redirects=False, proxy=options.proxy_for(url) or None) as answer,
        ):
            return Reached(answer.status, _moment(answer.headers.get("Date", "")))
    except (aiohttp.ClientError, asyncio.TimeoutError, OSError) as error:
        raise _in_our_words(error, host, key, options) from error


def _in_our_words(error: Exception, host: str, key: str, options: ClientOptions) -> NbvaultError:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return ConfigurationError(f"The certificate of {host} is not trusted: {error}.", hint=UNTRUSTED_HINT)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return ConfigurationError(f"{host} speaks no TLS that is safe: {error}.", hint=f"Check {key} and its port.")
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, socket.gaierror):
        hint = f"Check {key} for a typing error, and this machine's name service."
        return ConfigurationError(f"There is no server called {host}.", hint=hint)
    hint = f"Check {key}, the network, firewalls and the proxy settings."
    if isinstance(error, asyncio.TimeoutError):
        return Unreachable(f"{host} gave no answer in {options.timeout_s:.0f} s.", hint=hint)
    return Unreachable(f"{host} cannot be reached: {str(error) or type(error).__name__}.", hint=hint)


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
