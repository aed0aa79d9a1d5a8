"""Where what is restored goes: its own place, ``--to`` another, or with other beginnings of paths. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nbvault.errors import ConfigurationError
from nbvault.recovery.plan import Wanted
from nbvault.recovery.selection import Chosen, Item, Kind

_ALIAS = "/Workspace/"


def clean_path(text: str, *, what: str) -> str:
    """A workspace path as people give it, without ``/Workspace`` in front and slashes at the end.

    Raises:
        ConfigurationError: it does not begin with a slash, or has a name in it that is empty or means another folder.
    """
    path = text.strip().rstrip("/")
    path = path.removeprefix("/Workspace") if path.startswith(_ALIAS) else path
    if not path.startswith("/") or {"", ".", ".."} & set(path[1:].split("/")):
        hint = "It begins with a slash, and no name in it is empty, `.` or `..`."
        raise ConfigurationError(f"{what} {text!r} is no path of the workspace.", hint=hint)
    return path


def parse_remap(text: str) -> tuple[str, str]:
    """``FROM=TO`` as two paths; TO begins at the first ``=/``.

    Raises:
        ConfigurationError: it is no such thing.
    """
    old, equals, new = text.partition("=/")
    if not equals:
        raise ConfigurationError(f"--remap {text!r} is not FROM=TO.", hint="Both are paths that begin with a slash.")
    return clean_path(old, what="--remap"), clean_path("/" + new, what="--remap")


def assign(
    chosen: Sequence[Chosen], *, to: str = "", into: bool = False, remap: Sequence[tuple[str, str]] = ()
) -> list[Wanted]:
    """A target for every chosen notebook; the same notebook chosen twice counts once.

    Args:
        to: Where to, as from `clean_path`; empty for where each was.
        into: A single notebook goes into the folder ``to``, and does not become it.
        remap: Beginnings of paths to be replaced; the longest that fits counts.

    Raises:
        ConfigurationError: two different notebooks would get one target, or a beginning fits no path.
    """
    everything = list(_all(chosen, to, into=into))
    for old, _ in remap if everything else ():
        # What was to go elsewhere must not be written over where it is.
        if not any(_fits(each.target, old) for each in everything):
            raise ConfigurationError(
                f"--remap {old}: no path of what is to be restored begins so, such as {everything[0].target}.",
                hint="Capital and small letters are different.",
            )
    found: dict[str, Wanted] = {}
    for wanted in (_placed(each, remap) for each in everything):
        other = found.setdefault(wanted.target, wanted)
        if other != wanted:
            raise ConfigurationError(
                f"{other.path} and {wanted.path} would both be restored to {wanted.target}.",
                hint="Restore them one after the other, to different places.",
            )
    return list(found.values())


def _all(chosen: Sequence[Chosen], to: str, *, into: bool) -> Iterable[Wanted]:
    for each in chosen:
        for item in each.items:
            target = _under(each, item, to, alone=len(chosen) == 1, into=into) if to else item.path
            yield Wanted(item.path, target, item.blob, item.extension)


def _under(chosen: Chosen, item: Item, to: str, *, alone: bool, into: bool) -> str:
    name = chosen.base.rpartition("/")[2]
    if chosen.kind is Kind.NOTEBOOK:
        return to if alone and not into else f"{to}/{name}"
    rest = item.path[len(chosen.base.rstrip("/")) :]
    return to + rest if alone or chosen.kind is Kind.GLOB else f"{to}/{name}{rest}"


def _fits(path: str, beginning: str) -> bool:
    return path == beginning or path.startswith(beginning + "/")


def _placed(wanted: Wanted, remap: Sequence[tuple[str, str]]) -> Wanted:
    fitting = [pair for pair in remap if _fits(wanted.target, pair[0])]
    if not fitting:
        return wanted
    old, new = max(fitting, key=lambda pair: len(pair[0]))
    return wanted._replace(target=new + wanted.target[len(old) :])
