"""Which workspace paths are backed up: the globs of ``workspace.include`` and ``workspace.exclude``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# A character no pattern spells out: only a wildcard can match it.
_PROBE = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Glob:
    """One pattern: ``*`` and ``?`` stay in a folder, ``**`` crosses folders.

    A pattern whose last part has no wildcard also covers all that lies below what it names, so that a folder can be
    written as it is called.
    """

    text: str
    regex: re.Pattern[str]
    reaches_down: bool

    @classmethod
    def parse(cls, text: str) -> Glob:
        pattern = text.rstrip("/") or "/"
        literal = not re.search(r"[*?]", pattern.rsplit("/", 1)[-1])
        body = _translate(pattern) + ("(?:/.*)?" if literal else "")
        return cls(text=text, regex=re.compile(body, re.DOTALL), reaches_down=literal or pattern.endswith("**"))

    def matches(self, path: str) -> bool:
        return self.regex.fullmatch(path) is not None

    def covers_all_below(self, folder: str) -> bool:
        """Whether everything below ``folder``, at any depth, matches."""
        return self.reaches_down and self.matches(f"{folder.rstrip('/')}/{_PROBE}")

    def may_match_below(self, folder: str) -> bool:
        """Whether something below ``folder`` could match; never wrongly false."""
        return self.covers_all_below(folder) or _prefix_matches(self.text.strip("/").split("/"), _parts(folder))


@dataclass(frozen=True, slots=True)
class Scope:
    """The part of the workspace that is backed up. Nothing included means everything."""

    include: tuple[Glob, ...] = ()
    exclude: tuple[Glob, ...] = ()

    @classmethod
    def of(cls, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Scope:
        return cls(tuple(map(Glob.parse, include)), tuple(map(Glob.parse, exclude)))

    def covers(self, path: str) -> bool:
        """Whether the object at ``path`` is to be backed up."""
        if any(glob.matches(path) for glob in self.exclude):
            return False
        return not self.include or any(glob.matches(path) for glob in self.include)

    def may_contain(self, folder: str) -> bool:
        """Whether ``folder`` must be listed: something below it may be covered."""
        if any(glob.covers_all_below(folder) for glob in self.exclude):
            return False
        return not self.include or any(glob.may_match_below(folder) for glob in self.include)


def _translate(pattern: str) -> str:
    tokens = re.split(r"(\*\*|\*|\?)", pattern)
    wildcards = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(wildcards.get(token) or re.escape(token) for token in tokens)


def _prefix_matches(pattern: Sequence[str], folder: Sequence[str]) -> bool:
    for want, name in zip(pattern, folder, strict=False):
        if "**" in want:
            return True
        if not re.fullmatch(_translate(want), name, re.DOTALL):
            return False
    return len(pattern) > len(folder)


def _parts(folder: str) -> list[str]:
    return [part for part in folder.split("/") if part]
