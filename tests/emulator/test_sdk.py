"""The databricks-sdk's own client against the emulator."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, ResourceAlreadyExists
from databricks.sdk.service.workspace import ExportFormat, ImportFormat, Language, ObjectType

from nbvault_emulator.testing import Emulator


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    """One generated world for all tests of this module; each uses a folder of its own."""
    with Emulator(notebooks=60, years=2, engagements=2) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def sdk(running: Emulator) -> WorkspaceClient:
    """The SDK's client with a personal access token."""
    return WorkspaceClient(host=running.workspace_url, token=running.workspace_token, auth_type="pat")


def test_recursive_list_finds_every_notebook(running: Emulator, sdk: WorkspaceClient) -> None:
    """The SDK's walk and GET /world agree on paths and ids."""
    seen = {each.path: each.object_id for each in sdk.workspace.list("/Clients", recursive=True)}
    told = {each["path"]: each["object_id"] for each in running.world("/Clients")}
    assert told.items() <= seen.items()
    assert len(told) >= 60


def test_export_and_download_agree(sdk: WorkspaceClient) -> None:
    """export() gives in base64 what download() gives raw, in each format."""
    path = next(iter(sdk.workspace.list("/Clients/2024", recursive=True))).path
    assert path is not None
    raw = sdk.workspace.download(path).read()
    exported = sdk.workspace.export(path)
    assert exported.content is not None
    assert io.BytesIO(raw).readline() in (b"# Databricks notebook source\n", b"-- Databricks notebook source\n")
    assert len(exported.content) == (len(raw) + 2) // 3 * 4
    assert sdk.workspace.download(path, format=ExportFormat.JUPYTER).read().startswith(b"{")


def test_import_upload_and_delete(sdk: WorkspaceClient) -> None:
    """import_ and upload write, get_status shows, delete removes, and errors are the SDK's own."""
    source = b"# Databricks notebook source\nx = 1"
    with pytest.raises(NotFound, match="parent folder"):
        sdk.workspace.upload("/Clients/t/a", source, language=Language.PYTHON)
    sdk.workspace.mkdirs("/Clients/t")
    sdk.workspace.upload("/Clients/t/a b+é", source, language=Language.PYTHON, format=ImportFormat.SOURCE)
    sdk.workspace.import_("/Clients/t/s", content="U0VMRUNUIDE=", language=Language.SQL, format=ImportFormat.SOURCE)
    with pytest.raises(ResourceAlreadyExists):
        sdk.workspace.upload("/Clients/t/a b+é", source, language=Language.PYTHON)
    sdk.workspace.upload("/Clients/t/a b+é", source + b"0", language=Language.PYTHON, overwrite=True)
    assert sdk.workspace.download("/Clients/t/a b+é").read() == source + b"0"
    assert sdk.workspace.get_status("/Clients/t/s").language is Language.SQL
    sdk.workspace.delete("/Clients/t", recursive=True)
    with pytest.raises(NotFound, match="doesn't exist"):
        sdk.workspace.get_status("/Clients/t")


def test_unknown_types_are_none_to_the_sdk(running: Emulator, sdk: WorkspaceClient) -> None:
    """An object type that the SDK does not know arrives as None, and does not stop it."""
    running.create("/Clients/u/thing", object_type="MLFLOW_EXPERIMENT")
    running.create("/Clients/u/file", object_type="FILE")
    assert [each.object_type for each in sdk.workspace.list("/Clients/u")] == [None, ObjectType.FILE]


def test_me(sdk: WorkspaceClient) -> None:
    """current_user.me() is an admin with a user name."""
    me = sdk.current_user.me()
    assert me.user_name == "nbvault-service@clients.example"
    assert "admins" in [group.display for group in me.groups or []]
