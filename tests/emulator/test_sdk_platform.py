"""The databricks-sdk's own client against Git folders, Git credentials, secrets and permissions."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import BadRequest, DatabricksError, NotFound, PermissionDenied, ResourceAlreadyExists
from databricks.sdk.service.iam import AccessControlRequest, PermissionLevel
from databricks.sdk.service.workspace import ExportFormat, ObjectType, SparseCheckout, SparseCheckoutUpdate

from flow.places import git
from nbvault_emulator.testing import Emulator

PROVIDER = "azureDevOpsServices"
NOTEBOOK = b"# Databricks notebook source\nprint(1)\n"
FILES = {
    "README.md": b"# Notes\n",
    "top.sql": b"-- Databricks notebook source\nselect 1",
    "2024/ENG-1/etl.py": NOTEBOOK,
    "2024/ENG-1/helper.py": b"x = 1\n",
    "2024/loose.r": b"# Databricks notebook source\nx <- 1",
    "2025/ENG-2/deep/load.scala": b"// Databricks notebook source\nval x = 1",
}


def push(emulator: Emulator, files: dict[str, bytes], *, branch: str = "main") -> str:
    """A commit with exactly these files on the Git server."""
    server = emulator.git_dir / "vault.git"
    lines = [
        b"commit refs/heads/%s\ncommitter P <p@example.com> 1700000000 +0000\ndata 1\nx\ndeleteall" % branch.encode()
    ]
    lines += [b"M 100644 inline %s\ndata %d\n%s" % (path.encode(), len(data), data) for path, data in files.items()]
    git(server, "fast-import", "--quiet", "--force", stdin=b"\n".join([*lines, b""]))
    return git(server, "rev-parse", branch).decode().strip()


@pytest.fixture
def running() -> Iterator[Emulator]:
    """An empty workspace, and a repository with a few files."""
    with Emulator(notebooks=0) as emulator:
        push(emulator, FILES)
        yield emulator


@pytest.fixture
def sdk(running: Emulator) -> WorkspaceClient:
    """The SDK's client."""
    return WorkspaceClient(host=running.workspace_url, token=running.workspace_token, auth_type="pat")


@pytest.fixture
def credential(running: Emulator, sdk: WorkspaceClient) -> int:
    """The id of a Git credential that works."""
    made = sdk.git_credentials.create(PROVIDER, git_username="nb", personal_access_token=running.git_token, name="x")
    return made.credential_id


def shown(sdk: WorkspaceClient, path: str) -> dict[str, ObjectType | None]:
    """Everything below a path but folders."""
    found = {str(each.path): each.object_type for each in sdk.workspace.list(path, recursive=True)}
    return {name: found[name] for name in sorted(found)}


def test_a_git_folder_shows_the_repository(running: Emulator, sdk: WorkspaceClient, credential: int) -> None:
    """Notebooks without extension in their language, other files as files; get-status and list say REPO."""
    made = sdk.repos.create(running.git_url, PROVIDER, path="/git", git_credential_id=credential)
    assert (made.branch, made.path, made.provider) == ("main", "/git", PROVIDER)
    assert shown(sdk, "/git") == {
        "/git/2024/ENG-1/etl": ObjectType.NOTEBOOK,
        "/git/2024/ENG-1/helper.py": ObjectType.FILE,
        "/git/2024/loose": ObjectType.NOTEBOOK,
        "/git/2025/ENG-2/deep/load": ObjectType.NOTEBOOK,
        "/git/README.md": ObjectType.FILE,
        "/git/top": ObjectType.NOTEBOOK,
    }
    assert sdk.workspace.get_status("/git").object_type is ObjectType.REPO
    assert sdk.workspace.get_status("/git").object_id == made.id
    assert [each.path for each in sdk.workspace.list("/") if each.object_type is ObjectType.REPO] == ["/git"]
    assert sdk.workspace.download("/git/2024/ENG-1/etl").read() == NOTEBOOK[:-1]
    assert sdk.workspace.download("/git/2024/ENG-1/helper.py", format=ExportFormat.AUTO).read() == b"x = 1\n"
    assert str(sdk.workspace.get_status("/git/2025/ENG-2/deep/load").language) == "Language.SCALA"


def test_cone_patterns_are_gits_own(running: Emulator, sdk: WorkspaceClient, credential: int) -> None:
    """A cone has its folder whole and the files of those above it; it can be changed, but not be switched on later."""
    sparse = SparseCheckout(patterns=["2024/ENG-1"])
    made = sdk.repos.create(running.git_url, PROVIDER, path="/git", sparse_checkout=sparse)
    names = [path.removeprefix("/git/") for path in shown(sdk, "/git")]
    assert names == ["2024/ENG-1/etl", "2024/ENG-1/helper.py", "2024/loose", "README.md", "top"]
    assert made.id is not None
    sdk.repos.update(made.id, sparse_checkout=SparseCheckoutUpdate(patterns=["2025"]))
    names = [path.removeprefix("/git/") for path in shown(sdk, "/git")]
    assert names == ["2025/ENG-2/deep/load", "README.md", "top"]
    got = sdk.repos.get(made.id)
    assert got.sparse_checkout is not None
    assert got.sparse_checkout.patterns == ["2025"]
    whole = sdk.repos.create(running.git_url, PROVIDER, path="/whole")
    assert whole.id is not None
    with pytest.raises(BadRequest, match="not enabled"):
        sdk.repos.update(whole.id, sparse_checkout=SparseCheckoutUpdate(patterns=["2025"]))


def test_pull_and_uncommitted_changes(running: Emulator, sdk: WorkspaceClient, credential: int) -> None:
    """A pull brings the branch's tip, refuses over what was edited, and with force discards it."""
    made = sdk.repos.create(running.git_url, PROVIDER, path="/git")
    assert made.id is not None
    head = push(running, {"new.py": NOTEBOOK})
    sdk.repos.update(made.id, branch="main")
    assert (shown(sdk, "/git"), sdk.repos.get(made.id).head_commit_id) == ({"/git/new": ObjectType.NOTEBOOK}, head)
    running.edit("/git/new", "# Databricks notebook source\nmine")
    with pytest.raises(DatabricksError, match="uncommitted"):
        sdk.repos.update(made.id, branch="main")
    sdk.repos.update(made.id, branch="main", dangerously_force_discard_all=True)
    assert sdk.workspace.download("/git/new").read() == NOTEBOOK[:-1]
    with pytest.raises(NotFound, match="Remote repo not found"):
        sdk.repos.update(made.id, branch="no-such-branch")


def test_what_repos_refuse(running: Emulator, sdk: WorkspaceClient) -> None:
    """No credential, a wrong one, a path that is taken, without parent, inside another, or wrong below /Repos."""
    with pytest.raises(PermissionDenied, match="Missing Git provider credentials"):
        sdk.repos.create(running.git_url, PROVIDER, path="/git")
    wrong = sdk.git_credentials.create(PROVIDER, git_username="nb", personal_access_token="wrong")
    with pytest.raises(PermissionDenied, match="Invalid Git provider credentials"):
        sdk.repos.create(running.git_url, PROVIDER, path="/git")
    sdk.git_credentials.update(wrong.credential_id, PROVIDER, personal_access_token=running.git_token)
    sdk.repos.create(running.git_url, PROVIDER, path="/git")
    refused: list[tuple[str, str, type[Exception]]] = [
        ("/git", "already exists", ResourceAlreadyExists),
        ("/Clients", "already exists", ResourceAlreadyExists),
        ("/no/parent", "parent folder", NotFound),
        ("/git/2024/inner", "inside another", BadRequest),
        ("/Repos/only", "/Repos/<folder>/<repo-name>", BadRequest),
    ]
    for path, said, kind in refused:
        with pytest.raises(kind, match=said):
            sdk.repos.create(running.git_url, PROVIDER, path=path)
    with pytest.raises(NotFound, match="Remote repo not found"):
        sdk.repos.create("https://dev.azure.com/other/_git/x", PROVIDER, path="/other")


def test_list_pages_and_delete(running: Emulator, sdk: WorkspaceClient, credential: int) -> None:
    """The list goes on over pages, knows prefixes, and shows /Repos where none is given; what is deleted is gone."""
    sdk.workspace.mkdirs("/views")
    sdk.workspace.mkdirs("/Repos/nb")
    sparse = SparseCheckout(patterns=["2025"])
    for number in range(21):
        sdk.repos.create(running.git_url, PROVIDER, path=f"/views/v{number:02}", sparse_checkout=sparse)
    sdk.repos.create(running.git_url, PROVIDER, path="/Repos/nb/vault", sparse_checkout=sparse)
    assert [each.path for each in sdk.repos.list(path_prefix="/views")] == [f"/views/v{n:02}" for n in range(21)]
    (own,) = sdk.repos.list()
    assert (own.path, own.id is not None) == ("/Repos/nb/vault", True)
    sdk.repos.delete(int(own.id or 0))
    assert list(sdk.repos.list()) == []
    with pytest.raises(NotFound):
        sdk.repos.get(int(own.id or 0))
    running.delete("/views")
    assert list(sdk.repos.list(path_prefix="/views")) == []


def test_credentials(running: Emulator, sdk: WorkspaceClient, credential: int) -> None:
    """One for each provider; the token never comes back; deleted is deleted."""
    with pytest.raises(ResourceAlreadyExists, match="already exists for provider"):
        sdk.git_credentials.create(PROVIDER.lower(), git_username="b", personal_access_token="t")
    (info,) = sdk.git_credentials.list()
    assert (info.credential_id, info.git_provider, info.git_username, info.name) == (credential, PROVIDER, "nb", "x")
    assert running.git_token not in str(sdk.git_credentials.get(credential).as_dict())
    sdk.git_credentials.delete(credential)
    assert list(sdk.git_credentials.list()) == []
    with pytest.raises(NotFound):
        sdk.git_credentials.delete(credential)


def test_secrets(sdk: WorkspaceClient) -> None:
    """Scopes and secrets are made, listed, read, replaced and deleted."""
    sdk.secrets.create_scope("nbvault")
    with pytest.raises(ResourceAlreadyExists):
        sdk.secrets.create_scope("nbvault")
    sdk.secrets.put_secret("nbvault", "pat", string_value="s3cret é")
    sdk.secrets.put_secret("nbvault", "raw", bytes_value=base64.b64encode(b"\0\1").decode())
    assert [scope.name for scope in sdk.secrets.list_scopes()] == ["nbvault"]
    assert [each.key for each in sdk.secrets.list_secrets("nbvault")] == ["pat", "raw"]
    assert base64.b64decode(sdk.secrets.get_secret("nbvault", "pat").value or "").decode() == "s3cret é"
    sdk.secrets.delete_secret("nbvault", "pat")
    with pytest.raises(NotFound, match="Secret does not exist"):
        sdk.secrets.get_secret("nbvault", "pat")
    with pytest.raises(NotFound, match="Scope other does not exist"):
        sdk.secrets.put_secret("other", "x", string_value="y")
    with pytest.raises(BadRequest):
        sdk.secrets.create_scope("no/slash")
    sdk.secrets.delete_scope("nbvault")
    assert list(sdk.secrets.list_scopes()) == []


def test_permissions_are_inherited(running: Emulator, sdk: WorkspaceClient, credential: int) -> None:
    """What a folder grants holds for a Git folder and its notebooks, marked as inherited; set replaces, update adds."""
    sdk.workspace.mkdirs("/views")
    folder = str(sdk.workspace.get_status("/views").object_id)
    grant = AccessControlRequest(group_name="team", permission_level=PermissionLevel.CAN_READ)
    sdk.permissions.set("directories", folder, access_control_list=[grant])
    made = sdk.repos.create(running.git_url, PROVIDER, path="/views/v")
    more = AccessControlRequest(user_name="ann@example.com", permission_level=PermissionLevel.CAN_EDIT)
    sdk.permissions.update("repos", str(made.id), access_control_list=[more])
    inside = str(sdk.workspace.get_status("/views/v/top").object_id)
    assert levels(sdk, "notebooks", inside) == {("team", "CAN_READ", True), ("ann@example.com", "CAN_EDIT", True)}
    assert levels(sdk, "repos", str(made.id)) == {("team", "CAN_READ", True), ("ann@example.com", "CAN_EDIT", False)}
    sdk.permissions.set("repos", str(made.id), access_control_list=[])
    assert levels(sdk, "repos", str(made.id)) == {("team", "CAN_READ", True)}


def levels(sdk: WorkspaceClient, kind: str, object_id: str) -> set[tuple[str, str, bool]]:
    """Who may do what, but for the admins, and whether that is inherited."""
    found = sdk.permissions.get(kind, object_id).access_control_list or []
    return {
        (str(each.group_name or each.user_name), str(one.permission_level.value), bool(one.inherited))
        for each in found
        for one in each.all_permissions or []
        if each.group_name != "admins" and one.permission_level
    }


def test_faults_of_repos(running: Emulator, sdk: WorkspaceClient, credential: int) -> None:
    """A clone that ends halfway leaves its folder; an answer that is lost was carried out; limits refuse."""
    running.faults({"kind": "repo-incomplete", "share": 0.5, "match": {"nth": 1}})
    with pytest.raises(BadRequest, match="Repo may be incomplete"):
        sdk.repos.create(running.git_url, PROVIDER, path="/half")
    assert len(shown(sdk, "/half")) == 3
    running.faults({"kind": "lost-answer", "status": 400, "match": {"endpoint": "repos-create"}})
    with pytest.raises(BadRequest):
        sdk.repos.create(running.git_url, PROVIDER, path="/lost")
    assert len(shown(sdk, "/lost")) == 6
    for limit in ({"files": 5}, {"bytes": 100}):
        running.faults({"kind": "repo-limit", **limit})
        with pytest.raises(BadRequest, match="exceeds the limit"):
            sdk.repos.create(running.git_url, PROVIDER, path="/large")
    running.faults({"kind": "status", "status": 403, "match": {"endpoint": "repos-delete", "path": "/half"}})
    (half,) = sdk.repos.list(path_prefix="/half")
    with pytest.raises(PermissionDenied):
        sdk.repos.delete(int(half.id or 0))
    assert running.requests()["repos-delete"] == {"403": 1}


def test_it_is_all_kept_between_starts(tmp_path: Path) -> None:
    """With a data directory, Git folders, credentials, secrets and permissions are there after a new start."""
    with Emulator(notebooks=0, data=tmp_path / "data") as first:
        push(first, FILES)
        sdk = WorkspaceClient(host=first.workspace_url, token=first.workspace_token, auth_type="pat")
        sdk.git_credentials.create(PROVIDER, git_username="nb", personal_access_token=first.git_token)
        sdk.repos.create(first.git_url, PROVIDER, path="/git", sparse_checkout=SparseCheckout(patterns=["2024"]))
        sdk.secrets.create_scope("s")
        sdk.secrets.put_secret("s", "k", string_value="v")
        before = everything(first, sdk)
    with Emulator(notebooks=0, data=tmp_path / "data") as second:
        sdk = WorkspaceClient(host=second.workspace_url, token=second.workspace_token, auth_type="pat")
        assert everything(second, sdk) == before


def everything(emulator: Emulator, sdk: WorkspaceClient) -> list[Any]:
    """All that is in a workspace."""
    heads = [(each.path, each.head_commit_id) for each in sdk.repos.list(path_prefix="/git")]
    credentials = [each.as_dict() for each in sdk.git_credentials.list()]
    return [emulator.world(everything=True), heads, credentials, sdk.secrets.get_secret("s", "k").value]
