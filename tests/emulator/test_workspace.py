"""The Workspace API as the fact sheet on the real one describes it."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable

import pytest

from emulator.conftest import Client
from nbvault_emulator.testing import Emulator

HEADER = "# Databricks notebook source\n"


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_missing_path_is_404_with_the_path_as_asked(client: Client) -> None:
    """list, get-status, export and delete of a missing path name it in the known words."""
    for answer in (
        client.get("list", path="/No//where"),
        client.get("get-status", path="/No//where"),
        client.get("export", path="/No//where"),
        client.post("delete", path="/No//where"),
    ):
        assert answer.status == 404
        assert answer.json == {
            "error_code": "RESOURCE_DOES_NOT_EXIST",
            "message": "Path (/No//where) doesn't exist.",
        }


def test_empty_folder_is_an_empty_object(client: Client) -> None:
    """An empty folder's listing has no `objects` at all."""
    assert client.get("list", path="/Clients").body == b"{}"


def test_listing_a_notebook_gives_that_notebook(emulator: Emulator, client: Client) -> None:
    """A path that is no folder is listed as the single object it is, equal to its get-status."""
    emulator.create("/Clients/a", "x", editor="ana@x.org")
    (entry,) = client.get("list", path="/Clients/a").json["objects"]
    assert entry == client.get("get-status", path="/Clients/a").json
    assert client.get("list", path="/Clients").json["objects"] == [entry]


def test_listing_is_not_paginated(emulator: Emulator, client: Client) -> None:
    """A folder of two thousand objects comes in one answer."""
    emulator.batch([{"op": "create", "path": f"/Clients/n{number}"} for number in range(2000)])
    answer = client.get("list", path="/Clients").json
    assert set(answer) == {"objects"}
    assert len(answer["objects"]) == 2000


def test_notebooks_have_times_and_no_size_and_folders_neither(emulator: Emulator, client: Client) -> None:
    """A notebook shows both times in milliseconds and no size; a folder no time."""
    emulator.create("/Clients/f/a", "x", editor="ana@x.org", modified_at=1_700_000_000_123)
    notebook = client.get("get-status", path="/Clients/f/a").json
    assert notebook["created_at"] == notebook["modified_at"] == 1_700_000_000_123
    assert notebook["modified_at_interactive"]["time_millis"] == 1_700_000_000_123
    assert notebook["resource_id"] == str(notebook["object_id"])
    assert "size" not in notebook
    folder = client.get("get-status", path="/Clients/f").json
    assert set(folder) == {"object_type", "path", "object_id", "resource_id"}


def test_workspace_prefix_is_kept_and_slashes_collapse(emulator: Emulator, client: Client) -> None:
    """/Workspace in front is accepted and answered; doubled and trailing slashes do not matter."""
    emulator.create("/Clients/f/a", "x")
    (entry,) = client.get("list", path="/Workspace/Clients/f").json["objects"]
    assert entry["path"] == "/Workspace/Clients/f/a"
    assert client.get("get-status", path="//Clients///f/a/").json["path"] == "/Clients/f/a"
    assert client.source("/Workspace/Clients/f/a") == b"x"


def test_relative_path_is_refused(client: Client) -> None:
    """A path that does not start with a slash is an invalid parameter."""
    answer = client.get("list", path="Clients")
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert client.get("list").json["error_code"] == "INVALID_PARAMETER_VALUE"


def test_modified_after_filters_notebooks_only(emulator: Emulator, client: Client) -> None:
    """notebooks_modified_after drops older notebooks and keeps folders."""
    emulator.create("/Clients/old", "x", modified_at=1000)
    emulator.create("/Clients/new", "x", modified_at=3000)
    emulator.create("/Clients/f/old", "x", modified_at=1000)
    answer = client.get("list", path="/Clients", notebooks_modified_after=2000).json
    assert [each["path"] for each in answer["objects"]] == ["/Clients/new", "/Clients/f"]
    assert client.get("list", path="/Clients", notebooks_modified_after="soon").status == 400


def test_move_keeps_id_and_times(emulator: Emulator, client: Client) -> None:
    """A move changes the path of a notebook, and of all in a folder, and nothing else."""
    emulator.create("/Clients/f/g/a", "x", editor="ana@x.org")
    client.get("list", path="/Clients/f/g")
    before = client.get("get-status", path="/Clients/f/g/a").json
    emulator.move("/Clients/f", "/Clients/h/F")
    (after,) = client.get("list", path="/Clients/h/F/g").json["objects"]
    assert after == {**before, "path": "/Clients/h/F/g/a"}
    assert client.get("list", path="/Clients/f/g").status == 404


def test_case_only_rename(emulator: Emulator, client: Client) -> None:
    """Names differ by case alone, side by side or one after the other."""
    emulator.create("/Clients/a", "1")
    emulator.create("/Clients/A", "2")
    assert client.source("/Clients/a") + client.source("/Clients/A") == b"12"
    emulator.delete("/Clients/A")
    emulator.move("/Clients/a", "/Clients/A")
    assert client.names("/Clients") == ["A"]


def test_ids_are_never_reused(emulator: Emulator, client: Client) -> None:
    """What is deleted and created again is another object."""
    first = emulator.create("/Clients/a", "x")["object_id"]
    emulator.delete("/Clients/a")
    assert emulator.create("/Clients/a", "x")["object_id"] != first


def test_interactive_time_tells_people_from_programs(emulator: Emulator, client: Client) -> None:
    """An edit by a person moves both times to one value; one by a program moves only modified_at."""
    emulator.create("/Clients/a", "x", editor="ana@x.org")
    first = client.get("get-status", path="/Clients/a").json
    emulator.edit("/Clients/a", "y", "ben@x.org")
    second = client.get("get-status", path="/Clients/a").json
    assert second["modified_at"] == second["modified_at_interactive"]["time_millis"] > first["modified_at"]
    assert second["modified_at_interactive"]["user_id"] != first["modified_at_interactive"]["user_id"]
    client.post("import", path="/Clients/a", content=_b64("z"), language="PYTHON", overwrite=True)
    third = client.get("get-status", path="/Clients/a").json
    assert third["modified_at"] > second["modified_at"]
    assert third["modified_at_interactive"] == second["modified_at_interactive"]
    assert third["object_id"] == first["object_id"]


def test_edits_may_leave_the_time_where_it_was(emulator: Emulator, client: Client) -> None:
    """modified_at can be overridden, so an edit that no time betrays can be rehearsed."""
    emulator.create("/Clients/a", "x", modified_at=5000)
    before = client.get("get-status", path="/Clients/a").json
    emulator.edit("/Clients/a", "y", modified_at=5000)
    assert client.get("get-status", path="/Clients/a").json == before
    assert client.source("/Clients/a") == b"y"


@pytest.mark.parametrize("kind", ["LIBRARY", "REPO", "DASHBOARD", "MLFLOW_EXPERIMENT", "DESIGNER_FILE", "FUTURE_KIND"])
def test_other_kinds_of_objects_are_listed(emulator: Emulator, client: Client, kind: str) -> None:
    """Objects of other and unknown kinds are listed; only some can be exported."""
    emulator.create("/Clients/thing", "data", object_type=kind)
    assert client.get("list", path="/Clients").json["objects"][0]["object_type"] == kind
    exported = client.get("export", path="/Clients/thing", direct_download="true", format="AUTO")
    assert exported.status == (200 if kind in ("DASHBOARD", "DESIGNER_FILE") else 400)


def test_names_of_all_unicode_reach_their_notebook(emulator: Emulator, client: Client) -> None:
    """Any character but a slash may be in a name, spaces at its ends too; `+` in a query is a space."""
    names = [
        "a b",
        "é#?&%+x ",
        " lead",
        "New Notebook 2026-05-04 13:54:24",
        'q"\\|()',
        "日本語",
        "🚀",
        "e\u0301",
        "*[x]?",
    ]
    emulator.batch([{"op": "create", "path": f"/Clients/{name}", "content": name} for name in names])
    assert client.names("/Clients") == names
    assert [client.source(f"/Clients/{name}").decode() for name in names] == names
    raw = client.send("GET", "/api/2.0/workspace/export?path=/Clients/a+b&direct_download=true")
    assert raw.body == b"a b"


def test_name_with_a_slash_is_listed_and_unreachable(emulator: Emulator, client: Client) -> None:
    """A name that holds a slash shows in the listing, and no request reaches the object."""
    emulator.call("POST", "/create", {"path": "/Clients", "name": "a/b", "content": "x"})
    assert client.get("list", path="/Clients").json["objects"][0]["path"] == "/Clients/a/b"
    assert client.get("export", path="/Clients/a/b").status == 404
    assert client.get("get-status", path="/Clients/a/b").status == 404


def test_export_in_base64_and_raw(emulator: Emulator, client: Client) -> None:
    """SOURCE comes raw or in JSON, byte for byte, trailing newline or not."""
    for language, extension in (("PYTHON", "py"), ("SQL", "sql"), ("SCALA", "scala"), ("R", "r")):
        for content in ("no end", "an end\n", ""):
            emulator.create("/Clients/n", content, language=language)
            assert client.source("/Clients/n") == content.encode()
            answer = client.get("export", path="/Clients/n").json
            assert answer == {"content": _b64(content), "file_type": extension}
            emulator.delete("/Clients/n")


def test_jupyter_export_has_the_cells(emulator: Emulator, client: Client) -> None:
    """A SOURCE notebook exported as JUPYTER is a document of its cells."""
    cells = ("x = 1", "# MAGIC %md\n# MAGIC # Title", "# MAGIC %sql\n# MAGIC SELECT 1")
    source = HEADER + "\n\n# COMMAND ----------\n\n".join(cells)
    emulator.create("/Clients/n", source)
    document = json.loads(client.get("export", path="/Clients/n", format="JUPYTER", direct_download="true").body)
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in document["cells"]] == [
        ("code", "x = 1"),
        ("markdown", "# Title"),
        ("code", "%sql\nSELECT 1"),
    ]
    assert document["nbformat"] == 4


def test_ipynb_notebooks_keep_their_document_and_lose_outputs_as_source(emulator: Emulator, client: Client) -> None:
    """An IPYNB notebook is listed as Python, exports its document as it is, and as SOURCE in its own language."""
    document = {
        "cells": [
            {"cell_type": "code", "source": ["val x = 1"], "outputs": [{"text": "42"}], "metadata": {}},
            {"cell_type": "markdown", "source": "# T", "metadata": {}},
        ],
        "metadata": {"language_info": {"name": "scala"}},
        "nbformat": 4,
        "nbformat_minor": 0,
    }
    emulator.create("/Clients/n", json.dumps(document), format="IPYNB")
    status = client.get("get-status", path="/Clients/n", return_export_info="true").json
    assert (status["language"], status["repos_export_format"]) == ("PYTHON", "JUPYTER")
    for form in ("JUPYTER", "AUTO"):
        exported = client.get("export", path="/Clients/n", format=form, direct_download="true")
        assert json.loads(exported.body) == document
    source = client.source("/Clients/n").decode()
    assert source == ("// Databricks notebook source\nval x = 1\n\n// COMMAND ----------\n\n// MAGIC %md\n// MAGIC # T")


@pytest.mark.parametrize("form", ["HTML", "DBC", "R_MARKDOWN", "source", "PDF"])
def test_other_formats_are_refused(emulator: Emulator, client: Client, form: str) -> None:
    """Formats that the emulator does not make, or that do not exist, are invalid parameters."""
    emulator.create("/Clients/n", "x")
    answer = client.get("export", path="/Clients/n", format=form)
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_folder_export_is_a_zip_of_notebooks(emulator: Emulator, client: Client) -> None:
    """SOURCE of a folder has its notebooks with extensions; AUTO has the files too."""
    emulator.create("/Clients/f/a", "1")
    emulator.create("/Clients/f/s/b c", "2", language="SQL")
    emulator.create("/Clients/f/data.csv", "3", object_type="FILE")
    for form, names in (("SOURCE", ["f/a.py", "f/s/b c.sql"]), ("AUTO", ["f/a.py", "f/data.csv", "f/s/b c.sql"])):
        answer = client.get("export", path="/Clients/f", format=form, direct_download="true")
        archive = zipfile.ZipFile(io.BytesIO(answer.body))
        assert sorted(archive.namelist()) == names
        assert archive.read("f/a.py") == b"1"
    assert client.get("export", path="/Clients/f", format="JUPYTER").status == 400
    assert emulator.requests()["export-folder"] == {"200": 2, "400": 1}


def test_export_over_ten_megabytes_is_refused(emulator: Emulator, client: Client) -> None:
    """The limit is 10,485,760 bytes: one more is an error, and a folder's zip has the same limit."""
    emulator.create("/Clients/at", b"x" * 10_485_760)
    emulator.create("/Clients/over", b"x" * 10_485_761)
    assert len(client.source("/Clients/at")) == 10_485_760
    answer = client.get("export", path="/Clients/over", direct_download="true")
    assert (answer.status, answer.json["message"]) == (400, "Size exceeds 10485760 bytes")


def test_generated_oversize_notebooks(client_of: Callable[..., Client]) -> None:
    """--oversize makes that many notebooks that cannot be exported."""
    with Emulator(notebooks=12, years=1, engagements=2, oversize=2) as running:
        client = client_of(running)
        answers = [client.get("export", path=each["path"]) for each in running.world()]
    assert sorted(answer.status for answer in answers) == [200] * 10 + [400] * 2


def test_import_needs_its_parent(client: Client) -> None:
    """A missing parent folder is a 404 that names it; after mkdirs the import works."""
    content = _b64(HEADER + "x = 1\n")
    answer = client.post("import", path="/Clients/f/a", content=content, language="PYTHON", format="SOURCE")
    assert (answer.status, answer.json["message"]) == (404, "The parent folder (/Clients/f) does not exist.")
    assert client.post("mkdirs", path="/Clients/f").json == {}
    answer = client.post("import", path="/Clients/f/a", content=content, language="PYTHON", format="SOURCE")
    assert answer.json["object_id"] == client.get("get-status", path="/Clients/f/a").json["object_id"]


def test_import_loses_one_trailing_newline(client: Client) -> None:
    """Export after import gives the bytes back, less one newline at the very end."""
    for given, kept in ((HEADER + "x", HEADER + "x"), (HEADER + "x\n", HEADER + "x"), ("x\n\n", "x\n"), ("", "")):
        client.post("import", path="/Clients/a", content=_b64(given), language="PYTHON", overwrite=True)
        assert client.source("/Clients/a").decode() == kept


def test_import_over_something(emulator: Emulator, client: Client) -> None:
    """Without overwrite what exists is refused; another kind of object cannot be overwritten."""
    emulator.create("/Clients/a", "x")
    emulator.create("/Clients/f.py", "x", object_type="FILE")
    answer = client.post("import", path="/Clients/a", content="", language="PYTHON")
    assert (answer.status, answer.json["error_code"]) == (400, "RESOURCE_ALREADY_EXISTS")
    assert answer.json["message"] == "/Clients/a already exists."
    answer = client.post("import", path="/Clients/f.py", content="", language="PYTHON", overwrite=True)
    assert answer.status == 500
    assert client.post("import", path="/Clients", content="", language="PYTHON", overwrite=True).status == 500


def test_import_rules(client: Client) -> None:
    """SOURCE needs a language; formats, languages, base64 and sizes are checked."""
    for fields, code in (
        ({"path": "/Clients/a", "content": ""}, "INVALID_PARAMETER_VALUE"),
        ({"path": "/Clients/a", "content": "", "language": "COBOL"}, "INVALID_PARAMETER_VALUE"),
        ({"path": "/Clients/a", "content": "", "format": "DBC"}, "INVALID_PARAMETER_VALUE"),
        ({"path": "/Clients/a", "content": "%%%", "language": "R"}, "INVALID_PARAMETER_VALUE"),
        ({"path": "/Clients/a", "content": _b64("{}"), "format": "JUPYTER"}, "INVALID_PARAMETER_VALUE"),
        ({"content": "", "language": "R"}, "INVALID_PARAMETER_VALUE"),
        ({"path": "/Clients/a", "content": _b64("x" * 10_485_761), "language": "R"}, "MAX_NOTEBOOK_SIZE_EXCEEDED"),
    ):
        answer = client.post("import", **fields)
        assert (answer.status, answer.json["error_code"]) == (400, code)
    assert client.names("/Clients") == []


def test_import_auto_looks_at_name_and_header(client: Client) -> None:
    """AUTO makes a notebook of what has a header, without its extension, and a file of the rest."""
    for name, content in (("a.py", HEADER + "x"), ("b.py", "x"), ("c.sql", "-- Databricks notebook source\nSELECT 1")):
        answer = client.post("import", path=f"/Clients/{name}", content=_b64(content), format="AUTO")
        assert answer.status == 200
    entries = client.get("list", path="/Clients").json["objects"]
    assert [(each["path"], each["object_type"], each.get("language")) for each in entries] == [
        ("/Clients/a", "NOTEBOOK", "PYTHON"),
        ("/Clients/b.py", "FILE", None),
        ("/Clients/c", "NOTEBOOK", "SQL"),
    ]


def test_import_jupyter_round_trip(client: Client) -> None:
    """A Jupyter document imported comes back as it was, and as SOURCE with its cells."""
    document = json.dumps({"cells": [{"cell_type": "code", "source": "x = 1"}], "metadata": {}, "nbformat": 4})
    client.post("import", path="/Clients/a.ipynb", content=_b64(document), format="AUTO")
    client.post("import", path="/Clients/b", content=_b64(document), format="JUPYTER")
    for path in ("/Clients/a", "/Clients/b"):
        assert client.get("export", path=path, format="JUPYTER", direct_download="true").body.decode() == document
        assert client.source(path).decode() == HEADER + "x = 1"


def test_bodies_are_json_whatever_they_claim(client: Client) -> None:
    """text/json, as the legacy client sends it, and no content type at all are parsed; nonsense is refused."""
    for claim in ("text/json", "application/octet-stream"):
        body = json.dumps({"path": "/Clients/" + claim.replace("/", "-")}).encode()
        assert client.send("POST", "/api/2.0/workspace/mkdirs", body, **{"Content-Type": claim}).status == 200
    assert client.send("POST", "/api/2.0/workspace/mkdirs", b"{").json["error_code"] == "MALFORMED_REQUEST"
    assert client.send("POST", "/api/2.0/workspace/mkdirs", b"[]").json["error_code"] == "MALFORMED_REQUEST"


def test_broken_forms_are_refused(client: Client) -> None:
    """A multipart body without boundary, end or names is a malformed request."""
    for content_type, body in (
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=x", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nvalue\r\n--x--\r\n"),
    ):
        answer = client.send("POST", "/api/2.0/workspace/import", body, **{"Content-Type": content_type})
        assert (answer.status, answer.json["error_code"]) == (400, "MALFORMED_REQUEST")


def test_mkdirs(emulator: Emulator, client: Client) -> None:
    """mkdirs makes all missing folders, twice is once, and does not pass through a notebook."""
    assert client.post("mkdirs", path="/Clients/x/y/z").status == 200
    first = client.get("get-status", path="/Clients/x/y/z").json
    assert client.post("mkdirs", path="/Clients/x/y/z").status == 200
    assert client.get("get-status", path="/Clients/x/y/z").json == first
    emulator.create("/Clients/n", "x")
    answer = client.post("mkdirs", path="/Clients/n/below")
    assert (answer.status, answer.json["error_code"]) == (400, "RESOURCE_ALREADY_EXISTS")


def test_delete(emulator: Emulator, client: Client) -> None:
    """A folder with content needs `recursive`; what is deleted is gone."""
    emulator.create("/Clients/f/a", "x")
    answer = client.post("delete", path="/Clients/f")
    assert (answer.status, answer.json["error_code"]) == (400, "DIRECTORY_NOT_EMPTY")
    assert client.post("delete", path="/Clients/f", recursive=True).json == {}
    assert client.names("/Clients") == []


def test_credentials(emulator: Emulator, client: Client) -> None:
    """No token is a 401, a wrong one a 403, in the words of the service."""
    client.headers.clear()
    answer = client.get("list", path="/Clients")
    assert (answer.status, answer.json["error_code"]) == (401, "401")
    client.headers["Authorization"] = "Bearer wrong"
    answer = client.get("list", path="/Clients")
    assert (answer.status, answer.json["message"]) == (403, "Invalid access token.")
    assert emulator.requests() == {"list": {"401": 1, "403": 1}}


def test_unknown_endpoints(client: Client) -> None:
    """Paths that the API does not have answer 404 with a code of their own."""
    assert client.send("GET", "/api/2.0/nothing").json["error_code"] == "ENDPOINT_NOT_FOUND"


def test_well_known_needs_no_token(emulator: Emulator, client: Client) -> None:
    """The SDK's first question is answered to anyone."""
    client.headers.clear()
    answer = client.send("GET", "/.well-known/databricks-config")
    assert answer.json["oidc_endpoint"].startswith(emulator.workspace_url)


def test_rates(client_of: Callable[..., Client]) -> None:
    """Each bucket holds a second's worth; beyond it come 429s with a whole number of seconds to wait."""
    with Emulator(notebooks=0, list_rate=2, export_rate=1, import_rate=1) as running:
        client = client_of(running)
        answers = [client.get("list", path="/Clients") for _ in range(6)]
        refused = [answer for answer in answers if answer.status == 429]
        assert len(refused) >= 3
        assert refused[0].headers["retry-after"] == "1"
        assert refused[0].json["error_code"] == "RESOURCE_EXHAUSTED"
        assert [client.get("export", path="/n").status for _ in range(2)] == [404, 429]
        assert [client.post("import").status for _ in range(2)] == [400, 429]


def test_scim(emulator: Emulator, client: Client) -> None:
    """SCIM knows the caller, everybody by id, and finds by user name, a page at a time."""

    def get(target: str) -> dict[str, object]:
        answer: dict[str, object] = client.send("GET", "/api/2.0/preview/scim/v2/" + target).json
        return answer

    emulator.user("ana@x.org", displayName="Ana X")
    emulator.user("robot", emails=[])
    emulator.user("gone@x.org", deleted=True)
    me = client.send("GET", "/api/2.0/preview/scim/v2/Me").json
    assert "admins" in [group["display"] for group in me["groups"]]
    found = client.send("GET", "/api/2.0/preview/scim/v2/Users?filter=userName+eq+%22ana@x.org%22").json
    assert found["totalResults"] == 1
    ana = get(f"Users/{found['Resources'][0]['id']}")
    assert (ana["displayName"], ana["emails"]) == ("Ana X", [{"type": "work", "value": "ana@x.org", "primary": True}])
    page = client.send("GET", "/api/2.0/preview/scim/v2/Users?startIndex=3&count=1").json
    assert [each["userName"] for each in page["Resources"]] == ["robot"]
    assert "emails" not in page["Resources"][0]
    assert page["totalResults"] == 3
    gone = client.send("GET", f"/api/2.0/preview/scim/v2/Users/{emulator.user('gone@x.org')['id']}")
    assert (gone.status, gone.json["status"]) == (404, "404")
    assert get("Users?filter=active+eq+true")["status"] == "400"
    assert get("Users?count=many")["status"] == "400"
