"""The indexed notebooks answer as the plain ones do."""

from __future__ import annotations

import pytest

from nbvault.errors import ConfigurationError
from nbvault.opening import read_vault
from nbvault.recovery.indexed import IndexedNotebooks
from nbvault.recovery.notebooks import Notebooks
from recovery.places import Desk


def test_the_same_answers(desk: Desk) -> None:
    """For every path that a notebook ever had: the same notebook, with the same stays."""
    desk.write("/a/one", "1")
    desk.write("/a/two", "2")
    desk.sync()
    desk.move("/a/one", "/b/one")
    desk.delete("/a/two")
    desk.sync()
    desk.write("/a/one", "another")
    desk.move("/b/one", "/a/two")
    desk.sync()
    with read_vault(desk.settings, warn=desk.warnings.append) as vault:
        plain, indexed = Notebooks.of(vault), IndexedNotebooks.of(vault)
        for path in ("/a/one", "/a/two", "/b/one", "a/one", "/Workspace/Clients/a/two"):
            spelled = path if path.startswith("/W") or not path.startswith("/") else "/Clients" + path
            assert indexed.find(spelled) == plain.find(spelled)
            assert indexed.stays(plain.find(spelled).object_id) == plain.stays(plain.find(spelled).object_id)
        sessions = [day.report.session for day in desk.diary]
        first = plain.find("/Clients/a/two").object_id
        assert [indexed.owner_at("/Clients/b/one", each) == first for each in sessions] == [False, True, False]
        with pytest.raises(ConfigurationError) as refused:
            indexed.find("/Clients/a/onee")
        assert "one" not in refused.value.hint
