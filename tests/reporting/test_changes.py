"""The change report says what each session itself counted, and each change by its own versions."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta, timezone

import pytest

from nbvault.cli.audit import _time
from nbvault.clock import iso
from nbvault.errors import ConfigurationError
from nbvault.opening import read_vault
from nbvault.reporting import report, tables
from nbvault.reporting.query import Query
from nbvault.reporting.report import Report
from nbvault.reporting.walk import NotebookChange, changes
from recovery.places import ANN, BOB, ROOT, ZOE, Desk


def told(desk: Desk, **asked: object) -> list[NotebookChange]:
    with read_vault(desk.settings, warn=desk.warnings.append, want_tree=False) as vault:
        return list(changes(vault, Query(**asked)))  # type: ignore[arg-type]


def whole(desk: Desk, query: Query | None = None, **more: object) -> Report:
    with read_vault(desk.settings, warn=desk.warnings.append, want_tree=False) as vault:
        return report.report(vault, query or Query(), now=desk.clock.now(), **more)  # type: ignore[arg-type]


def test_each_session_is_told_as_it_counted_itself(story: Desk) -> None:
    """Every session's counts are those of its report: swaps, replacements, a change of language.

    But for two notebooks that came back to their place: the session calls that renamed, history and this report added.
    """
    for number, day in enumerate(story.diary, 1):
        counts, back = day.report.counts, 2 if number == 4 else 0
        found = Counter(each.change.value for each in told(story, session=day.report.session))
        expected = {
            "added": counts.added + back,
            "modified": counts.modified,
            "renamed": counts.renamed - back,
            "deleted": counts.deleted,
        }
        assert {kind: found[kind] for kind in expected} == expected, day.report.session


def test_a_period_is_the_sessions_in_it_newest_first(story: Desk) -> None:
    """All sessions together are told in one walk; since and until cut it where sessions began."""
    by_session = {day.report.session: told(story, session=day.report.session) for day in story.diary}
    everything = [each for name in sorted(by_session, reverse=True) for each in by_session[name]]
    assert told(story) == everything
    second, third = story.diary[1].report.started_at, story.diary[2].report.started_at
    found = told(story, since=second - timedelta(hours=1), until=third + timedelta(hours=1))
    names = [day.report.session for day in story.diary]
    assert found == by_session[names[2]] + by_session[names[1]]
    assert told(story, since=story.diary[-1].report.started_at + timedelta(hours=1)) == []


def test_a_change_is_told_with_both_its_versions(story: Desk) -> None:
    """Applying what is told, oldest first, gives at each session the very files that the vault had then."""
    tree: dict[str, str] = {}
    with read_vault(story.settings, warn=story.warnings.append) as vault:
        for day in story.diary:
            found = list(changes(vault, Query(session=day.report.session)))
            for each in found:
                if each.old_blob and each.old_repo_path:
                    assert tree.get(each.old_repo_path) == each.old_blob, each
            for each in found:
                if each.change.value in ("deleted", "renamed"):
                    tree.pop(each.old_repo_path, None)
            tree |= {each.repo_path: each.new_blob for each in found if each.new_blob}
        silent = {path for path, oid in vault.blob_at.items() if tree.get(path) != oid}
    assert {path for path in silent if not path.startswith("same/")} == set()


def test_filters(story: Desk) -> None:
    """Person, place (also the one left), and language; who renamed a notebook is not known."""
    everything = told(story)
    assert told(story, author=BOB.upper()) == [each for each in everything if each.author.email == BOB]
    assert told(story, author="bob*") == told(story, author="bob.builder") == told(story, author=BOB)
    assert {each.author.email for each in told(story, author="z*")} == {ZOE}
    assert [each.path for each in told(story, language="sql")] == [f"{ROOT}/lang/q"]
    moved = [each for each in told(story, place="/Clients/a/etl") if each.change.value == "renamed"]
    assert [(each.old_path, each.path, each.author.name) for each in moved] == [
        (f"{ROOT}/a/etl", f"{ROOT}/b/etl2", "unknown")
    ]
    assert {each.path for each in told(story, place="/Clients/folder/**/n2")} == {
        f"{ROOT}/folder/x/n2",
        f"{ROOT}/folder/y/n2",
    }


def test_bad_questions_are_refused(story: Desk) -> None:
    """A misspelt session, language or time, and a period that ends before it begins."""
    now = story.clock.now()
    with pytest.raises(ConfigurationError, match="knows no session 'nonsense'"):
        told(story, session="nonsense")
    with pytest.raises(ConfigurationError, match="no language"):
        Query(language="cobol")
    with pytest.raises(ConfigurationError, match="no time"):
        Query.of_texts(since="last tuesday", now=now)
    with pytest.raises(ConfigurationError, match="before it begins"):
        Query.of_texts(since="2026-02-02", until="2026-02-01", now=now)


def test_times_as_people_give_them(story: Desk) -> None:
    """A day is its beginning for --since and its end for --until."""
    now = story.clock.now()
    query = Query.of_texts(since="2026-02-01", until="2026-02-01", now=now)
    assert query.since is not None
    assert query.until is not None
    assert query.until - query.since == timedelta(days=1, milliseconds=-1)
    assert Query.of_texts(since="7d", now=now).since == now - timedelta(days=7)
    assert Query.of_texts(since="yesterday", now=now).since == (now - timedelta(days=1)).replace(
        hour=0, minute=0, second=0, microsecond=0
    )


@pytest.mark.parametrize("since", ["0001-01-01", "0900-06-01", "1900-01-01", "1970-01-01", "1970-04-26", "1973-03-03"])
def test_long_before_is_everything(since: str, story: Desk) -> None:
    """A period that begins before git, or time itself, has all changes; one that ends there has none."""
    now = story.clock.now()
    assert told(story, since=Query.of_texts(since=since, now=now).since) == told(story)
    assert told(story, until=Query.of_texts(until=since, now=now).until) == []


@pytest.mark.parametrize("time", ["20261130", "2026-W49-1", "2026W491", "20261130T140000", "2026-W49-1T14:00"])
def test_a_day_without_its_dashes_is_refused(time: str, story: Desk) -> None:
    """Some Pythons take it for the beginning of that day, which as the end of a period would leave that day out."""
    for asked in ({"since": time}, {"until": time}):
        with pytest.raises(ConfigurationError, match="is no time"):
            Query.of_texts(now=story.clock.now(), **asked)
    with pytest.raises(ConfigurationError, match="is no time"):
        _time(time, end=True)
    with pytest.raises(ConfigurationError, match=r"is no time|names no commit"):
        story.show("/Clients/keep", at=time)


def test_a_day_is_its_beginning_or_its_end() -> None:
    """As the guide says, also with spaces around it and in small letters."""
    now = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
    for text in ("2026-11-21", " 2026-11-21 "):
        found = Query.of_texts(since=text, until=text, now=now)
        assert [iso(each) for each in (found.since, found.until) if each] == [
            "2026-11-21T00:00:00.000Z",
            "2026-11-21T23:59:59.999Z",
        ]
    found = Query.of_texts(since="2026-11-21t14:30z", until="2026-11-21 14:30", now=now)
    assert [iso(each) for each in (found.since, found.until) if each] == [
        "2026-11-21T14:30:00.000Z",
        "2026-11-21T14:30:00.999Z",
    ]


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "10000-01-01"])
def test_a_time_in_no_year_is_refused(time: str, story: Desk) -> None:
    """What is before the year 1 or after 9999 in UTC is no time, for periods and for moments."""
    for asked in ({"since": time}, {"until": time}):
        with pytest.raises(ConfigurationError, match="is no time"):
            Query.of_texts(now=story.clock.now(), **asked)
    with pytest.raises(ConfigurationError, match=r"is no time|names no commit"):
        story.show("/Clients/keep", at=time)


@pytest.mark.parametrize("form", ["json", "csv", "table", "md"])
def test_a_report_that_fails_at_once_says_nothing_else(form: str, story: Desk) -> None:
    """What is printed is the failure, and for a program one object."""
    command = [sys.executable, "-m", "nbvault", "changes", "--session", "nonsense"]
    command += ["--json"] if form == "json" else ["--format", form]
    done = subprocess.run(
        command, env=story.environment(), cwd=story.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 7
    assert "knows no session 'nonsense'" in done.stderr
    assert (json.loads(done.stdout)["exit_code"] if form == "json" else done.stdout) == (7 if form == "json" else "")


def test_cells_and_lines_are_counted(story: Desk) -> None:
    """Another text is one cell for another, one line more and one less; beyond the limit nothing is counted."""
    second = Query(session=story.diary[1].report.session, place=f"{ROOT}/a/etl")
    (etl,) = whole(story, second).shown
    assert etl.counts is not None
    assert (etl.counts.added, etl.counts.removed, etl.counts.lines_added, etl.counts.lines_removed) == (1, 1, 1, 1)
    assert etl.cells is not None
    cut = whole(story, counted=3, kept=1)
    assert [each.counts is not None for each in cut.shown[:5]] == [True, True, True, False, False]
    assert [each.cells is not None for each in cut.shown[:3]] == [True, False, False]
    assert "for the newest changes only" in cut.notes[0]


def test_what_is_not_shown_is_counted(story: Desk) -> None:
    """A report of two changes still has the totals of all."""
    short = whole(story, shown=2)
    assert (len(short.shown), short.totals.count) == (2, len(told(story)))
    assert short.left_out == short.totals.count - 2


def test_compliance_tells_every_session(story: Desk) -> None:
    """All sessions of the period, oldest first, with their ends and commits."""
    found = whole(story, compliance=True).sessions
    assert found is not None
    assert [(line.session, line.status, line.head) for line in found] == [
        (day.report.session, "complete", day.report.head) for day in story.diary
    ]


def test_a_late_name_takes_the_place_of_the_commits(story: Desk) -> None:
    """Who turns out to have made a change is told, and found by their name."""
    from nbvault.model import Person

    late = Person("late", "late@clients.example")
    with read_vault(story.settings, warn=story.warnings.append, want_tree=False) as vault:
        found = list(
            changes(
                vault, Query(author="late"), corrected=lambda each: late if each.path == f"{ROOT}/gone/one" else None
            )
        )
    assert [(each.change.value, each.author) for each in found] == [("deleted", late), ("added", late)]


def test_json_and_csv_have_every_change(story: Desk) -> None:
    """Both streams hold what the library tells, and the totals add up."""
    expected = [(each.change.value, each.path, each.session, each.commit) for each in told(story)]
    with read_vault(story.settings, warn=story.warnings.append, want_tree=False) as vault:
        made = report.begun(vault, Query(), now=story.clock.now())
        found = json.loads("".join(tables.to_json(made, report.streamed(vault, made))))
        again = report.begun(vault, Query(), now=story.clock.now())
        rows = list(csv.DictReader(io.StringIO("".join(tables.to_csv(report.streamed(vault, again))))))
    assert [(each["change"], each["path"], each["session"], each["commit"]) for each in found["changes"]] == expected
    assert [(each["change"], each["path"], each["session"], each["commit"]) for each in rows] == expected
    assert found["totals"]["changes"] == len(expected)
    assert sum(person["modified"] for person in found["totals"]["people"]) == found["totals"]["modified"]
    assert {person["author_email"] for person in found["totals"]["people"]} >= {ANN, BOB, ZOE}


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1", "'+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  -2", "  '-2"),
        ('"=1', "\"'=1"),
        ("a;=1", "a;'=1"),
        ("\t=1", "\\t=1"),
        ("\r\n=1", "\\r\\x0a=1"),
        ("\uff1d1", "'\uff1d1"),
        ("/Clients/a=b-c", "/Clients/a=b-c"),
        ("gro\u00df \u202egnp", "gro\u00df \\u202egnp"),
    ],
)
def test_no_cell_of_the_csv_is_a_formula(name: str, cell: str) -> None:
    """What a spreadsheet would take for a formula stands behind an apostrophe; what is invisible is spelled out."""
    assert tables._cell(name) == cell
