"""What each value must be; pydantic calls these before it looks at the type. No error text quotes a value."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from nbvault.settings.secret import Context, Secret, looks_secret

_LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")


def _context(info: ValidationInfo) -> Context:
    return info.context if isinstance(info.context, Context) else Context(Path.cwd(), {})


def _secret(value: object, info: ValidationInfo) -> Secret | None:
    if value is None or isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a reference, such as env:NAME or file:PATH")
    return Secret(value, context=_context(info))


def _secret_for_workspace(value: object, info: ValidationInfo) -> Secret | None:
    found = _secret(value, info)
    if found is not None and found.scheme == "databricks":
        raise ValueError("cannot be in the workspace that it opens; use env:, file: or keyvault:")
    return found


def _secret_for_azure(value: object, info: ValidationInfo) -> Secret | None:
    found = _secret(value, info)
    if found is not None and found.scheme == "keyvault":
        raise ValueError("cannot be in a key vault that it opens; use env:, file: or databricks:")
    return found


def _optional_path(value: object, info: ValidationInfo) -> object:
    return _path(value, info) if value else None


def _https(value: object) -> object:
    if not isinstance(value, str):
        return value
    parts = split_address(value)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None:
        raise ValueError("must be an address that begins with https://")
    return value.rstrip("/")


def _web_address(value: object) -> object:
    if not isinstance(value, str) or not value:
        return value
    try:
        found = checked_host(value)
    except ValueError:
        raise ValueError("must be an address that begins with https:// (http:// only on this machine itself)") from None
    return found + split_address(value if "://" in value else f"https://{value}").path.rstrip("/")


def _networks(value: object) -> object:
    for each in value if isinstance(value, (list, tuple)) else ():
        try:
            ip_network(str(each), strict=False)
        except ValueError:
            raise ValueError("must be addresses or networks, such as 10.0.0.5 or 10.0.0.0/24") from None
    return value


def _vault_address(value: object) -> object:
    if isinstance(value, str) and "{vault}" not in value and not is_loopback(split_address(value).hostname or ""):
        raise ValueError("must hold {vault} where the vault's name is to be, as in https://{vault}.vault.azure.net")
    if isinstance(value, str):
        _https(value.replace("{vault}", "vault"))
        return value.rstrip("/")
    return value


def split_address(text: str) -> SplitResult:
    """What `urlsplit` makes of an address, whose own errors quote what may be a token in the wrong place.

    Raises:
        ValueError: it cannot be taken apart, or its port is no number.
    """
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("must be an address of a server and, if need be, a port, such as https://name:443") from None
    return parts


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    return _LOOPBACK.fullmatch(host) is not None


def checked_host(text: str) -> str:
    """A workspace's address as ``https://name[:port]``, whatever path or slash stood behind it.

    Raises:
        ValueError: no address, one with credentials in it, or plain HTTP to another machine.
    """
    parts = split_address(text.strip() if "://" in text else "https://" + text.strip())
    if not parts.hostname or parts.scheme not in {"https", "http"} or re.search(r"\s", parts.netloc):
        raise ValueError("must be an address such as https://adb-1234567890123456.7.azuredatabricks.net")
    if parts.username is not None or parts.password is not None:
        raise ValueError('must not hold credentials; use workspace.token = "env:NAME"')
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("must begin with https://; plain HTTP is only for this machine itself")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _host(value: object) -> object:
    return checked_host(value) if isinstance(value, str) else value


def _root(value: object) -> object:
    if not isinstance(value, str):
        return value
    root = value.rstrip("/") or "/"
    if not value.startswith("/") or any(part in {"", ".", ".."} for part in root[1:].split("/") if root != "/"):
        raise ValueError("must be an absolute workspace path such as /Clients")
    return root


def _path(value: object, info: ValidationInfo) -> object:
    return (
        (_context(info).base / Path(value).expanduser()).resolve()
        if isinstance(value, (str, Path)) and str(value)
        else value
    )


def _remote(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    if not value.strip() or value.startswith("-") or "::" in value:
        raise ValueError("must be a Git URL or a local path")
    if "://" not in value:
        is_scp = re.match(r"[^/\\:]{2,}:", value)
        return value if is_scp else str((_context(info).base / Path(value).expanduser()).resolve())
    parts = split_address(value)
    if parts.password is not None or (parts.username and looks_secret(parts.username)):
        raise ValueError('must not hold a password or token; use vault.token = "env:NAME"')
    if parts.scheme not in {"https", "ssh", "git+ssh", "file"} and not is_loopback(parts.hostname or ""):
        raise ValueError("must begin with https://, ssh:// or file://; plain HTTP is only for this machine itself")
    return value


def _state_url(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    scheme, _, rest = value.partition("://")
    if scheme.partition("+")[0] not in {"sqlite", "postgresql", "databricks"}:
        raise ValueError("must begin with sqlite:///, postgresql:// or databricks://")
    if scheme.startswith("sqlite"):
        path, mark, query = rest.partition("?")
        local = path[1:]
        return (
            value
            if not local or local == ":memory:"
            else f"{scheme}:///{(_context(info).base / local).resolve()}{mark}{query}"
        )
    parts = split_address(value)
    options = parse_qsl(parts.query)
    if parts.password is not None or any(
        name in {"password", "access_token"} or looks_secret(v) for name, v in options
    ):
        raise ValueError('must not hold a password; use state.password = "env:NAME"')
    return value


def _branch(value: object) -> object:
    if not isinstance(value, str):
        return value
    bad = re.search(r"\.\.|//|/\.|\.lock(/|$)|[/.]$|^[-/.]", value) or not re.fullmatch(r"[\w./-]+", value)
    if bad or value == "backup/daily" or value.startswith("nbvault/"):
        raise ValueError("must be the name of a branch, and none of nbvault's own (backup/daily, nbvault/...)")
    return value


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _fingerprints(values: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch("[0-9a-f]{20}", value) for value in values):
        raise ValueError("must be fingerprints, of 20 digits 0-9a-f each, as `nbvault problems secrets` shows them")
    return values


Reference = Annotated[Secret | None, BeforeValidator(_secret)]
WorkspaceReference = Annotated[Secret | None, BeforeValidator(_secret_for_workspace)]
AzureReference = Annotated[Secret | None, BeforeValidator(_secret_for_azure)]
Fingerprints = Annotated[tuple[str, ...], AfterValidator(_fingerprints)]
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, BeforeValidator(_number), Field(gt=0)]
Megabytes = Annotated[int, BeforeValidator(_number), Field(ge=0)]
Seconds = Annotated[float, BeforeValidator(_number), Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, BeforeValidator(_number), Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(_number), Field(ge=0, le=1)]
Host = Annotated[str | None, BeforeValidator(_host)]
Root = Annotated[str, BeforeValidator(_root)]
LocalPath = Annotated[Path, BeforeValidator(_path)]
OptionalPath = Annotated[Path | None, BeforeValidator(_optional_path)]
HttpsUrl = Annotated[str, BeforeValidator(_https)]
VaultAddress = Annotated[str, BeforeValidator(_vault_address)]
WebAddress = Annotated[str, BeforeValidator(_web_address)]
Networks = Annotated[tuple[str, ...], BeforeValidator(_networks)]
Remote = Annotated[str, BeforeValidator(_remote)]
StateUrl = Annotated[str, BeforeValidator(_state_url)]
Branch = Annotated[str, BeforeValidator(_branch)]
