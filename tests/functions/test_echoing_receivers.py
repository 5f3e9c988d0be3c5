"""Receivers that repeat what they were sent leave none of it: not in objects, logs, answers of the API or terminals."""

from __future__ import annotations

import base64
import html
import http.client
import json
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
from typer.testing import CliRunner

from local import recorded
from local.cli import main
from local.cloud.oss import BUCKET
from local.cloud.receiver import Receiver
from local.cloud.server import Fault, Request, Response
from local.cloud.world import SECRETS, SUBSCRIBERS, TOKEN, World, world

NAMES = ("cms", "review", "archive")
JOB = recorded.jobs()["documented"]
PLACES = ("path", "folder", "query", "flag", "token", "bearer", "session", "theme", "user", "password")


def planted(name: str, place: str) -> str:
    """Return one of the 30 values, as what it is part of can hold it."""
    return f"{name}{place}9x7Qz" + ("" if place in {"bearer", "session", "theme"} else "_v.1~K")


def subscriber(name: str, url: str) -> dict[str, object]:
    value = {place: planted(name, place) for place in PLACES}
    pair = base64.b64encode(f"{value['user']}:{value['password']}".encode()).decode()
    return {
        "id": name,
        "url": f"{url}/{value['folder']}/{value['path']}?key={value['query']}&{value['flag']}",
        "secrets": [SECRETS[name]],
        "headers": {
            "Authorization": f"Basic {pair}",
            "X-Token": value["token"],
            "X-Api-Key": f"Bearer {value['bearer']}",
            "Cookie": f"session={value['session']}; theme={value['theme']}",
        },
    }


def page(request: Request) -> Response:
    """Answer as Express does."""
    return Response(404, f"<pre>Cannot POST {html.escape(request.target)}</pre>{_said(request)}".encode())


def debug(request: Request) -> Response:
    """Answer as a debug page does, everything escaped once more."""
    return Response(500, json.dumps({"url": urllib.parse.quote(request.target), "text": _said(request)}).encode())


def gone(request: Request) -> Response:
    """Answer that it is gone, and where to."""
    said = f"{request.target} {_said(request)}"
    return Response(410, said.encode(), {"location": f"https://example.com{request.target}"})


def _said(request: Request) -> str:
    pair = base64.b64decode(request.headers["authorization"][6:]).decode()
    jar = [part.split("=", 1)[1] for part in request.headers["cookie"].split("; ")]
    return f"{pair} {' '.join(jar)} {request.headers['x-token']} {request.headers['x-api-key']} {request.query}"


def _echo(receiver: Receiver, answer: Callable[[Request], Response]) -> None:
    receiver.fail(Fault("alter", 1000, alter=lambda _: answer(receiver.requests[-1])))


def get(cloud: World, path: str) -> bytes:
    request = urllib.request.Request(cloud.http.url + path, headers={"Authorization": f"Bearer {TOKEN}"})  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
        return bytes(answer.read())


def asked(cloud: World, method: str, path: str, cookie: str = "", form: str = "") -> tuple[str, bytes]:
    """Ask for a page as a browser does; return the cookie that was set, and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", cloud.http.port, timeout=60)
    headers = {"Origin": cloud.http.url, "Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
    connection.request(method, path, form, headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status in {200, 303}, body
    return (answer.headers["Set-Cookie"] or "").partition(";")[0], body


def pages(cloud: World, cookie: str) -> bytes:
    """Return what the pages show, once somebody has acted on each of them."""
    job, letter = f"/library/jobs/{JOB.job_id}", f"deliveries/{JOB.job_id}~succeeded~archive~0"
    shown = [asked(cloud, "GET", path, cookie)[1] for path in ("/library", "/library/operations", job)]
    asked(cloud, "POST", f"{job}/redeliver", cookie, "subscriber=cms&key=1")
    asked(cloud, "POST", "/library/operations/replay", cookie, f"name={letter}")
    return b"".join(shown)


def terminal(cloud: World, config: Path) -> Iterator[bytes]:
    env = {
        "OUTPUT_URL": cloud.objects.as_uri(),
        "SUBSCRIBERS_URL": config.as_uri(),
        "WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
    }
    letter = f"deliveries/{JOB.job_id}~succeeded~archive~0"
    for command in (
        ("outbox",),
        ("dead", "list"),
        ("dead", "show", letter),
        ("subscribers", "list"),
        ("subscribers", "check", str(config)),
        ("subscribers", "test", "cms"),
        ("subscribers", "test", "review"),
    ):
        for options in ([], ["--json"]):
            done: Any = CliRunner().invoke(
                main.app, [*command, *options], env={**env, "FC_FUNCTION_NAME": "", "COLUMNS": "500"}
            )
            assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
            yield done.output_bytes


def test_none_of_thirty_planted_values_is_left_anywhere(tmp_path: Path) -> None:
    values = {planted(name, place) for name in NAMES for place in PLACES}
    assert len(values) == 30
    with world(tmp_path, {JOB.job_id: JOB.response}) as cloud:
        config = tmp_path / "oss" / BUCKET / SUBSCRIBERS
        entries = [subscriber(name, cloud.receivers[name].url) for name in NAMES]
        config.write_bytes(orjson.dumps({"version": 1, "subscribers": entries}))
        for name, answer in zip(NAMES, (page, debug, gone), strict=True):
            _echo(cloud.receivers[name], answer)
        receivers = list(cloud.receivers.values())
        cloud.notify(JOB.job_id, "Success")
        assert cloud.settle()
        sent = b"".join(
            repr((each.target, each.headers)).encode() for r in cloud.receivers.values() for each in r.requests
        )
        answer = get(cloud, f"/jobs/{JOB.job_id}/deliveries")
        attempts = [each for delivery in json.loads(answer)["deliveries"] for each in delivery["attempts"]]
        shown = b"".join(terminal(cloud, config))
        cookie, _ = asked(cloud, "POST", "/", form=f"token={TOKEN}")
        seen = pages(cloud, cookie)
        left = {
            path: path.read_bytes()
            for root in (cloud.objects, cloud.logs)
            for path in root.rglob("*")
            if path.is_file()
        }
    assert {each["status"] for each in attempts} == {404, 500, 410}
    assert all("[redacted]" in each["excerpt"] for each in attempts), "they did echo"
    assert shown.count(b"[redacted]") > 4
    assert seen.count(b"[redacted]") > 2
    assert len(left) > 20
    plain = {value for value in values if "user" not in value and "password" not in value}
    assert all(value.encode() in sent for value in plain), "all were sent"
    everything = {Path("answer"): answer, Path("terminal"): shown, Path("pages"): seen, **left}
    for place, body in everything.items():
        found = [value for value in values if value.encode() in body]
        assert found == [], place
    told = [json.loads(each.body)["data"].get("links") for receiver in receivers for each in receiver.requests]
    (signature,) = {links["report"].split("/")[-2].rpartition(".")[2].encode() for links in told if links}
    session = cookie.partition("=")[2].split(".")[2].encode()
    assert (len(signature), len(session)) == (43, 43)
    assert not [place for place, body in left.items() if session in body or TOKEN.encode() in body]
    assert {place.name for place, body in left.items() if signature in body} == {"event.json", "body.json"}
    assert not [place for place in left if session.decode() in str(place) or signature.decode() in str(place)]
