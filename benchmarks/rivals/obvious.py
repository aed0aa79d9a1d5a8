"""The backup that one would write first: python obvious.py first|again

databricks-sdk in 20 threads, a working tree, `git add` and a commit for every 1,000 files, a push. Again: list
everything, compare `modified_at` with a JSON file, export what changed, add, commit, push. Works in the current folder;
DATABRICKS_HOST, DATABRICKS_TOKEN and GIT_URL say where, and git's credentials are in the environment. Runs in a virtual
environment with requirements-sdk.txt, without nbvault.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.workspace import ExportFormat, ObjectInfo, ObjectType
from git import Repo
from requests.adapters import HTTPAdapter

THREADS = 20
A_COMMIT = 1000
TREE = Path("tree")
STATE = Path("state.json")
EXTENSIONS = {"PYTHON": ".py", "SQL": ".sql", "SCALA": ".scala", "R": ".r"}


def main() -> None:
    """Back up what is new or changed since STATE was written."""
    client = connected()
    repository = Repo(TREE) if TREE.exists() else Repo.init(TREE, initial_branch="main")
    known = json.loads(STATE.read_text(encoding="utf-8")) if STATE.exists() else {}
    listed = [each for each in client.workspace.list("/Clients", recursive=True) if is_notebook(each)]
    now = {file_of(each): each.modified_at for each in listed}
    changed = [each for each in listed if known.get(file_of(each)) != each.modified_at]
    gone = [name for name in known if name not in now]
    for name in gone:
        (TREE / name).unlink()
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(changed), A_COMMIT):
            batch = changed[start : start + A_COMMIT]
            list(pool.map(lambda each: save(client, each), batch))
            repository.git.add("--", *(file_of(each) for each in batch))
            repository.git.commit("-q", "-m", f"Backup of {len(batch)} notebooks")
    if gone:
        repository.git.rm("-q", "--cached", "--", *gone)
        repository.git.commit("-q", "-m", f"{len(gone)} notebooks are gone")
    repository.git.push(os.environ["GIT_URL"], "HEAD:refs/heads/main")
    STATE.write_text(json.dumps(now), encoding="utf-8")
    print(json.dumps({"listed": len(listed), "saved": len(changed), "deleted": len(gone)}))


def connected() -> WorkspaceClient:
    """The SDK's client; over https, where its pool would be in force, it would keep as many connections as here."""
    client = WorkspaceClient()
    pool = HTTPAdapter(pool_connections=THREADS, pool_maxsize=THREADS, pool_block=True)
    # The SDK gives its connection pool to https:// only; without one it would open a connection for most requests.
    client.api_client._api_client._session.mount("http://", pool)
    return client


def is_notebook(each: ObjectInfo) -> bool:
    """Whether it is to be saved."""
    return each.object_type == ObjectType.NOTEBOOK


def file_of(each: ObjectInfo) -> str:
    """Its file in the working tree."""
    return f"{each.path.lstrip('/')}{EXTENSIONS[each.language.value]}"


def save(client: WorkspaceClient, each: ObjectInfo) -> None:
    """Export a notebook into its file."""
    answer = client.workspace.export(each.path, format=ExportFormat.SOURCE)
    file = TREE / file_of(each)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(base64.b64decode(answer.content))


if __name__ == "__main__":
    sys.exit(main())
