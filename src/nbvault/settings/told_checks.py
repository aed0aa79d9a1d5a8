"""What the values of the sections about alerts and channels must be. No error text quotes a value."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from email import headerregistry
from email.errors import MessageError
from enum import Enum
from typing import Annotated

from pydantic import BeforeValidator, Field

from nbvault.alarms import ChannelName, Trouble
from nbvault.settings.checks import is_loopback, split_address

_MAILBOX = re.compile(r"[^\s@,<>\"]+@[^\s@,<>\"]+")


def _address(value: object) -> object:
    """An HTTPS address; plain HTTP only for this machine itself."""
    if not isinstance(value, str):
        return value
    parts = split_address(value)
    plain = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not plain and (parts.scheme != "https" or not parts.hostname or parts.username is not None):
        raise ValueError("must be an address that begins with https://")
    return value.rstrip("/")


def _mail_host(value: object) -> object:
    if isinstance(value, str) and re.search(r"[\s/@]|://", value):
        raise ValueError("must be the name of a mail server, without a scheme or a port, such as smtp.office365.com")
    return value


def _mailbox(value: object) -> object:
    if isinstance(value, str) and value and not _is_mailbox(value):
        raise ValueError("must be an e-mail address, such as backup@example.com")
    return value


def _is_mailbox(text: str) -> bool:
    """Whether a mail can be written to it, as Python's own makers of mail see it."""
    try:
        return _MAILBOX.fullmatch(text) is not None and headerregistry.Address(addr_spec=text).addr_spec == text
    except (MessageError, ValueError, LookupError):
        return False


def _mailboxes(value: object) -> object:
    if isinstance(value, (list, tuple)):
        for each in value:
            _mailbox(each or "nobody")
    return value


def _only(known: Iterable[Enum], what: str) -> Callable[[object], object]:
    """Only names that are known; of another only the nearest known one is told, for it might be a secret."""
    names = [str(each.value) for each in known]

    def check(value: object) -> object:
        for each in value if isinstance(value, (list, tuple)) else ():
            if isinstance(each, str) and each not in names:
                near = get_close_matches(each, names, n=1)
                raise ValueError(f"must name {what}" + (f"; did you mean {near[0]}?" if near else f": {_list(names)}"))
        return value

    return check


def named(word: str, known: Iterable[Enum]) -> str:
    """What to say of a name that nobody knows: the nearest known one, or all of them."""
    names = [str(each.value) for each in known]
    near = get_close_matches(word, names, n=1)
    return f"Did you mean {near[0]}?" if near else f"Known are {_list(names)}."


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


ChannelNames = Annotated[tuple[str, ...], BeforeValidator(_only(ChannelName, "channels"))]
RuleNames = Annotated[tuple[str, ...], BeforeValidator(_only(Trouble, "rules of alerts"))]
Address = Annotated[str, BeforeValidator(_address)]
OptionalAddress = Annotated[str, BeforeValidator(lambda value: _address(value) if value else "")]
MailHost = Annotated[str, BeforeValidator(_mail_host)]
Mailbox = Annotated[str, BeforeValidator(_mailbox)]
Mailboxes = Annotated[tuple[str, ...], BeforeValidator(_mailboxes)]
Port = Annotated[int, BeforeValidator(_number), Field(gt=0, lt=65536)]
Positive = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]
AtLeastADay = Annotated[float, BeforeValidator(_number), Field(ge=24, allow_inf_nan=False)]
HourOfDay = Annotated[int, BeforeValidator(_number), Field(ge=0, le=23)]
OfFive = Annotated[int, BeforeValidator(_number), Field(ge=1, le=5)]
