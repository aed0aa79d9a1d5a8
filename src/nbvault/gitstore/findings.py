"""Push protection: which secrets a remote says a push contains. The words are those of Azure Repos. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

_REFUSED = re.compile(r"VS403654")
_COMMIT = re.compile(r"commit: *([0-9a-f]{40})")
# `/path(31,23-75) : SEC101/176 : Name.`, and in older answers `/path(31,23-75) : error : CSCAN0220 : ...`.
_FINDING = re.compile(r"(?<!\S)/([^\n]*?)\((\d+),[\d,-]+\) : (?:error : )?([A-Z]+[\d/]+)(?: : ([A-Za-z][\w-]*))?")


class Finding(NamedTuple):
    """A secret, by where it is and its kind; `commit` is empty where the remote does not say."""

    commit: str
    path: str
    line: int
    kind: str


def is_about_secrets(reason: str) -> bool:
    """Whether a push was refused for a secret in it."""
    return _REFUSED.search(reason) is not None


def read_findings(reason: str) -> list[Finding]:
    """Every secret that a refusal names, in its order; none where it lists none that can be understood."""
    marks = [(match.start(), match[1]) for match in _COMMIT.finditer(reason)]
    found = []
    for match in _FINDING.finditer(reason):
        commit = next((sha for start, sha in reversed(marks) if start < match.start()), "")
        kind = f"{match[4]} ({match[3]})" if match[4] else match[3]
        found.append(Finding(commit, match[1], int(match[2]), kind))
    return list(dict.fromkeys(found))
