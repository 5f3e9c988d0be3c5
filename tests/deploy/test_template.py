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
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((Path(__file__).parent / "fc3.schema.json").read_bytes())
OUTPUT_URL = "oss://media-results/smarttag"
ACCOUNT_ID = "1234567890123456"
CLI = ROOT / "tests" / "node" / "node_modules" / "@serverless-devs" / "s" / "bin" / "s"
OFFLINE = ROOT / "tests" / "node" / "offline.js"
COMPONENT = """
const fs = require('fs'), path = require('path');
module.exports = class {
  getSchema() { return String(fs.readFileSync(path.join(__dirname, 'schema.json'))); }
  async deploy(inputs) {
    fs.appendFileSync(path.join(__dirname, 'deployed.ndjson'), JSON.stringify(inputs.props) + '\\n');
    return {};
  }
};
"""


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
    as_json = re.fullmatch(r"\$\{json\((env\(.*\))\)\}", value)
    if as_json:
        return json.loads(resolve(f"${{{as_json[1]}}}", spec, env))
    value = re.sub(r"\$\{vars\.(\w+)\}", lambda found: resolve(spec["vars"][found[1]], spec, env), value)
    value = value.replace("${config('AccountID')}", ACCOUNT_ID)

    def variable(found: re.Match[str]) -> str:
        default = found[2].replace(r"\u007b", "{").replace(r"\u007d", "}") if found[2] is not None else None
        text = env.get(found[1], default)
        assert text is not None, f"{found[1]} is not set"
        return text

    return re.sub(r"\$\{env\('(\w+)'(?:, '([^']*)')?\)\}", variable, value)


def functions(**env: str) -> dict[str, Any]:
    """Return the properties of each function, by its name."""
    spec = yaml.safe_load((ROOT / "template.yml").read_text(encoding="utf-8"))
    resolved = resolve(spec["resources"], spec, {"OUTPUT_URL": OUTPUT_URL, **env})
    assert {resource["component"] for resource in resolved.values()} == {"fc3"}
    return {resource["props"]["functionName"]: resource["props"] for resource in resolved.values()}


def triggers(props: Mapping[str, Any]) -> dict[str, Any]:
    return {trigger["triggerType"]: trigger for trigger in props["triggers"]}


def test_both_functions_are_valid() -> None:
    assert functions().keys() == {"smarttag-callback", "smarttag-api"}
    for props in functions().values():
        jsonschema.validate(props, SCHEMA, cls=jsonschema.Draft7Validator)
        assert 1 <= props["memorySize"] / 1024 / props["cpu"] <= 4
        assert props["runtime"] == f"python{package.RUNTIME}"


BREAKS: dict[str, Callable[[dict[str, Any]], object]] = {
    "time-out too long": lambda props: props.update(timeout=86401),
    "memory no multiple of 64": lambda props: props.update(memorySize=1500),
    "a setting that is no text": lambda props: props["environmentVariables"].update(MAX_RESULT_BYTES=1),
    "a misspelt key": lambda props: props.update(memorysize=512),
    "no handler": lambda props: props.pop("handler"),
    "too many retries": lambda props: props["asyncInvokeConfig"].update(maxAsyncRetryAttempts=9),
    "an event too old": lambda props: props["asyncInvokeConfig"].update(maxAsyncEventAgeInSeconds=604801),
    "a format MNS does not know": lambda props: triggers(props)["mns_topic"]["triggerConfig"].update(
        notifyContentFormat="BAD"
    ),
    "a topic named in the old way": lambda props: triggers(props)["mns_topic"]["triggerConfig"].update(topicName="t"),
    "no topic": lambda props: triggers(props)["mns_topic"].pop("sourceArn"),
    "a five-field cron": lambda props: triggers(props)["timer"]["triggerConfig"].update(cronExpression="* * * * *"),
    "a timer of HTTP": lambda props: triggers(props)["timer"].update(triggerType="http"),
}


@pytest.mark.parametrize("change", BREAKS.values(), ids=BREAKS.keys())
def test_the_schema_refuses(change: Callable[[dict[str, Any]], object]) -> None:
    props = copy.deepcopy(functions()["smarttag-callback"])
    change(props)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(props, SCHEMA, cls=jsonschema.Draft7Validator)


def test_triggers_are_the_right_ones() -> None:
    callback, api = (triggers(functions(MNS_TOPIC="mps")[name]) for name in ("smarttag-callback", "smarttag-api"))
    assert callback.keys() == {"mns_topic", "timer"}
    assert callback["mns_topic"]["sourceArn"] == f"acs:mns:cn-shanghai:{ACCOUNT_ID}:/topics/mps"
    assert callback["timer"]["triggerConfig"]["cronExpression"] == "@every 1m"
    assert api.keys() == {"http"}
    assert {"GET", "POST"} <= set(api["http"]["triggerConfig"]["methods"])


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


def test_the_failure_destination_is_optional() -> None:
    queue = f"acs:mns:cn-shanghai:{ACCOUNT_ID}:/queues/failed/messages"
    destinations = {"onFailure": {"destination": queue}}
    props = functions(ASYNC_DESTINATIONS=json.dumps(destinations))["smarttag-callback"]
    jsonschema.validate(props, SCHEMA, cls=jsonschema.Draft7Validator)
    assert props["asyncInvokeConfig"]["destinationConfig"] == destinations
    assert functions()["smarttag-callback"]["asyncInvokeConfig"]["destinationConfig"] == {}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Copy the template beside a component of our own (the real one is fetched at deployment) and a Makefile."""
    text = (ROOT / "template.yml").read_text(encoding="utf-8")
    (tmp_path / "template.yml").write_text(text.replace("component: fc3", "component: ./fc3"), encoding="utf-8")
    (tmp_path / "Makefile").write_text("build:\n\techo built >> built.txt\n")
    (tmp_path / "fc3").mkdir()
    (tmp_path / "fc3" / "index.js").write_text(COMPONENT)
    (tmp_path / "fc3" / "schema.json").write_text(json.dumps(SCHEMA))
    key = ("--AccountID", ACCOUNT_ID, "--AccessKeyID", "made-up", "--AccessKeySecret", "made-up")
    assert run(tmp_path, "config", "add", *key, "-a", "default").returncode == 0
    return tmp_path


def run(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the CLI with a home of its own, answering nothing and writing to a file: on a closed pipe it hangs."""
    node = shutil.which("node")
    assert node is not None
    # NODE_ENV=test keeps the CLI from starting its usage reporter, a background process that would dial out.
    home = {"HOME": str(folder / "home"), "PATH": "/usr/local/bin:/usr/bin:/bin", "NO_COLOR": "1", "NODE_ENV": "test"}
    with (folder / "output.txt").open("w+", encoding="utf-8") as output:
        done = subprocess.run(
            [node, "--require", OFFLINE, CLI, *arguments],
            cwd=folder,
            env={**home, "OUTPUT_URL": OUTPUT_URL, **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        output.seek(0)
        return subprocess.CompletedProcess(done.args, done.returncode, output.read())


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
    done = run(project, "deploy", "-y", "-t", "template.yml", MNS_TOPIC="mps", API_AUTH="trigger")
    assert done.returncode == 0, done.stdout
    assert (project / "built.txt").read_text() == "built\n"
    lines = (project / "fc3" / "deployed.ndjson").read_text(encoding="utf-8").splitlines()
    deployed = {props["functionName"]: props for props in map(json.loads, lines)}
    assert deployed == functions(MNS_TOPIC="mps", API_AUTH="trigger")


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


def test_the_deployment_page_grants_least_privilege() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    policy, *_ = (json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    granted = {action: each["Resource"] for each in policy["Statement"] for action in each["Action"]}
    objects = "acs:oss:*:*:your-bucket/smarttag/*"
    assert {action: resource for action, resource in granted.items() if action.startswith("oss:")} == {
        "oss:GetObject": [objects],
        "oss:PutObject": [objects],
        "oss:DeleteObject": [objects],
        "oss:ListObjects": ["acs:oss:*:*:your-bucket"],
    }
    assert granted.keys() - {"oss:GetObject", "oss:PutObject", "oss:DeleteObject", "oss:ListObjects"} == {
        "mts:QuerySmarttagJob"
    }
    assert {each["Effect"] for each in policy["Statement"]} == {"Allow"}
    (listing,) = (each for each in policy["Statement"] if each["Action"] == ["oss:ListObjects"])
    assert listing["Condition"] == {"StringLike": {"oss:Prefix": ["smarttag/*"]}}
