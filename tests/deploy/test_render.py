"""What `deploy render` writes: valid for Databricks, complete, without a secret; and the way back."""

from __future__ import annotations

import json
from importlib.metadata import requires
from itertools import product
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

from cli_places import run_program
from nbvault.errors import ConfigurationError
from nbvault.settings import load_settings
from nbvault.setup.deploy import Compute, DeployPlan, bundle, install, known_of, render, rollback
from nbvault.setup.deploy.bundle import EXTRAS
from nbvault.setup.deploy.plan import Known
from nbvault.setup.deploy.render import toml
from nbvault.setup.template import Answers, configuration

SCHEMA = Path(__file__).resolve().parents[3] / "shared" / "reference" / "bundle-schema.json"
NOW = frozenset({"sync", "verify", "drill"})
LATER = NOW | {"alerts", "serve"}
REMOTE = "https://dev.azure.com/contoso/data/_git/notebooks"
FULL: dict[str, Any] = {
    "host": "https://adb-1.1.azuredatabricks.net",
    "prod_host": "https://adb-2.2.azuredatabricks.net",
    "remote": REMOTE,
    "principal": "6a2a6dde-8a42-4d3a-9b3e-0b1f8e4c1a2b",
    "success": ("reports@contoso.example",),
    "failure": ("on-call@contoso.example", "lead@contoso.example"),
    "webhook": "4c9d1c1e",
    "tags": {"team": "data"},
    "catalog": "main",
}


def parsed(made: dict[str, bytes], name: str) -> Any:
    return yaml.safe_load(made[name])


def jobs(made: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = parsed(made, "resources/jobs.yml")["resources"]["jobs"]
    return found


@pytest.fixture(scope="module")
def validator() -> Any:
    if not SCHEMA.is_file():
        pytest.skip("the published schema of bundles is not beside this checkout (shared/reference)")
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    # Its patterns are for another engine: Python's has no \\p{L}, and for names in ASCII this is the same.
    text = (
        SCHEMA.read_text()
        .replace(r"\\p{L}", "a-zA-Z")
        .replace(r"\\p{N}", "0-9")
        .replace(r"\\.a-zA-Z+", r"\\.[a-zA-Z]+")
    )
    return jsonschema.Draft202012Validator(json.loads(text))


@pytest.mark.parametrize(("values", "commands"), list(product(({}, FULL), (NOW, LATER))))
@pytest.mark.parametrize(
    ("compute", "spark"), [(Compute.JOB_CLUSTER, False), (Compute.JOB_CLUSTER, True), (Compute.SERVERLESS, False)]
)
def test_the_schema_of_bundles_is_kept(
    validator: Any, values: dict[str, Any], commands: frozenset[str], compute: Compute, spark: bool
) -> None:
    """With nothing given and with everything, on each kind of compute, now and with what later versions bring."""
    plan = DeployPlan(compute=compute, spark=spark, commands=commands, **values)
    for data in (bundle.databricks_yml(plan), bundle.jobs_yml(plan), bundle.platform_yml(plan)):
        assert [error.message for error in validator.iter_errors(data)] == []


def test_the_schema_refuses_what_is_wrong(validator: Any) -> None:
    """The check would see a fault: a job with a key that there is not."""
    assert list(validator.iter_errors({"resources": {"jobs": {"x": {"scedule": {}}}}})) != []


def test_a_dashboard_goes_with_the_tables() -> None:
    """With a catalog: the tables' definition, the queries, and the dashboard that the bundle points to; else none."""
    made = render(DeployPlan(commands=NOW, **FULL))
    dashboard = parsed(made, "resources/platform.yml")["resources"]["dashboards"]["nbvault"]
    file = f"resources/{dashboard['file_path']}".replace("resources/../", "")
    names = {each["name"] for each in json.loads(made[file])["datasets"]}
    assert names == {"success_rate", "speed", "errors", "people", "size"}
    assert b"CREATE TABLE IF NOT EXISTS `main`.`nbvault`.`sync_sessions`" in made["sql/schema.sql"]
    assert made["sql/queries.sql"].count(b"FROM `main`.`nbvault`.sync_sessions") == len(names)
    assert "warehouse_id" in parsed(made, "databricks.yml")["variables"]
    without = render(DeployPlan(commands=NOW, **{**FULL, "catalog": ""}))
    assert not [name for name in without if name.startswith("sql/")]


def test_the_nightly_job() -> None:
    """02:00 UTC, one at a time, 4 hours and 5, two retries also on timeout, different people for each end."""
    sync = jobs(render(DeployPlan(commands=NOW, **FULL)))["nbvault_sync"]
    assert sync["schedule"] == {
        "quartz_cron_expression": "0 0 2 * * ?",
        "timezone_id": "UTC",
        "pause_status": "UNPAUSED",
    }
    assert (sync["max_concurrent_runs"], sync["timeout_seconds"]) == (1, 18_000)
    (task,) = sync["tasks"]
    assert (task["timeout_seconds"], task["max_retries"], task["retry_on_timeout"]) == (14_400, 2, True)
    assert sync["email_notifications"] == {"on_failure": list(FULL["failure"]), "on_success": list(FULL["success"])}
    assert sync["webhook_notifications"]["on_failure"] == [{"id": "4c9d1c1e"}]
    assert sync["tags"] == {"product": "nbvault", "team": "data"}
    assert task["python_wheel_task"]["entry_point"] == "nbvault-job"
    cluster = sync["job_clusters"][0]["new_cluster"]
    assert (cluster["num_workers"], "autoscale" in cluster) == (0, False)


def test_the_spark_engine_has_a_cluster_that_grows() -> None:
    """Two to four workers for the sync alone; serverless compute has none, and is refused."""
    made = jobs(render(DeployPlan(spark=True, commands=NOW)))
    cluster = made["nbvault_sync"]["job_clusters"][0]["new_cluster"]
    assert cluster["autoscale"] == {"min_workers": 2, "max_workers": 4}
    assert made["nbvault_sync"]["tasks"][0]["python_wheel_task"]["parameters"][-2:] == ["--engine", "spark"]
    assert made["nbvault_drill"]["job_clusters"][0]["new_cluster"]["num_workers"] == 0
    with pytest.raises(ConfigurationError, match="Serverless"):
        DeployPlan(spark=True, compute=Compute.SERVERLESS)


def test_only_what_this_version_can_do() -> None:
    """No job for a command that is not there; the hourly look and the page come with theirs."""
    now, later = render(DeployPlan(commands=NOW)), render(DeployPlan(commands=LATER))
    assert sorted(jobs(now)) == ["nbvault_drill", "nbvault_sync", "nbvault_verify"]
    assert jobs(later)["nbvault_alerts"]["schedule"]["quartz_cron_expression"] == "0 30 * * * ?"
    assert ("apps" in parsed(now, "resources/platform.yml")["resources"], "app/app.yaml" in now) == (False, False)
    assert "apps" in parsed(later, "resources/platform.yml")["resources"]


def test_the_token_of_who_is_at_the_page_reaches_notebooks_and_nothing_else() -> None:
    """The app asks for user authorization for the workspace's folders alone: no SQL, no files, no secrets."""
    (app,) = parsed(render(DeployPlan(commands=LATER)), "resources/platform.yml")["resources"]["apps"].values()
    assert app["user_api_scopes"] == ["workspace.workspace"]


def test_secrets_are_where_they_are_kept() -> None:
    """A cluster gets a variable from the scope; nothing rendered holds anything but the name of a secret."""
    made = render(DeployPlan(commands=NOW, scope="vault-secrets"))
    cluster = jobs(made)["nbvault_sync"]["job_clusters"][0]["new_cluster"]
    assert cluster["spark_env_vars"] == {"AZURE_DEVOPS_PAT": "{{secrets/vault-secrets/azure-devops-pat}}"}
    assert b'token = "env:AZURE_DEVOPS_PAT"' in made["config/prod.toml"]
    with pytest.raises(ConfigurationError, match="secret"):
        DeployPlan(tags={"key": "dapi0123456789abcdef0123456789abcdef"})


@pytest.mark.parametrize(
    "values",
    [
        {"webhook": "https://hooks.slack.com/services/T000/B000/XXXX"},
        {"webhook": "hooks.slack.com/services/T000"},
        {"webhook": "ghp_0123456789abcdef"},
        {"tags": {"ghp_0123456789abcdef": "data"}},
    ],
)
def test_no_option_takes_a_secret(values: dict[str, Any]) -> None:
    """The address of a webhook is one, and a tag's name may be one; what is refused is not quoted."""
    with pytest.raises(ConfigurationError, match=r"must hold none|takes the id") as refused:
        DeployPlan(**values)
    assert not any(word in str(refused.value) for word in ("ghp_", "hooks.slack"))


def test_serverless_compute_reads_the_scope_itself() -> None:
    """It has no variables to set: the configuration refers to the scope, and no cluster is asked for."""
    plan = DeployPlan(compute=Compute.SERVERLESS, commands=NOW)
    assert 'token = "databricks:nbvault/azure-devops-pat"' in toml(plan, "prod")
    sync = bundle.jobs_yml(plan)["resources"]["jobs"]["nbvault_sync"]
    assert ("job_clusters" in sync, sync["tasks"][0]["environment_key"]) == (False, "nbvault")


def test_what_the_configuration_knows(tmp_path: Path) -> None:
    """Root, scope and limits go with it; paths, the workspace and its token do not; dev has a vault of its own."""
    (tmp_path / "nbvault.toml").write_text(
        f'[workspace]\nhost = "https://adb-9.9.azuredatabricks.net"\ntoken = "env:DBT"\nroot = "/Kunden"\n'
        f'exclude = ["**/tmp"]\n[vault]\npath = "here.git"\nremote = "{REMOTE}"\ntoken = "env:GIT_PAT"\n'
        '[state]\nurl = "postgresql://nb@db/nb"\npassword = "env:PGPASS"\n[sync]\nrecheck_days = 7\n'
    )
    known = known_of(load_settings(tmp_path / "nbvault.toml", environment={}))
    made = render(DeployPlan(known=known, commands=NOW))
    for target, remote in (("prod", REMOTE), ("dev", REMOTE + "-dev")):
        (tmp_path / "made.toml").write_bytes(made[f"config/{target}.toml"])
        found = load_settings(tmp_path / "made.toml", environment={})
        assert (found.workspace.root, found.workspace.exclude, found.sync.recheck_days) == ("/Kunden", ("**/tmp",), 7)
        assert (found.vault.remote, str(found.vault.path)) == (remote, "/local_disk0/nbvault/vault.git")
        assert (found.workspace.host, found.workspace.token, found.sync.time_limit_s) == (None, None, 14_100)
        assert (str(found.vault.token), str(found.state.password)) == ("Secret(env:GIT_PAT)", "Secret(env:PGPASS)")
    cluster = jobs(made)["nbvault_sync"]["job_clusters"][0]["new_cluster"]
    assert cluster["spark_env_vars"] == {
        "GIT_PAT": "{{secrets/nbvault/git-pat}}",
        "PGPASS": "{{secrets/nbvault/pgpass}}",
    }
    assert {"pypi": {"package": "psycopg[binary]>=3.2"}} in jobs(made)["nbvault_sync"]["tasks"][0]["libraries"]


def test_the_jobs_have_what_the_configuration_needs(tmp_path: Path) -> None:
    """Signing in by Entra, a key vault, telemetry and a database each bring their libraries, on either compute."""
    written = """
[vault]
remote = "https://dev.azure.com/contoso/data/_git/notebooks"
auth = "entra"
[state]
url = "postgresql://nb@db.example/nbvault"
password = "keyvault:contoso/state"
[telemetry]
otlp = "https://collector.example"
azure_monitor = "env:MONITOR"
"""
    (tmp_path / "nbvault.toml").write_text(written)
    known = known_of(load_settings(tmp_path / "nbvault.toml", environment={}))
    wanted = [each for extra in ("azure", "azure-monitor", "otlp", "postgres") for each in EXTRAS[extra]]
    cluster = jobs(render(DeployPlan(known=known, commands=NOW)))["nbvault_sync"]["tasks"][0]["libraries"]
    assert [each["pypi"]["package"] for each in cluster if "pypi" in each] == list(dict.fromkeys(wanted))
    made = jobs(render(DeployPlan(known=known, commands=NOW, compute=Compute.SERVERLESS)))
    assert made["nbvault_sync"]["environments"][0]["spec"]["dependencies"][1:] == list(dict.fromkeys(wanted))


def test_the_libraries_are_those_of_the_extras() -> None:
    """What a bundle names is what pyproject.toml has."""
    told = [each.partition("; extra == ") for each in requires("nbvault") or ()]
    there = {extra: {name for name, _, of in told if of.strip("'\"") == extra} for extra in EXTRAS}
    assert there == {extra: set(names) for extra, names in EXTRAS.items()}


MAIL = '[email]\nhost = "smtp.contoso.example"\nto = ["a@b.example"]\nuser = "u"\npassword = "env:SMTP_PASSWORD"\n'


def known(folder: Path, text: str) -> Known:
    """What a configuration with this text knows."""
    (folder / "nbvault.toml").write_text(text)
    return known_of(load_settings(folder / "nbvault.toml", environment={}))


@pytest.mark.parametrize("compute", list(Compute))
def test_the_database_has_its_own_password_and_no_other(tmp_path: Path, compute: Compute) -> None:
    """None where it has none, and the vault's token where both are one secret; never that of the mail server."""
    database = '[state]\nurl = "postgresql://nb@db.example/nbvault"\n'
    for token, password, expected in (
        ("", "", None),
        ('token = "env:TOK"\n', 'password = "env:TOK"\n', ("env:TOK", "databricks:nbvault/tok")),
        ("", 'password = "file:pg"\n', ("env:NBVAULT_STATE_PASSWORD", "databricks:nbvault/nbvault-state-password")),
    ):
        text = f'[vault]\nremote = "{REMOTE}"\n{token}{database}{password}{MAIL}'
        (tmp_path / "made.toml").write_text(toml(DeployPlan(known=known(tmp_path, text), compute=compute), "prod"))
        found = load_settings(tmp_path / "made.toml", environment={}).state.password
        assert (found and found.reference) == (expected and expected[list(Compute).index(compute)])


def test_every_text_that_a_configuration_can_hold_goes_with_it(tmp_path: Path) -> None:
    """Quotes, umlauts, and each control character, also DEL, which TOML wants written as an escape."""
    root = "/Kunden/\"'\\" + "".join(map(chr, range(1, 32))) + "\x7f Ä"
    text = configuration(Answers(root=root, remote=REMOTE))
    (tmp_path / "made.toml").write_text(toml(DeployPlan(known=known(tmp_path, text)), "prod"), newline="")
    for file in ("nbvault.toml", "made.toml"):
        assert load_settings(tmp_path / file, environment={}).workspace.root == root


def test_with_entra_no_token_is_asked_for(tmp_path: Path) -> None:
    """The Git server's token comes from Entra: none is in the configuration, on the cluster, or to be put anywhere."""
    text = f'[vault]\nremote = "{REMOTE}"\nauth = "entra"\n[azure]\nclient_secret = "env:AZURE_SECRET"\n'
    plan = DeployPlan(known=known(tmp_path, text), commands=NOW)
    made = render(plan)
    (tmp_path / "made.toml").write_bytes(made["config/prod.toml"])
    vault = load_settings(tmp_path / "made.toml", environment={}).vault
    assert (vault.auth.value, vault.token, plan.keys) == ("entra", None, {"AZURE_SECRET": "azure-secret"})
    assert not [name for name, content in made.items() if name.startswith("resources") and b"AZURE_DEVOPS" in content]


FILES = """[network]
ca_file = "ca.pem"
[azure]
certificate_path = "here.pem"
certificate_password = "file:/root/secret"
[telemetry]
prometheus_file = "nbvault.prom"
[editors]
file = "audit.csv"
[slack]
webhook = "file:slack.txt"
[teams]
webhook = "keyvault:vault1/teams"
"""


def test_files_of_this_machine_stay_here(tmp_path: Path) -> None:
    """Their keys are left out and told; secrets in files come from the scope, those in a store stay where they are."""
    text = f'[vault]\nremote = "{REMOTE}"\n{FILES}'
    cluster = DeployPlan(known=known(tmp_path, text), commands=NOW)
    serverless = DeployPlan(known=cluster.known, compute=Compute.SERVERLESS)
    made = toml(cluster, "prod")
    left_out = ("telemetry.prometheus_file", "azure.certificate_path", "network.ca_file", "editors.file")
    assert (cluster.known.left_out, "file:" in made, str(tmp_path) in made) == (left_out, False, False)
    for line in (
        'certificate_password = "env:NBVAULT_AZURE_CERTIFICATE_PASSWORD"',
        'webhook = "env:NBVAULT_SLACK_WEBHOOK"',
        'webhook = "keyvault:vault1/teams"',
    ):
        assert line in made
    assert 'webhook = "databricks:nbvault/nbvault-slack-webhook"' in toml(serverless, "prod")
    asked = jobs(render(cluster))["nbvault_sync"]["job_clusters"][0]["new_cluster"]["spark_env_vars"]
    assert asked["NBVAULT_SLACK_WEBHOOK"] == "{{secrets/nbvault/nbvault-slack-webhook}}"


def test_the_command_tells_what_it_left_out(tmp_path: Path) -> None:
    """The files of this machine, and the secrets that are to be put into the scope."""
    (tmp_path / "nbvault.toml").write_text(f'[vault]\nremote = "{REMOTE}"\n{FILES}')
    ended = run_program(["deploy", "render", "out"], tmp_path)
    assert (ended.code, "network.ca_file, editors.file: files of this machine, left out" in ended.out) == (0, True), (
        ended
    )
    assert "databricks secrets put-secret nbvault nbvault-slack-webhook" in ended.out


@pytest.mark.parametrize("remote", ["/srv/vault.git", "vault.git", "file:///srv/vault.git", "C:\\vault.git"])
def test_a_path_is_no_vault_for_a_bundle(tmp_path: Path, remote: str) -> None:
    """Refused where it is named for the bundle, for prod or dev; left out where the configuration has it."""
    for option, values in (("--remote", {"remote": remote}), ("--dev-remote", {"dev_remote": remote})):
        with pytest.raises(ConfigurationError, match=f"{option} is a path of this machine"):
            DeployPlan(known=Known({}), **values)
    assert known(tmp_path, f"[vault]\nremote = '{remote}'\n").remote == ""


@pytest.mark.parametrize("remote", [REMOTE, "git@ssh.dev.azure.com:v3/contoso/data/notebooks"])
def test_a_vault_on_a_server_goes_with_it(tmp_path: Path, remote: str) -> None:
    """From the configuration as by the option, also by ssh."""
    assert known(tmp_path, f'[vault]\nremote = "{remote}"\n').remote == remote
    assert DeployPlan(remote=remote).main_remote == remote


@pytest.mark.parametrize(
    "dev", [REMOTE, REMOTE + "/", REMOTE + ".git", REMOTE.replace("dev.azure.com", "contoso@DEV.azure.com")]
)
def test_dev_and_prod_never_share_a_vault(tmp_path: Path, dev: str) -> None:
    """One repository for both is refused, however it is spelled and wherever that of prod was named."""
    with pytest.raises(ConfigurationError, match="one vault"):
        DeployPlan(remote=REMOTE, dev_remote=dev)
    with pytest.raises(ConfigurationError, match="one vault"):
        DeployPlan(known=known(tmp_path, f'[vault]\nremote = "{REMOTE}"\n'), dev_remote=dev)
    assert DeployPlan(remote=REMOTE, dev_remote=dev.replace("notebooks", "rehearsal")).main_remote == REMOTE


@pytest.mark.parametrize(
    ("remote", "dev"),
    [
        ("https://github.com/contoso/vault.git", "https://github.com/contoso/vault-dev.git"),
        ("https://github.com/contoso/vault/", "https://github.com/contoso/vault-dev"),
        ("git@github.com:contoso/vault.git", "git@github.com:contoso/vault-dev.git"),
    ],
)
def test_the_name_of_the_vault_of_dev(remote: str, dev: str) -> None:
    """It is that of prod with `-dev`, before the ending that a server would not know it by."""
    assert DeployPlan(remote=remote).remote_of("dev") == dev


def test_files_for_elsewhere() -> None:
    """The same job in a container and in a pipeline that is started by hand and cancels superseded pull requests."""
    made = render(DeployPlan(commands=NOW))
    assert b'ENTRYPOINT ["nbvault-job"]' in made["Dockerfile"]
    pipeline = parsed(made, "azure-pipelines.yml")
    assert (pipeline["trigger"], pipeline["pr"]["autoCancel"]) == ("none", True)
    assert any(step.get("script") == "nbvault-job sync" for job in pipeline["jobs"] for step in job["steps"])


@pytest.mark.parametrize(
    "values", [{"failure": ("nobody",)}, {"host": "http://adb.example.net"}, {"scope": "a/b"}, {"remote": "x::y"}]
)
def test_wrong_values_are_refused(values: dict[str, Any]) -> None:
    """With a sentence, before anything is written."""
    with pytest.raises(ConfigurationError):
        render(DeployPlan(commands=NOW, **values))


# --- versions ---


def files(folder: Path) -> dict[str, str]:
    found = (each for each in folder.rglob("*") if each.is_file() and ".versions" not in each.parts)
    return {str(each.relative_to(folder)): each.read_text() for each in found}


def test_rollback_puts_the_version_before_back(tmp_path: Path) -> None:
    """File by file as it was, what was new is gone, and again goes one further; the first is the end."""
    for made in ({"a": b"1", "x/b": b"1"}, {"a": b"2"}, {"a": b"3", "c": b"3"}):
        install(tmp_path, made)
    (tmp_path / "mine.txt").write_text("not nbvault's")
    assert rollback(tmp_path).version == 2
    assert files(tmp_path) == {"a": "2", "mine.txt": "not nbvault's"}
    assert rollback(tmp_path).version == 1
    assert files(tmp_path) == {"a": "1", "x/b": "1", "mine.txt": "not nbvault's"}
    with pytest.raises(ConfigurationError, match="first"):
        rollback(tmp_path)
    assert install(tmp_path, {"a": b"4"}).version == 4


def test_the_same_again_is_no_version(tmp_path: Path) -> None:
    """Rendering twice changes nothing."""
    assert install(tmp_path, {"a": b"1"}).changed
    assert install(tmp_path, {"a": b"1"})[:2] == (1, False)


def test_edits_by_hand_are_kept(tmp_path: Path) -> None:
    """They become a version of their own, to which a rollback leads."""
    install(tmp_path, {"a": b"1"})
    (tmp_path / "a").write_text("by hand")
    done = install(tmp_path, {"a": b"2"})
    assert (done.version, done.edited, done.kept_as) == (3, ("a",), 2)
    rollback(tmp_path)
    assert files(tmp_path) == {"a": "by hand"}


@pytest.mark.parametrize("record", ["{", "[]", "5", "{}", '{"version": 1, "files": 2}', None])
def test_edits_by_hand_are_kept_without_the_record(tmp_path: Path, record: str | None) -> None:
    """Where the record of what is in place is damaged or gone, what no version holds is somebody's edit."""
    for made in ({"a": b"1", "b": b"1"}, {"a": b"2", "b": b"2"}):
        install(tmp_path, made)
    (tmp_path / "a").write_text("by hand")
    file = tmp_path / ".versions" / "current.json"
    file.write_text(record) if record else file.unlink()
    done = install(tmp_path, {"a": b"3", "b": b"3"})
    assert (done.version, done.edited, done.kept_as) == (4, ("a",), 3)
    rollback(tmp_path)
    assert files(tmp_path) == {"a": "by hand", "b": "2"}
    assert install(tmp_path, {"a": b"3", "b": b"3"}).edited == ()


def test_files_of_others_are_not_touched(tmp_path: Path) -> None:
    """A bundle that somebody else wrote stays, and nothing is written beside it."""
    (tmp_path / "databricks.yml").write_text("mine")
    with pytest.raises(ConfigurationError, match="did not write"):
        install(tmp_path, {"databricks.yml": b"2", "other": b"2"})
    assert files(tmp_path) == {"databricks.yml": "mine"}


def test_a_crash_while_files_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it happens, a rollback gives the version before, and rendering again the new one."""
    old = {"a": b"old", "b": b"old", "c": b"old"}
    new = {"a": b"new", "b": b"new", "d": b"new"}
    real = Path.replace
    for crash_at in range(1, 12):
        for again in (rollback, lambda folder: install(folder, new)):
            folder = tmp_path / f"{crash_at}-{again.__name__}"
            install(folder, old)
            calls = 0

            # A mock, since a crash between two lines cannot be ordered from outside.
            def failing(self: Path, target: Path, *, at: int = crash_at) -> Path:
                nonlocal calls
                calls += 1
                if calls == at:
                    raise KeyboardInterrupt
                return real(self, target)

            with monkeypatch.context() as patched:
                patched.setattr(Path, "replace", failing)
                try:
                    install(folder, new)
                    crashed = False
                except KeyboardInterrupt:
                    crashed = True
            if again is rollback and not crashed:
                continue
            if again is rollback and "going_to" not in (folder / ".versions" / "current.json").read_text():
                assert files(folder) == dict.fromkeys(old, "old")
                continue
            again(folder)
            assert files(folder) == {
                name: content.decode() for name, content in (old if again is rollback else new).items()
            }


# --- the command line ---


def test_the_command_without_a_configuration(tmp_path: Path) -> None:
    """It writes, says what to do next, and puts back."""
    ended = run_program(["deploy", "render", "out", "--failure-email", "on-call@contoso.example"], tmp_path)
    assert ended.code == 0, ended
    assert "databricks bundle deploy -t prod" in ended.out
    ended = run_program(["deploy", "render", "out", "--json"], tmp_path)
    assert ended.json["version"] == 2
    back = run_program(["deploy", "rollback", "out", "--json"], tmp_path)
    assert (back.code, back.json["version"]) == (0, 1)
    assert "on-call@contoso.example" in (tmp_path / "out/resources/jobs.yml").read_text()
    assert run_program(["deploy", "rollback", "out"], tmp_path).code == 7


@pytest.mark.parametrize("command", ["render", "rollback"])
def test_a_folder_without_a_name_is_none(tmp_path: Path, command: str) -> None:
    """A variable that nobody set is not the folder here: nothing is written, and it is said."""
    ended = run_program(["deploy", command, ""], tmp_path)
    assert (ended.code, "DIR is empty.\nGive it a value." in ended.err, list(tmp_path.iterdir())) == (7, True, [])


def test_the_wheel_goes_with_it(tmp_path: Path) -> None:
    """A wheel that is named lies where the jobs look for it; one that is empty, cut off or no wheel is refused."""
    name = "nbvault-1-py3-none-any.whl"
    with ZipFile(tmp_path / name, "w") as wheel:
        wheel.writestr("nbvault/__init__.py", "")
    whole = (tmp_path / name).read_bytes()
    made = run_program(["deploy", "render", "out", "--wheel", name], tmp_path)
    assert made.code == 0, made
    assert (tmp_path / "out" / "dist" / name).read_bytes() == whole
    for file, content in (("empty.whl", b""), ("cut.whl", whole[:-10]), ("text.whl", b"no zip"), ("it.zip", whole)):
        (tmp_path / file).write_bytes(content)
        refused = run_program(["deploy", "render", "none", "--wheel", file], tmp_path)
        assert (refused.code, f"{file} is no wheel." in refused.err, (tmp_path / "none").exists()) == (7, True, False)


def test_nothing_known_is_a_plan() -> None:
    """An empty plan renders, with a token to be put into the scope."""
    assert DeployPlan().keys == {"AZURE_DEVOPS_PAT": "azure-devops-pat"}
    assert Known({}).variables == ("AZURE_DEVOPS_PAT",)
