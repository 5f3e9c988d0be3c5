"""Handlers that the Function Compute stand-in runs in tests; standard library only."""

import base64
import datetime as dt
import decimal
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

initialized: list[str] = []


def initializer(context: Any) -> None:
    initialized.append(context.request_id)


def echo(event: bytes, _context: Any) -> object:
    return event


def kind(event: bytes, _context: Any) -> object:
    return type(event).__name__


def about(_event: bytes, context: Any) -> object:
    """What the handler can see of its surroundings."""
    return {
        "pid": os.getpid(),
        "initialized": initialized,
        "env": dict(os.environ),
        "cwd": str(Path.cwd()),
        "path": sys.path[0],
        "context": json.loads(context.to_json()),
        "has": [name for name in ("credentials", "service", "tracing", "retry_count") if hasattr(context, name)],
        "request_id": context.requestId,
    }


def credentials(_event: bytes, context: Any) -> object:
    key = context.credentials
    return [key.access_key_id, key.accessKeySecret, key.securityToken, os.environ["ALIBABA_CLOUD_SECURITY_TOKEN"]]


class Jsonable:
    def to_json(self) -> object:
        return {"a": 1}


def returns(event: bytes, _context: Any) -> object:
    values = {
        "str": "é",
        "bytes": b"\xff",
        "none": None,
        "dict": {"b": 1, "a": [1]},
        "odd": {
            "d": decimal.Decimal("1.5"),
            "t": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.timezone.utc),
            "o": Jsonable(),
        },
        "bad": {1, 2},
    }
    return values[event.decode()]


def fails(_event: bytes, _context: Any) -> None:
    raise KeyError("no such thing")


def fails_until(event: bytes, context: Any) -> object:
    """Succeed at the attempt the event names."""
    logging.getLogger().info("attempt %s", context.retry_count)
    if context.retry_count < int(event):
        raise RuntimeError("not yet")
    return str(context.retry_count)


def logs(_event: bytes, context: Any) -> None:
    logging.getLogger().info("informed")
    logging.getLogger().debug("not shown")
    context.getLogger().warning("warned")
    sys.stdout.write("printed\n")
    sys.stderr.write("to stderr\n")


def crashes(_event: bytes, _context: Any) -> None:
    sys.stdout.write("last words\n")
    os._exit(7)


def exits(_event: bytes, _context: Any) -> None:
    sys.exit(3)


def sleeps(event: bytes, _context: Any) -> object:
    time.sleep(float(event))
    return str(os.getpid())


def stubborn(_event: bytes, _context: Any) -> None:
    """Swallow the SystemExit that SIGTERM raises."""
    while True:
        try:
            time.sleep(60)
        except SystemExit:
            sys.stdout.write("not leaving\n")


def counts(_event: bytes, _context: Any) -> object:
    """Say how often this process was called."""
    initialized.append("")
    return str(len(initialized))


def bad_initializer(_context: Any) -> None:
    raise ValueError("misconfigured")


def http(event: bytes, _context: Any) -> object:
    """Answer with the event, or with what the query asks for."""
    request = json.loads(event)
    wanted = request["queryParameters"].get("answer", "")
    if wanted == "binary":
        body = base64.b64encode(b"\x89PNG\xff").decode()
        headers = {"Content-Type": "image/png", "X-Fc-Own": "1", "Server": "me"}
        return {"statusCode": 201, "headers": headers, "isBase64Encoded": True, "body": body}
    if wanted == "plain":
        return {"hello": "world"}
    if wanted == "raise":
        raise RuntimeError("broken")
    if wanted == "bad status":
        return {"statusCode": "ok", "body": ""}
    if wanted == "bad base64":
        return {"statusCode": 200, "isBase64Encoded": True, "body": "é"}
    if wanted == "split":
        return {"statusCode": 200, "headers": {"X-A": "1\r\nX-B: 2"}, "body": ""}
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": event.decode()}
