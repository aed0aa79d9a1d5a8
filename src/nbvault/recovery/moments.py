"""Which commit ``--at`` means: a time, a commit, or a tag."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from nbvault.clock import iso, parse_given
from nbvault.errors import ConfigurationError
from nbvault.gitstore.conclude import DAILY, scan_started
from nbvault.gitstore.reader import commit_info, log, resolve
from nbvault.gitstore.vault import Vault
from nbvault.ids import stamp
from nbvault.recovery.history import SESSION

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SHA = re.compile(r"[0-9a-f]{4,40}")
_FORMS = "A time is 2026-11-21, 2026-11-21T14:30 or 2026-11-21T14:30:00+01:00; a commit is its sha or a tag backup/..."


@dataclass(frozen=True, slots=True)
class Moment:
    """A state of the vault: its commit, the last session that it holds, and its name for people."""

    commit: str
    session: str
    label: str


def moment(vault: Vault, text: str) -> Moment:
    """The state of the vault that a person means. Fetches the history's commits and trees once.

    A time is ISO 8601, in UTC where it names no zone, and means the last session that changed something and whose scan
    had begun by then; a date alone means the end of that day, in UTC, and a time without fractions the end of that
    second. Anything else is a commit of the main branch or of ``backup/daily`` by its sha (four
    digits or more), a tag, or one of the two branches.

    Raises:
        ConfigurationError: the time is before the first backup, or there is no such commit.
        RemoteUnreachable: the history is not here, and the remote does not answer.
        NbvaultError: that time is in an earlier epoch, which cannot be had.
    """
    vault.whole_history()
    text = text.strip()
    return _at_time(vault, text) if _DATE.match(text) else _at_commit(vault, text)


def parse_time(text: str) -> datetime:
    """A time as people give it to ``--at``.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        time = parse_given(text)
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is no time.", hint=_FORMS) from error
    if _DATE.fullmatch(text.strip()):
        return time + timedelta(days=1, milliseconds=-1)
    # Commits know whole seconds only: the time that `history` tells must include the session that began in it.
    return time if time.microsecond else time + timedelta(milliseconds=999)


def _at_time(vault: Vault, text: str) -> Moment:
    time = parse_time(text)
    first: datetime | None = None
    for entry in vault.past.main_log():
        started = scan_started(entry.commit.trailers)
        if started is not None and started <= time:
            return Moment(entry.sha, entry.commit.trailers.get(SESSION, [""])[-1], text)
        first = started or first
    since = f"The first one began at {iso(first)}." if first else "No session has ended yet."
    raise ConfigurationError(f"There was no backup yet at {iso(time)}.", hint=since)


def _at_commit(vault: Vault, text: str) -> Moment:
    sha = _named(vault, text) or (_by_sha(vault, text) if _SHA.fullmatch(text) else "")
    if not sha:
        raise ConfigurationError(f"{text!r} names no commit of the vault, or more than one.", hint=_FORMS)
    if not any(_reaches(vault, tip, sha) for tip in (*_own_tips(vault), *vault.past.tips())):
        raise ConfigurationError(f"{text!r} is a commit, but not one of {vault.branch} or backup/daily.", hint=_FORMS)
    last = next((e for e in log(vault.git, sha) if SESSION in e.commit.trailers), None)
    return Moment(sha, last.commit.trailers[SESSION][-1] if last else "", text)


def _by_sha(vault: Vault, text: str) -> str:
    """The commit that a sha names, if need be in an earlier epoch."""
    found = resolve(vault.git, text)
    if not found:
        for _ in vault.past.tips():
            if found := resolve(vault.git, text):
                break
    return found or ""


def _own_tips(vault: Vault) -> tuple[str, ...]:
    return (vault.main, vault.meta.content, vault.daily)


def _named(vault: Vault, text: str) -> str:
    """The commit that a tag or a branch of the remote names; empty if none does."""
    refs = [f"refs/tags/{text}", *(ref for ref in (vault.main_ref, DAILY) if ref.removeprefix("refs/heads/") == text)]
    found = next((vault.refs[ref] for ref in refs if ref in vault.refs), "") or _by_start(vault, text)
    return commit_info(vault.git, found).sha if found and vault.have(found) else ""


def _by_start(vault: Vault, tag: str) -> str:
    """The conclusion that a tag belongs to, where the tag is not known: in an earlier epoch, or without the remote."""
    if not tag.startswith("backup/2"):
        return ""
    starts = ((entry.sha, scan_started(entry.commit.trailers)) for entry in vault.past.main_log())
    return next((sha for sha, start in starts if start and f"backup/{stamp(start)}" == tag), "")


def _reaches(vault: Vault, tip: str, sha: str) -> bool:
    return bool(tip) and vault.git.offline().run("merge-base", "--is-ancestor", sha, tip, ok=(0, 1)).returncode == 0
