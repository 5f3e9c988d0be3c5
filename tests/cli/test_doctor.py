"""``smarttag doctor``: everything that the issue calls bad input is named, with what to do, before it does harm."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import orjson
import pytest

from local.cloud.accounts import USER
from local.cloud.mps import MpsStandIn
from local.cloud.oss import BUCKET, OssStandIn
from local.cloud.server import Fault, Request, Response
from local.doctor import examine
from local.preflight import REGIONS, Finding, Verdict, preflight, serverless_devs, setting_names
from shared.relay import Relay
from shared.settings import Settings
from shared.storage.directory import DirectoryStore
from tests.fakes.node import START

PIPELINE = {
    "Id": "88c6",
    "Name": "tags",
    "State": "Active",
    "Speed": "AIVideoMCU",
    "NotifyConfig": {"Topic": "smarttag"},
}
GOOD = {"OUTPUT_URL": f"oss://{BUCKET}/out", "API_TOKENS": f"a:write:{'0' * 64}"}


@dataclass
class Cloud:
    mps: MpsStandIn
    oss: OssStandIn
    root: Path
    env: dict[str, str]
    pipelines: list[dict[str, Any]] = field(default_factory=list)

    def examine(self) -> list[Finding]:
        relay = Relay(Settings.from_env(self.env))
        relay.begin(self.env, None)
        return list(examine(relay, self.env))

    def put(self, key: str, value: object = b"{}") -> None:
        body = value if isinstance(value, bytes) else orjson.dumps(value)
        DirectoryStore(self.root / BUCKET / "out").put(key, body)

    def refuse_oss(self, document: str, status: int = 403, method: str = "", **headers: str) -> None:
        body = f"<?xml version='1.0'?><Error>{document}<RequestId>5C1B</RequestId></Error>".encode()
        self.oss.fail(
            Fault(
                "answer",
                10**6,
                match=lambda request: not method or request.method == method,
                response=Response(status, body, headers),
            )
        )


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    pipelines: list[dict[str, Any]] = [dict(PIPELINE)]
    with ExitStack() as stack:
        mps = stack.enter_context(MpsStandIn({}, pipelines=pipelines))
        oss = stack.enter_context(OssStandIn(tmp_path))
        subscribers = {
            "version": 1,
            "subscribers": [{"id": "cms", "url": "fc://a/b", "secrets": ["whsec_" + "A" * 32]}],
        }
        env = {
            **GOOD,
            "MPS_ENDPOINT": mps.url,
            "OSS_ENDPOINT": oss.url,
            "SUBSCRIBERS_URL": f"oss://{BUCKET}/out/subscribers.json",
            "ALIBABA_CLOUD_ACCESS_KEY_ID": USER.access_key_id,
            "ALIBABA_CLOUD_ACCESS_KEY_SECRET": USER.access_key_secret,
        }
        made = Cloud(mps, oss, tmp_path, env, pipelines)
        made.put("subscribers.json", subscribers)
        made.put("jobs/job1/manifest.json")
        yield made


def verdicts(found: list[Finding]) -> dict[str, Verdict]:
    return {each.about: each.verdict for each in found}


def test_a_bundle_in_order_has_no_fault_and_nothing_is_left_in_the_bucket(cloud: Cloud) -> None:
    before = sorted(path for path in cloud.root.rglob("*") if path.is_file() and ".store" not in path.parts)
    found = cloud.examine()
    assert verdicts(found) == dict.fromkeys(
        ("credentials", "clock", "mps", "topic", "bucket", "subscribers", "outbox"), Verdict.OK
    ), found
    assert any(f"oss://{BUCKET}/out over {cloud.oss.url}: creates once" in each.text for each in found)
    after = sorted(path for path in cloud.root.rglob("*") if path.is_file() and ".store" not in path.parts)
    assert after == before


def skewed(minutes: float) -> Callable[[Response], Response]:
    def alter(response: Response) -> Response:
        return replace(
            response, headers={**response.headers, "Date": formatdate(time.time() + 60 * minutes, usegmt=True)}
        )

    return alter


def versioned(response: Response) -> Response:
    return replace(response, headers={**response.headers, "x-oss-version-id": "CAEQ"})


def is_create(request: Request) -> bool:
    return request.headers.get("x-oss-forbid-overwrite") == "true"


def ignores_forbid_overwrite(cloud: Cloud) -> None:
    cloud.oss.fail(
        Fault(
            "answer", 10**6, match=lambda request: is_create(request) and request.body == b"2", response=Response(200)
        )
    )


def overdue(cloud: Cloud) -> None:
    due = int((START - 3600) * 1000)
    cloud.put(f"outbox/{due}/publish~job1~Success~~0~01~{due}")


def set_env(**values: str) -> Callable[[Cloud], None]:
    return lambda cloud: cloud.env.update(values)


def unbound(cloud: Cloud) -> None:
    cloud.mps.set_pipelines([{**PIPELINE, "NotifyConfig": {"QueueName": "other"}}])


FAULTS: dict[str, tuple[Callable[[Cloud], object], str, str]] = {
    "a clock 20 minutes ahead": (
        lambda cloud: cloud.mps.fail(Fault("alter", alter=skewed(-20))),
        "clock",
        "this machine's is 20 minutes ahead of the cloud's",
    ),
    "a clock 20 minutes behind": (
        lambda cloud: cloud.mps.fail(Fault("alter", alter=skewed(20))),
        "clock",
        "20 minutes behind the cloud's, which refuses what is 15 minutes off: set it",
    ),
    "no credentials": (
        set_env(ALIBABA_CLOUD_ACCESS_KEY_ID=""),
        "credentials",
        "no credentials: give the function a role, or set ALIBABA_CLOUD_ACCESS_KEY_ID",
    ),
    "credentials that are wrong": (
        set_env(ALIBABA_CLOUD_ACCESS_KEY_SECRET="mistyped"),
        "mps",
        "check its credentials",
    ),
    "a role without rights on MPS": (
        lambda cloud: cloud.mps.refuse(403, "Forbidden.RAM", "User not authorized", times=10),
        "mps",
        "let the function's role call mts:QuerySmarttagJob",
    ),
    "a role without rights on the bucket": (
        lambda cloud: cloud.refuse_oss("<Code>AccessDenied</Code>", method="PUT"),
        "bucket",
        "cannot create: OSS answered 403 AccessDenied for",
    ),
    "a role that may not delete": (
        lambda cloud: cloud.refuse_oss("<Code>AccessDenied</Code>", method="DELETE"),
        "bucket",
        "cannot delete: OSS answered 403 AccessDenied for",
    ),
    "a versioned bucket": (
        lambda cloud: cloud.oss.fail(Fault("alter", 10, match=is_create, alter=versioned)),
        "bucket",
        "has versioning, where OSS ignores create-only writes: point OUTPUT_URL to a bucket that never had it",
    ),
    "a bucket whose versioning is suspended": (ignores_forbid_overwrite, "bucket", "cannot create only once"),
    "an endpoint of another region": (
        lambda cloud: cloud.refuse_oss(
            "<Code>AccessDenied</Code><EC>0003-00001403</EC><Endpoint>oss-cn-beijing.aliyuncs.com</Endpoint>"
        ),
        "bucket",
        "that bucket is elsewhere; set OSS_ENDPOINT to https://oss-cn-beijing.aliyuncs.com",
    ),
    "a bucket that does not exist": (
        set_env(OUTPUT_URL="oss://nobodys-bucket/out"),
        "bucket",
        "there is no such bucket; correct OUTPUT_URL",
    ),
    "an archived response": (
        lambda cloud: cloud.refuse_oss("<Code>InvalidObjectState</Code>", method="GET"),
        "subscribers",
        "the object is archived; restore it",
    ),
    "a bucket in arrears": (
        lambda cloud: cloud.refuse_oss("<Code>UserDisable</Code>"),
        "bucket",
        "the account is in arrears; pay its bill",
    ),
    "a topic that nothing notifies": (
        set_env(MNS_TOPIC="other"),
        "topic",
        "notifies the topic other: bind one (docs/deploy.md), or set MNS_TOPIC; there are: tags (88c6)",
    ),
    "subscribers.json that is broken": (
        lambda cloud: cloud.put("subscribers.json", b"{"),
        "subscribers",
        "SUBSCRIBERS_URL holds no valid JSON",
    ),
    "a subscriber with a fault": (
        lambda cloud: cloud.put("subscribers.json", {"version": 1, "subscribers": [{"id": "cms", "url": "ftp://x"}]}),
        "subscribers",
        "cms: ",
    ),
    "no subscribers.json": (
        set_env(SUBSCRIBERS_URL=f"oss://{BUCKET}/nowhere.json"),
        "subscribers",
        "where nothing lies: put subscribers.json there",
    ),
    "a timer that is off": (overdue, "outbox", "1 of 1 tasks at oss://smarttag-results/out are due since"),
    "a domain that leads nowhere": (
        lambda cloud: cloud.env.update(PUBLIC_URL=cloud.mps.url, LINK_KEYS=f"k1:{'A' * 43}="),
        "links",
        "/healthz answers 400: bind the domain to smarttag-api",
    ),
}


@pytest.mark.parametrize(("plant", "about", "named"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_wrong_is_named_with_what_to_do(
    cloud: Cloud, plant: Callable[[Cloud], object], about: str, named: str
) -> None:
    plant(cloud)
    found = cloud.examine()
    assert [each for each in found if each.verdict is Verdict.FAULT and each.about == about and named in each.text], (
        found
    )
    assert USER.access_key_secret not in str(found)


def test_who_may_not_list_pipelines_is_told_where_to_look(cloud: Cloud) -> None:
    forbidden = Response(403, b'{"Code": "Forbidden.RAM", "RequestId": "1"}')
    asks = lambda request: request.query.get("Action") == "SearchPipeline"  # noqa: E731
    cloud.mps.fail(Fault("answer", 10, match=asks, response=forbidden))
    assert verdicts(cloud.examine())["topic"] is Verdict.NOTE


def test_every_page_of_pipelines_is_read(cloud: Cloud) -> None:
    cloud.mps.set_pipelines([*({**PIPELINE, "Id": str(each), "NotifyConfig": {}} for each in range(230)), PIPELINE])
    assert verdicts(cloud.examine())["topic"] is Verdict.OK
    cloud.mps.set_pipelines([{**PIPELINE, "State": "Paused"}])
    assert verdicts(cloud.examine())["topic"] is Verdict.FAULT


def test_what_is_left_alone_on_purpose_is_no_sign_of_a_dead_timer(cloud: Cloud) -> None:
    due = int((START - 3600) * 1000)
    cloud.put(f"outbox/{due}/delivery~job1~succeeded~cms~0~02~{due}")
    assert verdicts(cloud.examine())["outbox"] is Verdict.FAULT
    cloud.put("subscribers/cms/breaker.json", {"version": 2, "failures": 10, "since": "", "at": "", "error": ""})
    assert verdicts(cloud.examine())["outbox"] is Verdict.OK


def test_an_empty_bucket_is_named(cloud: Cloud) -> None:
    cloud.env["OUTPUT_URL"] = f"oss://{BUCKET}/elsewhere"
    texts = [each.text for each in cloud.examine() if each.about in {"bucket", "outbox"}]
    assert len(texts) == 3
    assert all(f"oss://{BUCKET}/elsewhere" in text for text in texts)


SETTINGS = {
    "a missing variable": ({"OUTPUT_URL": ""}, "OUTPUT_URL is missing; set it to oss://bucket/prefix"),
    "two wrong ones": ({"LOG_LEVEL": "LOUD", "LINK_DAYS": "x"}, "LINK_DAYS is no number of days"),
    "a disk that does not last": ({"OUTPUT_URL": "file:///tmp"}, "must not be a file: URL inside Function Compute"),
    "a wrong region": ({"REGION": "cn-shenzhen"}, "REGION is cn-shenzhen, where MPS has no smart tagging"),
    "two regions": ({"MPS_REGION": "cn-beijing"}, "set REGION=cn-beijing"),
    "another region's internal address": (
        {"OSS_ENDPOINT": "https://oss-cn-beijing-internal.aliyuncs.com"},
        "which nothing in cn-shanghai can reach: set it to https://oss-cn-beijing.aliyuncs.com",
    ),
    "everybody may call": ({"API_AUTH": "trigger"}, "set HTTP_TRIGGER_AUTH=function, or API_AUTH=token"),
    "links turned away": (
        {"PUBLIC_URL": "https://videos.example.com", "HTTP_TRIGGER_AUTH": "function"},
        "PUBLIC_URL cannot work beside",
    ),
    "another way to authenticate": ({"HTTP_TRIGGER_AUTH": "none"}, "HTTP_TRIGGER_AUTH is none of anonymous"),
    "python of another minor": (
        {"RELAY_PYTHON": "3.11"},
        "RELAY_PYTHON is 3.11; Function Compute runs this on 3.10 or 3.12",
    ),
    "more than the environment holds": (
        {"API_TOKENS": ",".join(f"name{n}:read:{'0' * 64}" for n in range(60))},
        "a function's environment holds 4096",
    ),
}


@pytest.mark.parametrize(("more", "named"), SETTINGS.values(), ids=SETTINGS.keys())
def test_settings_are_refused_before_anything_is_deployed(more: dict[str, str], named: str) -> None:
    faults = [each.text for each in preflight({**GOOD, **more}) if each.verdict is Verdict.FAULT]
    assert [text for text in faults if named in text], faults
    assert not [each for each in preflight(GOOD) if each.verdict is not Verdict.OK]


@pytest.mark.parametrize("region", ["", " ", "cn-shanghai\n"])
def test_blanks_around_a_region_mean_as_little_as_in_the_functions(region: str) -> None:
    assert not [each for each in preflight({**GOOD, "MPS_REGION": region}) if each.verdict is not Verdict.OK]


def test_names_of_settings_and_regions_come_from_where_they_are_used() -> None:
    assert {"OUTPUT_URL", "API_TOKENS", "LOG_LEVEL"} <= set(setting_names())
    assert len(setting_names()) >= 17
    page = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert all(f"| `{region}`" in page for region in REGIONS)


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("@serverless-devs/s: 3.1.10, s-home: ~/.s, linux-x64, node-v20.19.5", Verdict.OK),
        ("@serverless-devs/s: 2.1.15, s-home: ~/.s, linux-x64, node-v14", Verdict.FAULT),
        ("s, a program of something else", Verdict.FAULT),
    ],
)
def test_an_old_s_is_named(tmp_path: Path, said: str, verdict: Verdict) -> None:
    program = tmp_path / "s"
    program.write_text(f"#!/bin/sh\necho '{said}'\n", encoding="utf-8")
    program.chmod(0o755)
    assert serverless_devs(str(tmp_path)).verdict is verdict
    assert "npm install -g @serverless-devs/s" in serverless_devs(str(tmp_path / "none")).text


@pytest.mark.parametrize("program", ["#!/no/such/node\n", "#!/bin/sh\nprintf '\\377'\n", "no program"])
def test_another_program_called_s_is_a_fault_and_does_not_end_the_look_at_the_rest(
    tmp_path: Path, program: str
) -> None:
    (tmp_path / "s").write_text(program, encoding="utf-8")
    (tmp_path / "s").chmod(0o755)
    found = serverless_devs(str(tmp_path))
    assert found.verdict is Verdict.FAULT
    assert "is no Serverless Devs CLI" in found.text


@pytest.mark.parametrize("options", [[], ["--json"], ["--offline"]])
def test_the_command(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / ".env").write_text("OUTPUT_URL=oss://bucket/out\n", encoding="utf-8")
    done = subprocess.run(
        [Path(sys.executable).with_name("smarttag"), "doctor", *options],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert "OUTPUT_URL is missing" in done.stdout
    assert "set -a; . ./.env; set +a" in done.stdout
    if options == ["--json"]:
        assert {"about", "verdict", "text"} == orjson.loads(done.stdout)[0].keys()
