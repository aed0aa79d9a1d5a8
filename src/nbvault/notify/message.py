"""A message as a value, and its plain and HTML forms. Whatever a workspace puts into a name stays text."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

LONGEST_SUBJECT = 150
LONGEST_TEXT = 2000
_COLOURS = {"bad": "#b3261e", "warning": "#9a6700", "good": "#1a7f37", "plain": "#57606a"}


class Tone(str, Enum):
    """What the message means for whoever reads it."""

    BAD = "bad"
    WARNING = "warning"
    GOOD = "good"
    PLAIN = "plain"

    @property
    def colour(self) -> str:
        """As HTML has it."""
        return _COLOURS[self.value]


def tame(text: str, longest: int = LONGEST_TEXT) -> str:
    """A text in one line of printable characters, cut where it is too long, so that it is no header."""
    # A name may be 500 characters or a megabyte long; what is cut off need not be escaped first.
    cut = text[: longest + 1]
    plain = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in cut)
    return plain if len(plain) <= longest else plain[: longest - 1] + "…"


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be told. Everything in it is tamed, whoever made it.

    `facts` are pairs of a name and a value. `page` is a whole HTML document to be attached, with `page_name`.
    `whole_text` and `whole_html` stand in the place of what is made of the rest, for who has written them already, and
    are not tamed.
    """

    subject: str
    paragraphs: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    tone: Tone = Tone.PLAIN
    page: str = ""
    page_name: str = "report.html"
    whole_text: str = ""
    whole_html: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "subject", tame(self.subject, LONGEST_SUBJECT))
        object.__setattr__(self, "paragraphs", tuple(map(tame, self.paragraphs)))
        object.__setattr__(self, "facts", tuple((tame(name, 100), tame(value)) for name, value in self.facts))

    def as_json(self) -> dict[str, Any]:
        """As it is kept until it is delivered."""
        return asdict(self) | {"tone": self.tone.value}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Message:
        """The inverse of `as_json`."""
        pairs = [(str(name), str(value)) for name, value in found["facts"]]
        tone, pages = Tone(found["tone"]), (str(found["page"]), str(found["page_name"]))
        # Those that an older version has queued have none of these.
        newer = (str(found.get(name, "")) for name in ("whole_text", "whole_html"))
        return cls(found["subject"], tuple(found["paragraphs"]), pairs, tone, *pages, *newer)

    def text(self) -> str:
        """For readers that show no HTML."""
        return self.whole_text or (
            "\n".join([self.subject, "", *self.paragraphs, "", *(f"{n}: {v}" for n, v in self.facts)]).rstrip() + "\n"
        )

    def html(self) -> str:
        """A small page without images, scripts, links or anything from elsewhere."""
        if self.whole_html:
            return self.whole_html
        rows = "".join(f"<tr>{_cell('th', name)}{_cell('td', value)}</tr>" for name, value in self.facts)
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>'
            f"{html.escape(self.subject)}</title></head>"
            '<body style="font:15px/1.5 sans-serif;color:#1f2328;max-width:45em">'
            f'<h1 style="font-size:18px;border-left:6px solid {self.tone.colour};padding-left:10px">'
            f"{html.escape(self.subject)}</h1>"
            + _tags("p", self.paragraphs)
            + (f'<table style="border-collapse:collapse;font-size:14px">{rows}</table>' if rows else "")
            + "</body></html>"
        )


def _cell(tag: str, text: str) -> str:
    style = "text-align:left;vertical-align:top;padding:2px 12px 2px 0;overflow-wrap:anywhere"
    return f'<{tag} style="{style}">{html.escape(text)}</{tag}>'


def _tags(tag: str, texts: Iterable[str]) -> str:
    return "".join(f'<{tag} style="overflow-wrap:anywhere">{html.escape(text)}</{tag}>' for text in texts)
