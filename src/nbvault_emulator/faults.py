"""Faults as data: which requests they meet, and what then goes wrong. docs/emulator.md has an example of each."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from nbvault_emulator.shared import ENDPOINTS, MAX_FAULTS, Shared

_VIEW_KINDS = frozenset({"hole", "forbid", "times", "identity"})
_GIT_PACK_KINDS = frozenset({"push-rejected", "remote-moved"})
KINDS = _VIEW_KINDS | {
    "latency",
    "status",
    "error-in-200",
    "oversize",
    "empty-body",
    "nonsense",
    "archive",
    "drop",
    "hang",
    "token-expired",
    "concurrency",
    "rate",
    "do",
    "push-rejected",
    "remote-moved",
    "no-partial-clone",
    "lost-answer",
    "repo-incomplete",
    "repo-limit",
}
_DEFAULT_ENDPOINTS = {
    "archive": ("export-folder",),
    "oversize": ("export",),
    "token-expired": ("list", "get-status", "export", "import", "mkdirs", "delete", "scim"),
    "push-rejected": ("git-push-pack",),
    "remote-moved": ("git-push-pack",),
    "no-partial-clone": ("git",),
    "repo-incomplete": ("repos-create",),
    "repo-limit": ("repos-create", "repos-update"),
}


_CHOICES: dict[str, dict[str, tuple[str, ...]]] = {
    "oversize": {
        "shape": (
            "size-exceeds",
            "notebook-size",
            "file-size",
            "max-notebook-size",
            "max-read-size",
            "error-info",
            "in-200",
        )
    },
    "nonsense": {"shape": ("html", "truncated-json")},
    "archive": {
        "shape": (
            "flat",
            "full-path",
            "shallow",
            "no-extension",
            "upper-extension",
            "wrong-extension",
            "underscores",
            "documents",
            "files",
            "duplicate",
            "extra",
            "missing",
            "wrong-bytes",
            "swapped",
            "truncated",
            "bad-crc",
            "not-a-zip",
        )
    },
    "drop": {"when": ("before", "mid-body")},
    "do": {"when": ("before", "after")},
}


def glob(pattern: str) -> re.Pattern[str]:
    """A workspace path pattern: `*` stays in a folder, `**` crosses, `?` is one character; the rest is literal."""
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    table = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(table.get(part, re.escape(part)) for part in parts), re.DOTALL)


def _matcher(pattern: str) -> re.Pattern[str]:
    return re.compile(f"(?:{re.escape(pattern)}|{glob(pattern).pattern})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `nth` counts matching requests from 1; `after` lets the first so many pass; `times` bounds firings."""

    index: int
    kind: str
    endpoints: tuple[str, ...]
    path: re.Pattern[str] | None
    nth: frozenset[int]
    after: int
    times: int | None
    probability: float
    data: dict[str, Any] = field(hash=False)

    def meets(self, endpoint: str, path: str) -> bool:
        """Whether a request is one of those that this fault is about."""
        return any(_in_family(endpoint, name) for name in self.endpoints) and (
            self.path is None or self.path.fullmatch(path) is not None
        )

    def is_about(self, path: str) -> bool:
        """Whether a notebook is one that its pattern ``entry`` names."""
        return _matcher(self.text("entry")).fullmatch(path) is not None

    def number(self, key: str, default: float) -> float:
        """A number among its data."""
        return float(self.data.get(key, default))

    def text(self, key: str, default: str = "") -> str:
        """A text among its data."""
        return str(self.data.get(key, default))


def _in_family(endpoint: str, name: str) -> bool:
    return name in ("*", endpoint) or endpoint.startswith(name + "-")


def parse(index: int, data: Any) -> Fault:
    """A fault from its JSON.

    Raises:
        ValueError: it is malformed, or of an unknown kind.
    """
    if not isinstance(data, dict) or data.get("kind") not in KINDS:
        known = ", ".join(sorted(KINDS))
        raise ValueError(f"Fault {index} has no known kind: {data!r}. Known kinds: {known}.")
    kind, match = data["kind"], data.get("match", {})
    if not isinstance(match, dict) or set(match) - {"endpoint", "path", "nth", "after", "times", "probability"}:
        raise ValueError(f"Fault {index} has an unknown match: {match!r}.")
    for key, choices in _CHOICES.get(kind, {}).items():
        if data.get(key, choices[0]) not in choices:
            raise ValueError(f"Fault {index} ({kind}): {key} is one of {', '.join(choices)}, not {data[key]!r}.")
    if kind in _VIEW_KINDS - {"identity"} and not (data.get("path") or match.get("path")):
        raise ValueError(f"Fault {index} ({kind}) needs a path.")
    endpoint = match.get("endpoint", _DEFAULT_ENDPOINTS.get(kind, ("*",)))
    endpoints = (endpoint,) if isinstance(endpoint, str) else tuple(endpoint)
    for name in endpoints:
        if not any(_in_family(known, name) for known in ENDPOINTS):
            raise ValueError(f"Fault {index} ({kind}): endpoint is one of {', '.join(ENDPOINTS)}, not {name!r}.")
    if kind in _GIT_PACK_KINDS:
        endpoints = tuple("git-push-pack" if name in ("git-push", "git", "*") else name for name in endpoints)
    nth = match.get("nth", ())
    path = data.get("path") if kind in _VIEW_KINDS else match.get("path")
    path = path or match.get("path")
    return Fault(
        index=index,
        kind=kind,
        endpoints=endpoints,
        path=_matcher(path) if path else None,
        nth=frozenset((nth,) if isinstance(nth, int) else nth),
        after=int(match.get("after") or data.get("after") or 0),
        times=match.get("times"),
        probability=float(match.get("probability", 1.0)),
        data=data,
    )


class FaultSet:
    """The faults in force. Those that change what is seen are `views`; the others fire on single requests."""

    def __init__(self, faults: Iterable[Any], shared: Shared) -> None:
        parsed = [parse(index, data) for index, data in enumerate(faults)]
        if len(parsed) > MAX_FAULTS:
            raise ValueError(f"At most {MAX_FAULTS} faults at once.")
        self._shared = shared
        self._random = random.Random(len(parsed))
        self.all = parsed
        self._buckets: dict[int, tuple[float, float]] = {}
        self._events = [fault for fault in parsed if fault.kind not in _VIEW_KINDS]
        self.active = bool(self._events)
        self._views = [fault for fault in parsed if fault.kind in _VIEW_KINDS]
        self._personal: dict[str, Views] = {}
        self.views = Views([fault for fault in self._views if not fault.text("user")])

    def views_of(self, user_name: str) -> Views:
        """What this person sees: what is hidden from everybody, and from this person (``user``)."""
        if user_name not in self._personal:
            mine = [fault for fault in self._views if fault.text("user") in ("", user_name)]
            self._personal[user_name] = Views(mine)
        return self._personal[user_name]

    def fire(self, endpoint: str, path: str) -> list[Fault]:
        """The faults that this request sets off."""
        return [fault for fault in self._events if fault.meets(endpoint, path) and self._goes_off(fault)]

    def wait_for(self, fault: Fault) -> float:
        """Take a token of a `rate` fault, of which each worker has its own: 0, or the seconds until there is one."""
        rate, now = max(fault.number("per_second", 10), 0.001), time.monotonic()
        level, before = self._buckets.get(fault.index, (1.0, now))
        level = min(max(rate / 10, 1.0), level + (now - before) * rate)
        granted = level >= 1
        self._buckets[fault.index] = (level - granted, now)
        return 0.0 if granted else (1 - level) / rate

    def _goes_off(self, fault: Fault) -> bool:
        seen = self._shared.fault_seen(fault.index)
        if seen <= fault.after or (fault.nth and seen not in fault.nth):
            return False
        if fault.probability < 1 and self._random.random() >= fault.probability:
            return False
        return self._shared.fault_may_fire(fault.index, fault.times)


class Views:
    """Faults that change what the caller sees: holes in its permissions, missing times, fewer rights."""

    def __init__(self, faults: list[Fault]) -> None:
        self._holes = [_below(fault) for fault in faults if fault.kind == "hole"]
        self._forbidden = [_below(fault) for fault in faults if fault.kind == "forbid"]
        self._times = [fault for fault in faults if fault.kind == "times"]
        self.active = bool(self._holes or self._forbidden or self._times)
        self.admin = all(fault.data.get("admin") is True for fault in faults if fault.kind in ("hole", "identity"))

    def hidden(self, path: str) -> bool:
        """Whether the caller may not know that this path exists."""
        return any(hole.fullmatch(path) for hole in self._holes)

    def forbidden(self, path: str) -> bool:
        """Whether reading this path answers 403."""
        return any(pattern.fullmatch(path) for pattern in self._forbidden)

    def unreadable(self, path: str) -> bool:
        """Whether the caller cannot read this path."""
        return self.active and (self.hidden(path) or self.forbidden(path))

    def retime(self, path: str, entry: dict[str, Any]) -> dict[str, Any]:
        """A listed object with the times that the faults leave it."""
        for fault in self._times:
            if fault.path is not None and fault.path.fullmatch(path):
                for key in ("modified_at", "modified_at_interactive", "created_at"):
                    entry = _retimed(entry, key, fault.data.get(key))
        return entry


def _retimed(entry: dict[str, Any], key: str, how: Any) -> dict[str, Any]:
    if how is None:
        return entry
    if how == "missing":
        return {name: value for name, value in entry.items() if name != key}
    return {**entry, key: 0 if how == "zero" else how} if key in entry else entry


def _below(fault: Fault) -> re.Pattern[str]:
    pattern = fault.path.pattern if fault.path is not None else ".*"
    return re.compile(f"(?:{pattern})(?:/.*)?", re.DOTALL)
