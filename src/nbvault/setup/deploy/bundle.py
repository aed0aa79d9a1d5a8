"""The Declarative Automation Bundle as data: targets, jobs, clusters, what belongs to them. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

from nbvault.setup.deploy.plan import Compute, DeployPlan

Data = dict[str, Any]
PACKAGE = "nbvault"
ENTRY_POINT = "nbvault-job"
TASK_LIMIT_S = 14_400
JOB_LIMIT_S = 18_000
# A killed session's lease is taken over after 900 s; a retry before that could only wait for it.
RETRY_AFTER_MS = 900_000
_KEY = "nbvault"
_WHEELS = "../dist/*.whl"
_CLUSTER = "nbvault"
_ENVIRONMENT = "nbvault"
EXTRAS = {
    "azure": ("azure-identity>=1.19",),
    "azure-monitor": ("opentelemetry-sdk>=1.30", "azure-monitor-opentelemetry-exporter>=1.0.0b40"),
    "databricks-sql": ("databricks-sqlalchemy>=2.0.10",),
    "otlp": ("opentelemetry-sdk>=1.30", "opentelemetry-exporter-otlp-proto-http>=1.30"),
    "postgres": ("psycopg[binary]>=3.2",),
}
"""What those extras of nbvault bring, as pyproject.toml has them; a wheel in a bundle is installed without any."""
# What the token of a person at the page may do: see and import that person's notebooks. Who it is, is always told.
_SCOPES = ["workspace.workspace"]


class Planned(NamedTuple):
    """A job: what it runs, and when (Quartz, UTC)."""

    name: str
    command: tuple[str, ...]
    cron: str
    about: str
    retries: int = 0
    limit_s: int = TASK_LIMIT_S
    tells_success: bool = False


SYNC = Planned(
    "nbvault sync", ("sync",), "0 0 2 * * ?", "Back the workspace up, every night.", retries=2, tells_success=True
)
VERIFY = Planned(
    "nbvault verify", ("verify", "--budget", "10800"), "0 0 8 ? * SUN", "Compare the vault with the workspace."
)
DRILL = Planned("nbvault drill", ("drill",), "0 0 9 1 * ?", "Restore a sample and compare it.", limit_s=3600)
ALERTS = Planned(
    "nbvault alerts", ("alerts", "check"), "0 30 * * * ?", "Look whether somebody must know.", limit_s=1800
)


def planned_jobs(commands: frozenset[str]) -> tuple[Planned, ...]:
    """The jobs that can be run: what this version has no command for is left out."""
    return tuple(job for job in (SYNC, VERIFY, DRILL, ALERTS) if job.command[0] in commands)


def databricks_yml(plan: DeployPlan) -> Data:
    """The bundle itself: targets and variables."""
    return {
        "bundle": {"name": PACKAGE},
        "include": ["resources/*.yml"],
        "sync": {"exclude": [".versions/**", "Dockerfile", "azure-pipelines.yml"]},
        "variables": dict(_variables(plan)),
        "targets": {
            "dev": {"mode": "development", "default": True, **_at(plan.host)},
            "prod": _prod(plan),
        },
    }


def _at(host: str, **more: str) -> Data:
    workspace = ({"host": host} if host else {}) | more
    return {"workspace": workspace} if workspace else {}


def _prod(plan: DeployPlan) -> Data:
    # Nobody but administrators and whoever deploys may write there: who can change the files gets at the secrets.
    root = "/Workspace/Users/${workspace.current_user.userName}/.bundle/${bundle.name}/${bundle.target}"
    prod: Data = {"mode": "production", **_at(plan.prod_host, root_path=root)}
    if plan.principal:
        principal = {"service_principal_name": plan.principal}
        prod |= {"run_as": principal, "permissions": [{"level": "CAN_VIEW", **principal}]}
    return prod


def _variables(plan: DeployPlan) -> dict[str, Data]:
    """What was not given has no default, so that `databricks bundle deploy` asks for it."""
    asked: dict[str, tuple[str, str]] = {}
    if not plan.success:
        asked["success_email"] = ("Who is told that a backup succeeded.", "")
    if not plan.failure:
        asked["failure_email"] = ("Who is told that a backup failed.", "")
    if plan.compute is Compute.JOB_CLUSTER:
        asked["node_type"] = ("The machine of the job cluster.", plan.node_type)
        asked["runtime"] = ("The Databricks runtime of the job cluster.", plan.runtime)
    if plan.catalog:
        asked["warehouse_id"] = ("The SQL warehouse that the dashboard asks.", "")
    return {
        name: {"description": about} | ({"default": value} if value else {}) for name, (about, value) in asked.items()
    }


def jobs_yml(plan: DeployPlan) -> Data:
    """The jobs."""
    return {"resources": {"jobs": {_key(job.name): _job(plan, job) for job in planned_jobs(plan.commands)}}}


def platform_yml(plan: DeployPlan) -> Data:
    """What the jobs need around them. Neither secrets nor tables go with the bundle when it is destroyed."""
    kept = {"lifecycle": {"prevent_destroy": True}}
    resources: Data = {"secret_scopes": {_KEY: {"name": plan.scope, **kept}}}
    if plan.catalog:
        about = "The state tables of nbvault: an index of the vault's records, for people and dashboards."
        resources["schemas"] = {_KEY: {"catalog_name": plan.catalog, "name": _KEY, "comment": about, **kept}}
        resources["dashboards"] = {
            _KEY: {
                "display_name": PACKAGE,
                "file_path": "../sql/nbvault.lvdash.json",
                "warehouse_id": "${var.warehouse_id}",
            }
        }
    if "serve" in plan.commands:
        app = {"name": "nbvault", "source_code_path": "../app", "description": "nbvault", "user_api_scopes": _SCOPES}
        resources["apps"] = {_KEY: app}
    return {"resources": resources}


def _key(name: str) -> str:
    return name.replace(" ", "_")


def _job(plan: DeployPlan, job: Planned) -> Data:
    found: Data = {
        "name": job.name,
        "description": job.about,
        "schedule": {"quartz_cron_expression": job.cron, "timezone_id": "UTC", "pause_status": "UNPAUSED"},
        "max_concurrent_runs": 1,
        "timeout_seconds": JOB_LIMIT_S if job.retries else job.limit_s,
        "email_notifications": _mails(plan, job),
        "tags": {"product": "nbvault", **plan.tags},
        "tasks": [_task(plan, job)],
    }
    if plan.webhook:
        events = ["on_failure", *(["on_success"] if job.tells_success else [])]
        found["webhook_notifications"] = {event: [{"id": plan.webhook}] for event in events}
    if plan.compute is Compute.SERVERLESS:
        spec = {"environment_version": "3", "dependencies": [_WHEELS, *_libraries(plan)]}
        found["environments"] = [{"environment_key": _ENVIRONMENT, "spec": spec}]
    else:
        found["job_clusters"] = [{"job_cluster_key": _CLUSTER, "new_cluster": _cluster(plan, job)}]
    return found


def _mails(plan: DeployPlan, job: Planned) -> Data:
    mails: Data = {"on_failure": list(plan.failure) or ["${var.failure_email}"]}
    if job.tells_success:
        mails["on_success"] = list(plan.success) or ["${var.success_email}"]
    return mails


def _task(plan: DeployPlan, job: Planned) -> Data:
    parameters = [*job.command, "--config", "${workspace.file_path}/config/${bundle.target}.toml"]
    if job is SYNC and plan.spark:
        parameters += ["--engine", "spark"]
    task: Data = {
        "task_key": job.command[0],
        "timeout_seconds": job.limit_s,
        "max_retries": job.retries,
        "python_wheel_task": {"package_name": PACKAGE, "entry_point": ENTRY_POINT, "parameters": parameters},
    }
    if job.retries:
        task |= {"min_retry_interval_millis": RETRY_AFTER_MS, "retry_on_timeout": True}
    if plan.compute is Compute.SERVERLESS:
        # Serverless would else retry on its own account.
        return task | {"environment_key": _ENVIRONMENT, "disable_auto_optimization": True}
    libraries = [{"whl": _WHEELS}, *({"pypi": {"package": each}} for each in _libraries(plan))]
    return task | {"job_cluster_key": _CLUSTER, "libraries": libraries}


def _libraries(plan: DeployPlan) -> list[str]:
    """What the configuration needs that the wheel does not bring."""
    return list(dict.fromkeys(each for extra in plan.known.extras for each in EXTRAS[extra]))


def _cluster(plan: DeployPlan, job: Planned) -> Data:
    cluster: Data = {
        "spark_version": "${var.runtime}",
        "node_type_id": "${var.node_type}",
        "data_security_mode": "SINGLE_USER",
        "spark_env_vars": {name: f"{{{{secrets/{plan.scope}/{key}}}}}" for name, key in plan.keys.items()},
        "custom_tags": dict(plan.tags),
    }
    if plan.spark and job is SYNC:
        return cluster | {"autoscale": {"min_workers": 2, "max_workers": 4}}
    cluster["custom_tags"]["ResourceClass"] = "SingleNode"
    conf = {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"}
    return cluster | {"num_workers": 0, "spark_conf": conf}
