"""The only place that reads the environment. One model: file (TOML) < environment < flags; unknown keys are errors.

Secrets (passwords inside URLs, the API token) are held as SecretStr and never printed; `redacted()` is for showing.
"""

import difflib
import os
import re
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from fleet.errors import ConfigError
from fleet.redis_url import SCHEMES, is_cluster

PREFIX = "FLEET_"
# read by tests and scripts, not by the program: known, so that they are no mistake
_FOREIGN = {"FLEET_RECORDED", "FLEET_CHAOS_SCALE", "FLEET_CONFIG"}

# of the contract, and not acted on by this version
WITHOUT_EFFECT = ("spill_dir", "api_port", "api_token")

CLUSTER_SHARDS = 64

Role = Literal["feed", "monitor", "trader"]
ROLES: tuple[Role, ...] = ("feed", "monitor", "trader")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Endpoint(_Model):
    """Where a venue's market is reached; empty: the venue's own address. `enabled`: false turns the market off, true
    turns on one that is off by default."""

    rest_url: str | None = None
    ws_url: str | None = None
    enabled: bool | None = None

    @field_validator("rest_url", "ws_url")
    @classmethod
    def _loopback_or_tls(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https", "ws", "wss"} or not parts.hostname:
            raise ValueError(f"{url!r}: expected https://… or wss://…")
        if parts.scheme in {"http", "ws"} and parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
            raise ValueError(f"{url!r}: plain {parts.scheme}:// is accepted for loopback only; use {parts.scheme}s://")
        return url.rstrip("/")


class VenueMarkets(_Model):
    spot: Endpoint = Endpoint()
    futures: Endpoint = Endpoint()


class Settings(_Model):
    """Every setting; the environment name of `redis_url` is FLEET_REDIS_URL, and so on."""

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="redis://, rediss:// (TLS), unix://, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE/0, "
        "redis+cluster://HOST:PORT,HOST:PORT; examples: ops/OPERATING.md",
    )
    database_url: SecretStr | None = Field(None, description="tasks and trading truth: mysql://… or sqlite:///FILE")
    clickhouse_url: SecretStr | None = Field(None, description="history: clickhouse://user:password@host:9000/database")
    namespace: str = Field("", pattern=r"^[A-Za-z0-9_.-]{0,40}$", description="prefix of every Redis key")
    shards: int = Field(
        16,
        ge=1,
        le=100,
        description="shards of the fleet; fixed once a fleet has run; on a Cluster 64 (the least) to 100",
    )
    roles: tuple[Role, ...] = Field(ROLES, description="feed, monitor, trader; comma separated")
    lease_ms: int = Field(4000, ge=500, le=60_000, description="how long a dead owner keeps its pairs")
    book_ttl_ms: int = Field(10_000, ge=1000, le=600_000, description="an untouched book is gone after this")
    stream_maxlen: int = Field(200_000, ge=1000, description="hard cap of entries a shard stream")
    snapshot_ms: int = Field(10_000, ge=1000, description="how often history takes a snapshot of every book")
    spill_dir: Path | None = Field(None, description="where history waits when ClickHouse is away")
    capacity: int = Field(500, ge=1, description="most pairs this daemon takes")
    standby: bool = Field(False, description="keep a hot standby of every pair: a killed owner loses no delta")
    egress: str = Field(default_factory=socket.gethostname, description="address budgets are shared behind")
    tasks_poll_ms: int = Field(5000, ge=100, le=60_000, description="how often the task tables are read")
    api_port: int = Field(0, ge=0, le=65535, description="HTTP API of `fleet up`; 0: off")
    api_token: SecretStr | None = Field(None, description="bearer token of the HTTP API")
    evidence_dir: Path | None = Field(
        None, description="for audits and chaos runs: every grant and write is noted here; read by `fleet chaos check`"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    venues: dict[str, VenueMarkets] = Field(
        default_factory=dict, description="endpoints and switches by venue and market"
    )

    @field_validator("roles", mode="before")
    @classmethod
    def _split_roles(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_scheme(cls, url: SecretStr) -> SecretStr:
        return _with_scheme(url, SCHEMES)

    @model_validator(mode="before")
    @classmethod
    def _shards_of_a_cluster(cls, values: Any) -> Any:
        """64 where nobody said how many: two-digit tags below that fall on a Cluster's nodes unevenly (00-15: 4, 4, 8)."""
        if isinstance(values, dict) and "shards" not in values and is_cluster(_plain(values.get("redis_url"))):
            return {**values, "shards": CLUSTER_SHARDS}
        return values

    @field_validator("shards")
    @classmethod
    def _enough_for_a_cluster(cls, shards: int, info: ValidationInfo) -> int:
        if shards < CLUSTER_SHARDS and is_cluster(_plain(info.data.get("redis_url"))):
            raise ValueError(f"a Cluster needs {CLUSTER_SHARDS} or more, else its nodes get uneven shares")
        return shards

    @field_validator("database_url")
    @classmethod
    def _database_scheme(cls, url: SecretStr | None) -> SecretStr | None:
        return None if url is None else _with_scheme(url, ("mysql", "sqlite"))

    @field_validator("clickhouse_url")
    @classmethod
    def _clickhouse_scheme(cls, url: SecretStr | None) -> SecretStr | None:
        return None if url is None else _with_scheme(url, ("clickhouse", "clickhouses"))

    def endpoint(self, venue: str, market: str) -> Endpoint:
        """Overrides of one venue × market (fields are None where not overridden)."""
        markets = self.venues.get(venue, VenueMarkets())
        return markets.spot if market == "spot" else markets.futures

    def without_effect(self) -> list[str]:
        """Settings that were given and that this version does not act on yet, by their environment names."""
        return [PREFIX + name.upper() for name in WITHOUT_EFFECT if getattr(self, name)]

    def redacted(self) -> dict[str, Any]:
        """All settings for showing, passwords and tokens replaced by ***."""
        shown: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                value = "***" if name.endswith("token") else redact_url(value.get_secret_value())
            elif isinstance(value, BaseModel | dict):
                value = self.model_dump(mode="json")[name]
            shown[name] = str(value) if isinstance(value, Path) else value
        return shown


def redact_url(url: str) -> str:
    """The url with its passwords replaced by ***, also those of its options (sentinel_password, ssl_password)."""
    parts = urlsplit(url)
    query = re.sub(r"(password=)[^&]*", r"\1***", parts.query)
    netloc = parts.netloc
    if parts.password is not None:
        netloc = f"{parts.username or ''}:***@{netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=netloc, query=query)) if parts.password is not None or parts.query else url


def _plain(url: object) -> str:
    return url.get_secret_value() if isinstance(url, SecretStr) else str(url or "")


def _with_scheme(url: SecretStr, schemes: tuple[str, ...]) -> SecretStr:
    scheme = url.get_secret_value().partition("://")[0]
    if scheme not in schemes:
        raise ValueError(f"expected {' or '.join(s + '://' for s in schemes)}, got {scheme[:20]!r}")
    return url


def load(overrides: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process. `overrides` are flags given on the command line (None values are not given).

    Raises ConfigError: one line, naming the setting, what was expected, and for an unknown name the nearest right one.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, Any] = _from_file(environ.get("FLEET_CONFIG"))
    for name, text in environ.items():
        if name.startswith(PREFIX) and name not in _FOREIGN:
            _put(values, name, text)
    values.update({name: value for name, value in (overrides or {}).items() if value is not None})
    try:
        return Settings(**values)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from None


def environment() -> Mapping[str, str]:
    """The whole environment of this process, for handing on to a child."""
    return dict(os.environ)


def _from_file(path: str | None) -> dict[str, Any]:
    if not path:
        return {}
    try:
        with Path(path).open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"FLEET_CONFIG={path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"FLEET_CONFIG={path}: not TOML: {error}") from None
    for name in values:
        _check_known(name, f"{path}: {name}", "")
    return values


def _put(values: dict[str, Any], name: str, text: str) -> None:
    path = name.removeprefix(PREFIX).lower().split("__")
    _check_known(path[0], name, PREFIX)
    if path[0] != "venues":
        if len(path) != 1:
            raise ConfigError(f"{name}: only FLEET_VENUES__… takes double underscores")
        values[path[0]] = text
        return
    if len(path) != 4 or path[2] not in VenueMarkets.model_fields or path[3] not in Endpoint.model_fields:
        raise ConfigError(f"{name}: expected FLEET_VENUES__VENUE__(SPOT|FUTURES)__(REST_URL|WS_URL|ENABLED)")
    values.setdefault("venues", {}).setdefault(path[1], {}).setdefault(path[2], {})[path[3]] = text


def _check_known(field: str, shown: str, prefix: str) -> None:
    if field in Settings.model_fields:
        return
    near = difflib.get_close_matches(field, Settings.model_fields, n=1, cutoff=0.5)
    spelled = (prefix + near[0].upper() if prefix else near[0]) if near else ""
    raise ConfigError(
        f"{shown}: unknown setting" + (f"; did you mean {spelled}?" if near else "; see `fleet config show`")
    )


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    where = "__".join(str(part) for part in first["loc"]).upper()
    message = (
        "expected true or false" if first["type"].startswith("bool") else re.sub(r"^Value error, ", "", first["msg"])
    )
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    seen = first.get("input")
    secret = isinstance(seen, SecretStr) or "URL" in where or "TOKEN" in where
    got = "" if secret or seen is None or isinstance(seen, dict) else f", got {str(seen)[:60]!r}"
    return f"{PREFIX}{where}: {message}{got}{more}"
