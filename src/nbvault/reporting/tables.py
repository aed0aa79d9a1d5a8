"""The change report as CSV, JSON, text and Markdown, piece by piece. Pure."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator

from nbvault.clock import iso
from nbvault.notebook.show import harmless
from nbvault.reporting.details import Detailed
from nbvault.reporting.report import Report, busiest
from nbvault.reporting.walk import NotebookChange

COLUMNS = (
    "at", "change", "path", "old_path", "language", "author", "author_email", "session", "commit", "old_blob",
    "new_blob", "cells_added", "cells_removed", "cells_changed", "cells_moved", "lines_added", "lines_removed",
)  # fmt: skip
_FOLDERS_SHOWN = 20
# What makes a spreadsheet take text for a formula, also where it cuts a line at a semicolon or a tab.
_FORMULA = re.compile(r"(\A[\s\"']{0,8}|[;\t][\s\"']{0,8})(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~&:@])")


def to_csv(changes: Iterable[Detailed]) -> Iterator[str]:
    """Lines of CSV (RFC 4180, every field quoted), the first with the names of the columns.

    No cell begins a formula in a spreadsheet: what would is behind an apostrophe. What is not printable is spelled out
    (``\\x0a``), so a change is one line.
    """
    writer = csv.writer(_Echo(), quoting=csv.QUOTE_ALL)
    yield writer.writerow(COLUMNS)
    for each in changes:
        yield writer.writerow(_values(each))


class _Echo:
    """What a csv writer writes to, so that it returns the line."""

    def write(self, line: str) -> str:
        return line


def _values(each: Detailed) -> list[object]:
    """The fields of a change; those that people can write are made safe, the others are ours."""
    change, counts = each.change, each.counts
    found: list[object] = [iso(change.at), change.change.value, _cell(change.path), _cell(change.old_path)]
    found += [change.language, _cell(change.author.name), _cell(change.author.email), change.session, change.commit]
    found += [change.old_blob, change.new_blob]
    if counts is None:
        return [*found, *[""] * 6]
    cells = [counts.added, counts.removed, counts.changed, counts.moved]
    return [*found, *cells, counts.lines_added, counts.lines_removed]


def _cell(text: str) -> str:
    return _FORMULA.sub(r"\1'", harmless(text).replace("\t", "\\t")) if text else ""


def to_json(report: Report, changes: Iterable[Detailed]) -> Iterator[str]:
    """Pieces of one line of JSON, in ASCII: what was asked, the changes as they pass, and the totals at the end."""
    head = json.dumps(report.head_json())
    yield head[:-1] + ', "changes": ['
    for number, each in enumerate(changes):
        yield (", " if number else "") + json.dumps(each.as_json())
    yield '], "totals": ' + json.dumps(report.totals.as_json()) + ', "notes": ' + json.dumps(report.notes) + "}\n"


def to_text(changes: Iterable[Detailed]) -> Iterator[str]:
    """A line for each change, for a terminal; no character in it steers that."""
    for each in changes:
        change = each.change
        moved = f"{harmless(change.old_path)} -> " if change.old_path else ""
        what = f"{change.at:%Y-%m-%d %H:%M}  {change.change.value:8}  {harmless(change.author.name)}"
        yield f"{what}  {moved}{harmless(change.path)}{in_short(each, '  ')}\n"


def in_short(each: Detailed, before: str = "") -> str:
    """How much changed, as ``+3 -1 in 2 cells``; empty where that is not known, or nothing did."""
    counts = each.counts
    if counts is None or not (cells := counts.added + counts.removed + counts.changed + counts.moved):
        return ""
    return f"{before}+{counts.lines_added} -{counts.lines_removed} in {cells} {'cell' if cells == 1 else 'cells'}"


def summary_text(report: Report) -> Iterator[str]:
    """The totals, for a terminal."""
    totals = report.totals
    counts = ", ".join(f"{totals.kinds[kind]:,} {kind}" for kind in ("added", "modified", "renamed", "deleted"))
    yield f"{totals.count:,} changes ({report.query.in_words()}): {counts}.\n"
    for title, counters in (
        ("By person", totals.people),
        ("By folder", totals.folders),
        ("By language", totals.languages),
    ):
        if len(counters) > 1:
            told = [f"{_named(name)} {n.total():,}" for name, n in busiest(counters)[:_FOLDERS_SHOWN]]
            more = len(counters) - len(told)
            yield f"{title}: {', '.join(told)}{f', and {more:,} more' if more else ''}.\n"
    for line in report.sessions or ():
        yield f"Session {line.session}  {line.status}  {line.head[:12] or 'nothing confirmed'}\n"


def _named(name: object) -> str:
    return harmless(str(name[0] if isinstance(name, tuple) else name)) or "-"


def to_markdown(report: Report) -> str:
    """The report as Markdown tables; no name in it is markup."""
    totals = report.totals
    lines = [
        f"# Changes in {escaped(report.root)}",
        "",
        f"{escaped(report.query.in_words())}; read {iso(report.at)}.",
        "",
    ]
    lines += _markdown_table(["", "Notebooks"], [[kind, f"{count:,}"] for kind, count in totals.kinds.items()])
    for title, counters in (("Person", totals.people), ("Folder", totals.folders), ("Language", totals.languages)):
        rows = [[escaped(_named(name)), f"{n.total():,}"] for name, n in busiest(counters)[:_FOLDERS_SHOWN]]
        lines += _markdown_table([title, "Changes"], rows)
    if report.sessions is not None:
        rows = [[line.session, line.started_at, line.status, line.head] for line in report.sessions]
        lines += ["## Sessions", "", *_markdown_table(["Session", "Started", "Status", "Commit on main"], rows)]
    rows = [_markdown_row(each) for each in report.shown]
    lines += ["## Changes", "", *_markdown_table(["Time (UTC)", "Change", "Notebook", "By", "Cells", "Commit"], rows)]
    lines += [f"... and {report.left_out:,} more; CSV and JSON have all.", ""] if report.left_out else []
    lines += [f"Note: {escaped(note)}\n" for note in report.notes]
    return "\n".join(lines)


def _markdown_row(each: Detailed) -> list[str]:
    change: NotebookChange = each.change
    path = f"{escaped(change.old_path)} → {escaped(change.path)}" if change.old_path else escaped(change.path)
    when, who = f"{change.at:%Y-%m-%d %H:%M}", escaped(change.author.name)
    return [when, change.change.value, path, who, escaped(in_short(each)), change.commit[:12]]


def escaped(text: str) -> str:
    """A name that Markdown shows as it is."""
    return _MARKDOWN.sub(r"\\\1", harmless(text))


def _markdown_table(head: list[str], rows: list[list[str]]) -> list[str]:
    if not rows:
        return []
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return [*lines, ""]
