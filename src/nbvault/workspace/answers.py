"""What the workspace's JSON says, as values of the model. Pure; what is missing is a `BadAnswer`, never dropped."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from nbvault.model import Identity, Language, ListedObject, NotebookFormat, Person
from nbvault.workspace.errors import BadAnswer, NotADirectory, as_json

_LANGUAGES = {language.value: language for language in Language}
_FORMATS = {"SOURCE": NotebookFormat.SOURCE, "JUPYTER": NotebookFormat.IPYNB}
_PREFIX = "/Workspace"


def read_listing(body: bytes, folder: str) -> list[ListedObject]:
    """The entries of a folder, their paths spelled as the folder was asked for; ``{}`` is an empty folder.

    Raises:
        BadAnswer: no listing, or one with an entry that lacks what every entry has, or that is not under the folder.
        NotADirectory: the listing is of the object at ``folder`` itself.
    """
    data = _object(body, folder)
    if not data:
        return []
    entries = data.get("objects")
    if not isinstance(entries, list):
        raise BadAnswer(f"The listing of {folder} has no objects.", path=folder, status=200)
    listed = [_read_entry(entry, folder) for entry in entries]
    if len(listed) == 1 and listed[0].path == folder != "/" and listed[0].kind != "DIRECTORY":
        raise NotADirectory(f"{folder} is no folder but a {listed[0].kind}.", path=folder, status=200)
    below = folder.rstrip("/") + "/"
    if stray := next((entry.path for entry in listed if not _is_below(entry.path, below)), None):
        raise BadAnswer(f"The listing of {folder} shows {stray}, which is not in it.", path=folder, status=200)
    return listed


def _is_below(path: str, below: str) -> bool:
    return path.startswith(below) and len(path) > len(below)


def read_status(body: bytes, path: str) -> ListedObject:
    """One object, as get-status shows it.

    Raises:
        BadAnswer: it lacks what every object has.
    """
    return _read_entry(_object(body, path), path)


def read_native_format(body: bytes, path: str) -> NotebookFormat | None:
    """The format that a notebook has of its own, from get-status; None where the workspace does not say."""
    return _FORMATS.get(_text(_object(body, path).get("repos_export_format")))


def read_content(body: bytes, path: str) -> bytes:
    """The bytes of an export without direct download.

    Raises:
        BadAnswer: there is no content, or it is empty: a SOURCE export has its header line at least.
    """
    content = _object(body, path).get("content")
    try:
        data = base64.b64decode(content, validate=True) if isinstance(content, str) else b""
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise BadAnswer(f"The export of {path} has no content.", path=path, status=200)
    return data


def read_identity(body: bytes) -> Identity:
    """Who we are, from SCIM ``Me``; an admin is in the group ``admins``.

    Raises:
        BadAnswer: it names nobody.
    """
    data = _object(body, "the identity")
    groups = data.get("groups")
    names = [group.get("display") for group in groups if isinstance(group, dict)] if isinstance(groups, list) else []
    user_id, user_name = _text(data.get("id")), _text(data.get("userName"))
    if not (user_id or user_name):
        raise BadAnswer("The workspace does not say who we are.", path="the identity", status=200)
    known = tuple(name for name in names if isinstance(name, str))
    return Identity(user_id, user_name or _text(data.get("displayName")), "admins" in names, known)


def read_person(body: bytes) -> Person:
    """A user of SCIM as an author. E-mail: the primary one, else the first, else the user name.

    Raises:
        BadAnswer: the user has no e-mail and no user name.
    """
    data = _object(body, "the user")
    user_name = _text(data.get("userName"))
    email = _email(data.get("emails")) or user_name
    if not email:
        raise BadAnswer("The workspace names a user without a user name.", path="the user", status=200)
    return Person(_text(data.get("displayName")) or _full_name(data.get("name")) or user_name or email, email)


def _email(emails: object) -> str:
    usable = (
        [item for item in emails if isinstance(item, dict) and item.get("value")] if isinstance(emails, list) else []
    )
    best = next((item for item in usable if item.get("primary") is True), usable[0] if usable else {})
    return _text(best.get("value"))


def _full_name(name: object) -> str:
    if not isinstance(name, dict):
        return ""
    return " ".join(part for part in (_text(name.get("givenName")), _text(name.get("familyName"))) if part)


def _object(body: bytes, path: str) -> dict[str, Any]:
    data = as_json(body)
    if not isinstance(data, dict):
        raise BadAnswer(f"The answer for {path} is no JSON object.", path=path, status=200)
    return data


def _read_entry(entry: Any, asked: str) -> ListedObject:
    if not isinstance(entry, dict):
        raise BadAnswer(f"The listing of {asked} has an entry that is no object.", path=asked, status=200)
    object_id, kind, path = entry.get("object_id"), entry.get("object_type"), entry.get("path")
    if type(object_id) is not int or not isinstance(kind, str) or not isinstance(path, str) or not (kind and path):
        raise BadAnswer(f"An entry for {asked} lacks object_id, object_type or path.", path=asked, status=200)
    human = entry.get("modified_at_interactive")
    human = human if isinstance(human, dict) else {}
    return ListedObject(
        object_id,
        kind,
        _as_asked(path, asked),
        _LANGUAGES.get(entry.get("language") or ""),
        _millis(entry.get("modified_at")),
        _millis(human.get("time_millis")),
        _text(human.get("user_id")),
    )


def _as_asked(path: str, asked: str) -> str:
    """The path with or without ``/Workspace`` in front, as the asked one has it; the workspace takes and gives both."""
    wants = asked == _PREFIX or asked.startswith(_PREFIX + "/")
    has = path == _PREFIX or path.startswith(_PREFIX + "/")
    if wants and not has:
        return _PREFIX + path
    if has and not wants and path != _PREFIX:
        return path[len(_PREFIX) :]
    return path


def _millis(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value if type(value) is int and value > 0 else 0


def _text(value: object) -> str:
    return str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
