"""The configuration: what is read, from where, and what is said of what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbvault.errors import AuthenticationError, ConfigurationError
from nbvault.settings import Bulk, Deletions, ExportFormat, Settings, load_settings

SECRET = "dapi0123456789abcdef0123456789abcdef"
REMOTE = {"NBVAULT_VAULT__REMOTE": "https://dev.azure.com/o/p/_git/r"}


def from_variables(tmp_path: Path, **variables: str) -> Settings:
    return load_settings(environment=REMOTE | variables, cwd=tmp_path)


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "nbvault.toml"
    file.write_text(text, "utf-8")
    return file


def complaint(file: Path | None = None, **environment: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file, environment=environment, cwd=file.parent if file else Path("/nowhere"))
    assert caught.value.exit_code == 7
    return str(caught.value)


def test_a_file_of_an_editor_that_marks_utf_8_is_read(tmp_path: Path) -> None:
    """A byte order mark at the beginning means nothing."""
    file = write(tmp_path, "\ufeff[vault]\nremote = 'https://git.example/v'\n[workspace]\nhost = 'https://w.example'\n")
    assert str(load_settings(file, environment={}, cwd=tmp_path).vault.remote) == "https://git.example/v"


def test_the_documented_file_is_read_and_its_values_are_the_defaults(tmp_path: Path) -> None:
    """Every key of the interface, with the default that it documents."""
    file = write(
        tmp_path,
        """
        [workspace]
        host = "https://adb-1.azuredatabricks.net"
        token = "env:DATABRICKS_TOKEN"
        root = "/Clients"
        include = []
        exclude = []
        [vault]
        path = "vault.git"
        remote = "https://dev.azure.com/ORG/PROJECT/_git/REPO"
        token = "env:AZURE_DEVOPS_PAT"
        branch = "main"
        [state]
        url = "sqlite:///nbvault.db"
        [sync]
        batch_size = 5000
        push_every = 10000
        max_in_flight = 64
        deletion_limit = 0.10
        deletions = "prove"
        lease_stale_s = 900
        recheck_days = 30
        [export]
        format = "source"
        bulk = "off"
        """,
    )
    read = load_settings(file, environment={})
    least = load_settings(write(tmp_path / "b", "[vault]\nremote = 'https://dev.azure.com/o/p/_git/r'"), environment={})
    assert (read.sync, read.export) == (least.sync, least.export)
    assert read.vault.path == tmp_path / "vault.git"
    assert read.state.url == f"sqlite:///{tmp_path}/nbvault.db"
    assert (read.sync.deletions, read.export.format, read.export.bulk) == (
        Deletions.PROVE,
        ExportFormat.SOURCE,
        Bulk.OFF,
    )
    assert (least.workspace.host, least.workspace.token, least.workspace.root) == (None, None, "/Clients")
    assert (least.workspace.retry_s, least.workspace.timeout_s, least.sync.time_limit_s) == (60, 120, 14400)
    assert (least.sync.large, least.vault.committer_email) == (20000, "nbvault@nbvault.invalid")


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
values = st.fixed_dictionaries(
    {
        "workspace": st.fixed_dictionaries(
            {
                "root": names.map(lambda name: "/" + name.replace("/", "_") + "x"),
                "include": st.lists(names, max_size=3),
                "requests_per_second": st.floats(0, 1e6),
            }
        ),
        "vault": st.fixed_dictionaries({"remote": st.just("ssh://git@host/r"), "committer_name": names}),
        "sync": st.fixed_dictionaries(
            {
                "batch_size": st.integers(1, 10**9),
                "deletion_limit": st.floats(0, 1),
                "deletions": st.sampled_from(["prove", "trust"]),
            }
        ),
        "export": st.fixed_dictionaries({"bulk": st.sampled_from(["off", "probe", "on"])}),
    }
)


def as_toml(sections: dict[str, dict[str, Any]]) -> str:
    """JSON's strings, numbers and lists are TOML's too, given that no character is escaped as a pair."""
    return "\n".join(
        f"[{section}]\n" + "\n".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items())
        for section, keys in sections.items()
    ).replace("\x7f", "\\u007f")


def as_variables(sections: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {
        f"NBVAULT_{section}__{key}".upper(): value if isinstance(value, str) else json.dumps(value)
        for section, keys in sections.items()
        for key, value in keys.items()
    }


@given(values)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_file_and_variables_that_say_the_same_give_the_same(tmp_path: Path, sections: dict[str, Any]) -> None:
    """Round trip: what is written, in either way, is what is read."""
    by_file = load_settings(write(tmp_path / "with", as_toml(sections)), environment={})
    by_variable = load_settings(environment=as_variables(sections), cwd=tmp_path / "with" / "..")
    for section, keys in sections.items():
        for key, value in keys.items():
            expected = tuple(value) if isinstance(value, list) else value
            assert getattr(getattr(by_file, section), key) == expected
            assert getattr(getattr(by_variable, section), key) == expected


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    """Key by key; lists as JSON or separated by commas; an empty one unsets."""
    file = write(
        tmp_path,
        "[workspace]\nhost = 'https://a.b'\nexclude = ['x']\n[vault]\nremote = 'r.git'\n[sync]\nbatch_size = 1",
    )
    read = load_settings(
        file,
        environment={
            "NBVAULT_SYNC__BATCH_SIZE": "7",
            "NBVAULT_WORKSPACE__INCLUDE": "/a/**, /b/*",
            "NBVAULT_WORKSPACE__EXCLUDE": "",
            "NBVAULT_WORKSPACE__HOST": "",
        },
    )
    assert read.sync.batch_size == 7
    assert read.workspace.include == ("/a/**", "/b/*")
    assert read.workspace.exclude == ()
    assert read.workspace.host is None


def test_the_file_is_searched_in_the_documented_order(tmp_path: Path) -> None:
    """The option, then NBVAULT_CONFIG, then the working directory."""
    texts = {name: write(tmp_path / name, f"[vault]\nremote = '{name}.git'") for name in ("option", "variable", "here")}

    def remote(option: Path | None, **environment: str) -> str:
        return Path(load_settings(option, environment=environment, cwd=tmp_path / "here").vault.remote).name

    assert remote(texts["option"], NBVAULT_CONFIG=str(texts["variable"])) == "option.git"
    assert remote(None, NBVAULT_CONFIG="../variable/nbvault.toml") == "variable.git"
    assert remote(None) == "here.git"


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    """Wherever the program is started."""
    file = write(
        tmp_path / "etc",
        "[vault]\npath = 'v/x.git'\nremote = '../r.git'\ntoken = 'file:pat'\n[state]\nurl = 'sqlite:///s/n.db?timeout=5'",
    )
    (tmp_path / "etc" / "pat").write_text("t0k\n")
    read = load_settings(Path("etc/nbvault.toml"), environment={}, cwd=tmp_path)
    assert file.is_file()
    assert read.vault.path == tmp_path / "etc/v/x.git"
    assert read.vault.remote == str(tmp_path / "r.git")
    assert read.state.url == f"sqlite:///{tmp_path}/etc/s/n.db?timeout=5"
    assert read.vault.token
    assert read.vault.token.reveal() == "t0k"


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "postgresql+psycopg://u@h/d", "databricks://h?http_path=x"]
)
def test_other_state_urls_stay_as_they_are(tmp_path: Path, url: str) -> None:
    """Only a file has a path to complete."""
    assert from_variables(tmp_path, NBVAULT_STATE__URL=url).state.url == url


def test_no_configuration_says_how_to_make_one(tmp_path: Path) -> None:
    """And names the place where it was looked for."""
    with pytest.raises(ConfigurationError, match="nbvault init") as caught:
        load_settings(environment={"PATH": "/bin"}, cwd=tmp_path)
    assert str(tmp_path / "nbvault.toml") in str(caught.value)
    assert "nbvault init" in complaint(tmp_path / "other.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sync]\nbatch_sise = 1", "sync.batch_sise in {file} is no setting; did you mean sync.batch_size?"),
        ("[workspace]\nbatch_size = 1", "workspace.batch_size in {file} is no setting; did you mean sync.batch_size?"),
        ("[synch]\nbatch_size = 1", "synch in {file} is no setting; did you mean sync?"),
        ("[sync]\nzzz = 1", "sync.zzz in {file} is no setting."),
        ("[sync]\nbatch_size = 0", "sync.batch_size in {file} must be greater than 0."),
        ("[sync]\nbatch_size = true", "sync.batch_size in {file} must be a number."),
        ("[sync]\nbatch_size = 'many'", "sync.batch_size in {file} must be a valid integer"),
        ("[sync]\ndeletion_limit = 1.5", "sync.deletion_limit in {file} must be less than or equal to 1."),
        ("[sync]\ndeletions = 'maybe'", "sync.deletions in {file} must be 'prove' or 'trust'."),
        ("[workspace]\nroot = 'Clients'", "workspace.root in {file} must be an absolute workspace path"),
        ("[workspace]\nroot = '/a//b'", "workspace.root in {file} must be an absolute workspace path"),
        ("[workspace]\nhost = 'http://adb.net'", "workspace.host in {file} must begin with https://"),
        ("[workspace]\nhost = 'https://a:b@adb.net'", "workspace.host in {file} must not hold credentials"),
        ("[workspace]\nhost = 'https://adb.net:port'", "workspace.host in {file}"),
        ("[workspace]\ninclude = '/a'", 'workspace.include in {file} must be a list: ["…"].'),
        ("[state]\nurl = 'mysql://h'", "state.url in {file} must begin with sqlite:///"),
        ("sync = 1", "sync in {file} must be a table: [sync]."),
        ("[sync]\nlarge == 1", "(at line 2, column 8)"),
    ],
)
def test_each_wrong_key_is_told_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    """One sentence: the key, the file, what it must be, the nearest one that exists."""
    file = write(tmp_path, text if text.startswith("sync =") else text + "\n[vault]\nremote = 'r'")
    assert said.format(file=file) in complaint(file)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """A line for each, those of variables among them."""
    file = write(tmp_path, "[sync]\nlarge = -1\nlage = 2")
    said = complaint(file, NBVAULT_SYNC__BATCH_SIZE="x", NBVAULT_SYNK__LARGE="3", NBVAULT_DEMO="not ours").splitlines()
    assert len(said) == 5
    assert "The variable NBVAULT_SYNK__LARGE names no setting; did you mean NBVAULT_SYNC__LARGE?" in said
    assert f"vault.remote is missing in {file}." in said
    assert any("the variable NBVAULT_SYNC__BATCH_SIZE must be" in line for line in said)


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("https://ADB-1.azuredatabricks.net/", "https://adb-1.azuredatabricks.net"),
        ("https://adb-1.azuredatabricks.net/?o=1#x", "https://adb-1.azuredatabricks.net"),
        ("adb-1.azuredatabricks.net", "https://adb-1.azuredatabricks.net"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost:1/x", "http://localhost:1"),
        ("http://[::1]:1", "http://[::1]:1"),
    ],
)
def test_a_host_is_normalised(tmp_path: Path, given: str, host: str) -> None:
    """As people paste it from a browser; plain HTTP only to this machine."""
    assert from_variables(tmp_path, NBVAULT_WORKSPACE__HOST=given).workspace.host == host


@pytest.mark.parametrize(
    "host", ["http://127.0.0.1.evil.net", "http://localhost.evil.net", "ftp://a", "https://", "a b"]
)
def test_a_host_that_only_looks_safe_is_refused(host: str) -> None:
    """Loopback is a whole name, not a beginning."""
    assert "workspace.host" in complaint(None, NBVAULT_WORKSPACE__HOST=host, **REMOTE)


@pytest.mark.parametrize(("given", "root"), [("/", "/"), ("/Clients/", "/Clients"), ("/a b/é", "/a b/é")])
def test_a_root_is_normalised(tmp_path: Path, given: str, root: str) -> None:
    """No slash at the end, but for the root of all."""
    assert from_variables(tmp_path, NBVAULT_WORKSPACE__ROOT=given).workspace.root == root


@pytest.mark.parametrize(
    "remote",
    [f"https://x:{SECRET}@h/r", f"https://{SECRET}@h/r", "http://h/r", "git://h/r", "ext::sh -c x", "-u", ""],
)
def test_a_remote_with_a_secret_or_without_protection_is_refused(remote: str) -> None:
    """And is not quoted."""
    said = complaint(None, NBVAULT_VAULT__REMOTE=remote)
    assert "vault.remote" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "remote",
    ["https://ORG@dev.azure.com/ORG/p/_git/r", "git@ssh.dev.azure.com:v3/o/p/r", "file:///r", "http://127.0.0.1:1/r"],
)
def test_other_remotes_stay_as_they_are(tmp_path: Path, remote: str) -> None:
    """URLs and SSH addresses are git's business."""
    assert from_variables(tmp_path, NBVAULT_VAULT__REMOTE=remote).vault.remote == remote


@pytest.mark.parametrize(
    "form", ["https://h.net:{}", "https://h.net:{}/x", "https://h\u2100st-{}/x", "https://[h-{}/x"]
)
@pytest.mark.parametrize(
    "key",
    [
        "workspace.host",
        "vault.remote",
        "state.url",
        "azure.key_vault_url",
        "azure.authority",
        "web.address",
        "web.oidc_issuer",
        "telemetry.otlp",
        "slack.api",
    ],
)
def test_an_address_that_cannot_be_taken_apart_is_refused_without_quoting_it(key: str, form: str) -> None:
    """A token where the port is, or an address that Python's own errors quote, is refused by words of ours."""
    address = form.format(SECRET).replace("https:", "postgresql:" if key == "state.url" else "https:")
    name = f"NBVAULT_{key.replace('.', '__').upper()}"
    value = address.replace("h.net", "{vault}.net") if key == "azure.key_vault_url" else address
    said = complaint(None, **{**REMOTE, name: value})
    assert f"the variable {name} must" in said
    assert SECRET not in said


@pytest.mark.parametrize("branch", ["backup/daily", "nbvault/meta", "a..b", "-x", "a.lock", "a b", "", "/a", "a/"])
def test_a_branch_that_is_not_free_is_refused(branch: str) -> None:
    """Neither nbvault's own nor what git would refuse later."""
    assert "vault.branch" in complaint(None, NBVAULT_VAULT__BRANCH=branch, **REMOTE)


@pytest.mark.parametrize(
    "token", [SECRET, "env:" + SECRET, "bearer", "databricks:s/k", "keyvault:n", "env:", "env:A B"]
)
def test_a_token_that_is_no_reference_is_refused_without_quoting_it(tmp_path: Path, token: str) -> None:
    """In the file and in a variable alike, and not in the traceback either."""
    file = write(tmp_path, f"[workspace]\ntoken = '{token}'\n[vault]\nremote = 'r'")
    for said in (complaint(file), complaint(None, NBVAULT_WORKSPACE__TOKEN=token, **REMOTE)):
        assert "workspace.token" in said
        assert SECRET not in said
    assert "keyvault:VAULT/NAME" in complaint(None, NBVAULT_VAULT__TOKEN="keyvault:n", **REMOTE)
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file, environment={})
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_a_password_in_the_state_url_is_refused_and_comes_by_reference(tmp_path: Path) -> None:
    """The URL of the settings can be shown; the one to connect with cannot."""
    assert "state.url" in complaint(None, NBVAULT_STATE__URL=f"postgresql://u:{SECRET}@h/d", **REMOTE)
    read = from_variables(
        tmp_path, NBVAULT_STATE__URL="postgresql://u@h/d", NBVAULT_STATE__PASSWORD="env:PGPW", PGPW="p/w"
    )
    assert read.state.connection_url() == "postgresql://u:p%2Fw@h/d"
    assert "p/w" not in repr(read)


def test_secrets_are_looked_up_at_each_use_and_never_shown(tmp_path: Path) -> None:
    """A rotated token is seen; nothing that prints a setting prints it."""
    environment = REMOTE | {"NBVAULT_WORKSPACE__TOKEN": "env:TOKEN", "TOKEN": SECRET}
    read = load_settings(environment=environment, cwd=tmp_path)
    assert read.workspace.token
    assert read.workspace.token.reveal() == SECRET
    environment["TOKEN"] = "rotated"
    assert read.workspace.token.reveal() == "rotated"
    environment["TOKEN"] = SECRET
    for shown in (repr(read), str(read), str(read.workspace.token), f"{read.model_dump()}"):
        assert SECRET not in shown


@pytest.mark.parametrize("reference", ["env:NOT_THERE", "file:not-there", "file:.", "file:empty"])
def test_a_missing_secret_is_told_when_it_is_needed(tmp_path: Path, reference: str) -> None:
    """With the name of the variable or file."""
    (tmp_path / "empty").write_text("\n")
    read = from_variables(tmp_path, NBVAULT_VAULT__TOKEN=reference)
    assert read.vault.token
    with pytest.raises(AuthenticationError) as caught:
        read.vault.token.reveal()
    assert reference in str(caught.value)


@pytest.mark.parametrize("value", ["geheim\r\nX: 1", "geheim\n7", "geheim\0", "geheim\x7f7", "geheim\u20287"])
@pytest.mark.parametrize("reference", ["env:TOKEN", "file:token"])
def test_a_secret_with_a_line_break_inside_is_refused(tmp_path: Path, reference: str, value: str) -> None:
    """No header can hold it, and it is not quoted; one at its end is none of it."""
    (tmp_path / "token").write_text(value + "\n", "utf-8", newline="")
    read = from_variables(tmp_path, NBVAULT_VAULT__TOKEN=reference, TOKEN=value + "\n")
    assert read.vault.token
    with pytest.raises(AuthenticationError) as caught:
        read.vault.token.reveal()
    said = f"The secret {reference} has a line break or another control character inside."
    assert (caught.value.message, "geheim" in str(caught.value)) == (said, False)


def test_git_gets_what_it_needs_and_no_secret(tmp_path: Path) -> None:
    """Paths, language, proxies and certificates; no token, not even one in a variable with an innocent name."""
    needed = {
        "PATH": "/bin",
        "HOME": "/h",
        "LC_ALL": "C",
        "https_proxy": "http://p:1",
        "SSL_CERT_FILE": "/c",
        "TZ": "UTC",
    }
    secret = {"DATABRICKS_TOKEN": SECRET, "AZURE_DEVOPS_PAT": SECRET, "ARM_CLIENT_SECRET": SECRET, "LC_SECRET": SECRET}
    read = from_variables(tmp_path, **needed, **secret, NBVAULT_VAULT__TOKEN="env:LC_SECRET")
    assert read.process_environment == needed


def test_the_proxy_is_the_one_the_environment_names(tmp_path: Path) -> None:
    """By scheme, with exceptions, and never for this machine."""
    read = from_variables(tmp_path, HTTPS_PROXY="p:3128", no_proxy="corp.net,.x.y", http_proxy="http://q:1")
    assert read.proxy_for("https://adb.net") == "http://p:3128"
    assert [read.proxy_for(f"https://{host}") for host in ("corp.net", "a.corp.net", "a.x.y")] == ["", "", ""]
    assert read.proxy_for("https://notcorp.net") == "http://p:3128"
    assert read.proxy_for("http://127.0.0.1:1") == ""
    assert from_variables(tmp_path, HTTPS_PROXY="p", NO_PROXY="*").proxy_for("https://adb.net") == ""
