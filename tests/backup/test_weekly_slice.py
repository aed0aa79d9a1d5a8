"""The slice that is exported whatever its times say, in folders that are listed once a week."""

from __future__ import annotations

from itertools import pairwise

import pytest

from nbvault.backup.detect import Distrust
from nbvault.model import NOTEBOOK, ListedObject

FOLDER = "/Clients/2020"


@pytest.mark.parametrize("object_id", range(0, 60, 7))
def test_no_notebook_of_a_frozen_folder_waits_longer_than_a_month_and_a_week(object_id: int) -> None:
    """Listed every seventh day, each is exported at least once in thirty-seven days; a daily one on its day only."""
    listed = ListedObject(object_id, NOTEBOOK, f"{FOLDER}/etl")
    weekly = [day for day in range(0, 420, 7) if Distrust(recheck_day=day, weekly=frozenset([FOLDER])).of(listed)]
    assert max(b - a for a, b in pairwise(weekly)) <= 37
    daily = [day for day in range(420) if Distrust(recheck_day=day).of(listed)]
    assert daily == [day for day in range(420) if day % 30 == object_id % 30]
