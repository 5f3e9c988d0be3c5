"""Which addresses may be dialled: the defence against subscribers that point into our own network.

A name is resolved once, every answer is judged, and the very address that was judged is dialled, so a name that
changes its mind in between (DNS rebinding) gains nothing. Network isolation does not replace this: a function on
Function Compute reaches the intranet and the metadata service (100.100.100.200) even with its public network off.
The ranges are spelled out here because Python 3.10's ``is_global`` is older than some of them.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from shared.errors import TargetRefused, TimedOut, Unavailable
from shared.patterns import regex
from shared.settings import Network

PUBLIC_PORTS = (443, 8443)

_Address = IPv4Address | IPv6Address
_Resolve = Callable[..., list[tuple[Any, ...]]]
_SockAddr = tuple[Any, ...]
_Connect = Callable[[_SockAddr, float], socket.socket]

_URL = regex(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#@:\\%\[\]\x00-\x20\x7f]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:[/?][!\"$-\[\]-~]*)?)"
)
_NAME = regex(r"(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*")
_NUMERIC = regex(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_LOCALHOST = regex(r"(?:.*\.)?localhost(?:\.localdomain)?|ip6-(?:localhost|loopback)")
_LONGEST_URL = 2048

# IANA special-purpose registries. IPv4: 224/4 and 240/4 are multicast and reserved, broadcast included. IPv6: all but
# the global unicast range 2000::/3, and the special parts of that.
_PRIVATE = tuple(
    map(
        ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            *("::/3", "4000::/2", "8000::/1", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
        ),
    )
)
# Metadata services hand out credentials: no allowance opens them.
_NEVER = tuple(map(ip_network, ("100.100.100.200/32", "169.254.169.254/32", "fd00:ec2::254/128")))
# IPv6 addresses whose last 32 bits are an IPv4 address: compatible, translated, NAT64, NAT64 for local use.
_EMBEDDING = tuple(map(ip_network, ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")))


@dataclass(frozen=True, slots=True)
class Target:
    """One URL taken apart: ``host`` is lower-case ASCII without brackets or final dot, ``path`` includes the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _default_port(self.scheme) else f"{host}:{self.port}"


class AddressGuard:
    """Judges targets, and opens connections to those that pass.

    Public addresses are dialled by https on ``PUBLIC_PORTS``; addresses in ``allow`` by http or https on any port;
    addresses in ``deny``, and the metadata services, never.

    Args:
        allow: ``WEBHOOK_ALLOW_CIDRS``.
        deny: ``WEBHOOK_DENY_CIDRS``; wins over ``allow``.
        resolve: as ``socket.getaddrinfo``.
        connect: opens a TCP connection to a socket address within so many seconds.
    """

    def __init__(
        self,
        allow: tuple[Network, ...] = (),
        deny: tuple[Network, ...] = (),
        resolve: _Resolve = socket.getaddrinfo,
        connect: _Connect | None = None,
    ) -> None:
        self._allow = allow
        self._deny = deny
        self._resolve = resolve
        self._connect = connect or _connect

    def target(self, url: str) -> Target:
        """Take a URL apart, without a lookup; raise ``TargetRefused`` if it must not be dialled, whatever DNS says."""
        match = _URL.fullmatch(url) if len(url) <= _LONGEST_URL else None
        if match is None:
            raise TargetRefused("url is no plain https URL (no user name, no fragment, nothing unescaped)")
        host = _host(match["host"])
        port = int(match["port"]) if match["port"] else _default_port(match["scheme"])
        if not 0 < port < 65536:  # noqa: PLR2004 - what ports are
            raise TargetRefused(f"there is no port {port}")
        path = match["path"] if match["path"].startswith("/") else "/" + match["path"]
        target = Target(match["scheme"], host, port, path)
        literal = _literal(host) or (ip_address("127.0.0.1") if _LOCALHOST.fullmatch(host) else None)
        if literal is not None:
            self._judge(target, literal)
        elif not self._allow:
            _judge_public(target)
        return target

    def dial(self, target: Target, ends: float) -> socket.socket:
        """Resolve once, refuse if any answer must not be dialled, connect to the first that answers.

        Args:
            target: from ``target``.
            ends: when to give up, on the monotonic clock; DNS included.

        Raises:
            TargetRefused: an answer is not public; nothing has been dialled.
            Unavailable: no such name now, or nobody answers there.
            TimedOut: ``ends`` has passed.
        """
        answers = self._answers(target, ends)
        for sockaddr in answers:
            self._judge(target, _address(sockaddr))
        error: OSError = TimeoutError()
        for index, sockaddr in enumerate(answers):
            # A share of what is left for each, so that one dead address of several does not eat the deadline.
            share = (ends - time.monotonic()) / (len(answers) - index)
            if share <= 0:
                break
            try:
                return self._connect(sockaddr, share)
            except OSError as failure:
                error = failure
        if isinstance(error, TimeoutError):
            raise TimedOut(f"{target.host} does not accept connections in time") from error
        raise Unavailable(f"no connection to {target.host}: {error.strerror or 'failed'}") from error

    def _answers(self, target: Target, ends: float) -> list[_SockAddr]:
        """Look the name up, but wait no longer than ``ends``: the system's resolver knows no deadline."""
        if _literal(target.host) is not None:
            return [(target.host, target.port)]
        found: list[list[tuple[Any, ...]]] = []

        def look_up() -> None:
            with contextlib.suppress(OSError, UnicodeError):
                found.append(self._resolve(target.host, target.port, type=socket.SOCK_STREAM))

        thread = threading.Thread(target=look_up, name="resolve", daemon=True)
        thread.start()
        thread.join(max(0.0, ends - time.monotonic()))
        if thread.is_alive():
            raise TimedOut(f"the name {target.host} was not resolved in time")
        if not found:
            raise Unavailable(f"the name {target.host} cannot be resolved now")
        if not found[0]:
            raise Unavailable(f"the name {target.host} has no address now")
        return [info[4] for info in found[0]]

    def _judge(self, target: Target, address: _Address | None) -> None:
        meanings = () if address is None else _meanings(address)
        if not meanings or any(_within_any(meaning, self._deny + _NEVER) for meaning in meanings):
            raise TargetRefused(f"{target.host} leads to an address that is never dialled")
        if all(_within_any(meaning, self._allow) for meaning in meanings):
            return
        if any(_within_any(meaning, _PRIVATE) for meaning in meanings):
            raise TargetRefused(
                f"{target.host} does not lead to public addresses only; "
                "correct the url, or add the range to WEBHOOK_ALLOW_CIDRS"
            )
        _judge_public(target)


def _judge_public(target: Target) -> None:
    if target.scheme != "https":
        raise TargetRefused("url must be https://; plain http is for WEBHOOK_ALLOW_CIDRS only")
    if target.port not in PUBLIC_PORTS:
        ports = " and ".join(map(str, PUBLIC_PORTS))
        raise TargetRefused(f"port {target.port} is not dialled on public addresses; use {ports}")


def _host(text: str) -> str:
    """Return the one spelling of a host that everything after this uses; raise ``TargetRefused`` if it has none."""
    if text.startswith("["):
        try:
            return str(IPv6Address(text[1:-1]))
        except ValueError:
            raise TargetRefused("url has no valid IPv6 address") from None
    host = text.lower()
    if not host.isascii():
        # The two IDNA standards disagree about these, so they would name two owners.
        if set(host) & set("ßς\u200c\u200d"):
            raise TargetRefused("the host name is ambiguous; write it in its xn-- form")
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise TargetRefused("the host name is no valid international name; write it in its xn-- form") from None
    host = host.removesuffix(".")
    if _NUMERIC.fullmatch(host) and _literal(host) is None:
        raise TargetRefused("an IPv4 address is written as four decimal numbers without leading zeros")
    if not _NAME.fullmatch(host):
        raise TargetRefused("url has no valid host name")
    return host


def _literal(host: str) -> _Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _address(sockaddr: _SockAddr) -> _Address | None:
    """Return the address of a DNS answer; None for one with a zone (link-local by nature) or of another family."""
    address = _literal(str(sockaddr[0]))
    return None if isinstance(address, IPv6Address) and address.scope_id else address


def _meanings(address: _Address) -> tuple[_Address, ...]:
    """Return the address, and every IPv4 address that it stands for or is relayed to."""
    if isinstance(address, IPv4Address) or int(address) <= 1:  # :: and ::1 lie in ::/96 but stand for themselves
        return (address,)
    if address.ipv4_mapped:
        return (address.ipv4_mapped,)
    inside = [address.sixtofour, *(address.teredo or ())]  # Teredo: its server and its client
    if _within_any(address, _EMBEDDING):
        inside.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return (address, *filter(None, inside))


def _within_any(address: _Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80


def _connect(sockaddr: _SockAddr, timeout: float) -> socket.socket:
    sock = socket.create_connection(sockaddr[:2], timeout)  # an address, not a name: nothing is looked up
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock
