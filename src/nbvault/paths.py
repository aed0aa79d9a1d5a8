"""How a workspace path becomes a repository path, and back.

Every name in the workspace has at most two spellings, its *forms*:

- the **plain** form is the name, with only those characters escaped (``%3A``) that Windows or Git refuse;
- the **marked** form also escapes every capital and every character beyond ASCII, and ends with ``%_``; so it spells
  its own case, and no file system takes two different ones for the same.

The plain form is used where its key is free in the folder, the marked one otherwise. A form longer than 255 bytes is
cut into nested folders whose names end with ``%+``. Decoding needs nothing but the repository path. The choice between
the forms is made by `nbvault.namespace`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from nbvault.errors import NbvaultError
from nbvault.model import Language, NotebookFormat

IPYNB_EXTENSION = ".ipynb"
EXTENSIONS = (*(language.extension for language in Language), IPYNB_EXTENSION)

COMPONENT_LIMIT_BYTES = 255
PATH_LIMIT_BYTES = 4000
CHUNK_BYTES = 200

MARK = "%_"
CONTINUED = "%+"

# A form is the one component, or the several nested ones, that spell a name.
Form = tuple[str, ...]

_ESCAPED = re.compile(r'[%\\:*?"<>|\x00-\x1f\x7f-\x9f\ud800-\udfff]|[. ]\Z')
_SPELLED = re.compile(r"[a-z0-9._ -]")
_ESCAPE = re.compile(r"%u(D[89A-F][0-9A-F]{2})|((?:%[0-9A-F]{2})+)")

_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(?:\..*)?", re.IGNORECASE | re.DOTALL
)
_HARMLESS = re.compile(
    r"(?!(?:con|prn|aux|nul|com|lpt)(?![a-z]))[a-z0-9_](?:[a-z0-9_. ()+,=&@-]*[a-z0-9_()-])?", re.IGNORECASE | re.ASCII
)
# What NTFS makes of `.gitmodules` and its like where a longer name must be shortened: GITMOD~1, GI7EBA~1, G~123456.
_SHORT_NAME = re.compile(r"[gm][0-9a-z]{0,5}~[0-9]{1,7}")
_GIT_NAMES = frozenset({".git", ".gitmodules", ".gitattributes", ".gitignore", ".mailmap"})
_IGNORABLE = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])
_DOTLESS_I = {0x131: "i"}


class UnwritablePath(NbvaultError, ValueError):
    """A workspace path that has no place in the repository; that notebook cannot be backed up."""


class PathTooLong(UnwritablePath):
    """The repository path would be longer than 4,000 bytes, which Git servers refuse."""


class DecodedPath(NamedTuple):
    """What a repository path says: the names below the backed-up root, and the extension with its dot."""

    components: tuple[str, ...]
    extension: str

    @property
    def path(self) -> str:
        """The names joined by `/`, relative to the root."""
        return "/".join(self.components)


def extension_for(language: Language, notebook_format: NotebookFormat) -> str:
    """The extension of a notebook's file, with the dot."""
    return IPYNB_EXTENSION if notebook_format is NotebookFormat.IPYNB else language.extension


def extension_of(repo_path: str) -> str:
    """The extension of a repository path that nbvault wrote, with the dot; empty for others."""
    extension = repo_path[repo_path.rfind(".") :]
    return extension if extension in EXTENSIONS else ""


def relative(root: str, path: str) -> tuple[str, ...]:
    """The names that lead from ``root`` to ``path``; none if they are the same.

    Raises:
        ValueError: the path is not under the root, or has an empty name in it.
    """
    base = root.rstrip("/")
    if path.rstrip("/") == base:
        return ()
    if not path.startswith(base + "/"):
        raise ValueError(f"{path!r} is not under {root!r}")
    names = tuple(path[len(base) + 1 :].split("/"))
    if not all(names):
        raise ValueError(f"{path!r} has an empty name in it")
    return names


def join(root: str, components: tuple[str, ...]) -> str:
    """The workspace path of ``components`` below ``root``: the inverse of `relative`."""
    return "/".join((root.rstrip("/"), *components)) or "/"


def workspace_path(root: str, repo_path: str) -> str:
    """The workspace path that a repository path stands for.

    Raises:
        ValueError: nbvault never writes such a repository path.
    """
    return join(root, decode(repo_path).components)


def decode(repo_path: str) -> DecodedPath:
    """The inverse of every form of every path; pure.

    Raises:
        ValueError: nbvault never writes such a repository path.
    """
    *folders, last = _split_forms(repo_path)
    extension = extension_of(last[-1])
    if not extension or len(repo_path.encode(errors="surrogatepass")) > PATH_LIMIT_BYTES:
        raise _never_written(repo_path)
    try:
        return DecodedPath((*map(_decode_folder, folders), _decode_form(last, extension)), extension)
    except ValueError as error:
        raise _never_written(repo_path) from error


def key(component: str) -> str:
    """What two components share if any file system might take them for the same name.

    Unicode's canonical caseless matching (NFD, case folding, NFC), without the characters that HFS+ ignores, and with
    `ı` as `i`. Idempotent.
    """
    if component.isascii():
        return component.lower()
    folded = unicodedata.normalize("NFD", component.translate(_IGNORABLE)).casefold()
    return unicodedata.normalize("NFC", folded.translate(_DOTLESS_I))


def forms(name: str, extension: str = "") -> tuple[Form, ...]:
    """Every form of a name, the preferred one first; ``extension`` is empty for a folder.

    The last form is the marked one, which no other name shares.

    Raises:
        ValueError: the name is empty or has a `/` in it.
    """
    plain, marked = plain_form(name, extension), _marked(name, extension)
    return (plain, marked) if plain else (marked,)


def plain_form(name: str, extension: str = "") -> Form | None:
    """The first of `forms`, without spelling the others; None for a name that is too long for it.

    Raises:
        ValueError: the name is empty or has a `/` in it.
    """
    if not name or "/" in name:
        raise ValueError(f"{name!r} is no name of a notebook or folder")
    plain = _plain(name) + extension
    return (plain,) if len(plain) <= COMPONENT_LIMIT_BYTES >= len(plain.encode()) else None


def is_spelled(component: str) -> bool:
    """Whether a component belongs to a marked form."""
    return MARK in component or component.endswith(CONTINUED)


folder_forms = lru_cache(maxsize=4096)(forms)
plain_folder_form = lru_cache(maxsize=4096)(plain_form)


def _plain(name: str) -> str:
    # Most names, for a tenth of the cost: nothing in them to escape, and no device of Windows.
    return name if _HARMLESS.fullmatch(name) else _plain_of_any(name)


def _plain_of_any(name: str) -> str:
    return _shielded(name, _ESCAPED.sub(lambda found: _escape(found[0]), name))


def _marked(name: str, extension: str) -> Form:
    tokens = [char if _SPELLED.match(char) else _escape(char) for char in name]
    whole = _shielded(name, "".join(tokens)) + MARK + extension
    if len(whole) <= COMPONENT_LIMIT_BYTES:
        return (whole,)
    *chunks, last = _cut(name, tokens)
    return (*(chunk + CONTINUED for chunk in chunks), last + MARK + extension)


def _cut(name: str, tokens: list[str]) -> list[str]:
    """The spelling of a long name in pieces of at most `CHUNK_BYTES`, cut between characters only."""
    chunks, start, size = [], 0, 0
    for position, token in enumerate(tokens):
        if size + len(token) > CHUNK_BYTES:
            chunks.append(_shielded(name[start:position], "".join(tokens[start:position])))
            start, size = position, 0
        size += len(token)
    chunks.append(_shielded(name[start:], "".join(tokens[start:])))
    return chunks


def _shielded(raw: str, text: str) -> str:
    """``text``, which spells ``raw``, its first character escaped where the whole means something to Windows or Git."""
    if raw[0] == text[0] and (raw[0] == " " or _is_reserved(raw)):
        return _escape(raw[0]) + text[1:]
    return text


def _is_reserved(name: str) -> bool:
    if _DEVICE.fullmatch(name):
        return True
    seen = name.translate(_IGNORABLE).casefold().rstrip(". ")
    return seen in _GIT_NAMES or _SHORT_NAME.fullmatch(seen) is not None


def _escape(char: str) -> str:
    if "\ud800" <= char <= "\udfff":
        return f"%u{ord(char):04X}"
    return "".join(f"%{byte:02X}" for byte in char.encode())


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _decode_bytes(found[2]), text)


def _decode_bytes(escapes: str) -> str:
    return bytes.fromhex(escapes.replace("%", "")).decode()


def _split_forms(repo_path: str) -> list[Form]:
    split: list[Form] = []
    pending: list[str] = []
    for component in repo_path.split("/"):
        pending.append(component)
        if not component.endswith(CONTINUED):
            split.append(tuple(pending))
            pending = []
    if pending:
        raise _never_written(repo_path)
    return split


def _decode_form(form: Form, extension: str) -> str:
    spelling = "".join(part.removesuffix(CONTINUED) for part in form[:-1]) + form[-1].removesuffix(extension)
    name = _unescape(spelling.removesuffix(MARK))
    # Spelling it again is the proof: a stray escape, a wrong case of a digit or a needless mark would not come back.
    if form != plain_form(name, extension) and form != _marked(name, extension):
        raise ValueError(f"{'/'.join(form)!r} is no form of {name!r}")
    return name


@lru_cache(maxsize=4096)
def _decode_folder(form: Form) -> str:
    return _decode_form(form, "")


def _never_written(repo_path: str) -> ValueError:
    return ValueError(f"{repo_path!r} is no path that nbvault writes")
