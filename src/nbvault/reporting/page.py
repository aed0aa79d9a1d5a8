"""The change report as one HTML file that needs nothing else, and as the daily mail.

Whatever a notebook or a person is called, and whatever stands in a cell: Jinja2 escapes it, what is invisible or turns
text around is spelled out, the page's policy allows no script, and nothing is loaded from anywhere.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from nbvault.clock import iso
from nbvault.gitstore.vault import Vault
from nbvault.notebook.show import harmless, to_lines
from nbvault.reporting.details import Detailed
from nbvault.reporting.query import Query
from nbvault.reporting.report import Report, busiest, report
from nbvault.reporting.tables import in_short
from nbvault.reporting.walk import Correction

if TYPE_CHECKING:
    from jinja2 import Environment

LINES_OF_A_NOTEBOOK = 200
OPEN_AT_MOST = 12
FOLDERS_SHOWN = 30
MAILED = 50
LINE_LENGTH = 2000
_CLASSES = {"heading": "cell", "dim": "dim", "~": "prop", "+": "plus", "-": "minus", " ": "same"}


@dataclass(frozen=True, slots=True)
class Mail:
    """A message: its subject, the text, and the same as HTML with its styles inline."""

    subject: str
    text: str
    html: str


def to_html(made: Report) -> str:
    """The report as one page: readable on a phone, in the dark and on paper; no script, nothing loaded."""
    template = _environment().get_template("report.html")
    style = _environment().get_template("report.css").render()
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return template.render(**_context(made), style=style, digest=digest, notebooks=_notebooks(made))


def daily(
    vault: Vault,
    *,
    now: datetime,
    query: Query | None = None,
    notes: Sequence[str] = (),
    facts: Sequence[tuple[str, str]] = (),
    corrected: Correction | None = None,
) -> Mail:
    """What changed, to be mailed each day.

    Args:
        query: Which changes; otherwise those of the 24 hours before ``now``.
        notes: What the reader must know beside the changes; it comes first.
        facts: Names and values that stand below them.
        corrected: As `changes` takes it.

    Raises:
        ConfigurationError, RemoteUnreachable: as `changes`.
    """
    meant = query or Query(now - timedelta(days=1), now)
    made = report(vault, meant, now=now, shown=MAILED, kept=0, corrected=corrected)
    made.notes[:0] = notes
    return to_mail(made, facts)


def to_mail(made: Report, facts: Sequence[tuple[str, str]] = ()) -> Mail:
    """A report as a message: totals, people, its newest changes, and facts below them."""
    kinds = made.totals.kinds
    counts = ", ".join(f"{kinds[kind]:,} {kind}" for kind in ("added", "modified", "renamed", "deleted"))
    day = made.query.since or made.at
    told = {**_context(made), "counts": counts, "notebooks": _notebooks(made)}
    told["facts"] = [(harmless(name), harmless(value)) for name, value in facts]
    text = _environment().get_template("mail.txt").render(**told)
    html = _environment().get_template("mail.html").render(**told)
    return Mail(f"nbvault: changes in {harmless(made.root)} since {day:%Y-%m-%d %H:%M} UTC: {counts}", text, html)


def _context(made: Report) -> dict[str, Any]:
    totals = made.totals
    return {
        "report": made,
        "title": f"Changes in {harmless(made.root)}",
        "period": harmless(made.query.in_words()),
        "read_at": iso(made.at),
        "kinds": {kind: totals.kinds[kind] for kind in ("added", "modified", "renamed", "deleted")},
        "people": [(harmless(who.name), harmless(who.email), n) for who, n in busiest(totals.people)],
        "folders": [(harmless(name), "", n) for name, n in busiest(totals.folders)[:FOLDERS_SHOWN]],
        "more_folders": max(len(totals.folders) - FOLDERS_SHOWN, 0),
        "languages": [(name or "-", "", n) for name, n in busiest(totals.languages)],
        "notes": [harmless(note) for note in made.notes],
    }


def _notebooks(made: Report) -> list[dict[str, Any]]:
    unfold = len(made.shown) <= OPEN_AT_MOST
    return [_notebook(each, unfold=unfold) for each in made.shown]


def _notebook(each: Detailed, *, unfold: bool) -> dict[str, Any]:
    change = each.change
    lines = [(_CLASSES[style], text[:LINE_LENGTH]) for style, text in to_lines(each.cells or ())]
    return {
        "at": f"{change.at:%Y-%m-%d %H:%M}",
        "change": change.change.value,
        "path": harmless(change.path),
        "old_path": harmless(change.old_path),
        "language": change.language,
        "author": harmless(change.author.name),
        "email": harmless(change.author.email),
        "session": change.session,
        "commit": change.commit,
        "counts": in_short(each),
        "lines": lines[:LINES_OF_A_NOTEBOOK],
        "more": max(len(lines) - LINES_OF_A_NOTEBOOK, 0),
        "open": unfold,
    }


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    loader = PackageLoader("nbvault.reporting")
    return Environment(
        loader=loader,
        autoescape=select_autoescape(["html"], default=True, disabled_extensions=("txt", "css")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
