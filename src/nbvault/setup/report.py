"""What is asked of a conversion, and what became of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from nbvault.model import Row
from nbvault.setup.conversion import Conversion, Stage
from nbvault.setup.convert import ShownFolder
from nbvault.setup.views import MAX_FILES, Load, View


@dataclass(frozen=True, slots=True)
class ConvertOptions:
    """What is asked of a conversion.

    `to` is the place of the Git folders, empty for beside the root; `provider` is empty for what the remote's address
    says. `max_files` replaces Databricks' advice.
    """

    to: str = ""
    provider: str = ""
    max_files: int = MAX_FILES
    replace: bool = False
    accept_changes: bool = False


class Planned(NamedTuple):
    """A Git folder that is to be made, and how much it will show."""

    view: View
    load: Load


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What became of a conversion, or of the plan for one.

    `renamed` are notebooks that the Git folders show under another name, with that name; `not_shown` objects of the
    workspace that they do not show, with why.
    """

    conversion: str
    status: str
    exit_code: int
    root: str
    target: str
    url: str
    folders: tuple[ShownFolder, ...] = ()
    planned: tuple[Planned, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    not_shown: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    dry_run: bool = False

    def as_json(self) -> dict[str, Any]:
        """The report as ``convert --json`` prints it."""
        names = ("conversion", "status", "exit_code", "root", "target", "url", "dry_run")
        found: dict[str, Any] = {name: getattr(self, name) for name in names}
        folders = [each.as_json() for each in self.folders]
        folders += [{"path": view.path, "folder": view.folder, **load._asdict()} for view, load in self.planned]
        found |= {"folders": folders, "same": sum(each.same for each in self.folders)}
        found["renamed"] = [{"path": path, "shown": shown} for path, shown in self.renamed]
        found["not_shown"] = [{"path": path, "reason": reason} for path, reason in self.not_shown]
        return found | {"warnings": list(self.warnings)}


def report(
    conversion: Conversion, rows: Iterable[Row], not_shown: tuple[tuple[str, str], ...], **more: Any
) -> ConversionReport:
    """A report with what the Git folders cannot show as the workspace does."""
    return ConversionReport(
        conversion.conversion,
        more.pop("status", conversion.stage.value),
        more.pop("exit_code", 0),
        conversion.root,
        conversion.target,
        conversion.url,
        renamed=tuple(_renamed(rows, conversion)),
        not_shown=not_shown,
        **more,
    )


def _renamed(rows: Iterable[Row], conversion: Conversion) -> list[tuple[str, str]]:
    """A Git folder shows the vault's spelling of a name: ``a%3Ab`` for ``a:b``."""
    root = View(conversion.root.rstrip("/"))
    shown = (root,) if conversion.stage is Stage.REPLACED else conversion.views
    views = {view.folder: view for view in shown}
    found = []
    for row in rows:
        if root.path_of(row.repo_path) != row.path and (view := _view_of(row.repo_path, views)):
            found.append((row.path, view.path_of(row.repo_path)))
    return sorted(found)


def _view_of(repo_path: str, views: Mapping[str, View]) -> View | None:
    folder = repo_path.rpartition("/")[0]
    while folder and folder not in views:
        folder = folder.rpartition("/")[0]
    return views.get(folder) or next((view for view in views.values() if view.shows(repo_path)), None)
