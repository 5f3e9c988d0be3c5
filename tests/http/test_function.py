"""The function's entry points, each in a process of its own: it reads the process's environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.http.tokens import hash_of
from tests.http.fakes import READ

ROOT = Path(__file__).parents[2]
EVENT = {
    "rawPath": "/healthz",
    "headers": {"Authorization": f"Bearer {READ}"},
    "requestContext": {"http": {"method": "GET", "path": "/healthz"}},
}
HANDLER = """
import json, sys, types
from functions import http_api
context = types.SimpleNamespace(request_id="1-64f6cd87", credentials=None)
answer = http_api.handler(json.dumps(json.loads(sys.argv[1])).encode(), context)
print("ANSWER", json.dumps(answer))
"""


def run(code: str, event: dict[str, Any], **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, json.dumps(event)]
    inherited = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=inherited | env, timeout=60)


def answer_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    return dict(json.loads(line.removeprefix("ANSWER ")))


def test_the_handler_answers_with_the_settings_of_the_environment(tmp_path: Path) -> None:
    done = run(HANDLER, EVENT, OUTPUT_URL=f"file://{tmp_path}", API_TOKENS=f"reader:read:{hash_of(READ)}")
    answer = answer_of(done)
    assert (answer["statusCode"], answer["body"]) == (200, '{"status":"ok"}')
    logged = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [(line["event"], line["requestId"], line.get("status")) for line in logged] == [
        ("http.request", "1-64f6cd87", 200),
        ("invocation.measured", "1-64f6cd87", None),
    ]


def test_an_artifact_comes_from_the_store(tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "j1"
    folder.mkdir(parents=True)
    (folder / "transcript.txt").write_text("大家好\n", "utf-8")
    event = EVENT | {"rawPath": "/jobs/j1/transcript.txt"}
    done = run(HANDLER, event, OUTPUT_URL=f"file://{tmp_path}", API_TOKENS=f"reader:read:{hash_of(READ)}")
    answer = answer_of(done)
    assert (answer["statusCode"], answer["body"]) == (200, "大家好\n")


@pytest.mark.parametrize("path", ["/healthz", "/jobs/1"])
def test_wrong_settings_are_named_in_the_log_and_not_in_the_answer(path: str) -> None:
    done = run(HANDLER, EVENT | {"rawPath": path}, OUTPUT_URL="s3://secret-bucket", API_AUTH="none")
    answer = answer_of(done)
    found = json.loads(answer["body"])
    assert (answer["statusCode"], found["type"].rpartition(":")[2]) == (500, "bad-settings")
    assert found["requestId"] == "1-64f6cd87"
    assert "OUTPUT_URL" not in answer["body"]
    assert "OUTPUT_URL" in done.stdout + done.stderr
    assert "API_AUTH" in done.stdout + done.stderr


def test_the_initializer_fails_where_settings_are_wrong(tmp_path: Path) -> None:
    code = "from functions import http_api\nhttp_api.initializer(None)"
    refused = run(code, {}, OUTPUT_URL="s3://bucket")
    assert refused.returncode == 1
    assert "OUTPUT_URL" in refused.stderr
    assert run(code, {}, OUTPUT_URL=f"file://{tmp_path}").returncode == 0


def test_under_fc_2_the_context_comes_with_the_request(tmp_path: Path) -> None:
    code = (
        "import io, json, os, types\n"
        "from functions import http_api\n"
        "context = types.SimpleNamespace(request_id='rid-2')\n"
        "environ = dict(os.environ) | {'REQUEST_METHOD': 'GET', 'PATH_INFO': '/healthz', 'QUERY_STRING': '',\n"
        "  'SERVER_NAME': 'FCRUNTIME', 'SERVER_PORT': '9000', 'SERVER_PROTOCOL': 'HTTP/1.1', 'HTTP': 'on',\n"
        "  'CONTENT_LENGTH': '0', 'CONTENT_TYPE': 'application/octet-stream', 'SCRIPT_NAME': '',\n"
        "  'wsgi.version': (1, 0), 'wsgi.input': io.BytesIO(), 'wsgi.url_scheme': 'http',\n"
        "  'fc.request_uri': '/2016-08-15/proxy/s/f/healthz', 'fc.context': context}\n"
        "got = []\n"
        "body = b''.join(http_api.application(environ, lambda *started: got.extend(started)))\n"
        "print('ANSWER', json.dumps({'status': got[0], 'headers': dict(got[1]), 'body': body.decode()}))\n"
    )
    answer = answer_of(run(code, {}, OUTPUT_URL=f"file://{tmp_path}"))
    assert (answer["status"], answer["body"]) == ("200 OK", '{"status":"ok"}')
    assert answer["headers"]["X-Request-Id"] == "rid-2"


def test_what_is_not_needed_is_not_loaded(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "import functions.mns_callback\n"
        "print('CALLBACK', sorted({'werkzeug', 'cryptography'} & set(sys.modules)))\n"
        f"{HANDLER}"
        "print('API', sorted({'cryptography', 'urllib3', 'jinja2', 'fc2'} & set(sys.modules)))\n"
        "pages = ('shared.http.pages.', 'shared.catalogue')\n"
        "print('PAGES', sorted(name for name in sys.modules if name.startswith(pages)))\n"
    )
    done = run(code, EVENT | {"rawPath": "/jobs/j1"}, OUTPUT_URL=f"file://{tmp_path}")
    assert answer_of(done)["statusCode"] == 401
    assert "CALLBACK []" in done.stdout.splitlines()
    assert "API []" in done.stdout.splitlines()
    assert "PAGES []" in done.stdout.splitlines()
