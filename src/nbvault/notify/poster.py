"""One POST of JSON to an address that is a secret: it is in no message, and no redirect is followed with it."""

from __future__ import annotations

import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

import nbvault
from nbvault.errors import ConfigurationError
from nbvault.notify.errors import DeliveryFailed
from nbvault.settings import Secret, is_loopback

_LONGEST_ANSWER = 4000
_LONGEST_WAIT_S = 3600.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object, **_more: object) -> None:
        """Not followed: the answer is then an error, as it should be."""


class Poster:
    """Sends JSON to one service.

    Args:
        service: What it is called in messages.
        key: The setting with its address or token, for what to do.
        ca_file: The authorities to trust; empty for the system's own.
        proxy_for: The proxy for a URL, or nothing.
    """

    def __init__(
        self, service: str, key: str, *, ca_file: str = "", proxy_for: Callable[[str], str], timeout_s: float = 10.0
    ) -> None:
        self._service = service
        self._key = key
        self._ca_file = ca_file
        self._proxy_for = proxy_for
        self._timeout_s = timeout_s

    def post(self, url: str, body: Mapping[str, Any], *, bearer: str = "") -> str:
        """Send it once; returns the beginning of the answer.

        Raises:
            DeliveryFailed: it was not taken, or nobody knows.
            ConfigurationError: that is no address to send a secret to.
        """
        request = self._request(url, body, bearer)
        try:
            with self._opener(url).open(request, timeout=self._timeout_s) as answer:
                return str(answer.read(_LONGEST_ANSWER).decode("utf-8", "replace"))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error) from None
        except (OSError, HTTPException, ValueError) as error:
            # Not "from": the text of the cause may hold the address.
            raise self._unreachable(error, url) from None

    def address_of(self, secret: Secret) -> str:
        """The address that a reference leads to.

        Raises:
            ConfigurationError: it is none that begins with https://.
            AuthenticationError: the reference leads to nothing.
        """
        url = secret.reveal()
        if not _is_address(url):
            hint = f"Put the whole address of the webhook, which begins with https://, into {secret.reference}."
            raise ConfigurationError(f"{self._key} leads to no address of a webhook.", hint=hint)
        return url

    def _request(self, url: str, body: Mapping[str, Any], bearer: str) -> urllib.request.Request:
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": f"nbvault/{nbvault.__version__}"}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        return urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")  # noqa: S310 - checked

    def _opener(self, url: str) -> urllib.request.OpenerDirector:
        proxy = self._proxy_for(url)
        handlers: list[urllib.request.BaseHandler] = [
            urllib.request.ProxyHandler({urlsplit(url).scheme: proxy} if proxy else {}),
            urllib.request.HTTPSHandler(context=self._trust()),
            _NoRedirect(),
        ]
        return urllib.request.build_opener(*handlers)

    def _trust(self) -> ssl.SSLContext:
        return trust(self._ca_file)

    def _refused(self, error: urllib.error.HTTPError) -> DeliveryFailed:
        said = error.read(200).decode("utf-8", "replace")
        retryable = error.code == 429 or error.code >= 500
        hint = "" if retryable else f"Check {self._key}: the webhook may have been removed."
        words = " ".join("".join(char if char.isprintable() else " " for char in said).split()) or "nothing more"
        told = f"{self._service} answered {error.code}: {words}."
        return DeliveryFailed(told, hint=hint, retryable=retryable, after_s=_seconds(error))

    def _unreachable(self, error: Exception, url: str) -> DeliveryFailed:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            hint = "If a private authority signs certificates here, name it as network.ca_file."
            return DeliveryFailed(f"The certificate of {self._service} is not trusted.", hint=hint)
        words = getattr(reason, "strerror", "") or type(reason).__name__
        host = urlsplit(url).hostname
        hint = "Check the network, firewalls and the proxy settings."
        return DeliveryFailed(f"{self._service} at {host} cannot be reached: {words}.", hint=hint, retryable=True)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        there = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    secret = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    return there and secret and re.fullmatch(r"[\x21-\x7e]+", text) is not None


def trust(ca_file: str) -> ssl.SSLContext:
    """Certificates are verified, by these authorities or the system's own.

    Raises:
        ConfigurationError: the file of the authorities cannot be read.
    """
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"The authorities in {ca_file} cannot be read: {error.strerror}.") from None


def _seconds(error: urllib.error.HTTPError) -> float:
    """How long we were asked to wait; a date or nonsense counts as not at all."""
    try:
        return min(max(float(error.headers.get("Retry-After", "")), 0.0), _LONGEST_WAIT_S)
    except ValueError:
        return 0.0
