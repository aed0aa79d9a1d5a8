"""A conversion as the vault remembers it: lines that are only ever appended, and what they add up to. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from nbvault.setup.views import View

RECORDS = "conversions"
Line = Mapping[str, Any]


class Stage(str, Enum):
    """How far a conversion is. Those that end in ``ing`` were under way when the last line was written."""

    CONVERTING = "converting"
    CONVERTED = "converted"
    REPLACING = "replacing"
    REPLACED = "replaced"
    RESTORING = "restoring"
    REMOVING = "removing"
    ROLLED_BACK = "rolled back"


OPEN = frozenset({Stage.CONVERTING, Stage.REPLACING, Stage.RESTORING, Stage.REMOVING})


@dataclass(frozen=True, slots=True)
class Original:
    """What stood at the original path before it was replaced; confirmed on the remote before anything was deleted.

    `content` is the commit that holds every notebook, `meta` the one whose rows say which path each had. `empty` are
    folders without anything in them, which Git does not keep. `grants` are the permissions given on the objects
    themselves, by path: kind of principal, principal, level.
    """

    content: str
    meta: str
    notebooks: int
    empty: tuple[str, ...] = ()
    grants: Mapping[str, tuple[tuple[str, str, str], ...]] | None = None


@dataclass(frozen=True, slots=True)
class Conversion:
    """One conversion.

    `views` are the Git folders that it makes, `folders` the ordinary ones that were not there and must hold them.
    `own_credential` is the name of the Git credential that it registers, empty where the identity had one; `credential`
    the id of the one in use, 0 until it is known. `settled` says how many of the views and folders were there and right
    when it last came to its end. `problem` is why the last try failed.
    """

    conversion: str
    at: str
    by: str
    root: str
    target: str
    url: str
    provider: str
    branch: str
    views: tuple[View, ...]
    folders: tuple[str, ...]
    own_credential: str
    credential: int = 0
    stage: Stage = Stage.CONVERTING
    original: Original | None = None
    settled: tuple[int, int] = (0, 0)
    problem: str = ""

    @property
    def is_open(self) -> bool:
        """Whether something was begun and has not come to its end."""
        return self.stage in OPEN


def began(conversion: Conversion) -> dict[str, Any]:
    """The line with which a conversion begins."""
    names = ("at", "by", "root", "target", "url", "provider", "branch", "own_credential", "credential")
    line: dict[str, Any] = {name: getattr(conversion, name) for name in names}
    return line | {"views": dump_views(conversion.views), "folders": list(conversion.folders)}


def dump_views(views: Iterable[View]) -> list[list[str]]:
    """Git folders as a line holds them."""
    return [[view.path, view.folder] for view in views]


def dump_original(original: Original) -> dict[str, Any]:
    """What stood there, as a line holds it."""
    grants = {path: [list(each) for each in given] for path, given in (original.grants or {}).items()}
    names = ("content", "meta", "notebooks")
    kept: dict[str, Any] = {name: getattr(original, name) for name in names}
    return kept | {"empty": list(original.empty), "grants": grants}


def after(before: Conversion | None, line: Line) -> Conversion:
    """The conversion after a line; a ``began`` begins another one.

    Raises:
        ValueError: the line is of no conversion that was begun.
    """
    event = line["event"]
    if event == "began":
        return _begun(line)
    if before is None or before.conversion != line["conversion"]:
        raise ValueError(f"the conversion {line['conversion']} was never begun")
    now = replace(before, problem=str(line.get("problem", "")))
    if event == "credential":
        return replace(now, credential=int(line["id"]))
    if event == "extended":
        views = tuple(View(*each) for each in line["views"])
        folders = tuple(line["folders"])
        return replace(now, stage=Stage.CONVERTING, views=now.views + views, folders=now.folders + folders)
    if event == "replacing":
        return replace(now, stage=Stage.REPLACING, original=_original(line))
    if event == "taken back":
        count, others = now.settled
        return replace(now, stage=Stage.CONVERTED, views=now.views[:count], folders=now.folders[:others])
    stage = Stage(line.get("stage", now.stage.value))
    if stage is Stage.CONVERTED:
        return replace(now, stage=stage, original=None, settled=(len(now.views), len(now.folders)))
    return replace(now, stage=stage)


def latest(lines: Iterable[Line]) -> Conversion | None:
    """The newest conversion that these lines, oldest first, tell of."""
    found: Conversion | None = None
    for line in lines:
        found = after(found, line)
    return found


def _begun(line: Line) -> Conversion:
    return Conversion(
        conversion=str(line["conversion"]),
        at=str(line["at"]),
        by=str(line["by"]),
        root=str(line["root"]),
        target=str(line["target"]),
        url=str(line["url"]),
        provider=str(line["provider"]),
        branch=str(line["branch"]),
        views=tuple(View(*each) for each in line["views"]),
        folders=tuple(line["folders"]),
        own_credential=str(line["own_credential"]),
        credential=int(line["credential"]),
    )


def _original(line: Line) -> Original:
    grants = {path: tuple((str(a), str(b), str(c)) for a, b, c in given) for path, given in line["grants"].items()}
    return Original(line["content"], line["meta"], int(line["notebooks"]), tuple(line["empty"]), grants)
