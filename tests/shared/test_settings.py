"""Settings are read once, checked together, and faults are reported by name."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from pathlib import Path

import pytest

from shared.errors import BadSettings
from shared.relay import relay
from shared.settings import ApiToken, EventFunction, HandOff, LinkKey, Location, Settings

KEY = base64.b64encode(b"sixteen bytes..." * 2).decode()
OUTPUT = {"OUTPUT_URL": "oss://media-output/smarttag"}


def test_defaults_need_only_an_output() -> None:
    settings = Settings.from_env(OUTPUT)
    assert settings.output == Location("oss", "media-output", "smarttag")
    assert settings.mps_endpoint == "https://mts.cn-shanghai.aliyuncs.com"
    assert settings.oss_endpoint == "https://oss-cn-shanghai-internal.aliyuncs.com"
    assert settings.max_result_bytes == 134217728
    assert (settings.subscribers, settings.handoff, settings.api_tokens) == (None, HandOff.INLINE, ())
    assert (settings.api_auth, settings.log_level) == ("token", "INFO")


def test_the_functions_region_is_the_default_of_both_services() -> None:
    settings = Settings.from_env({**OUTPUT, "FC_REGION": "cn-beijing"})
    assert settings.mps_endpoint == "https://mts.cn-beijing.aliyuncs.com"
    assert settings.oss_endpoint == "https://oss-cn-beijing-internal.aliyuncs.com"


def test_mps_may_lie_in_another_region_than_the_function() -> None:
    settings = Settings.from_env({**OUTPUT, "FC_REGION": "cn-shenzhen", "MPS_REGION": "cn-hangzhou"})
    assert settings.mps_endpoint == "https://mts.cn-hangzhou.aliyuncs.com"
    assert settings.oss_endpoint == "https://oss-cn-shenzhen-internal.aliyuncs.com"


def test_everything_set() -> None:
    digest = hashlib.sha256(b"token").hexdigest()
    settings = Settings.from_env(
        {
            "OUTPUT_URL": "file:///var/smart%20tag",
            "SUBSCRIBERS_URL": "oss://config-bucket/smarttag/subscribers.json",
            "API_TOKENS": f"cms:read:{digest}, ops:write:{digest}",
            "API_AUTH": "trigger",
            "HTTP_TRIGGER_AUTH": "function",
            "WEBHOOK_ALLOW_CIDRS": "10.0.0.0/8, fd00::/8",
            "WEBHOOK_DENY_CIDRS": "8.8.8.0/24",
            "HANDOFF": "fc2:media.prod/smarttag-callback",
            "MAX_RESULT_BYTES": "1000",
            "LOG_LEVEL": "DEBUG",
        }
    )
    assert settings.output == Location("file", "", "/var/smart tag")
    assert settings.subscribers == Location("oss", "config-bucket", "smarttag/subscribers.json")
    assert settings.api_tokens == (ApiToken("cms", "read", digest), ApiToken("ops", "write", digest))
    assert settings.webhook_allow == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
    assert settings.webhook_deny == (ipaddress.ip_network("8.8.8.0/24"),)
    assert settings.handoff == EventFunction("media", "prod", "smarttag-callback")
    assert settings.max_result_bytes == 1000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OUTPUT_URL", ""),
        ("OUTPUT_URL", "https://bucket.oss-cn-shanghai.aliyuncs.com"),
        ("OUTPUT_URL", "oss://UPPER/prefix"),
        ("OUTPUT_URL", "oss://bucket/../other"),
        ("OUTPUT_URL", "file://host/dir"),
        ("OUTPUT_URL", "oss://[bad"),
        ("SUBSCRIBERS_URL", "subscribers.json"),
        ("SUBSCRIBERS_URL", "oss://bucket"),
        ("SUBSCRIBERS_URL", "oss://bucket/"),
        ("SUBSCRIBERS_URL", "oss://bucket/smarttag/"),
        ("SUBSCRIBERS_URL", "file:///"),
        ("MPS_REGION", "cn shanghai"),
        ("MPS_ENDPOINT", "http://mts.cn-shanghai.aliyuncs.com"),
        ("MPS_ENDPOINT", "https://user:pass@mts.cn-shanghai.aliyuncs.com"),
        ("MPS_ENDPOINT", "https://host:notaport"),
        ("MPS_ENDPOINT", "http://mts-internal.aliyuncs.com"),
        ("OSS_ENDPOINT", "http://oss-cn-shanghai.aliyuncs.com"),
        ("OSS_ENDPOINT", "ftp://127.0.0.1"),
        ("OSS_ENDPOINT", "https://media-output.oss-cn-shanghai.aliyuncs.com"),
        ("OSS_ENDPOINT", "https://media-output.oss-cn-shanghai-internal.aliyuncs.com/"),
        ("OSS_ENDPOINT", "https://media-output.oss-accelerate.aliyuncs.com"),
        ("OSS_REGION", "Shanghai"),
        ("OSS_REGION", "oss-cn-shanghai"),
        ("INVOKE_ENDPOINT", "http://fc.example.com"),
        ("INVOKE_ENDPOINT", "http://10.0.0.1"),
        ("INVOKE_ENDPOINT", "ftp://127.0.0.1"),
        ("INVOKE_ENDPOINT", "127.0.0.1"),
        ("API_TOKENS", "cms:admin:" + "0" * 64),
        ("API_TOKENS", "plain-token"),
        ("API_AUTH", "none"),
        ("HTTP_TRIGGER_AUTH", "none"),
        ("PUBLIC_URL", "http://videos.example.com"),
        ("PUBLIC_URL", "https://videos.example.com/relay"),
        ("PUBLIC_URL", "https://me:secret@videos.example.com"),
        ("PUBLIC_URL", "https://smarttag-api-abc.cn-shanghai.fcapp.run"),
        ("PUBLIC_URL", "https://SMARTTAG.CN-SHANGHAI.FCAPP.RUN.:443/"),
        ("PUBLIC_URL", "https://123.cn-shanghai.fc.aliyuncs.com"),
        ("PUBLIC_URL", "https://media-output.oss-cn-shanghai.aliyuncs.com"),
        ("LINK_KEYS", "k1"),
        ("LINK_KEYS", "k1:"),
        ("LINK_KEYS", f"k.1:{KEY}"),
        ("LINK_KEYS", "k1:" + KEY[:40]),
        ("LINK_KEYS", "k1:" + KEY.rstrip("=")),
        ("LINK_KEYS", f"k1:{KEY},k1:{KEY}"),
        ("LINK_DAYS", "0"),
        ("LINK_DAYS", "91"),
        ("LINK_DAYS", "1.5"),
        ("WEBHOOK_ALLOW_CIDRS", "10.0.0.1/8"),
        ("WEBHOOK_DENY_CIDRS", "internal"),
        ("HANDOFF", "async"),
        ("MAX_RESULT_BYTES", "0"),
        ("MAX_RESULT_BYTES", "128MB"),
        ("LOG_LEVEL", "verbose"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSettings, match=name):
        Settings.from_env({**OUTPUT, name: value})


def test_links_need_an_address_and_keys() -> None:
    env = {**OUTPUT, "PUBLIC_URL": "https://videos.example.com/", "LINK_KEYS": f"new:{KEY}, old:{KEY}"}
    settings = Settings.from_env(env)
    key = b"sixteen bytes..." * 2
    assert (settings.public_url, settings.link_days) == ("https://videos.example.com", 14)
    assert settings.link_keys == (LinkKey("new", key), LinkKey("old", key))
    assert "sixteen" not in repr(settings)
    assert Settings.from_env({**OUTPUT, "PUBLIC_URL": "http://127.0.0.1:80"}).public_url == "http://127.0.0.1:80"


@pytest.mark.parametrize("auth", ["function", "jwt"])
@pytest.mark.parametrize("api_auth", ["token", "trigger"])
def test_no_link_works_behind_a_trigger_that_authenticates(auth: str, api_auth: str) -> None:
    env = {**OUTPUT, "API_AUTH": api_auth, "HTTP_TRIGGER_AUTH": auth}
    assert Settings.from_env(env).api_auth == api_auth
    with pytest.raises(BadSettings, match="PUBLIC_URL cannot work beside API_AUTH=trigger or a trigger that"):
        Settings.from_env({**env, "PUBLIC_URL": "https://videos.example.com"})


@pytest.mark.parametrize("auth", ["", "anonymous"])
def test_somebody_has_to_check_who_calls(auth: str) -> None:
    with pytest.raises(BadSettings, match="API_AUTH must not be trigger while HTTP_TRIGGER_AUTH is anonymous"):
        Settings.from_env({**OUTPUT, "API_AUTH": "trigger", "HTTP_TRIGGER_AUTH": auth})


@pytest.mark.parametrize("name", ["API_TOKENS", "LINK_KEYS"])
def test_a_wrong_secret_is_not_repeated(name: str) -> None:
    with pytest.raises(BadSettings) as caught:
        Settings.from_env({**OUTPUT, name: "the-plain-secret-itself"})
    assert "the-plain-secret-itself" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost:1"])
def test_plain_http_is_for_loopback(endpoint: str) -> None:
    settings = Settings.from_env({**OUTPUT, "MPS_ENDPOINT": endpoint, "OSS_ENDPOINT": endpoint})
    assert (settings.mps_endpoint, settings.oss_endpoint) == (endpoint, endpoint)


def test_plain_http_is_allowed_on_the_internal_oss_network() -> None:
    endpoint = "http://oss-cn-shanghai-internal.aliyuncs.com"
    assert Settings.from_env({**OUTPUT, "OSS_ENDPOINT": endpoint}).oss_endpoint == endpoint


@pytest.mark.parametrize(
    ("env", "region", "endpoint"),
    [
        ({"OSS_ENDPOINT": "https://oss-cn-beijing-internal.aliyuncs.com"}, "cn-beijing", None),
        ({"OSS_ENDPOINT": "https://OSS-CN-Beijing.aliyuncs.com"}, "cn-beijing", None),
        ({"OSS_ENDPOINT": "https://oss-cn-beijing.aliyuncs.com", "OSS_REGION": "cn-beijing"}, "cn-beijing", None),
        ({"OSS_ENDPOINT": "https://oss-ap-southeast-1.aliyuncs.com/"}, "ap-southeast-1", None),
        ({"OSS_ENDPOINT": "https://oss-accelerate.aliyuncs.com"}, "cn-shenzhen", None),
        ({"OSS_ENDPOINT": "https://media.example.com"}, "cn-shenzhen", None),
        ({"OSS_ENDPOINT": "https://media.example.com", "OSS_REGION": "cn-beijing"}, "cn-beijing", None),
        ({"OSS_REGION": "cn-beijing"}, "cn-beijing", "https://oss-cn-beijing-internal.aliyuncs.com"),
        ({}, "cn-shenzhen", "https://oss-cn-shenzhen-internal.aliyuncs.com"),
    ],
)
def test_oss_is_signed_for_the_region_of_its_endpoint(env: dict[str, str], region: str, endpoint: str | None) -> None:
    settings = Settings.from_env({**OUTPUT, "FC_REGION": "cn-shenzhen", **env})
    assert (settings.oss_region, settings.fc_region) == (region, "cn-shenzhen")
    assert settings.oss_endpoint == (endpoint or env["OSS_ENDPOINT"].rstrip("/"))


def test_oss_lies_in_one_region() -> None:
    with pytest.raises(BadSettings, match="OSS_REGION is not cn-beijing, the region of OSS_ENDPOINT"):
        Settings.from_env(
            {**OUTPUT, "OSS_ENDPOINT": "https://oss-cn-beijing.aliyuncs.com", "OSS_REGION": "cn-shanghai"}
        )


@pytest.mark.parametrize(
    ("endpoint", "doubted"),
    [
        ("https://oss-cn-beijing-internal.aliyuncs.com", True),
        ("http://oss-cn-beijing-internal.aliyuncs.com", True),
        ("https://oss-cn-beijing.aliyuncs.com", False),
        ("https://oss-cn-shenzhen-internal.aliyuncs.com", False),
        ("", False),
    ],
)
def test_the_internal_address_of_another_region_is_doubted(endpoint: str, *, doubted: bool) -> None:
    doubts = Settings.from_env({**OUTPUT, "FC_REGION": "cn-shenzhen", "OSS_ENDPOINT": endpoint}).doubts
    assert bool(doubts) is doubted
    assert all("https://oss-cn-beijing.aliyuncs.com" in doubt for doubt in doubts)


def test_an_instance_says_once_what_it_doubts(capsys: pytest.CaptureFixture[str]) -> None:
    env = {**OUTPUT, "FC_REGION": "cn-shenzhen", "OSS_ENDPOINT": "https://oss-cn-beijing-internal.aliyuncs.com"}
    assert relay(env) is relay(env)
    (line,) = capsys.readouterr().out.splitlines()
    assert ('"settings.doubtful"' in line, '"WARNING"' in line, "deploy to cn-beijing" in line) == (True, True, True)


def test_a_file_url_is_refused_inside_function_compute() -> None:
    with pytest.raises(BadSettings, match=r"OUTPUT_URL .*does not outlive"):
        Settings.from_env({"OUTPUT_URL": "file:///tmp", "FC_FUNCTION_NAME": "smarttag-callback"})


def test_all_faults_are_reported_together() -> None:
    with pytest.raises(BadSettings) as caught:
        Settings.from_env({"API_AUTH": "no", "LOG_LEVEL": "no", "HANDOFF": "no"})
    for name in ("OUTPUT_URL", "API_AUTH", "LOG_LEVEL", "HANDOFF"):
        assert name in caught.value.message


def test_every_setting_is_documented() -> None:
    source = Path("shared/settings.py").read_text(encoding="utf-8")
    names = set(re.findall(r'"([A-Z][A-Z0-9]+_[A-Z_]+)"', source)) - {"FC_REGION", "FC_FUNCTION_NAME"}
    for document in ("README.md", "README.zh-CN.md"):
        text = Path(document).read_text(encoding="utf-8")
        assert {name for name in names if name not in text} == set(), document
