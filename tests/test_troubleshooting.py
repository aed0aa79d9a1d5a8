"""docs/troubleshooting.md has an entry for each error message of the program, and none for one that is gone."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

from messages import Message, has_words, messages, skeleton

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "nbvault"
PAGE = ROOT / "docs" / "troubleshooting.md"

SENTENCES = {
    "workspace/errors.py": ("_SENTENCES",),
    "settings/load.py": ("_sentence", "_apply_variables"),
}
"""Tables and functions whose texts become messages in another place."""

PASSED_ON = {
    "azuredevops/errors.py": "the service's own words, in the errors that azuredevops/client.py makes",
    "backup/conclusion.py": "the branches of a RemoteMoved, which words them itself",
    "cli/main.py": "click's own words for wrong usage",
    "conversions.py": "the report of a SyncFailed, which words it itself",
    "gitstore/publish.py": "the branches of a RemoteMoved, which words them itself",
    "settings/load.py": "the lines of _sentence and _apply_variables, together",
    "notify/errors.py": "the words of those who make the error",
    "setup/check.py": "the refusals of a ViewPlan, which the command explains",
    "setup/convert.py": "one of three findings about a Git folder, which the page has before its entries",
    "setup/deploy/plan.py": "what settings/checks.py says of an address",
    "setup/deploy/render.py": "what settings/load.py says of the rendered configuration",
    "widgets.py": "the sentence of a job's Outcome, after the command's own words",
    "setup/remote_checks.py": "the obstacles that azuredevops/obstacles.py found",
    "setup/template.py": "what settings/load.py says of the new configuration",
    "setup/told_checks.py": "what a mail server and Slack answered when all was well",
    "web/patience.py": "WORKSPACE or VAULT: what a page that is not ready yet waits for; no error",
    "workspace/errors.py": "the words of _SENTENCES and of those who make the error",
}
"""Modules with an error whose message has no words of its own there, and whose words it passes on."""


@cache
def all_messages() -> list[Message]:
    return messages(SOURCE, SENTENCES)


def headings() -> list[str]:
    return re.findall(r"^### (.+)$", PAGE.read_text("utf-8"), re.MULTILINE)


def test_every_message_has_an_entry() -> None:
    """Each error message of the program is explained in docs/troubleshooting.md."""
    known = {skeleton(heading) for heading in headings()}
    worded = {skeleton(message.heading): message for message in all_messages() if has_words(message.heading)}
    lines = [
        f"### {m.heading}\n(from src/nbvault/{m.file}:{m.line})\n" for text, m in worded.items() if text not in known
    ]
    assert not lines, (
        "Paste each heading below into docs/troubleshooting.md, under its area, and say below it what it means and "
        "what to do; name the holes as you like:\n\n" + "\n".join(lines)
    )


def test_no_entry_is_for_a_message_that_is_gone() -> None:
    """Each entry is for a message that the program can give."""
    known = {skeleton(message.heading) for message in all_messages()}
    gone = [f"### {heading}" for heading in headings() if skeleton(heading) not in known]
    words = "No message has these words any more; correct or remove in docs/troubleshooting.md:\n\n"
    assert not gone, words + "\n".join(gone)


def test_no_entry_is_there_twice() -> None:
    """Each message has one entry, so that nobody reads the wrong half."""
    assert [text for text, count in Counter(map(skeleton, headings())).items() if count > 1] == []


def test_every_entry_says_something() -> None:
    """Below each heading, or below several that share an answer, there is a text."""
    blocks = re.split(r"^(?:### .+\n\s*)+", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    assert [block for block in blocks if not block.strip() or block.lstrip().startswith("#")] == []


def test_messages_without_words_are_accounted_for() -> None:
    """Where an error passes on what was said elsewhere, it is known from where."""
    wordless = {message.file for message in all_messages() if not has_words(message.heading)}
    assert wordless == set(PASSED_ON), "A message without words of its own: say in PASSED_ON whose words it passes on."


def test_every_shape_of_a_message_is_read(tmp_path: Path) -> None:
    """Literals, f-strings, sums, choices, names, factories, subclasses, tables and functions give their texts."""
    (tmp_path / "shapes.py").write_text(
        """
class OddError(NbvaultError):
    def __init__(self, refs): super().__init__(f"Odd: {', '.join(refs)}.", hint="x")
class OtherError(OddError): ...
_TABLE = {OddError: ("From a table for {path}", "hint"), OtherError: "Bare"}
def told(x):
    return f"Told of {x.name}."
def f(a, kind):
    raise ConfigurationError("Plain.")
    raise NbvaultError(f"Of {a!r} and {a.b_c:,} " + ("one" if a else "two"))
    whole = f"Whole {a}"
    raise NbvaultError(whole, hint="x")
    raise kind(f"By kind {a}", hint="x")
    raise click.UsageError(f"Usage{f' of {a}' if a else ''}.")
    raise NbvaultError(a)
    print("nothing", a)
class ConfigurationError(NbvaultError): ...
""",
        encoding="utf-8",
    )
    found = [message.heading for message in messages(tmp_path, {"shapes.py": ("_TABLE", "told")})]
    assert found == [
        "Odd: {…}.",
        "From a table for {path}",
        "Bare",
        "Told of {name}.",
        "Plain.",
        "Of {a} and {b_c} one",
        "Of {a} and {b_c} two",
        "Whole {a}",
        "By kind {a}",
        "Usage of {a}.",
        "Usage.",
        "{a}",
    ]
