"""The plan of Git folders: everything is shown, limits are kept or named, and a cone is what git takes for one."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from nbvault.setup.check import load_of, more_views
from nbvault.setup.conversion import Conversion
from nbvault.setup.views import Limits, View, not_covered, parents, plan_views

FILES = st.dictionaries(
    st.lists(st.sampled_from(["a", "b", "2024", "x y"]), min_size=0, max_size=3).map(
        lambda names: "/".join([*(f"{name}-" for name in names), "n.py"])
    ),
    st.integers(0, 50),
    max_size=25,
)


@given(FILES, st.integers(1, 12), st.integers(1, 400))
def test_everything_is_shown_within_the_limits(files: dict[str, int], most: int, size: int) -> None:
    """Each file is in a view, loads are what the views show, and what breaks a limit is named and cannot be split."""
    plan = plan_views(files, "/T", Limits(most, size, 2000))
    assert not_covered(files, plan.views) == []
    assert [load_of(files, view) for view in plan.views] == list(plan.loads)
    over = [view for view, load in zip(plan.views, plan.loads, strict=True) if load.files > most]
    assert len(plan.warnings) == len(over)
    for view in over:
        below = view.folder + "/" if view.folder else ""
        assert not any("/" in path[len(below) :] for path in files if path.startswith(below))
    assert len(plan.refusals) == sum(load.size_bytes > size for load in plan.loads)
    assert len({view.path for view in plan.views}) == len(plan.views)


@given(FILES, FILES, st.integers(1, 8))
def test_a_conversion_is_extended_to_show_what_is_new(old: dict[str, int], new: dict[str, int], most: int) -> None:
    """Whatever is added later, the views and those that they lack show everything, and none lies inside another."""
    views = plan_views(old, "/T", Limits(most)).views
    conversion = Conversion("c", "", "", "/R", "/T", "", "", "main", views, (), "")
    files = old | new
    more = more_views(list(files), conversion)
    assert not_covered(files, [*views, *more]) == []
    folders = [view.folder for view in (*views, *more)]
    assert not any(f"{one}/".startswith(f"{other}/") for one in folders for other in folders if one != other and other)


def test_a_cone_is_gits_own(tmp_path: Path) -> None:
    """What a view says it shows is what git checks out for its pattern."""
    paths = ["top.py", "a/in_a.py", "a/b/in_b.py", "a/b/c/deep.py", "a/bc/other.py", "ab/x.py", "#z x/!y/n.py"]
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=p", "-c", "user.email=p@example.com"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *arguments], check=True)
    for folder in ("a", "a/b", "a/b/c", "ab", "#z x", "#z x/!y"):
        subprocess.run([*git, "sparse-checkout", "set", "--cone", folder], check=True, capture_output=True)
        shown = {str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*.py")}
        assert {path for path in paths if View("/T", folder).shows(path)} == shown


def test_places() -> None:
    """A Git folder shows notebooks without extension; ordinary folders hold those that are nested."""
    assert View("/T/2024", "2024").path_of("2024/x.py.py") == "/T/2024/2024/x.py"
    assert parents([View("/T/2024/e", "2024/e"), View("/T/2025", "2025")], "/T") == ["/T", "/T/2024"]
    assert parents([View("/T")], "/T") == []
    bracket = plan_views({"a[1]/n.py": 1, "b/n.py": 1}, "/T", Limits(1))
    assert bracket.refusals == ("a[1] has a [ in its name, which git takes for a pattern in a sparse checkout.",)
    too_many = plan_views({f"{number}/n.py": 1 for number in range(30)}, "/T", Limits(1, 10**9, 20))
    assert too_many.refusals == ("30 Git folders would be needed; a workspace may have 20.",)
