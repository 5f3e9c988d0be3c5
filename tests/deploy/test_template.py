"""template.yml: valid by our schema, by the Serverless Devs CLI itself, and true to the code it deploys."""

from __future__ import annotations

import ast
import copy
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from local.packaging import package
from shared.http import pages
from shared.http.routes import ROUTES
from shared.settings import EventFunction, Settings
from tests.deploy import serverless_devs
from tests.deploy.serverless_devs import ACCOUNT_ID, OUTPUT_URL, ROOT, SCHEMA, run

TRIGGER = {"API_AUTH": "trigger", "HTTP_TRIGGER_AUTH": "function"}


def resolve(value: Any, spec: Mapping[str, Any], env: Mapping[str, str]) -> Any:
    """Replace the expressions template.yml uses, as Serverless Devs does."""
    if isinstance(value, dict):
        return {name: resolve(each, spec, env) for name, each in value.items()}
    if isinstance(value, list):
        return [resolve(each, spec, env) for each in value]
    if not isinstance(value, str):
        return value
    whole = re.fullmatch(r"\$\{vars\.(\w+)\}", value)
    if whole:
        return resolve(spec["vars"][whole[1]], spec, env)
    value = re.sub(r"\$\{vars\.(\w+)\}", lambda found: resolve(spec["vars"][found[1]], spec, env), value)
    value = value.replace("${config('AccountID')}", ACCOUNT_ID)

    def variable(found: re.Match[str]) -> str:
        text = env.get(found[1], found[2])
        assert text is not None, f"{found[1]} is not set"
        return text

    return re.sub(r"\$\{env\('(\w+)'(?:, '([^']*)')?\)\}", variable, value)


def resources(template: str, component: str, **env: str) -> list[dict[str, Any]]:
    """Return the properties of each resource of a template."""
    spec = yaml.safe_load((ROOT / template).read_text(encoding="utf-8"))
    resolved = resolve(spec["resources"], spec, {"OUTPUT_URL": OUTPUT_URL, **env})
    assert {resource["component"] for resource in resolved.values()} == {component}
    return [resource["props"] for resource in resolved.values()]


def functions(**env: str) -> dict[str, Any]:
    """Return the properties of each function, by its name."""
    return {props["functionName"]: props for props in resources("template.yml", "fc3", **env)}


def triggers(props: Mapping[str, Any]) -> dict[str, Any]:
    return {trigger["triggerType"]: trigger for trigger in props["triggers"]}


def test_both_functions_are_valid() -> None:
    assert functions().keys() == {"smarttag-callback", "smarttag-api"}
    for props in functions().values():
        jsonschema.validate(props, SCHEMA, cls=jsonschema.Draft7Validator)
        assert 1 <= props["memorySize"] / 1024 / props["cpu"] <= 4
        assert props["runtime"] == f"python{package.RUNTIME}"


def http(props: dict[str, Any]) -> dict[str, Any]:
    """Turn the callback's properties into those of a function with an HTTP trigger that the platform does not check."""
    config = {"authType": "anonymous", "methods": ["GET"]}
    props["triggers"] = [{"triggerName": "http", "triggerType": "http", "triggerConfig": config}]
    return props


# What is planted, and the key or value that the refusal must name.
BREAKS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "time-out too long": (lambda props: props.update(timeout=86401), "timeout"),
    "memory no multiple of 64": (lambda props: props.update(memorySize=1500), "memorySize"),
    "a setting that is no text": (lambda props: props["environmentVariables"].update(LOG_LEVEL=1), "LOG_LEVEL"),
    "a misspelt key": (lambda props: props.update(memorysize=512), "memorysize"),
    "no handler": (lambda props: props.pop("handler"), "handler"),
    "cpu without disk": (lambda props: props.pop("diskSize"), "diskSize"),
    "disk without cpu": (lambda props: props.pop("cpu"), "cpu"),
    "a disk of another size": (lambda props: props.update(diskSize=1024), "diskSize"),
    "a trigger without a role": (lambda props: props.pop("role"), "role"),
    "a folder for code": (lambda props: props.update(code="./build/package"), "code"),
    "a region without smart tagging": (lambda props: props.update(region="cn-shenzhen"), "region"),
    "too many retries": (lambda props: props["asyncInvokeConfig"].update(maxAsyncRetryAttempts=9), "RetryAttempts"),
    "an event too old": (
        lambda props: props["asyncInvokeConfig"].update(maxAsyncEventAgeInSeconds=604801),
        "maxAsyncEventAgeInSeconds",
    ),
    "nowhere for failed events": (lambda props: props["asyncInvokeConfig"].pop("destinationConfig"), "destination"),
    "a queue that is no destination": (
        lambda props: props["asyncInvokeConfig"]["destinationConfig"]["onFailure"].update(destination="acs:mns:x"),
        "onFailure.destination",
    ),
    "a format MNS does not know": (
        lambda props: triggers(props)["mns_topic"]["triggerConfig"].update(notifyContentFormat="BAD"),
        "notifyContentFormat",
    ),
    "a topic named in the old way": (
        lambda props: triggers(props)["mns_topic"]["triggerConfig"].update(topicName="t"),
        "topicName",
    ),
    "no topic": (lambda props: triggers(props)["mns_topic"].pop("sourceArn"), "sourceArn"),
    "a five-field cron": (
        lambda props: triggers(props)["timer"]["triggerConfig"].update(cronExpression="* * * * *"),
        "cronExpression",
    ),
    "a timer of HTTP": (lambda props: triggers(props)["timer"].update(triggerType="http"), "authType"),
    "nobody checks who calls": (
        lambda props: http(props)["environmentVariables"].update(API_AUTH="trigger"),
        "authType",
    ),
}


@pytest.mark.parametrize(("change", "named"), BREAKS.values(), ids=BREAKS.keys())
def test_the_schema_refuses_and_names_the_key(change: Callable[[dict[str, Any]], object], named: str) -> None:
    props = copy.deepcopy(functions()["smarttag-callback"])
    change(props)
    faults = list(jsonschema.Draft7Validator(SCHEMA).iter_errors(props))
    assert any(named in f"{fault.json_path} {fault.message}" for fault in faults), faults


def test_an_anonymous_trigger_is_right_where_the_function_checks_tokens() -> None:
    props = http(copy.deepcopy(functions()["smarttag-callback"]))
    assert list(jsonschema.Draft7Validator(SCHEMA).iter_errors(props)) == []
    props["environmentVariables"]["API_AUTH"] = "trigger"
    props["triggers"][0]["triggerConfig"]["authType"] = "function"
    assert list(jsonschema.Draft7Validator(SCHEMA).iter_errors(props)) == []


def test_triggers_are_the_right_ones() -> None:
    callback, api = (triggers(functions(MNS_TOPIC="mps")[name]) for name in ("smarttag-callback", "smarttag-api"))
    assert callback.keys() == {"mns_topic", "timer"}
    assert callback["mns_topic"]["sourceArn"] == f"acs:mns:cn-shanghai:{ACCOUNT_ID}:/topics/mps"
    assert callback["timer"]["triggerConfig"]["cronExpression"] == "@every 1m"
    assert api.keys() == {"http"}
    answered = {route.method for route in (*ROUTES, *pages.PAGES)} | {"HEAD", "OPTIONS"}
    assert set(api["http"]["triggerConfig"]["methods"]) == answered


def test_handlers_exist_and_take_what_the_runtime_gives() -> None:
    expected = {"handler": ["event", "context"], "initializer": ["context"]}
    for props in functions().values():
        for handler in (props["handler"], props["instanceLifecycleConfig"]["initializer"]["handler"]):
            file, _, name = handler.rpartition(".")
            tree = ast.parse((ROOT / f"{file}.py").read_text(encoding="utf-8"))
            found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
            assert [argument.arg.lstrip("_") for argument in found[0].args.args] == expected[name]


class Recorder(Mapping[str, str]):
    """An environment that remembers what was asked for."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values_ = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self.values_[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)


def test_every_setting_is_in_the_template_and_nothing_else() -> None:
    """Names starting with FC_ are the platform's: the runtime removes any of ours before it starts the code."""
    for props in functions().values():
        env = Recorder(props["environmentVariables"])
        settings = Settings.from_env(env)
        assert set(env) == {name for name in env.asked if not name.startswith("FC_")}
        assert settings == Settings.from_env({"OUTPUT_URL": OUTPUT_URL}), "a default here differs from the code's"


def test_every_setting_can_be_set_from_outside() -> None:
    for name in functions()["smarttag-api"]["environmentVariables"]:
        for props in functions(**{name: "oss://changed"}).values():
            assert props["environmentVariables"][name] == "oss://changed"


def test_an_event_that_fails_for_good_goes_to_a_queue() -> None:
    destinations = functions(FAILED_QUEUE="lost")["smarttag-callback"]["asyncInvokeConfig"]["destinationConfig"]
    assert destinations == {"onFailure": {"destination": f"acs:mns:cn-shanghai:{ACCOUNT_ID}:/queues/lost/messages"}}


@pytest.mark.parametrize("python", ["3.10", "3.12"])
def test_the_runtime_is_the_one_the_package_is_built_for(python: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", "build", "--old-file=.venv/local.stamp"],
        cwd=ROOT,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "RELAY_PYTHON": python},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"local.packaging --python {python}" in done.stdout
    for props in functions(RELAY_PYTHON=python).values():
        assert props["runtime"] == f"python{python}"


def test_deploying_asks_nothing_because_without_a_terminal_a_question_deploys_nothing() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^deploy:.*\n\ts deploy -y -t template\.yml$", makefile, re.MULTILINE)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return serverless_devs.project(tmp_path)


@pytest.mark.needs("node")
def test_serverless_devs_verifies_it(project: Path) -> None:
    good = run(project, "verify", "-t", "template.yml")
    assert (good.returncode, "Format verification for [template.yml] passed" in good.stdout) == (0, True), good.stdout
    text = (project / "template.yml").read_text(encoding="utf-8")
    (project / "template.yml").write_text(text.replace("timeout: 300", "timeout: 86401"), encoding="utf-8")
    bad = run(project, "verify", "-t", "template.yml")
    assert (bad.returncode, "callback/props/timeout must be <= 86400" in bad.stdout) == (1, True), bad.stdout


@pytest.mark.needs("node")
def test_serverless_devs_builds_once_and_deploys_what_the_schema_was_shown(project: Path) -> None:
    (project / ".env").write_text("RELAY_PYTHON=3.12\n", encoding="utf-8")
    done = run(project, "deploy", "-y", "-t", "template.yml", MNS_TOPIC="mps", **TRIGGER)
    assert done.returncode == 0, done.stdout
    assert (project / "built.txt").read_text() == "built 3.12\n", "the package must be for the runtime that is deployed"
    lines = (project / "fc3" / "deployed.ndjson").read_text(encoding="utf-8").splitlines()
    deployed = {props["functionName"]: props for props in map(json.loads, lines)}
    assert deployed == functions(MNS_TOPIC="mps", RELAY_PYTHON="3.12", **TRIGGER)


@pytest.mark.needs("node")
def test_settings_that_cannot_work_end_the_deployment_before_anything_is_built(project: Path) -> None:
    done = run(project, "deploy", "-y", "-t", "template.yml", API_AUTH="trigger", REGION="cn-shenzhen")
    assert done.returncode != 0
    assert "set HTTP_TRIGGER_AUTH=function, or API_AUTH=token" in done.stdout
    assert "REGION is cn-shenzhen, where MPS has no smart tagging" in done.stdout
    assert not (project / "built.txt").exists()
    assert not (project / "fc3" / "deployed.ndjson").exists()


@pytest.mark.needs("node")
def test_preview_works_without_an_account_and_names_what_is_missing(project: Path) -> None:
    shutil.rmtree(project / "home")
    good = run(project, "preview", "-t", "template.yml", "-o", "json")
    shown = json.loads(good.stdout[good.stdout.index("{\n") :])
    assert shown["resources"]["callback"]["props"]["environmentVariables"]["OUTPUT_URL"] == OUTPUT_URL
    text = (project / "template.yml").read_text(encoding="utf-8")
    (project / "template.yml").write_text(
        text.replace("env('OUTPUT_URL')", "env('OUTPUT_URL_ABSENT')"), encoding="utf-8"
    )
    bad = run(project, "preview", "-t", "template.yml")
    assert (bad.returncode, "env('OUTPUT_URL_ABSENT') not found" in bad.stdout) == (1, True), bad.stdout


def test_the_template_for_fc2_fits_the_other_one() -> None:
    callback, api = resources("docs/fc2/template.yml", "fc")
    assert callback["service"] == api["service"]
    assert callback["function"]["environmentVariables"] == api["function"]["environmentVariables"]
    settings = Settings.from_env(callback["function"]["environmentVariables"])
    assert isinstance(settings.handoff, EventFunction)
    where = (settings.handoff.service, settings.handoff.function)
    assert where == (callback["service"]["name"], callback["function"]["name"])
    assert callback["function"]["asyncConfiguration"]["statefulInvocation"] is True
    fc3 = functions()["smarttag-callback"]
    given = dict(callback["function"]["environmentVariables"], HANDOFF="inline")
    assert given == fc3["environmentVariables"]
    for name in ("diskSize", "timeout", "handler", "runtime"):
        assert callback["function"][name] == fc3[name]
    allowed = triggers(functions()["smarttag-api"])["http"]["triggerConfig"]["methods"]
    assert api["triggers"][0]["config"]["methods"] == allowed
    tree = ast.parse((ROOT / "functions" / "http_api.py").read_text(encoding="utf-8"))
    assert api["function"]["handler"] == "functions/http_api.application"
    assert "application" in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.needs("node")
def test_serverless_devs_renders_the_template_for_fc2(project: Path) -> None:
    folder = project / "docs" / "fc2"
    folder.mkdir(parents=True)
    text = (ROOT / "docs" / "fc2" / "template.yml").read_text(encoding="utf-8")
    (folder / "template.yml").write_text(text.replace("component: fc", "component: ./fc3"), encoding="utf-8")
    done = run(project, "deploy", "-y", "-t", "docs/fc2/template.yml", MNS_TOPIC="mps")
    assert done.returncode == 0, done.stdout
    assert (project / "built.txt").read_text() == "built 3.10\n"
    lines = (project / "fc3" / "deployed.ndjson").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == resources("docs/fc2/template.yml", "fc", MNS_TOPIC="mps")


@pytest.mark.needs("node")
def test_the_queues_trigger_takes_the_place_of_the_topics(project: Path) -> None:
    (trigger,) = yaml.safe_load((ROOT / "docs" / "queue" / "trigger.yml").read_text(encoding="utf-8"))
    spec = yaml.safe_load((project / "template.yml").read_text(encoding="utf-8"))
    callback = spec["resources"]["callback"]["props"]
    callback["triggers"] = [trigger, *(each for each in callback["triggers"] if each["triggerType"] == "timer")]
    (project / "template.yml").write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    done = run(project, "deploy", "-y", "-t", "template.yml", MNS_QUEUE="mps")
    assert done.returncode == 0, done.stdout
    lines = (project / "fc3" / "deployed.ndjson").read_text(encoding="utf-8").splitlines()
    (props,) = (each for each in map(json.loads, lines) if each["functionName"] == "smarttag-callback")
    jsonschema.validate(props, SCHEMA, cls=jsonschema.Draft7Validator)
    config = triggers(props)["eventbridge"]["triggerConfig"]
    parameters = config["eventSourceConfig"]["eventSourceParameters"]["sourceMNSParameters"]
    assert parameters == {"RegionId": "cn-shanghai", "QueueName": "mps", "IsBase64Decode": False}
    assert config["runOptions"]["deadLetterQueue"]["Arn"] == f"acs:mns:cn-shanghai:{ACCOUNT_ID}:/queues/smarttag-failed"
    config["runOptions"]["batchWindow"]["CountBasedWindow"] = 101
    with pytest.raises(jsonschema.ValidationError, match="101 is greater than the maximum of 100"):
        jsonschema.validate(props, SCHEMA, cls=jsonschema.Draft7Validator)


PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def policies() -> list[dict[str, Any]]:
    """Return the policies of the deployment page: trust, the functions', the deployer's."""
    blocks = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [policy for policy in map(json.loads, blocks) if "Statement" in policy]


def test_the_deployment_page_grants_least_privilege() -> None:
    trust, policy, deployer = policies()
    assert [each["Principal"] for each in trust["Statement"]] == [{"Service": ["fc.aliyuncs.com"]}]
    assert {each["Effect"] for each in (*policy["Statement"], *deployer["Statement"])} == {"Allow"}
    objects = ["acs:oss:*:*:your-bucket/smarttag/*"]
    granted = {action: each["Resource"] for each in policy["Statement"] for action in each["Action"]}
    assert granted == {
        "mts:QuerySmarttagJob": ["*"],
        "oss:GetObject": objects,
        "oss:PutObject": objects,
        "oss:DeleteObject": objects,
        "oss:ListObjects": ["acs:oss:*:*:your-bucket"],
        "mns:SendMessage": ["acs:mns:*:*:/queues/smarttag-failed/messages"],
        "log:PostLogStoreLogs": ["acs:log:*:*:project/serverless-*/logstore/*"],
    }
    (listing,) = (each for each in policy["Statement"] if each["Action"] == ["oss:ListObjects"])
    assert listing["Condition"] == {"StringLike": {"oss:Prefix": ["smarttag/*"]}}
    (pass_role,) = (each for each in deployer["Statement"] if each["Action"] == ["ram:PassRole"])
    assert pass_role["Condition"] == {"StringEquals": {"acs:Service": "fc.aliyuncs.com"}}


def test_what_template_and_role_name_is_what_the_stack_makes() -> None:
    stack = yaml.safe_load((ROOT / "docs" / "ros" / "resources.yml").read_text(encoding="utf-8"))["Resources"]

    def resolved(value: Any) -> Any:
        if isinstance(value, dict) and value.keys() == {"Fn::Sub"}:
            return value["Fn::Sub"].replace("${BucketName}", "your-bucket").replace("${Prefix}", "smarttag")
        if isinstance(value, dict):
            return {name: resolved(each) for name, each in value.items()}
        return [resolved(each) for each in value] if isinstance(value, list) else value

    role = resolved(stack["Role"]["Properties"])
    trust, policy, _ = policies()
    assert role["AssumeRolePolicyDocument"] == trust
    assert [each["PolicyDocument"] for each in role["Policies"]] == [policy]
    assert "VersioningConfiguration" not in stack["Bucket"]["Properties"]
    callback = functions()["smarttag-callback"]
    assert callback["role"].endswith(f":role/{role['RoleName']}")
    topic = stack["Topic"]["Properties"]["TopicName"]
    assert triggers(callback)["mns_topic"]["sourceArn"].endswith(f"/topics/{topic}")
    assert stack["Pipeline"]["Properties"]["NotifyConfig"] == {"Topic": topic}
    destination = callback["asyncInvokeConfig"]["destinationConfig"]["onFailure"]["destination"]
    queue = stack["FailedEvents"]["Properties"]
    assert destination.endswith(f":/queues/{queue['QueueName']}/messages")
    assert 60 <= queue["MessageRetentionPeriod"] <= 604800, "what MNS takes, in seconds"


def test_regions_of_the_page_are_those_that_the_schema_takes() -> None:
    listed = re.findall(r"^\| `(cn-[a-z]+)`", PAGE, re.MULTILINE)
    assert sorted(listed) == SCHEMA["properties"]["region"]["enum"]
