"""The Function Compute stand-in: real processes, real sockets, the real fc2 package."""

from __future__ import annotations

import base64
import errno
import http.client
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from local.cloud.fc import FunctionCompute
from local.cloud.fc_http import to_response
from local.cloud.fc_instance import Function, Result
from local.cloud.fc_triggers import FcApi, FcHttpTrigger, Timer
from local.cloud.server import Refusal, Request
from shared.credentials import Credentials
from shared.triggers import Publish, Sweep, parse
from tests import needs

CODE = Path(__file__).parent
ROOT = CODE.parents[1]
KEY = Credentials("LTAI-test", "secret-of-the-key", "token-of-the-role")

Cloud = Callable[..., FunctionCompute]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """Start a cloud of the named handlers; keywords configure every one of them."""
    with ExitStack() as stack:

        def start(*names: str, **settings: Any) -> FunctionCompute:
            functions = [Function(name, f"handlers.{name}", CODE, **settings) for name in names]
            return stack.enter_context(FunctionCompute(functions, credentials=KEY, logs=tmp_path))

        yield start


def seen(result: Result) -> Any:
    assert result.error_type == ""
    return json.loads(result.payload)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_event_arrives_as_bytes_whatever_they_are(cloud: Cloud) -> None:
    fc = cloud("echo", "kind")
    event = bytes(range(256)) * 20_000
    assert fc.invoke("echo", event).payload == event
    assert fc.invoke("kind", b"").payload == b"bytes"


def test_the_process_gets_the_environment_of_the_platform_and_nothing_of_ours(cloud: Cloud) -> None:
    given = {"OUTPUT_URL": "oss://b/p", "FC_OWN": "the runtime removes what starts like this"}
    env = seen(cloud("about", environment=given).invoke("about", b""))["env"]
    assert env["OUTPUT_URL"] == "oss://b/p"
    assert "FC_OWN" not in env
    assert env["ALIBABA_CLOUD_ACCESS_KEY_SECRET"] == "secret-of-the-key"
    assert (env["FC_FUNCTION_NAME"], env["FC_FUNC_CODE_PATH"]) == ("about", str(CODE))
    ours = {name for name in env if not name.startswith(("FC_", "ALIBABA_CLOUD_"))}
    assert ours - {"LC_CTYPE"} == {
        "PATH",
        "LANG",
        "OUTPUT_URL",
    }  # Python adds LC_CTYPE where the machine lacks a locale


def test_context_of_python_310(cloud: Cloud) -> None:
    fc = cloud("about", "credentials")
    about = seen(fc.invoke("about", b"", request_id="1-abc"))
    assert about["has"] == ["credentials", "service", "tracing", "retry_count"]
    assert about["request_id"] == about["context"]["request_id"] == "1-abc"
    assert about["context"]["function"] == {"name": "about", "handler": "handlers.about", "memory": 512, "timeout": 60}
    assert about["context"]["service"]["name"] == "smarttag-relay"
    assert (about["cwd"], about["path"]) == (str(CODE), str(CODE))
    assert seen(fc.invoke("credentials", b"")) == [KEY.access_key_id, KEY.access_key_secret, *[KEY.security_token] * 2]


def test_context_of_python_312_has_no_credentials(cloud: Cloud) -> None:
    about = seen(cloud("about", runtime="python3.12").invoke("about", b""))
    assert about["has"] == []
    assert about["context"]["function"]["qualifier"] == "LATEST"
    assert about["env"]["ALIBABA_CLOUD_SECURITY_TOKEN"] == "token-of-the-role"


def test_rotated_credentials_reach_the_context_of_a_running_instance_and_never_its_environment(cloud: Cloud) -> None:
    fc = cloud("credentials")
    fc.invoke("credentials", b"")
    fc.credentials = Credentials("LTAI-next", "next-secret", "next-token")
    assert seen(fc.invoke("credentials", b"")) == ["LTAI-next", "next-secret", "next-token", KEY.security_token]


@pytest.mark.parametrize(
    "version", [pytest.param(name, marks=pytest.mark.needs(name)) for name in ("python3.10", "python3.12")]
)
def test_another_interpreter_runs_the_function(cloud: Cloud, version: str) -> None:
    assert cloud("echo", python=needs.find(version)).invoke("echo", b"x").payload == b"x"


def test_the_initializer_runs_once_per_instance_and_instances_are_reused(cloud: Cloud) -> None:
    fc = cloud("about", initializer="handlers.initializer")
    first, second = (seen(fc.invoke("about", b"")) for _ in range(2))
    assert first["pid"] == second["pid"]
    assert len(second["initialized"]) == 1


def test_a_failing_initializer_fails_the_invocation_and_ends_the_instance(cloud: Cloud) -> None:
    fc = cloud("echo", initializer="handlers.bad_initializer")
    for _ in range(2):
        result = fc.invoke("echo", b"x")
        assert result.error_type == "UnhandledInvocationError"
        assert json.loads(result.payload)["errorMessage"] == "misconfigured"
    assert fc.log("echo").count("runtime inited") == 2


def test_requests_at_the_same_time_run_in_processes_of_their_own(cloud: Cloud) -> None:
    fc = cloud("sleeps", instances=3)
    with ThreadPoolExecutor(6) as pool:
        pids = {result.payload for result in pool.map(lambda _: fc.invoke("sleeps", b"0.4"), range(6))}
    assert len(pids) == 3


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        (b"str", "é".encode()),
        (b"bytes", b"\xff"),
        (b"none", b"null"),
        (b"dict", b'{\n    "a": [\n        1\n    ],\n    "b": 1\n}'),
        (b"odd", b'{\n    "d": 1.5,\n    "o": {\n        "a": 1\n    },\n    "t": "2026-01-02T03:04:05+00:00"\n}'),
    ],
)
def test_answers_are_converted_as_the_runtime_does(cloud: Cloud, event: bytes, payload: bytes) -> None:
    result = cloud("returns").invoke("returns", event)
    assert (result.status, result.error_type, result.payload) == (200, "", payload)


def test_an_answer_that_is_no_json_and_an_exception_are_unhandled_errors(cloud: Cloud) -> None:
    fc = cloud("returns", "fails", "echo")
    assert json.loads(fc.invoke("returns", b"bad").payload)["errorType"] == "TypeError"
    result = fc.invoke("fails", b"")
    fault = json.loads(result.payload)
    assert (result.status, result.error_type) == (200, "UnhandledInvocationError")
    assert (fault["errorMessage"], fault["errorType"]) == ("'no such thing'", "KeyError")
    file, line, function, code = fault["stackTrace"][-4:]
    assert file == f'File "{CODE / "handlers.py"}"'
    assert re.fullmatch(r"line \d+", line)
    assert (function, code) == ("in fails", 'raise KeyError("no such thing")')
    assert ", Error: Unhandled function error" in fc.log("fails")


def test_a_handler_that_does_not_exist_is_named(tmp_path: Path) -> None:
    functions = [Function("a", "handlers.absent", CODE), Function("b", "absent.file.handler", CODE)]
    with FunctionCompute(functions, credentials=KEY, logs=tmp_path) as fc:
        faults = [json.loads(fc.invoke(name, b"").payload) for name in ("a", "b")]
        assert [fault["errorType"] for fault in faults] == ["ImportModuleError"] * 2
        assert [fault["errorMessage"].partition(":")[0] for fault in faults] == [
            "Unable to import module 'handlers'",
            "Unable to import module 'absent.file'",
        ]
        with pytest.raises(Refusal, match="function c does not exist"):
            fc.invoke("c", b"")


def test_a_handler_in_a_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    (tmp_path / "functions" / "entry.py").write_text("import top\ndef handler(event, context):\n    return top.NAME\n")
    (tmp_path / "top.py").write_text("NAME = 'top'\n")
    function = Function("entry", "functions/entry.handler", tmp_path)
    with FunctionCompute([function], credentials=KEY, logs=tmp_path) as fc:
        assert fc.invoke("entry", b"").payload == b"top"


def test_a_timeout_ends_the_process_with_143_and_the_next_request_gets_another(cloud: Cloud) -> None:
    fc = cloud("sleeps", timeout=2.0)
    before = int(fc.invoke("sleeps", b"0").payload)
    result = fc.invoke("sleeps", b"30")
    assert result.error_type == "UnhandledInvocationError"
    assert json.loads(result.payload)["errorMessage"] == "Function timed out after 2 seconds (exit code 143)"
    assert "handlers.py" in fc.log("sleeps")  # where every thread was
    assert not is_running(before)
    assert int(fc.invoke("sleeps", b"0").payload) != before


def test_a_process_that_ignores_sigterm_is_killed(cloud: Cloud) -> None:
    result = cloud("stubborn", timeout=1.5).invoke("stubborn", b"")
    assert "exit code -9" in json.loads(result.payload)["errorMessage"]


@pytest.mark.parametrize(("name", "code"), [("crashes", 7), ("exits", 3)])
def test_a_crash_is_an_unhandled_error(cloud: Cloud, name: str, code: int) -> None:
    fc = cloud(name)
    result = fc.invoke(name, b"")
    assert (result.status, result.error_type) == (200, "UnhandledInvocationError")
    assert f"exit code {code}" in json.loads(result.payload)["errorMessage"]
    assert "last words" in fc.log(name) or name == "exits"


def test_logs_look_like_the_platforms(cloud: Cloud) -> None:
    fc = cloud("logs")
    fc.invoke("logs", b"", request_id="1-abc")
    lines = fc.log("logs").splitlines()
    assert lines[0] == "FunctionCompute python3 runtime inited."
    assert lines[1] == "FC Invoke Start RequestId: 1-abc"
    assert lines[-1] == "FC Invoke End RequestId: 1-abc"
    assert {"printed", "to stderr"} < set(lines)
    assert re.search(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z 1-abc \[INFO\] informed$", fc.log("logs"), re.MULTILINE)
    assert "[WARNING] warned" in fc.log("logs")
    assert "not shown" not in fc.log("logs")


def test_nothing_runs_after_the_end(tmp_path: Path) -> None:
    function = Function("sleeps", "handlers.sleeps", CODE)
    with FunctionCompute([function], credentials=KEY, logs=tmp_path) as fc:
        idle = int(fc.invoke("sleeps", b"0").payload)
        fc.invoke_async("sleeps", b"60")
        deadline = time.monotonic() + 10
        while fc.log("sleeps").count("Invoke Start") < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        busy = [instance._process.pid for instance in fc._all]  # a busy one cannot tell its own
    assert idle in busy
    assert not any(is_running(pid) for pid in busy)
    assert fc.drain(0)
    with pytest.raises(Refusal, match="stopping"):
        fc.invoke("sleeps", b"0")


def test_asynchronous_failures_are_retried_until_they_succeed(cloud: Cloud) -> None:
    fc = cloud("fails_until")
    request_id = fc.invoke_async("fails_until", b"2")
    assert fc.drain()
    (outcome,) = fc.outcomes
    assert (outcome.attempts, outcome.result) == (3, Result(200, b"2", "", request_id))
    assert "attempt 2" in fc.log("fails_until")


def test_an_event_that_fails_for_good_goes_to_the_destination(tmp_path: Path) -> None:
    arrived: list[bytes] = []
    delays: list[int] = []
    functions = [
        Function("fails", "handlers.fails", CODE, retries=2, on_failure="echo"),
        Function("crashes", "handlers.crashes", CODE, retries=0, on_failure=arrived.append),
        Function("echo", "handlers.echo", CODE),
    ]

    def delay(retry: int) -> float:
        delays.append(retry)
        return 0.0

    with FunctionCompute(functions, credentials=KEY, logs=tmp_path, retry_delay=delay) as fc:
        fc.invoke_async("fails", Publish("job-1").to_event())
        fc.invoke_async("crashes", b'{"a": "\xc3\xa9"}')
        assert fc.drain()
    assert delays == [1, 2]
    outcomes = {outcome.function: outcome for outcome in fc.outcomes}
    echoed = outcomes["echo"].result.payload
    assert parse(echoed) == (Publish("job-1"),)
    assert json.loads(echoed)["requestContext"]["approximateInvokeCount"] == 3
    (event,) = map(json.loads, arrived)
    assert event["requestPayload"] == '{"a": "é"}'
    assert event["responseContext"] == {"statusCode": 200, "functionError": "UnhandledInvocationError"}


def test_an_asynchronous_event_over_128_kb_is_refused(cloud: Cloud) -> None:
    fc = cloud("echo")
    with pytest.raises(Refusal, match="128 KB"):
        fc.invoke_async("echo", b"x" * 131_073)
    fc.invoke_async("echo", b"x" * 131_072)
    assert fc.drain()


def test_the_code_folder_is_read_only_and_the_temporary_one_is_not(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "entry.py").write_text(
        "import os, tempfile, helper\n"
        "def attempt(change, *arguments):\n"
        "    try: change(*arguments)\n"
        "    except OSError as error: return error.errno\n"
        "def handler(event, context):\n"
        "    tempfile.TemporaryFile().write(b'1')\n"
        "    return [attempt(open, 'new', 'w'), attempt(open, 'entry.py', 'r+'), attempt(os.mkdir, 'folder'),\n"
        "            attempt(os.remove, 'entry.py'), attempt(os.rename, 'entry.py', '/tmp/elsewhere')]\n"
    )
    (code / "helper.py").touch()
    before = sorted(code.rglob("*"))
    with FunctionCompute([Function("entry", "entry.handler", code)], credentials=KEY, logs=tmp_path / "logs") as fc:
        assert seen(fc.invoke("entry", b"")) == [errno.EROFS] * 5
    assert sorted(code.rglob("*")) == before


def test_a_frozen_instance_does_nothing_until_its_next_request(cloud: Cloud) -> None:
    fc = cloud("counts")
    fc.invoke("counts", b"")
    fc.freeze()
    time.sleep(0.1)  # the kernel may take a moment to stop every thread
    (instance,) = fc._all
    status = Path(f"/proc/{instance._process.pid}/status").read_text(encoding="ascii")
    assert "State:\tT (stopped)" in status
    assert int(fc.invoke("counts", b"").payload) == 2
    fc.freeze()  # and the end comes at once, too


def test_an_invocation_of_a_function_with_an_http_trigger_arrives_as_an_http_event(tmp_path: Path) -> None:
    function = Function("http", "handlers.http", CODE, http=True, retries=0)
    with FunctionCompute([function], credentials=KEY, logs=tmp_path) as fc:
        answer = json.loads(fc.invoke_function("http", b'{"Type": "smarttag"}').payload)
        event = json.loads(answer["body"])
        assert event["rawPath"] == "/2023-03-30/functions/http/invocations"
        assert event["requestContext"]["http"]["method"] == "POST"
        assert base64.b64decode(event["body"]) == b'{"Type": "smarttag"}'
        assert fc.invoke_function("http", b"", wait=False).status == 202
        assert fc.drain()


def test_the_page_about_the_local_cloud_names_every_stand_in() -> None:
    page = (ROOT / "local" / "cloud" / "README.md").read_text(encoding="utf-8")
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "local" / "cloud").glob("*.py"))
    names = {"Topic", "FunctionCompute", "Timer", *re.findall(r"^class (\w+)\(StandIn\)", code, re.MULTILINE)}
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_the_timer_fires_by_itself_and_on_demand(cloud: Cloud) -> None:
    fc = cloud("echo")
    Timer(fc, "echo", 3600, name="sweep", payload="p").fire()
    assert fc.drain()
    event = fc.outcomes[0].result.payload
    assert json.loads(event)["payload"] == "p"
    (sweep,) = parse(event)
    assert isinstance(sweep, Sweep)
    assert sweep.trigger_name == "sweep"
    with Timer(fc, "echo", 0.05):
        deadline = time.monotonic() + 10
        while len(fc.outcomes) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
    assert len(fc.outcomes) >= 3


def request(target: str = "/", method: str = "GET", body: bytes = b"", **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, target, target.partition("?")[0], {}, named, body)


def test_a_body_that_is_sent_in_chunks_arrives_whole(cloud: Cloud) -> None:
    with FcHttpTrigger(cloud("http"), "http") as trigger:
        connection = http.client.HTTPConnection("127.0.0.1", trigger.port, timeout=10)
        for _ in range(2):  # the second on the same connection: nothing of the first is left in it
            connection.request("POST", "/", iter([b"in ", b"pieces"]), {"Content-Type": "text/plain"})
            event = json.loads(connection.getresponse().read())
            assert (event["body"], event["requestContext"]["http"]["method"]) == ("in pieces", "POST")
        connection.close()


def test_the_http_event_is_the_documented_one(cloud: Cloud) -> None:
    with FcHttpTrigger(cloud("http"), "http") as trigger:
        connection = http.client.HTTPConnection("127.0.0.1", trigger.port, timeout=30)
        connection.putrequest("POST", "/jobs/%E4%B8%87%20a?x=1&x=2&y=%26&z=")
        for name, value in [("content-type", "text/plain; charset=utf-8"), ("X-MANY", "1"), ("x-many", "2")]:
            connection.putheader(name, value)
        connection.putheader("Content-Length", "3")
        connection.endheaders("é!".encode())
        answer = connection.getresponse()
        event = json.loads(answer.read())
        connection.close()
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.headers["X-Fc-Request-Id"] == event["requestContext"]["requestId"]
    assert (event["version"], event["rawPath"]) == ("v1", "/jobs/%E4%B8%87%20a")
    assert (event["body"], event["isBase64Encoded"]) == ("é!", False)
    assert event["headers"]["Content-Type"] == "text/plain; charset=utf-8"
    assert event["headers"]["X-Many"] == "1,2"
    assert event["queryParameters"] == {"x": "1,2", "y": "&", "z": ""}
    assert event["requestContext"]["http"]["path"] == "/jobs/万 a"
    assert event["requestContext"]["http"]["method"] == "POST"
    assert isinstance(event["requestContext"]["timeEpoch"], str)
    assert event["requestContext"]["triggerId"]


@pytest.mark.parametrize(
    ("kind", "body"), [("image/png", b"\x89PNG"), ("", b"{}"), ("application/json", '"万"'.encode("gbk"))]
)
def test_a_body_that_is_not_text_arrives_as_base64(cloud: Cloud, kind: str, body: bytes) -> None:
    answer = cloud("http").http("http", request("/", "POST", body, content_type=kind))
    event = json.loads(answer.body)
    assert (event["isBase64Encoded"], base64.b64decode(event["body"])) == (True, body)


def test_answers_of_an_http_function(cloud: Cloud) -> None:
    fc = cloud("http", retries=0)
    binary = fc.http("http", request("/?answer=binary"))
    assert (binary.status, binary.body) == (201, b"\x89PNG\xff")
    assert binary.headers.keys() == {"Content-Type", "X-Fc-Request-Id"}
    plain = fc.http("http", request("/?answer=plain"))
    assert (plain.status, json.loads(plain.body)) == (200, {"hello": "world"})
    broken = fc.http("http", request("/?answer=raise"))
    assert (broken.status, broken.headers["X-Fc-Error-Type"]) == (502, "UnhandledInvocationError")
    for wrong in ("bad%20status", "bad%20base64", "split"):
        assert fc.http("http", request(f"/?answer={wrong}")).status == 502
    assert to_response(b'"' + b"a" * (32 << 20) + b'"').status == 502
    assert fc.http("http", request("/", x_fc_invocation_type="Async")).status == 202
    assert fc.drain()
    assert fc.http("absent", request("/")).status == 404


@pytest.mark.parametrize(
    "over",
    [request("/", x="y" * 8200), request("/" + "a" * 4097), request("/", "POST", b"a" * (32 << 20) + b"b")],
)
def test_requests_over_the_limits_are_refused(cloud: Cloud, over: Request) -> None:
    answer = cloud("http").http("http", over)
    assert (answer.status, json.loads(answer.body)["ErrorCode"]) == (400, "InvalidArgument")


@pytest.fixture
def api(cloud: Cloud) -> Iterator[tuple[FunctionCompute, FcApi]]:
    fc = cloud("echo", "fails", retries=0)
    with FcApi(fc) as stand_in:
        yield fc, stand_in


def fc2_client(api: FcApi, **changes: str) -> Any:
    import fc2

    settings = {"accessKeyID": KEY.access_key_id, "accessKeySecret": KEY.access_key_secret}
    return fc2.Client(endpoint=api.url, **{**settings, "securityToken": KEY.security_token, **changes})


def test_fc2_calls_a_function(api: tuple[FunctionCompute, FcApi]) -> None:
    import fc2

    client = fc2_client(api[1])
    answer = client.invoke_function("smarttag-relay", "echo", payload=b'{"a":1}', qualifier="prod")
    assert answer.data == b'{"a":1}'
    assert answer.headers["X-Fc-Request-Id"].startswith("1-")
    with pytest.raises(fc2.FcError) as failed:
        client.invoke_function("smarttag-relay", "fails", payload=b"")
    assert "no such thing" in str(failed.value)


def test_fc2_calls_asynchronously_and_a_task_only_once(api: tuple[FunctionCompute, FcApi]) -> None:
    import fc2

    fc, client = api[0], fc2_client(api[1])
    headers = {"x-fc-invocation-type": "Async", "x-fc-stateful-async-invocation-id": "job-1"}
    client.invoke_function("smarttag-relay", "echo", payload=b"1", headers=dict(headers))
    with pytest.raises(fc2.FcError) as again:
        client.invoke_function("smarttag-relay", "echo", payload=b"2", headers=dict(headers))
    assert again.value.status_code == 409
    client.invoke_function("smarttag-relay", "echo", payload=b"3", headers={"x-fc-invocation-type": "Async"})
    assert fc.drain()
    assert {outcome.result.payload for outcome in fc.outcomes} == {b"1", b"3"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"accessKeySecret": "wrong"}, "SignatureNotMatch"),
        ({"accessKeyID": "wrong"}, "SignatureNotMatch"),
        ({"securityToken": "expired"}, "InvalidSecurityToken"),
    ],
)
def test_the_api_checks_who_calls(api: tuple[FunctionCompute, FcApi], changes: dict[str, str], code: str) -> None:
    import fc2

    with pytest.raises(fc2.FcError) as refused:
        fc2_client(api[1], **changes).invoke_function("smarttag-relay", "echo", payload=b"1")
    assert (refused.value.status_code, refused.value.err_code) == (403, code)
    assert "invocations" in api[1].requests[0].path
    assert "FC Invoke" not in api[0].log("echo")


@pytest.mark.parametrize(
    ("service", "function", "code"),
    [("other", "echo", "ServiceNotFound"), ("smarttag-relay", "absent", "FunctionNotFound")],
)
def test_the_api_knows_its_functions(
    api: tuple[FunctionCompute, FcApi], service: str, function: str, code: str
) -> None:
    import fc2

    with pytest.raises(fc2.FcError) as refused:
        fc2_client(api[1]).invoke_function(service, function, payload=b"1")
    assert (refused.value.status_code, refused.value.err_code) == (404, code)


@pytest.mark.parametrize("date", ["Thu, 01 Jan 2026 00:00:00 GMT", "yesterday"])
def test_the_api_checks_the_clock(api: tuple[FunctionCompute, FcApi], date: str) -> None:
    path = "/2016-08-15/services/smarttag-relay/functions/echo/invocations"
    answer = api[1].answer(request(path, "POST", date=date))
    assert (answer.status, json.loads(answer.body)["ErrorCode"]) == (403, "RequestTimeTooSkewed")


def test_a_function_answers_several_browsers_at_once(cloud: Cloud) -> None:
    with FcHttpTrigger(cloud("http", instances=2), "http") as trigger:
        statuses: list[int] = []

        def call() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", trigger.port, timeout=30)
            connection.request("GET", "/?answer=plain")
            statuses.append(connection.getresponse().status)
            connection.close()

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert statuses == [200] * 8
