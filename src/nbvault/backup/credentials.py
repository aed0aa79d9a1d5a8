"""What credentials look like: one rule for each kind, in the shapes that their issuers document. Pure data."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

AHEAD = 4096
"""How far a credential may reach behind its anchor, in bytes."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one kind of credential looks like; the group ``secret`` is the credential itself.

    A match begins `lead` bytes before an anchor, or, where `reach` is given, anywhere in that many bytes before it; it
    is looked for up to `AHEAD` bytes after it. `believe` has the last word on the secret.

    `then` is what follows the anchor in every match, said loosely and so that an automaton can look for it together
    with all anchors: no looking around, no counts to speak of, and RE2's ``\\s``, which is no vertical tab. It is for
    anchors that ordinary source is full of.
    """

    name: str
    anchors: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    lead: int = 0
    reach: int = 0
    fold: bool = False
    then: str = ""
    believe: Callable[[str], bool] = lambda _secret: True


def _random(least_bits: float) -> Callable[[str], bool]:
    """Whether a text has at least so many bits of entropy a character, as random ones do, and is no placeholder."""

    def believe(secret: str) -> bool:
        return entropy(secret) >= least_bits and not _PLACEHOLDER.search(secret)

    return believe


def entropy(text: str) -> float:
    """Shannon's entropy of a text's own characters, in bits a character."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts) if text else 0.0


_PLACEHOLDER = re.compile(
    r"(?i)(x{4}|\*{3}|\.{3}|<[^>]*>|\{[^}]*\}|\$\(|%\(|%s|example|placeholder|changeme|dummy|redacted|sample|1234567|abcdef"
    r"|your[-_ ]?|my[-_ ]?(pass|secret|token|key)|insert|todo)"
)


def _guessed(secret: str) -> bool:
    """Whether what is assigned to a name like ``password`` is likely real: long, mixed, random, no name, no path."""
    mixed = sum(bool(re.search(kind, secret)) for kind in ("[a-z]", "[A-Z]", "[0-9]", "[^A-Za-z0-9]"))
    if len(secret) < 12 or mixed < 3 or not re.search("[0-9]", secret) or _PLACEHOLDER.search(secret):
        return False
    if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", secret):
        return False
    wordy = re.fullmatch(r"([A-Za-z]+|[0-9]+)([-_./: ]([A-Za-z]+|[0-9]+))*[0-9]{0,4}", secret)
    return (
        not wordy
        and not re.match(r"(?i)(https?|abfss?|s3a?|dbfs|file|jdbc|wasbs?):|/", secret)
        and entropy(secret) >= 3.3
    )


def _typed_in(secret: str) -> bool:
    """Whether a password in a connection string stands there itself, and no variable or placeholder for it."""
    return len(set(secret)) > 3 and not _PLACEHOLDER.search(secret) and not re.match(r"[{$<%\[(@+\"'&]", secret)


def _rule(
    name: str,
    anchors: str,
    pattern: str,
    *,
    lead: int = 0,
    reach: int = 0,
    fold: bool = False,
    then: str = "",
    believe: Callable[[str], bool] | None = None,
) -> Rule:
    compiled = re.compile(pattern.encode(), re.IGNORECASE if fold else 0)
    # A space inside an anchor is written as ;_ here.
    texts = tuple(anchor.replace(";_", "; ").encode() for anchor in anchors.split())
    return Rule(name, texts, compiled, lead, reach, fold, then, believe or _random(2.5))


_END = r"(?![A-Za-z0-9_])"
_START = r"(?<![A-Za-z0-9_])"
_B64 = "[A-Za-z0-9+/]"

RULES: tuple[Rule, ...] = (
    _rule("Databricks token", "dapi", rf"{_START}(?P<secret>dapi[0-9a-f]{{32}}(?:-\d{{1,2}})?){_END}"),
    _rule("Databricks OAuth secret", "dose", rf"{_START}(?P<secret>dose[0-9a-f]{{32}}){_END}"),
    _rule("Azure storage key", "AccountKey=", rf"AccountKey=(?P<secret>{_B64}{{86}}==)"),
    _rule(
        "Azure storage key",
        "fs.azure.account.key",
        rf"fs\.azure\.account\.key[^\n]{{1,120}}?[\"'](?P<secret>{_B64}{{86}}==)",
    ),
    _rule("Azure shared access key", "SharedAccessKey=", rf"SharedAccessKey=(?P<secret>{_B64}{{43}}=)"),
    _rule("Azure shared access signature", "sig=", r"(?<=[?&;\"'])sig=(?P<secret>[A-Za-z0-9%+/_-]{40,}(?:%3[dD]|=))"),
    _rule(
        "Azure client secret",
        "8Q~",
        r"(?<![\w~.-])(?P<secret>[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{31,34})(?![\w~-])",
        lead=3,
    ),
    _rule("Azure DevOps token", "AZDO", rf"{_START}(?P<secret>[A-Za-z0-9]{{76}}AZDO[A-Za-z0-9]{{4}}){_END}", lead=76),
    _rule("AWS access key", "AKIA ASIA", rf"{_START}(?P<secret>A[KS]IA[A-Z2-7]{{16}}){_END}"),
    _rule(
        "AWS secret key",
        "secret_access_key secretaccesskey secret_key secret.key",
        rf"secret[\w.]{{0,20}}[\"']?\s*[:=,]\s*[\"'](?P<secret>{_B64}{{40}})[\"']",
        fold=True,
        believe=_random(4.0),
    ),
    _rule("GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", rf"{_START}(?P<secret>gh[pousr]_[A-Za-z0-9]{{36,}}){_END}"),
    _rule("GitHub token", "github_pat_", rf"{_START}(?P<secret>github_pat_[A-Za-z0-9_]{{82}}){_END}"),
    _rule("GitLab token", "glpat-", rf"{_START}(?P<secret>glpat-[A-Za-z0-9_-]{{20,}})"),
    _rule("Slack token", "xox", rf"{_START}(?P<secret>xox[abprs]-[A-Za-z0-9-]{{20,}})"),
    _rule(
        "Slack webhook", "hooks.slack.com/services/", r"hooks\.slack\.com/services/(?P<secret>T\w{8,}/B\w{8,}/\w{20,})"
    ),
    _rule("Google API key", "AIza", rf"{_START}(?P<secret>AIza[A-Za-z0-9_-]{{35}})(?![\w-])"),
    _rule("Stripe key", "k_live_", rf"{_START}(?P<secret>[sr]k_live_[A-Za-z0-9]{{20,}}){_END}", lead=1),
    _rule("PyPI token", "pypi-AgE", rf"{_START}(?P<secret>pypi-AgE[A-Za-z0-9_-]{{50,}})"),
    _rule("npm token", "npm_", rf"{_START}(?P<secret>npm_[A-Za-z0-9]{{36}}){_END}", believe=_random(3.5)),
    _rule("OpenAI key", "sk-", r"(?<![\w-])(?P<secret>sk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{40,})", believe=_random(4.0)),
    _rule(
        "JSON web token",
        "eyJ",
        rf"{_START}(?P<secret>eyJ[A-Za-z0-9_-]{{10,}}\.eyJ[A-Za-z0-9_-]{{10,}}\.[A-Za-z0-9_-]{{20,}})",
        believe=_random(4.0),
    ),
    _rule(
        "private key",
        "PRIVATE",
        r"-----BEGIN (?:[A-Z0-9]+ ){0,2}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:\\[rn]|[\s\"'+,#>]|MAGIC|[A-Za-z0-9-]{1,40}: .{0,200}\n|//|--){0,200}"
        rf"(?P<secret>{_B64}{{40,}})",
        reach=40,
        believe=lambda _secret: True,
    ),
    _rule(
        "password in a URL",
        "://",
        r"(?<=://)[A-Za-z0-9_.%+-]{0,64}:(?P<secret>[^\s:@/\"'{}$<>]{6,128})@(?=[A-Za-z0-9\[])",
        then=r"[A-Za-z0-9_.%+-]*:[^\s:@/\"'{}$<>]+@",
        believe=_typed_in,
    ),
    _rule(
        "password in a connection string",
        ";password= ;pwd= ;_password= ;_pwd=",
        r";\s?(?:password|pwd)=(?P<secret>[^;\s\"']{6,128})",
        fold=True,
        believe=_typed_in,
    ),
    _rule(
        "assigned secret",
        "passw pwd secret token api_key apikey access_key accesskey account_key accountkey credential",
        r"(?:passw(?:or)?d|pwd|secret|token|api_?key|access_?key|account_?key|credential)"
        r"(?!\w{0,20}(?:name|scope|url|uri|path|file|_id|type|field|column|format|header|prefix|endpoint))\w{0,20}"
        r"[\"']?\]?\s{0,3}[:=]\s{0,3}[\"'](?P<secret>[^\s\"'\\]{12,256})[\"']",
        fold=True,
        then=r"\w*[\"']?\]?[\s\v]*[:=][\s\v]*[\"'][^\s\"'\\]{12}",
        believe=_guessed,
    ),
)
