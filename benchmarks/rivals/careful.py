"""What one would write after some weeks with obvious.py: python careful.py

The same, but `modified_at` is kept in a JSON file and only what changed is exported, and git's own commands add and
commit. It trusts a listing that it saw once, and `modified_at` for everything; nobody reads back what it wrote.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from git import Repo
from obvious import TREE, connected, exported, file_of, notebooks_of, push

STATE = Path("state.json")


def main() -> None:
    """Back up what is new or changed since STATE was written."""
    client = connected()
    repository = Repo(TREE) if TREE.exists() else Repo.init(TREE, initial_branch="main")
    known = json.loads(STATE.read_text(encoding="utf-8")) if STATE.exists() else {}
    listed = notebooks_of(client)
    now = {file_of(each): each.modified_at for each in listed}
    changed = [each for each in listed if known.get(file_of(each)) != each.modified_at]
    gone = [name for name in known if name not in now]
    for name in gone:
        (TREE / name).unlink()
    for batch in exported(client, changed):
        repository.git.add("--", *(file_of(each) for each in batch))
        repository.git.commit("-q", "-m", f"Backup of {len(batch)} notebooks")
    if gone:
        repository.git.rm("-q", "--cached", "--", *gone)
        repository.git.commit("-q", "-m", f"{len(gone)} notebooks are gone")
    push(repository)
    STATE.write_text(json.dumps(now), encoding="utf-8")
    print(json.dumps({"listed": len(listed), "saved": len(changed), "deleted": len(gone)}))


if __name__ == "__main__":
    sys.exit(main())
