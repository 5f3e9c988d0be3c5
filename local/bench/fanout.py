"""How long it takes to tell many subscribers, compared with the least it could.

200 receivers, each its own TLS port in another process, answer after 20 ms; 32 are told at a time. The ideal is
seven rounds of 20 ms with nothing else to do. Measured in this process, by the clock: what else the machine does adds
to it, and the receivers' own work is in it.
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
from collections.abc import Iterator
from ipaddress import ip_network
from math import ceil
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from local.bench.measuring import Line, ratio
from local.bench.target import tree
from shared.webhooks.address_guard import AddressGuard
from shared.webhooks.sender import Sender
from shared.webhooks.subscribers import Subscriber

AT_A_TIME = 32
SECONDS = 0.02
BODY = b'{"type":"smarttag.job.succeeded","data":{"jobId":"' + b"x" * 1900 + b'"}}'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def measure(receivers: int, rounds: int) -> Iterator[Line]:
    """Yield the line; raise ``SystemExit`` where something was not delivered."""
    import trustme

    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with TemporaryDirectory() as folder:
        pem = Path(folder) / "server.pem"
        authority.issue_cert("receiver.example.com").private_key_and_cert_chain_pem.write_to_path(str(pem))
        ours, theirs = multiprocessing.Pipe()
        serving = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(str(pem), theirs, receivers), daemon=True
        )
        serving.start()
        try:
            seconds = _rounds(ours.recv(), trusting, rounds)
        finally:
            serving.terminate()
            serving.join(10)
    ideal = ceil(receivers / AT_A_TIME) * SECONDS * 1000
    what = f"fan-out to {receivers} TLS receivers of {SECONDS * 1000:.0f} ms, {AT_A_TIME} at a time / the ideal"
    yield ratio("fan-out", what, [second * 1000 for second in seconds], [ideal] * rounds, "ms", str(tree()))


def _rounds(ports: list[int], trusting: ssl.SSLContext, rounds: int) -> list[float]:
    def resolve(_host: str, port: int, **_kwargs: object) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    sender = Sender(AddressGuard(allow=(ip_network("127.0.0.0/8"),), resolve=resolve), context=trusting)
    subscribers = [Subscriber("s", f"https://receiver.example.com:{port}/hooks", (SECRET,)) for port in ports]

    def send(subscriber: Subscriber) -> str:
        return sender.send(subscriber, "evt_1", int(time.time()), BODY).kind

    send(subscribers[0])  # what is imported late
    seconds = []
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        for _ in range(rounds):
            started = time.perf_counter()
            kinds = set(pool.map(send, subscribers))
            seconds.append(time.perf_counter() - started)
            if kinds != {"delivered"}:
                raise SystemExit(f"not everything was delivered: {kinds}")
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
