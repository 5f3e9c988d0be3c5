"""Settings of the functions, read once from the environment and validated together."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from shared.errors import BadSettings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TOKEN = re.compile(r"(?P<name>[A-Za-z0-9_.-]{1,64}):(?P<scope>read|write|push):(?P<sha256>[0-9a-f]{64})")
_HANDOFF = re.compile(
    r"fc2:(?P<service>[A-Za-z_][A-Za-z0-9_-]{0,127})(?:\.(?P<qualifier>[A-Za-z0-9_-]+))?/(?P<function>[A-Za-z_][A-Za-z0-9_-]{0,63})"
)
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class ApiToken:
    """One caller of the HTTP API; only the hash of the token is known here."""

    name: str
    scope: str  # read | write (includes read) | push
    sha256: str


@dataclass(frozen=True)
class Location:
    """Where objects lie: an OSS bucket, or a local directory. ``path`` is the key prefix, key or file path."""

    scheme: str  # oss | file
    bucket: str
    path: str


@dataclass(frozen=True)
class HandOff:
    """The function that publishes asynchronously."""

    service: str
    qualifier: str | None
    function: str


@dataclass(frozen=True)
class Settings:
    """Every setting, checked. Credentials are not among them: they rotate, and are read at each invocation."""

    mps_region: str
    mps_endpoint: str
    output: Location
    oss_region: str
    oss_endpoint: str
    subscribers: Location | None
    api_tokens: tuple[ApiToken, ...]
    api_auth: str  # token | trigger
    webhook_allow: tuple[Network, ...]
    webhook_deny: tuple[Network, ...]
    handoff: HandOff | None
    invoke_endpoint: str  # empty: derived from account and region
    max_result_bytes: int
    log_level: str

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read and check all settings; raise one ``BadSettings`` that names every fault."""
        return _Reader(env).settings()


class _Reader:
    """Collects faults instead of stopping at the first one."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._faults: list[str] = []

    def settings(self) -> Settings:
        region = self._text("MPS_REGION") or self._text("FC_REGION") or "cn-shanghai"
        oss_region = self._text("FC_REGION") or region
        if not re.fullmatch(r"[a-z0-9-]{2,40}", region):
            self._fault("MPS_REGION", "is no region name such as cn-shanghai")
        read = Settings(
            mps_region=region,
            mps_endpoint=self._endpoint("MPS_ENDPOINT", f"https://mts.{region}.aliyuncs.com", internal=False),
            output=self._location("OUTPUT_URL", required=True) or Location("file", "", "/"),
            oss_region=oss_region,
            oss_endpoint=self._endpoint(
                "OSS_ENDPOINT", f"https://oss-{oss_region}-internal.aliyuncs.com", internal=True
            ),
            subscribers=self._location("SUBSCRIBERS_URL", required=False),
            api_tokens=self._tokens(),
            api_auth=self._choice("API_AUTH", ("token", "trigger"), "token"),
            webhook_allow=self._networks("WEBHOOK_ALLOW_CIDRS"),
            webhook_deny=self._networks("WEBHOOK_DENY_CIDRS"),
            handoff=self._handoff(),
            invoke_endpoint=self._endpoint("INVOKE_ENDPOINT", "", internal=False)
            if self._text("INVOKE_ENDPOINT")
            else "",
            max_result_bytes=self._positive("MAX_RESULT_BYTES", 134217728),
            log_level=self._choice("LOG_LEVEL", _LEVELS, "INFO"),
        )
        if self._faults:
            raise BadSettings("settings to correct: " + "; ".join(self._faults), settings=self._faults)
        return read

    def _text(self, name: str) -> str:
        return self._env.get(name, "").strip()

    def _fault(self, name: str, fault: str) -> None:
        self._faults.append(f"{name} {fault}")

    def _choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        value = self._text(name) or default
        if value not in choices:
            self._fault(name, f"is not one of {', '.join(choices)}")
        return value

    def _positive(self, name: str, default: int) -> int:
        text = self._text(name) or str(default)
        if not re.fullmatch(r"[1-9][0-9]{0,12}", text):
            self._fault(name, "is not a positive whole number of bytes")
            return default
        return int(text)

    def _endpoint(self, name: str, default: str, *, internal: bool) -> str:
        url = self._text(name) or default
        parts = urlsplit(url)
        try:
            host, _port = parts.hostname or "", parts.port
        except ValueError:
            host = ""
        if (
            parts.scheme not in {"http", "https"}
            or not host
            or parts.username is not None
            or parts.path.strip("/")
            or parts.query
        ):
            self._fault(name, "is no plain URL such as https://host or https://host:port")
        elif (
            parts.scheme == "http"
            and not _is_loopback(host)
            and not (internal and host.endswith("-internal.aliyuncs.com"))
        ):
            where = "loopback and -internal.aliyuncs.com endpoints" if internal else "loopback"
            self._fault(name, f"must be https://; plain http is for {where} only")
        return url.rstrip("/")

    def _location(self, name: str, *, required: bool) -> Location | None:
        url = self._text(name)
        if not url:
            if required:
                self._fault(name, "is missing; set it to oss://bucket/prefix, or file:///directory on your own machine")
            return None
        try:
            parts = urlsplit(url)
        except ValueError:
            parts = urlsplit("")
        path = unquote(parts.path)
        if (
            parts.scheme == "oss"
            and re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", parts.netloc)
            and ".." not in path.split("/")
        ):
            return Location("oss", parts.netloc, path.strip("/"))
        if parts.scheme == "file" and not parts.netloc and path.startswith("/"):
            if self._text("FC_FUNCTION_NAME"):
                self._fault(
                    name, "must not be a file: URL inside Function Compute: its disk does not outlive the instance"
                )
            return Location("file", "", path)
        self._fault(name, "is neither oss://bucket/path nor file:///path")
        return None

    def _tokens(self) -> tuple[ApiToken, ...]:
        tokens = []
        for index, entry in enumerate(filter(None, map(str.strip, self._text("API_TOKENS").split(","))), 1):
            match = _TOKEN.fullmatch(entry)
            if match is None:
                self._fault("API_TOKENS", f"entry {index} is not name:scope:sha256hex with scope read, write or push")
            else:
                tokens.append(ApiToken(**match.groupdict()))
        return tuple(tokens)

    def _networks(self, name: str) -> tuple[Network, ...]:
        networks: list[Network] = []
        for text in filter(None, map(str.strip, self._text(name).split(","))):
            try:
                networks.append(ipaddress.ip_network(text))
            except ValueError:
                self._fault(name, f"holds {text[:60]!a}, which is no CIDR range such as 10.0.0.0/8")
        return tuple(networks)

    def _handoff(self) -> HandOff | None:
        text = self._text("HANDOFF") or "inline"
        if text == "inline":
            return None
        match = _HANDOFF.fullmatch(text)
        if match is None:
            self._fault("HANDOFF", "is neither inline nor fc2:service[.qualifier]/function")
            return None
        return HandOff(**match.groupdict())


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
