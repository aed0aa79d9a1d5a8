"""Problems from session to session: since when, and whether an administrator has accepted them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from nbvault.model import Problem, State


def carry_on(found: Iterable[Problem], before: Iterable[Problem], *, session: str) -> tuple[Problem, ...]:
    """The problems of this session, each since when it first came up.

    An acknowledgement holds as long as the object fails for the same reason.
    """
    known = {problem.object_id: problem for problem in before}
    return tuple(_carried(problem, known.get(problem.object_id), session) for problem in found)


def _carried(problem: Problem, before: Problem | None, session: str) -> Problem:
    if before is None or before.state is not problem.state:
        return replace(problem, since=session)
    accepted = before.acknowledged_by if before.reason == problem.reason else ""
    return replace(problem, since=before.since or session, acknowledged_by=accepted)


def failures(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Those that the vault keeps: what should have been saved and was not."""
    return tuple(problem for problem in problems if problem.state is State.FAILED)


def unacknowledged(problems: Sequence[Problem]) -> bool:
    """Whether a failure stands that nobody has accepted."""
    return any(problem.state is State.FAILED and not problem.acknowledged_by for problem in problems)


def accepted(problems: Sequence[Problem], which: str, *, by: str) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """All problems with those at a path, or with an object id, accepted by a person; and those that are.

    Args:
        which: A workspace path (with or without ``/Workspace`` in front), or an object id.
    """
    path = which.removeprefix("/Workspace") if which.startswith("/Workspace/") else which
    chosen = {p.object_id for p in problems if which in (p.path, str(p.object_id)) or p.path == path}
    after = tuple(replace(p, acknowledged_by=by) if p.object_id in chosen else p for p in problems)
    return after, tuple(p for p in after if p.object_id in chosen)
