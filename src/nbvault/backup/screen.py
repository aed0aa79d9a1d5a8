"""Credentials in a notebook's source, found before it is committed. Pure.

Each rule has *anchors*, bytes without which it cannot match: most notebooks hold none, or none that is followed by what
would have to follow, and are passed at the speed of one search for all of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from nbvault.backup.credentials import AHEAD, RULES, Rule

SHOWN = 4
"""So many characters at the start of a secret are shown, to find it by."""


class Finding(NamedTuple):
    """A credential in a notebook.

    `masked` is how it may be shown; `fingerprint` names the secret without telling it, the same in every notebook, so
    that an allow-list can hold it. `line` counts from 1.
    """

    rule: str
    line: int
    masked: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.rule} in line {self.line}: {self.masked} (fingerprint {self.fingerprint})"


def screen(source: bytes, *, allowed: Collection[str] = ()) -> list[Finding]:
    """The credentials in a notebook's bytes, in the order of their lines; each once, by the first rule that knows it.

    Args:
        allowed: The fingerprints of secrets that an administrator let pass.
    """
    places: dict[int, tuple[str, str]] = {}
    taken: list[tuple[int, int]] = []
    for rule, anchor in (_ANCHORS[number] for number in sorted(_present()(source))):
        for match in _matches(rule, anchor, source):
            start, end = match.span("secret")
            secret = match["secret"].decode(errors="replace")
            if all(end <= first or start >= last for first, last in taken) and rule.believe(secret):
                taken.append((start, end))
                places[start] = (rule.name, secret)
    found = (
        Finding(name, source.count(b"\n", 0, at) + 1, mask(secret), fingerprint(secret))
        for at, (name, secret) in sorted(places.items())
    )
    return [finding for finding in found if finding.fingerprint not in allowed]


_ANCHORS = [(rule, anchor) for rule in RULES for anchor in rule.anchors]


@cache
def _present() -> Callable[[bytes], Iterable[int]]:
    """What tells which anchors must be looked at: all at once where google-re2 is installed, one by one otherwise.

    The former leaves out those of a rule with a `then` behind which it does not follow.
    """
    try:
        import re2  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        return one_by_one
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    wanted = re2.Set.SearchSet(options)
    for rule, anchor in _ANCHORS:
        wanted.Add(("(?i)" if rule.fold else "") + re2.escape(anchor.decode()) + rule.then)
    wanted.Compile()
    return lambda source: wanted.Match(source) or ()


def one_by_one(source: bytes) -> list[int]:
    """The numbers of the anchors that a source holds."""
    small = source.lower()
    return [n for n, (rule, anchor) in enumerate(_ANCHORS) if anchor in (small if rule.fold else source)]


def _matches(rule: Rule, anchor: bytes, source: bytes) -> Iterator[re.Match[bytes]]:
    searched = source.lower() if rule.fold else source
    at = searched.find(anchor)
    while at >= 0:
        if match := _match_near(rule, source, at, len(anchor)):
            yield match
        at = searched.find(anchor, at + len(anchor))


def _match_near(rule: Rule, source: bytes, at: int, length: int) -> re.Match[bytes] | None:
    if not rule.reach:
        begin = at - rule.lead
        # What only looks behind for the anchor begins after it.
        return rule.pattern.match(source, begin) or rule.pattern.match(source, at + length) if begin >= 0 else None
    match = rule.pattern.search(source, max(at - rule.reach, 0), at + AHEAD)
    return match if match and match.start() <= at < match.end() else None


def mask(secret: str) -> str:
    """The secret as it may be shown: how long it is and, of a long one, its first characters."""
    shown = secret[:SHOWN] if len(secret) >= 8 * SHOWN else ""
    return f"{''.join(c if c.isprintable() else '?' for c in shown)}*** ({len(secret)} characters)"


@lru_cache(maxsize=1024)
def fingerprint(secret: str) -> str:
    """A name for a secret that does not tell it. Slow on purpose: a weak password must not be found by trying."""
    return hashlib.scrypt(secret.encode(errors="replace"), salt=b"nbvault screening", n=2**13, r=8, p=1, dklen=10).hex()
