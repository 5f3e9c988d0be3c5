"""How long it takes to tell many subscribers, compared with the least it could.

200 receivers, each its own TLS port in another process, answer after 20 ms; 32 are told at a time. The ideal is
seven rounds of 20 ms with nothing else to do. Measured in this process, by the clock: what else the machine does adds
to it, and the receivers' own work is in it. Beside it the senders that one would take, without
signatures.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import multiprocessing
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network
from math import ceil
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from local.bench.measuring import Line, ratio
from local.bench.target import tree
from shared.webhooks.address_guard import AddressGuard
from shared.webhooks.sender import Sender
from shared.webhooks.subscribers import Subscriber

if TYPE_CHECKING:
    import trustme

Send = Callable[[int], bool]  # to the receiver at a port; whether it took it
AT_A_TIME = 32
SECONDS = 0.02
BODY = b'{"type":"smarttag.job.succeeded","data":{"jobId":"' + b"x" * 1900 + b'"}}'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def measure(receivers: int, rounds: int) -> Iterator[Line]:
    """Yield the lines; raise ``SystemExit`` where something was not delivered."""
    import trustme

    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with TemporaryDirectory() as folder:
        pem = Path(folder) / "server.pem"
        authority.issue_cert("receiver.example.com", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
        ours, theirs = multiprocessing.Pipe()
        serving = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(str(pem), theirs, receivers), daemon=True
        )
        serving.start()
        try:
            ports = ours.recv()
            ways = {"": _ours(trusting), "requests, ": _requests(authority, folder), "httpx, ": _httpx(trusting)}
            seconds = _rounds(ways, ports, rounds)
        finally:
            serving.terminate()
            serving.join(10)
    ideal = ceil(receivers / AT_A_TIME) * SECONDS * 1000
    what = f"fan-out to {receivers} TLS receivers of {SECONDS * 1000:.0f} ms, {AT_A_TIME} at a time / the ideal"
    for name, taken in seconds.items():
        measured = [second * 1000 for second in taken]
        yield ratio("" if name else "fan-out", name + what, measured, [ideal] * rounds, "ms", str(tree()))


def _ours(trusting: ssl.SSLContext) -> Send:
    def resolve(_host: str, port: int, **_kwargs: object) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    sender = Sender(AddressGuard(allow=(ip_network("127.0.0.0/8"),), resolve=resolve), context=trusting)

    def send(port: int) -> bool:
        subscriber = Subscriber("s", f"https://receiver.example.com:{port}/hooks", (SECRET,))
        return sender.send(subscriber, "evt_1", int(time.time()), BODY).kind == "delivered"

    return send


def _requests(authority: trustme.CA, folder: str) -> Send:
    import requests
    from requests.adapters import HTTPAdapter

    trusted = Path(folder) / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", HTTPAdapter(pool_connections=AT_A_TIME, pool_maxsize=AT_A_TIME))
    return lambda port: (
        session.post(
            f"https://127.0.0.1:{port}/hooks", data=BODY, timeout=15, verify=str(trusted), allow_redirects=False
        ).ok
    )


def _httpx(trusting: ssl.SSLContext) -> Send:
    import httpx

    client = httpx.Client(verify=trusting, timeout=15, trust_env=False)
    return lambda port: client.post(f"https://127.0.0.1:{port}/hooks", content=BODY).is_success


def _rounds(ways: Mapping[str, Send], ports: list[int], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round; the ways take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        for number in range(rounds + 1):
            for name, send in ways.items():
                started = time.perf_counter()
                delivered = set(pool.map(send, ports if number else ports[:1]))  # first what is imported late
                if number:
                    seconds[name].append(time.perf_counter() - started)
                if delivered != {True}:
                    raise SystemExit(f"not everything was delivered: {name or 'ours'}")
    return seconds


def _serve(pem: str, parent: Connection, receivers: int) -> None:
    """Run the receivers until the process is terminated; an interrupt is the parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            await asyncio.sleep(SECONDS)
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await writer.drain()
        writer.close()

    async def run() -> None:
        servers = [await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context) for _ in range(receivers)]
        parent.send([server.sockets[0].getsockname()[1] for server in servers])
        await asyncio.Event().wait()

    asyncio.run(run())
