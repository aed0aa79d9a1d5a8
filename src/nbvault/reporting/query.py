"""What a change report is asked for: a period or a session, and whose changes, where, in which language. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from fnmatch import fnmatchcase
from typing import Any

from nbvault.clock import iso, parse_given
from nbvault.errors import ConfigurationError
from nbvault.model import Person
from nbvault.recovery.moments import parse_time

_AGO = re.compile(r"(\d{1,5})\s*([hdw])")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_LANGUAGES = ("python", "sql", "scala", "r", "ipynb")
_FORMS = "A time is 2026-11-21, 2026-11-21T14:30, 2026-11-21T14:30:00+01:00, today, yesterday, or 7d (h, d, w) ago."


@dataclass(frozen=True, slots=True)
class Query:
    """Which changes are meant; what is left empty leaves nothing out.

    Args:
        since: Only sessions whose scan began at this moment or after.
        until: Only sessions whose scan began at this moment or before.
        session: Only this session.
        author: An e-mail address, the part of it before the @, or a name; ``*`` stands for anything, capitals do not
            matter.
        place: A notebook, a folder or a glob on workspace paths; a renamed notebook counts in both places.
        language: ``python``, ``sql``, ``scala``, ``r``, or ``ipynb`` for notebooks in that format.
        after: Only sessions after this one.
        last: Only sessions up to this one.
    """

    since: datetime | None = None
    until: datetime | None = None
    session: str = ""
    author: str = ""
    place: str = ""
    language: str = ""
    after: str = ""
    last: str = ""
    _pattern: str = field(init=False, default="", repr=False)

    def __post_init__(self) -> None:
        if self.since and self.until and self.since > self.until:
            raise ConfigurationError(f"The period ends ({iso(self.until)}) before it begins ({iso(self.since)}).")
        if self.language and self.language.lower() not in _LANGUAGES:
            raise ConfigurationError(
                f"{self.language!r} is no language of notebooks.", hint=f"Known are {', '.join(_LANGUAGES)}."
            )
        object.__setattr__(self, "_pattern", self.author.strip().casefold())

    @classmethod
    def of_texts(cls, *, since: str = "", until: str = "", now: datetime, **more: str) -> Query:
        """A query with times as people give them.

        Raises:
            ConfigurationError: one is no time, or the query makes no sense.
        """
        start = time_given(since, now=now, end=False) if since else None
        return cls(start, time_given(until, now=now, end=True) if until else None, **more)

    def wants_session(self, session: str) -> bool:
        """Whether changes that this session found are meant, as far as sessions are named as bounds."""
        return session > self.after and (not self.last or session <= self.last)

    def wants_author(self, person: Person) -> bool:
        """Whether changes of this person are meant."""
        if not self._pattern:
            return True
        names = (person.email, person.email.partition("@")[0], person.name)
        if any(self._pattern == name.casefold() for name in names):
            return True
        # What is in brackets is a part of a name here, and no set of characters.
        pattern = self._pattern.replace("[", "[[]")
        return "*" in pattern and any(fnmatchcase(name.casefold(), pattern) for name in names)

    def wants_language(self, language: str) -> bool:
        """Whether changes of notebooks in this language are meant."""
        return not self.language or self.language.lower() == language.lower()

    def as_json(self) -> dict[str, Any]:
        """As the JSON report shows it."""
        return {
            "since": iso(self.since) if self.since else None,
            "until": iso(self.until) if self.until else None,
            "session": self.session or None,
            "author": self.author or None,
            "path": self.place or None,
            "language": self.language.lower() or None,
        }

    def in_words(self) -> str:
        """For a heading: the period, and what is left out."""
        start = f"since {self.since:%Y-%m-%d %H:%M}" if self.since else ""
        end = f"until {self.until:%Y-%m-%d %H:%M}" if self.until else ""
        period = f"{start} {end}".strip() + (" UTC" if start or end else "")
        parts = [period, f"session {self.session}" if self.session else "", f"by {self.author}" if self.author else ""]
        parts += [f"in {self.place}" if self.place else "", self.language.lower()]
        return ", ".join(filter(None, parts)) or "everything"


def time_given(text: str, *, now: datetime, end: bool) -> datetime:
    """A time as people give it; where it is a day, its beginning or its ``end``, in UTC.

    Raises:
        ConfigurationError: it is none.
    """
    word = text.strip().lower()
    if found := _AGO.fullmatch(word):
        return now.astimezone(timezone.utc) - timedelta(**{_UNITS[found[2]]: int(found[1])})
    if word in ("today", "yesterday"):
        word = f"{now.astimezone(timezone.utc) - timedelta(days=word == 'yesterday'):%Y-%m-%d}"
    try:
        return parse_time(word.upper()) if end else parse_given(word.upper())
    except (ConfigurationError, ValueError) as error:
        raise ConfigurationError(f"{text!r} is no time.", hint=_FORMS) from error


def week_before(now: datetime) -> str:
    """The day a week ago: a period begins with a day, so that all who ask on one day ask the same."""
    return f"{now - timedelta(days=7):%Y-%m-%d}"


def last_week(now: datetime) -> Query:
    """All changes of the last week."""
    return Query.of_texts(since=week_before(now), now=now)
