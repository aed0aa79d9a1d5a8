"""Paths as people give them, and the names that they may have meant."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

_ALIAS = "/Workspace"
AT_MOST = 3


def spellings(root: str, path: str) -> list[str]:
    """What a path that a person gave may mean below ``root``, the likeliest first; never empty.

    ``/Workspace`` in front and slashes at the end are left out; a path that does not begin with a slash is relative to
    the root.
    """
    given = path.rstrip("/")
    if not given.startswith("/"):
        return [f"{root.rstrip('/')}/{given}"]
    bare = given.removeprefix(_ALIAS) if given.startswith(f"{_ALIAS}/") else ""
    under = [each for each in (given, bare) if each and each.startswith(root.rstrip("/") + "/")]
    return under or [given or "/"]


def near(path: str, known: Collection[str]) -> list[str]:
    """A few known paths that somebody may have meant by ``path``: first in its folder, then of its name elsewhere."""
    folder, _, name = path.rpartition("/")
    parts = {each: each.rpartition("/") for each in known}
    here = {last: each for each, (above, _, last) in parts.items() if above == folder}
    found = [here[match] for match in _close(name, here)]
    if len(found) < AT_MOST:
        same = {above: each for each, (above, _, last) in parts.items() if last.casefold() == name.casefold()}
        found += [same[match] for match in _close(folder, same, cutoff=0.0)]
    if not found:
        names = {last: each for each, (_, _, last) in parts.items()}
        found = [names[match] for match in _close(name, names, cutoff=0.75)]
    return list(dict.fromkeys(found or sorted(here.values())))[:AT_MOST]


def _close(word: str, choices: Collection[str], *, cutoff: float = 0.6) -> list[str]:
    exact = [choice for choice in choices if choice.casefold() == word.casefold()]
    return exact or get_close_matches(word, choices, n=AT_MOST, cutoff=cutoff)
