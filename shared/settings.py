"""Settings of the functions, read once from the environment and validated together."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import unquote

from shared.errors import BadSettings
from shared.patterns import regex

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TOKEN = regex(r"(?P<name>[A-Za-z0-9_.-]{1,64}):(?P<scope>read|write|push):(?P<sha256>[0-9a-f]{64})")
_LINK_KEY = regex(r"(?P<id>[A-Za-z0-9_-]{1,32}):(?P<secret>[A-Za-z0-9+/]+={0,2})")
_SHORTEST_KEY = 32  # bytes
# Function Compute and OSS send HTML from these as a download.
_DEFAULT_DOMAIN = regex(r"(?i)https?://[^/]+\.(?:fcapp\.run|aliyuncs\.com)\.?(?::[0-9]+)?")
_HANDOFF = (
    r"fc2:(?P<service>[A-Za-z_][A-Za-z0-9_-]{0,127})(?:\.(?P<qualifier>[A-Za-z0-9_-]+))?"
    r"/(?P<function>[A-Za-z_][A-Za-z0-9_-]{0,63})"
)
_ENDPOINT = regex(r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::[0-9]{1,5})?/*")
_REGION = "(?!oss-)[a-z0-9-]{2,40}"  # OSS shows its regions as oss-cn-shanghai
_NO_REGION = "no region name such as cn-shanghai"
_OSS_ENDPOINT = regex(r"https?://oss-(?P<region>[a-z]{2}-[a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com(?::[0-9]+)?")
_BUCKET_DOMAIN = regex(r"(?i)https?://[^/.]+\.oss-(?:[a-z]{2}-|accelerate)[^/]*\.aliyuncs\.com.*")
_LOOPBACK = r"localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]"
_INTERNAL = rf"{_LOOPBACK}|.*-internal\.aliyuncs\.com"
_MEDIA_URL = rf"(?:(?:https://|http://(?:{_LOOPBACK})[:/])(?:[!#-&(-;=?-\[\]_a-z~]|\{{(?:jobId|userData|seconds)\}})+)?"
_LOCATION = regex(r"oss://(?P<bucket>[a-z0-9][a-z0-9-]{1,61}[a-z0-9])(?P<key>/[^?#]*)?|file://(?P<file>/[^?#]*)")


@dataclass(frozen=True)
class ApiToken:
    """One caller of the HTTP API; only the hash of the token is known here."""

    name: str
    scope: str  # read | write (includes read) | push
    sha256: str


@dataclass(frozen=True)
class LinkKey:
    """A key that signs links; its repr does not show the secret."""

    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True)
class Location:
    """Where objects lie: an OSS bucket, or a local directory. ``path`` is the key prefix, key or file path."""

    scheme: str  # oss | file
    bucket: str
    path: str

    @property
    def url(self) -> str:
        """As the setting spells it."""
        return f"{self.scheme}://{self.bucket}/{self.path.lstrip('/')}"


class HandOff(str, Enum):
    """Who publishes what the HTTP function is asked for, where no function is named: itself, or the next sweep."""

    INLINE = "inline"
    OUTBOX = "outbox"


@dataclass(frozen=True)
class EventFunction:
    """The function of FC 2.0 that publishes asynchronously."""

    service: str
    qualifier: str | None
    function: str


@dataclass(frozen=True)
class Settings:
    """Every setting, checked. Credentials are not among them: they rotate, and are read at each invocation."""

    mps_region: str
    mps_endpoint: str
    output: Location
    fc_region: str
    oss_region: str  # that requests are signed for: OSS_ENDPOINT's own
    oss_endpoint: str
    subscribers: Location | None
    api_tokens: tuple[ApiToken, ...]
    api_auth: str  # token | trigger
    webhook_allow: tuple[Network, ...]
    webhook_deny: tuple[Network, ...]
    handoff: HandOff | EventFunction
    invoke_endpoint: str  # empty: derived from account and region
    public_url: str  # empty: no links
    link_keys: tuple[LinkKey, ...]  # the first signs, all verify
    link_days: int
    media_url: str  # with {jobId}, {userData}, {seconds}; empty: times are no links
    max_result_bytes: int
    log_level: str

    @property
    def doubts(self) -> tuple[str, ...]:
        """What is allowed, and yet hardly meant."""
        if "-internal." not in self.oss_endpoint or self.oss_region == self.fc_region:
            return ()
        doubt = (
            f"OSS_ENDPOINT is the -internal address of {self.oss_region}, which nothing in {self.fc_region} can reach: "
            f"set it to https://oss-{self.oss_region}.aliyuncs.com, or deploy to {self.oss_region}"
        )
        return (doubt,)

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
        home = self._text("FC_REGION")
        region = self._matching("MPS_REGION", _REGION, home or "cn-shanghai", _NO_REGION)
        named = _OSS_ENDPOINT.fullmatch(self._text("OSS_ENDPOINT").rstrip("/").lower())
        oss_region = self._matching("OSS_REGION", _REGION, named["region"] if named else home or region, _NO_REGION)
        if named and oss_region != named["region"]:
            self._fault("OSS_REGION", f"is not {named['region']}, the region of OSS_ENDPOINT; leave one of them out")
        if _BUCKET_DOMAIN.fullmatch(self._text("OSS_ENDPOINT")):
            self._fault(
                "OSS_ENDPOINT", "begins with a bucket, which OUTPUT_URL names; leave only what follows: oss-..."
            )
        handoff = self._matching(
            "HANDOFF",
            f"inline|outbox|{_HANDOFF}",
            "inline",
            "none of inline, outbox, and (only for functions of FC 2.0) fc2:service[.qualifier]/function",
        )
        trigger_auth = self._matching(
            "HTTP_TRIGGER_AUTH", "anonymous|function|jwt", "anonymous", "none of anonymous, function and jwt"
        )
        output = self._location("OUTPUT_URL")
        if output is None and not self._text("OUTPUT_URL"):
            self._fault(
                "OUTPUT_URL", "is missing; set it to oss://bucket/prefix, or file:///directory on your own machine"
            )
        read = Settings(
            mps_region=region,
            mps_endpoint=self._endpoint("MPS_ENDPOINT", f"https://mts.{region}.aliyuncs.com"),
            output=output or Location("file", "", "/"),
            fc_region=home or region,
            oss_region=oss_region,
            oss_endpoint=self._endpoint(
                "OSS_ENDPOINT", f"https://oss-{oss_region}-internal.aliyuncs.com", internal=True
            ),
            subscribers=self._file("SUBSCRIBERS_URL"),
            api_tokens=self._tokens(),
            api_auth=self._api_auth(trigger_auth),
            webhook_allow=self._networks("WEBHOOK_ALLOW_CIDRS"),
            webhook_deny=self._networks("WEBHOOK_DENY_CIDRS"),
            handoff=EventFunction(**found.groupdict())
            if (found := re.fullmatch(_HANDOFF, handoff))
            else HandOff(handoff),
            invoke_endpoint=self._endpoint("INVOKE_ENDPOINT", ""),
            public_url=self._public_url(trigger_auth),
            link_keys=self._link_keys(),
            link_days=int(self._matching("LINK_DAYS", "[1-9]|[1-8][0-9]|90", "14", "no number of days from 1 to 90")),
            media_url=self._matching(
                "MEDIA_URL", _MEDIA_URL, "", "no https:// URL with {jobId}, {userData} and {seconds} as its variables"
            ),
            max_result_bytes=int(
                self._matching("MAX_RESULT_BYTES", "[1-9][0-9]{0,12}", "134217728", "no positive whole number of bytes")
            ),
            log_level=self._matching(
                "LOG_LEVEL", "DEBUG|INFO|WARNING|ERROR", "INFO", "not one of DEBUG, INFO, WARNING, ERROR"
            ),
        )
        if self._faults:
            raise BadSettings("settings to correct: " + "; ".join(self._faults), settings=self._faults)
        return read

    def _text(self, name: str) -> str:
        return self._env.get(name, "").strip()

    def _list(self, name: str) -> list[str]:
        return [entry.strip() for entry in self._text(name).split(",") if entry.strip()]

    def _fault(self, name: str, fault: str) -> None:
        self._faults.append(f"{name} {fault}")

    def _matching(self, name: str, pattern: str, default: str, fault: str) -> str:
        value = self._text(name) or default
        if re.fullmatch(pattern, value):
            return value
        self._fault(name, f"is {fault}")
        return default

    def _endpoint(self, name: str, default: str, *, internal: bool = False) -> str:
        url = self._text(name) or default
        match = _ENDPOINT.fullmatch(url)
        if url and match is None:
            self._fault(name, "is no plain URL such as https://host or https://host:port")
        elif (
            match
            and match["scheme"] == "http"
            and not re.fullmatch(_INTERNAL if internal else _LOOPBACK, match["host"])
        ):
            where = "loopback and -internal.aliyuncs.com endpoints" if internal else "loopback"
            self._fault(name, f"must be https://; plain http is for {where} only")
        return url.rstrip("/")

    def _location(self, name: str) -> Location | None:
        url = self._text(name)
        match = _LOCATION.fullmatch(url)
        if match and match["file"]:
            if self._text("FC_FUNCTION_NAME"):
                self._fault(
                    name, "must not be a file: URL inside Function Compute: its disk does not outlive the instance"
                )
            return Location("file", "", unquote(match["file"]))
        if match and ".." not in (key := unquote(match["key"] or "").strip("/")).split("/"):
            return Location("oss", match["bucket"], key)
        if url:
            self._fault(name, "is neither oss://bucket/path nor file:///path")
        return None

    def _file(self, name: str) -> Location | None:
        where = self._location(name)
        if where and (not where.path or self._text(name).endswith("/")):
            self._fault(name, "names no file; add its name, such as /subscribers.json")
        return where

    def _tokens(self) -> tuple[ApiToken, ...]:
        matches = [_TOKEN.fullmatch(entry) for entry in self._list("API_TOKENS")]
        for index, match in enumerate(matches, 1):
            if match is None:
                self._fault("API_TOKENS", f"entry {index} is not name:scope:sha256hex with scope read, write or push")
        return tuple(ApiToken(**match.groupdict()) for match in matches if match)

    def _api_auth(self, trigger_auth: str) -> str:
        auth = self._matching("API_AUTH", "token|trigger", "token", "neither token nor trigger")
        if auth == "trigger" and trigger_auth == "anonymous":
            self._fault(
                "API_AUTH",
                "must not be trigger while HTTP_TRIGGER_AUTH is anonymous: nobody would check who calls; "
                "set HTTP_TRIGGER_AUTH=function, or API_AUTH=token",
            )
        return auth

    def _public_url(self, trigger_auth: str) -> str:
        url = self._endpoint("PUBLIC_URL", "")
        if _DEFAULT_DOMAIN.fullmatch(url):
            self._fault(
                "PUBLIC_URL",
                "is a default domain of Function Compute or OSS, from which browsers download reports and do not open "
                "them; bind a domain of your own and set it to that",
            )
        if url and (self._text("API_AUTH") == "trigger" or trigger_auth != "anonymous"):
            self._fault(
                "PUBLIC_URL",
                "cannot work beside API_AUTH=trigger or a trigger that authenticates, which turns away whoever opens a "
                "link; set API_AUTH=token and HTTP_TRIGGER_AUTH=anonymous, or leave PUBLIC_URL out",
            )
        return url

    def _link_keys(self) -> tuple[LinkKey, ...]:
        keys: dict[str, LinkKey] = {}
        for index, entry in enumerate(self._list("LINK_KEYS"), 1):
            match = _LINK_KEY.fullmatch(entry)
            secret = _decoded(match["secret"]) if match else b""
            if match is None or len(secret) < _SHORTEST_KEY:
                self._fault("LINK_KEYS", f"entry {index} is not id:base64 of at least {_SHORTEST_KEY} random bytes")
            elif match["id"] in keys:
                self._fault("LINK_KEYS", f"entry {index} has the id of another one")
            else:
                keys[match["id"]] = LinkKey(match["id"], secret)
        return tuple(keys.values())

    def _networks(self, name: str) -> tuple[Network, ...]:
        networks: list[Network] = []
        for text in self._list(name):
            try:
                networks.append(ipaddress.ip_network(text))
            except ValueError:
                self._fault(name, f"holds {text[:60]!a}, which is no CIDR range such as 10.0.0.0/8")
        return tuple(networks)


def _decoded(text: str) -> bytes:
    """Return what a text in Base64 stands for; nothing if it is none."""
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
