"""Every file of a deployment, as bytes by path. Pure but for reading the files that come with the package."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from enum import Enum
from importlib.resources import files
from pathlib import Path
from typing import Any

from nbvault.errors import ConfigurationError
from nbvault.settings import load_settings
from nbvault.settings.secret import Secret
from nbvault.setup.deploy import bundle
from nbvault.setup.deploy.dashboard import dashboard_json, queries_sql
from nbvault.setup.deploy.plan import Compute, DeployPlan
from nbvault.setup.quoting import as_toml
from nbvault.state.ddl import qualified, schema_sql

TARGETS = ("dev", "prod")
# So much earlier than the task's limit does a session end by itself, in order.
_ENDS_BEFORE_S = 300
_HEAD = "# Written by 'nbvault deploy render'. What you change here is kept as a version of its own at the next one.\n"
_FOLDERS = {Compute.JOB_CLUSTER: "/local_disk0", Compute.SERVERLESS: "/tmp"}  # noqa: S108 - of one run


def render(plan: DeployPlan, *, wheel: bytes = b"") -> dict[str, bytes]:
    """The files of a deployment.

    Args:
        wheel: The content of the wheel that `plan.wheel` names; empty leaves it to whoever deploys.

    Raises:
        ConfigurationError: the configuration that comes out is none; the message says which key.
    """
    texts = {
        "databricks.yml": _yaml(bundle.databricks_yml(plan)),
        "resources/jobs.yml": _yaml(bundle.jobs_yml(plan)),
        "resources/platform.yml": _yaml(bundle.platform_yml(plan)),
        **{f"config/{target}.toml": checked_toml(plan, target) for target in TARGETS},
    }
    if "serve" in plan.commands:
        texts |= _app(plan)
    if plan.catalog:
        texts |= _dashboard(plan)
    made = {path: text.encode() for path, text in texts.items()}
    made |= _assets()
    return made | ({f"dist/{plan.wheel}": wheel} if wheel else {})


def _yaml(data: bundle.Data) -> str:
    import yaml

    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)
    return _HEAD + text


def _assets() -> dict[str, bytes]:
    """What is the same in every deployment: notebooks, Dockerfile, pipeline."""
    found: dict[str, bytes] = {}
    folder = files("nbvault.setup.deploy") / "assets"
    for each in folder.iterdir():
        if each.is_file():
            found[each.name] = each.read_bytes()
    for each in (folder / "notebooks").iterdir():
        if each.name.endswith(".py"):
            found[f"notebooks/{each.name}"] = each.read_bytes()
    return found


def _app(plan: DeployPlan) -> dict[str, str]:
    command = ["nbvault", "serve", "--host", "0.0.0.0", "--port", "$DATABRICKS_APP_PORT"]  # noqa: S104 - behind the Apps proxy
    app = {"command": command, "env": [{"name": "NBVAULT_CONFIG", "value": "nbvault.toml"}]}
    texts = {"app/app.yaml": _yaml(app), "app/nbvault.toml": checked_toml(plan, "prod")}
    return texts | {"app/requirements.txt": f"{bundle.PACKAGE}[web]\n"}


def _dashboard(plan: DeployPlan) -> dict[str, str]:
    """The state tables' definition, and what shows them."""
    schema = qualified(str(plan.catalog), bundle.PACKAGE)
    return {
        "sql/schema.sql": schema_sql(str(plan.catalog), bundle.PACKAGE),
        "sql/queries.sql": queries_sql(schema),
        "sql/nbvault.lvdash.json": dashboard_json(schema),
    }


def checked_toml(plan: DeployPlan, target: str) -> str:
    """The configuration of a target; it was loaded once before it is given away.

    Raises:
        ConfigurationError: it is none.
    """
    text = toml(plan, target)
    with tempfile.TemporaryDirectory(prefix="nbvault-deploy-") as folder:
        draft = Path(folder) / f"{target}.toml"
        draft.write_text(text, encoding="utf-8")
        try:
            load_settings(draft, environment={})
        except ConfigurationError as error:
            where = f"the rendered configuration of {target}"
            raise ConfigurationError(error.message.replace(str(draft), where), hint=error.hint) from None
    return text


def toml(plan: DeployPlan, target: str) -> str:
    """The configuration of a target. The workspace is the one that the job runs in, and the job's own identity."""
    sections: dict[str, dict[str, Any]] = {name: dict(keys) for name, keys in plan.known.sections.items()}
    folder = _FOLDERS[plan.compute]
    vault = {"path": f"{folder}/nbvault/vault.git", "remote": plan.remote_of(target)}
    password = {"password": plan.known.state_password} if plan.known.state_password else {}
    token = {"token": _reference(plan, plan.known.token)} if plan.known.token else {}
    sections["vault"] = vault | token | sections.get("vault", {})
    sections["state"] = {"url": plan.known.state_url or f"sqlite:///{folder}/nbvault.db", **password}
    sections["sync"] = sections.get("sync", {}) | {"time_limit_s": bundle.TASK_LIMIT_S - _ENDS_BEFORE_S}
    return _HEAD + "".join(_section(plan, name, keys) for name, keys in sections.items() if keys)


def _section(plan: DeployPlan, name: str, keys: Mapping[str, Any]) -> str:
    lines = [f"{key} = {_value(plan, value)}" for key, value in keys.items()]
    return "\n".join(["", f"[{name}]", *lines, ""])


def _value(plan: DeployPlan, value: Any) -> str:
    if isinstance(value, Secret):
        value = _reference(plan, value.variable) if value.variable else value.reference
    if isinstance(value, Enum):
        value = value.value
    return as_toml(list(value) if isinstance(value, tuple) else value)


def _reference(plan: DeployPlan, variable: str) -> str:
    """Where a job finds a secret: in a variable that the cluster sets from the scope, or in the scope itself."""
    if plan.compute is Compute.JOB_CLUSTER:
        return f"env:{variable}"
    return f"databricks:{plan.scope}/{plan.keys[variable]}"
