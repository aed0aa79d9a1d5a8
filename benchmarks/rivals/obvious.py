"""The backup that one would write first: python obvious.py

databricks-sdk in 20 threads, a working tree, GitPython's `index.add` and `index.commit` for every 1,000 files, a push;
every night all of it again. Works in the current folder; DATABRICKS_HOST, DATABRICKS_TOKEN and GIT_URL say where, and
git's credentials are in the environment. Runs in a virtual environment with requirements-sdk.txt, without nbvault.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.workspace import ExportFormat, ObjectInfo, ObjectType
from git import Repo
from requests.adapters import HTTPAdapter

THREADS = 20
A_COMMIT = 1000
TREE = Path("tree")
EXTENSIONS = {"PYTHON": ".py", "SQL": ".sql", "SCALA": ".scala", "R": ".r"}


def main() -> None:
    """Back up everything."""
    client = connected()
    repository = Repo(TREE) if TREE.exists() else Repo.init(TREE, initial_branch="main")
    known = {str(name) for name, _ in repository.index.entries}
    listed = notebooks_of(client)
    for batch in exported(client, listed):
        repository.index.add([file_of(each) for each in batch])
        commit(repository, f"Backup of {len(batch)} notebooks")
    gone = sorted(known - {file_of(each) for each in listed})
    if gone:
        repository.index.remove(gone, working_tree=True)
        commit(repository, f"{len(gone)} notebooks are gone")
    push(repository)
    print(json.dumps({"listed": len(listed), "saved": len(listed), "deleted": len(gone)}))


def connected() -> WorkspaceClient:
    """The SDK's client; over https, where its pool would be in force, it would keep as many connections as here."""
    client = WorkspaceClient()
    pool = HTTPAdapter(pool_connections=THREADS, pool_maxsize=THREADS, pool_block=True)
    # The SDK gives its connection pool to https:// only; without one it would open a connection for most requests.
    client.api_client._api_client._session.mount("http://", pool)
    return client


def notebooks_of(client: WorkspaceClient) -> list[ObjectInfo]:
    """All that is to be saved."""
    listed = client.workspace.list("/Clients", recursive=True)
    return [each for each in listed if each.object_type == ObjectType.NOTEBOOK]


def exported(client: WorkspaceClient, wanted: Sequence[ObjectInfo]) -> Iterator[Sequence[ObjectInfo]]:
    """Export into the working tree, and say which thousand is there."""
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(wanted), A_COMMIT):
            batch = wanted[start : start + A_COMMIT]
            list(pool.map(lambda each: save(client, each), batch))
            yield batch


def file_of(each: ObjectInfo) -> str:
    """Its file in the working tree."""
    return f"{each.path.lstrip('/')}{EXTENSIONS[each.language.value]}"


def save(client: WorkspaceClient, each: ObjectInfo) -> None:
    """Export a notebook into its file."""
    answer = client.workspace.export(each.path, format=ExportFormat.SOURCE)
    file = TREE / file_of(each)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(base64.b64decode(answer.content))


def commit(repository: Repo, message: str) -> None:
    """Commit the index where it differs from the last commit."""
    if not repository.head.is_valid() or repository.index.diff("HEAD"):
        repository.index.commit(message)


def push(repository: Repo) -> None:
    """Push what was committed."""
    repository.git.push(os.environ["GIT_URL"], "HEAD:refs/heads/main")


if __name__ == "__main__":
    sys.exit(main())
