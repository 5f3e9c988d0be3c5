"""Receivers that say back what they were sent, as Express, Apache and debug pages do: nothing of it is kept."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from local.cloud.receiver import Receiver
from local.cloud.server import Fault, Request, Response
from shared.webhooks.address_guard import AddressGuard
from shared.webhooks.redaction import MASK, redact
from shared.webhooks.sender import Sender
from shared.webhooks.subscribers import Subscriber
from tests.webhooks.net import LOOPBACK, SECRET

PLANTED = {
    "path segment": "p4th-t0ken/with a slash",
    "short path segment": "k3y",
    "path parameter": "5ess10n",
    "Chinese path segment": "密钥路径",
    "query value": "qu3ry&v4lue=<1>",
    "short query value": "q7x",
    "query without a name": "n4meless-query",
    "bearer token": "b34rer.t0ken/with+signs==",
    "short bearer token": "pin-42",
    "user": "us3r",
    "password": 'p4ss:w0rd"<&>',
    "cookie": "c00kie%20value",
    "second cookie": "s1d",
    "signature part": "s1gn4ture==",
    "webhook secret": SECRET.removeprefix("whsec_"),
    "identifier": "0b8f6c1e-5d0a-4c1b-9a53-2f1f6c0de111",
    "second query value": "qv4lue-tw0",
    "query value in JSON": '{"k":"js0n-v4lue"}',
    "Chinese query value": "查询秘密",
    "key": "4p1-k3y-AbCdEf",
    "short key": "zk9",
    "hexadecimal key": "deadbeefcafe0042",
    "signed token": "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln",
    "digest user": "d1gest-user",
    "digest response": "6629fae49393a05397450978507c4ef1",
    "third cookie": "th1rd c00kie",
    "fourth cookie": "f0urth=c00kie",
    "second user": "0ther-user",
    "second password": "pass%word/2",
    "words in a header": "three secret-ish w0rds",
}
PATH = (
    f"/{quote(PLANTED['path segment'], safe='')}/{PLANTED['short path segment']};s={PLANTED['path parameter']}"
    f"/{quote(PLANTED['Chinese path segment'])}?token={quote_plus(PLANTED['query value'])}"
    f"&k={PLANTED['short query value']}&{PLANTED['query without a name']}&id={PLANTED['identifier']}"
    f"&b={PLANTED['second query value']}&j={quote_plus(PLANTED['query value in JSON'])}"
    f"&c={quote_plus(PLANTED['Chinese query value'])}"
)
PAIR = f"{PLANTED['user']}:{PLANTED['password']}"
HEADERS = {
    "authorization": "Basic " + base64.b64encode(PAIR.encode()).decode(),
    "x-token": "Bearer " + PLANTED["bearer token"],
    "x-pin": "Pin " + PLANTED["short bearer token"],
    "cookie": f"a={PLANTED['cookie']}; b={PLANTED['second cookie']}; "
    f'c="{PLANTED["third cookie"]}"; d={PLANTED["fourth cookie"]}',
    "x-key": PLANTED["key"],
    "x-short": PLANTED["short key"],
    "x-hex": PLANTED["hexadecimal key"].upper(),
    "x-jwt": f"Bearer {PLANTED['signed token']}",
    "x-digest": f'Digest username="{PLANTED["digest user"]}", response="{PLANTED["digest response"]}"',
    "x-other": "basic " + base64.b64encode(f"{PLANTED['second user']}:{PLANTED['second password']}".encode()).decode(),
    "x-words": PLANTED["words in a header"],
    "x-signature": f'keyId="1", signature="{PLANTED["signature part"]}"',
}
SENT = [PATH, *HEADERS.values(), SECRET]

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "for a URL": lambda text: quote(text, safe=""),
    "for a URL in small letters": lambda text: quote(text, safe="").lower(),
    "for a form": quote_plus,
    "for a URL, every letter": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "for a URL twice": lambda text: quote(quote(text, safe=""), safe=""),
    "for HTML": html.escape,
    "for HTML in numbers": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "for HTML in hexadecimal": lambda text: "".join(f"&#x{ord(letter):x};" for letter in text),
    "for HTML after a URL": lambda text: html.escape(quote(text, safe="&<>\"'")),
    "for JSON": lambda text: json.dumps(text)[1:-1],
    "for JSON with slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "for JSON, every letter": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text),
    "for JSON twice": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "for JSON after HTML": lambda text: json.dumps(html.escape(text))[1:-1],
    "as Python shows bytes": lambda text: repr(text.encode())[2:-1],
    "in capitals": str.upper,
    "cut short": lambda text: text[: max(len(text) - 2, 8)],
    "without its beginning": lambda text: text[-max(len(text) - 2, 8) :],
}


def test_thirty_values_are_planted() -> None:
    assert len(PLANTED) >= 30


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_value_is_masked_in_every_form(what: str, form: str) -> None:
    said = FORMS[form](PLANTED[what])
    assert redact(f"Cannot POST ({said}) here.", SENT) == f"Cannot POST ({MASK}) here."


def test_the_whole_header_and_the_whole_path_are_masked() -> None:
    for value in (PATH, *HEADERS.values(), PAIR):
        assert redact(f"<{value}>", SENT) == f"<{MASK}>"


@pytest.mark.parametrize(
    "text",
    ["", "Cannot POST", "no k3ys here, and no 5ess10ns", "unknown q7xy", "internal error 500", "签名错误: 密钥无效"],
)
def test_the_rest_can_still_be_read(text: str) -> None:
    assert redact(text, SENT) == text


@given(st.text(), st.lists(st.text()))
@example("%", ["%"])
@example("&#55555;\\ud800%ff", ["\ud800"])
def test_no_text_is_too_odd(text: str, sent: list[str]) -> None:
    masked = redact(text, sent)
    assert masked.replace(MASK, "") == "" or any(piece in text for piece in masked.split(MASK))


@given(
    st.text("abc/%2F&;=:\"' +", min_size=8, max_size=40), st.sampled_from(sorted(FORMS)), st.text("xyz .", max_size=9)
)
def test_whatever_was_sent_is_masked(value: str, form: str, around: str) -> None:
    said = FORMS[form](value)
    if len(said) >= 8:
        assert said.strip() not in redact(f"{around} {said} {around}", [value]).replace(MASK, "")


# The same through the sender, from receivers that echo as servers do.


def express(request: Request) -> Response:
    page = f"<!DOCTYPE html>\n<html><body>\n<pre>Cannot POST {html.escape(request.target)}</pre>\n</body></html>\n"
    return Response(404, page.encode(), {"content-type": "text/html; charset=utf-8"})


def apache(request: Request) -> Response:
    page = f"<h1>Not Found</h1><p>The requested URL {html.escape(request.path)} was not found on this server.</p>"
    return Response(404, page.encode())


def json_of_headers(request: Request) -> Response:
    wanted = {name: value for name, value in request.headers.items() if name in HEADERS or name == "webhook-signature"}
    return Response(500, json.dumps({"headers": wanted, "args": request.query}).encode())


def python_debug(request: Request) -> Response:
    return Response(500, repr({"QUERY": request.query, "HEADERS": request.headers}).encode())


def basic(request: Request) -> Response:
    said = ""
    for name in ("authorization", "x-other"):
        user, _, password = base64.b64decode(request.headers[name][6:]).decode().partition(":")
        said += f"user {user}: wrong password {password}\n"
    return Response(401, said.encode())


def cookies(request: Request) -> Response:
    jar = dict(part.split("=", 1) for part in request.headers["cookie"].split("; "))
    return Response(400, "".join(f"{name} -> {value}\n" for name, value in jar.items()).encode())


def utf_16(request: Request) -> Response:
    return Response(500, f"{request.target} {request.headers['x-token']}".encode("utf-16-le"))


def redirect(request: Request) -> Response:
    return Response(302, b"", {"location": f"https://{PLANTED['query without a name']}.example.com{request.target}"})


@pytest.mark.parametrize(
    "echo",
    [express, apache, json_of_headers, python_debug, basic, cookies, utf_16, redirect],
    ids=lambda echo: echo.__name__,
)
def test_an_echoing_receiver_leaves_nothing_in_the_attempt(echo: Callable[[Request], Response]) -> None:
    with Receiver(SECRET) as receiver:
        receiver.fail(Fault("alter", alter=lambda _: echo(receiver.requests[-1])))
        subscriber = Subscriber("cms", receiver.url + PATH, (SECRET,), headers=HEADERS)
        attempt = Sender(AddressGuard(allow=LOOPBACK)).send(subscriber, "evt_1", 1, b"{}")
        signature = receiver.requests[-1].headers["webhook-signature"]
    shown = repr(attempt)
    assert attempt.kind == "failed"
    assert MASK in shown, "it did echo"
    for value in (*PLANTED.values(), *HEADERS.values(), signature, PATH):
        for form in FORMS.values():
            assert form(value) not in shown
