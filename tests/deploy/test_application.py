"""The application for the registry of Serverless Devs: ``s init`` of the built folder, then what ``s`` makes of it."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import jsonschema
import pytest
import yaml

from local.packaging import application
from shared import __version__
from tests.deploy.serverless_devs import ACCOUNT_ID, SCHEMA, project, run
from tests.deploy.test_template import functions

GIVEN = {
    "region": "cn-beijing",
    "roleArn": f"acs:ram::{ACCOUNT_ID}:role/relay",
    "bucket": "my-bucket",
    "topic": "mps",
    "failedQueue": "lost",
}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "package.zip", "w") as archive:
        archive.writestr("functions/__init__.py", "")
    return application.make(tmp_path / "package.zip", tmp_path / "application")


def test_its_description_is_complete(built: Path) -> None:
    described = yaml.safe_load((built / "publish.yaml").read_text(encoding="utf-8"))
    assert (described["Type"], described["Edition"], described["Version"]) == ("Project", "3.0.0", __version__)
    parameters = described["Parameters"]
    jsonschema.Draft7Validator.check_schema(parameters)
    jsonschema.validate(GIVEN, parameters)
    assert set(parameters["required"]) == parameters["properties"].keys() == GIVEN.keys()
    for wrong in ({**GIVEN, "region": "cn-shenzhen"}, {**GIVEN, "roleArn": "relay"}, {**GIVEN, "more": ""}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, parameters)
    assert "[Unreleased]" in (built / "version.md").read_text(encoding="utf-8")
    assert (built / "readme.md").is_file()


@pytest.mark.needs("node")
def test_s_init_takes_it_and_deploys_what_the_project_would(built: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    project(made)
    done = run(made, "init", "--uri", str(built), "-d", "mine", "-y", "--parameters", json.dumps(GIVEN))
    assert done.returncode == 0, done.stdout
    mine = made / "mine"
    assert zipfile.is_zipfile(io.BytesIO((mine / "smarttag-relay.zip").read_bytes()))
    text = (mine / "s.yaml").read_text(encoding="utf-8")
    assert "{{" not in text
    (mine / "s.yaml").write_text(text.replace("component: fc3", "component: ./fc3"), encoding="utf-8")
    done = run(made, "deploy", "-y", "-t", "mine/s.yaml")
    assert done.returncode == 0, done.stdout
    lines = (made / "fc3" / "deployed.ndjson").read_text(encoding="utf-8").splitlines()
    deployed = {props["functionName"]: props for props in map(json.loads, lines)}
    expected = functions(
        REGION="cn-beijing",
        RELAY_ROLE="relay",
        OUTPUT_URL="oss://my-bucket/smarttag",
        MNS_TOPIC="mps",
        FAILED_QUEUE="lost",
    )
    for props in (*deployed.values(), *expected.values()):
        jsonschema.validate(props, SCHEMA, cls=jsonschema.Draft7Validator)
        del props["code"]
    assert deployed == expected
    assert not (made / "built.txt").exists(), "it is built already"
