"""The guard's table: what must not be dialled is refused before any connection, whatever its spelling."""

from __future__ import annotations

import socket
import threading
import time
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import TargetRefused, TimedOut, Unavailable
from shared.settings import Network
from shared.webhooks.address_guard import AddressGuard

PUBLIC = "93.184.216.34"
PUBLIC_V6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"


class Net:
    """A resolver and a connector that record, and dial nothing.

    Args:
        names: the answers per name; a list of lists answers differently each time.
    """

    def __init__(self, names: dict[str, list[str]] | None = None) -> None:
        self.names = names or {}
        self.lookups: list[str] = []
        self.dialled: list[tuple[Any, ...]] = []
        self.failures: dict[str, OSError] = {}

    def resolve(self, host: str, port: int, **_kwargs: object) -> list[tuple[Any, ...]]:
        self.lookups.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [
            (socket.AF_INET6 if ":" in answer else socket.AF_INET, socket.SOCK_STREAM, 6, "", (answer, port))
            for answer in self.names[host]
        ]

    def connect(self, sockaddr: tuple[Any, ...], _timeout: float) -> socket.socket:
        self.dialled.append(sockaddr)
        if sockaddr[0] in self.failures:
            raise self.failures[sockaddr[0]]
        return socket.socket()

    def guard(self, allow: tuple[str, ...] = (), deny: tuple[str, ...] = ()) -> AddressGuard:
        return AddressGuard(networks(*allow), networks(*deny), resolve=self.resolve, connect=self.connect)


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, texts))


def dial(guard: AddressGuard, url: str, seconds: float = 5.0) -> None:
    guard.dial(guard.target(url), time.monotonic() + seconds).close()


# Refused by the URL alone, at configuration time already: no lookup is made.
LITERALS = [
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://127.255.255.254/",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0X7F.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://00000177.0.0.1/",
    "https://127.0.0.01/",
    "https://134744072/",  # 8.8.8.8, but spelled to hide
    "https://0/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://100.64.0.1/",
    "https://100.100.100.200/",
    "https://100.127.255.255/",
    "https://169.254.169.254/latest/meta-data/",
    "https://169.254.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.0.0.1/",
    "https://192.0.2.1/",
    "https://192.88.99.1/",
    "https://192.168.1.1/",
    "https://198.18.0.1/",
    "https://198.19.255.255/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://224.0.0.1/",
    "https://239.255.255.255/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://\uff11\uff12\uff17.0.0.1/",  # full-width digits
    "https://①②⑦.⓪.⓪.①/",
    "https://127。0。0。1/",
    "https://%31%32%37.0.0.1/",
    "https://[::]/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::127.0.0.1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:100.100.100.200]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b::8.8.8.8]/",
    "https://[64:ff9b:1::10.0.0.1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:808:808::1]/",
    "https://[2001:0:808:808::f7f7:f7f7]/",
    "https://[2001:2::1]/",
    "https://[2001:20::1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[100::1]/",
    "https://[5f00::1]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[2606:2800::1%eth0]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://localhost/",
    "https://LOCALHOST./",
    "https://api.localhost/",
    "https://localhost.localdomain/",
    "https://ip6-localhost/",
]

MALFORMED = [
    "",
    "cms.example.com",
    "//cms.example.com/",
    "ftp://cms.example.com/",
    "file:///etc/passwd",
    "gopher://cms.example.com/",
    "javascript:alert(1)",
    "HTTPS://cms.example.com/",
    "http://cms.example.com/",
    "https://",
    "https:///path",
    "https://cms.example.com:80/",
    "https://cms.example.com:22/",
    "https://cms.example.com:6379/",
    "https://cms.example.com:0/",
    "https://cms.example.com:65536/",
    "https://cms.example.com:99999/",
    "https://cms.example.com:/",
    "https://cms.example.com:443:443/",
    "https://user@cms.example.com/",
    "https://user:password@cms.example.com/",
    "https://@cms.example.com/",
    "https://cms.example.com\\@127.0.0.1/",
    "https://cms.example.com#@127.0.0.1/",
    "https://cms.example.com/#fragment",
    "https://cms.example.com/a b",
    "https://cms.example.com/a\r\nhost: x",
    "https://cms.example.com/\x00",
    "https://cms.example.com/路径",
    " https://cms.example.com/",
    "https://cms.example.com/\n",
    "https://cms..example.com/",
    "https://cms.example.com../",
    "https://.example.com/",
    "https://-cms.example.com/",
    "https://cms-.example.com/",
    f"https://{'a' * 64}.example.com/",
    f"https://{'a.' * 127}example.com/",
    "https://faß.example/",
    "https://\u200d.example/",
    "https://xn--\ud800.example/",
    "https://[127.0.0.1]/",
    "https://[::1/",
    "https://::1/",
    "https://[v1.fe80::a]/",
    "https://1.2.3.4.5/",
    "https://256.1.1.1/",
    "https://cms.example.0x7f/",
    "https://cms.example.com/" + "a" * 2048,
]

# Names are judged by what they lead to: the first answer alone is not enough.
ANSWERS = [
    ["127.0.0.1"],
    ["10.1.2.3"],
    ["100.100.100.200"],
    ["169.254.169.254"],
    ["0.0.0.0"],  # noqa: S104 - nothing is bound
    ["::1"],
    ["::ffff:10.0.0.1"],
    ["64:ff9b::a9fe:a9fe"],
    ["2002:a00:1::1"],
    ["fe80::1%eth0"],
    [PUBLIC_V6 + "%eth0"],
    ["fd12:3456::1"],
    [PUBLIC, "127.0.0.1"],
    ["127.0.0.1", PUBLIC],
    [PUBLIC, PUBLIC_V6, "fd00::1"],
    [PUBLIC_V6, "10.0.0.1"],
    [PUBLIC, "no address at all"],
]


def test_the_table_is_long_enough() -> None:
    assert len(set(LITERALS)) + len(set(MALFORMED)) + len(ANSWERS) >= 60


@pytest.mark.parametrize("url", [*LITERALS, *MALFORMED], ids=ascii)
def test_refused_at_configuration_time_and_at_send_time_before_any_lookup(url: str) -> None:
    net = Net()
    with pytest.raises(TargetRefused):
        net.guard().target(url)
    with pytest.raises(TargetRefused):
        dial(net.guard(), url)
    assert (net.lookups, net.dialled) == ([], [])


@pytest.mark.parametrize("answers", ANSWERS, ids=" ".join)
def test_a_name_with_any_answer_that_is_not_public_is_refused_before_any_connection(answers: list[str]) -> None:
    net = Net({"cms.example.com": answers})
    net.guard().target("https://cms.example.com/")
    with pytest.raises(TargetRefused) as caught:
        dial(net.guard(), "https://cms.example.com/")
    assert (net.lookups, net.dialled) == (["cms.example.com"], [])
    assert "cms.example.com" in str(caught.value)
    assert not any(answer in str(caught.value) for answer in answers), "the inside of the network is nobody's business"


@pytest.mark.parametrize(
    ("url", "host", "address", "port"),
    [
        ("https://cms.example.com/hook?a=1", "cms.example.com", PUBLIC, 443),
        ("https://CMS.Example.com./hook", "cms.example.com", PUBLIC, 443),
        ("https://cms.example.com:8443", "cms.example.com", PUBLIC, 8443),
        ("https://six.example.com/", "six.example.com", PUBLIC_V6, 443),
        ("https://例え.example/", "xn--r8jz45g.example", PUBLIC, 443),
        ("https://xn--r8jz45g.example/", "xn--r8jz45g.example", PUBLIC, 443),
        ("https://under_score.example.com/", "under_score.example.com", PUBLIC, 443),
    ],
)
def test_a_public_name_is_looked_up_once_and_the_judged_address_is_dialled(
    url: str, host: str, address: str, port: int
) -> None:
    net = Net({host: [address]})
    net.guard().target(url)
    dial(net.guard(), url)
    assert net.lookups == [host]
    assert net.dialled == [(address, port)]


@pytest.mark.parametrize("host", [PUBLIC, f"[{PUBLIC_V6}]", "[::ffff:93.184.216.34]", "11.0.0.1", "223.255.255.255"])
def test_a_public_literal_is_dialled_without_a_lookup(host: str) -> None:
    net = Net()
    dial(net.guard(), f"https://{host}/")
    assert net.lookups == []
    assert len(net.dialled) == 1


def test_a_name_that_changes_its_mind_is_asked_once() -> None:
    class Rebinding(Net):
        def resolve(self, host: str, port: int, **kwargs: object) -> list[tuple[Any, ...]]:
            self.names = {host: [PUBLIC if not self.lookups else "127.0.0.1"]}
            return super().resolve(host, port, **kwargs)

    net = Rebinding()
    dial(net.guard(), "https://rebind.example.com/")
    assert net.lookups == ["rebind.example.com"]
    assert net.dialled == [(PUBLIC, 443)]


@pytest.mark.parametrize(
    ("allow", "deny", "url", "passes"),
    [
        (["10.0.0.0/8"], [], "http://10.1.2.3:8080/hook", True),
        (["10.0.0.0/8"], [], "https://10.1.2.3:9999/hook", True),
        (["10.0.0.0/8"], [], "http://inside.example:8080/", True),
        (["10.0.0.0/8"], [], "http://cms.example.com/", False),
        (["10.0.0.0/8"], [], "https://cms.example.com:8080/", False),
        (["10.0.0.0/8"], [], "https://cms.example.com/", True),
        (["10.0.0.0/8"], [], "http://11.0.0.1/", False),
        (["10.0.0.0/8"], [], "https://192.168.0.1/", False),
        (["10.0.0.0/8"], [], "http://mixed.example/", False),
        (["10.0.0.0/8"], ["10.9.0.0/16"], "http://10.9.0.1/", False),
        (["10.0.0.0/8"], ["10.9.0.0/16"], "http://10.8.0.1/", True),
        (["10.0.0.0/8"], [], "http://[::ffff:10.0.0.1]/", True),
        (["10.0.0.0/8"], ["10.0.0.0/24"], "http://[::ffff:10.0.0.1]/", False),
        ([], ["93.184.216.0/24"], "https://cms.example.com/", False),
        ([], ["93.184.216.0/24"], f"https://{PUBLIC}/", False),
        (["127.0.0.0/8"], [], "http://127.0.0.1:8080/", True),
        (["127.0.0.0/8"], [], "http://localhost:8080/", True),
        (["10.0.0.0/8"], [], "http://localhost:8080/", False),
        (["::1/128"], [], "http://[::1]:8080/", True),
        (["fd00::/8"], [], "http://[fd00::1]/", True),
        (["64:ff9b::/96"], [], "http://[64:ff9b::10.0.0.1]/", False),
        (["64:ff9b::/96", "10.0.0.0/8"], [], "http://[64:ff9b::10.0.0.1]/", True),
        (["64:ff9b::/96", "10.0.0.0/8"], ["10.0.0.0/8"], "http://[64:ff9b::10.0.0.1]/", False),
        (["0.0.0.0/0", "::/0"], [], "http://100.100.100.200/latest/meta-data/", False),
        (["0.0.0.0/0", "::/0"], [], "http://169.254.169.254/", False),
        (["0.0.0.0/0", "::/0"], [], "http://[64:ff9b::100.100.100.200]/", False),
        (["0.0.0.0/0", "::/0"], [], "http://[64:ff9b:1::100.100.100.200]/", False),
        (["0.0.0.0/0", "::/0"], [], "http://[::100.100.100.200]/", False),
        (["0.0.0.0/0", "::/0"], [], "http://[::ffff:0:100.100.100.200]/", False),
        (["0.0.0.0/0", "::/0"], [], "http://[2002:6464:64c8::1]/", False),
        (["0.0.0.0/0", "::/0"], [], "http://[2001:0:6464:64c8::1]/", False),
        (["0.0.0.0/0", "::/0"], [], "http://[2001:0:808:808::9b9b:9b37]/", False),
        (["0.0.0.0/0", "::/0"], [], "http://[fd00:ec2::254]/", False),
        (["0.0.0.0/0", "::/0"], [], "http://2130706433/", False),
        (["0.0.0.0/0", "::/0"], [], "http://user@10.0.0.1/", False),
        (["0.0.0.0/0", "::/0"], [], "http://10.0.0.1:0/", False),
    ],
)
def test_what_the_operator_allows_and_denies(allow: list[str], deny: list[str], url: str, passes: bool) -> None:  # noqa: FBT001 - a table
    net = Net(
        {
            "cms.example.com": [PUBLIC],
            "inside.example": ["10.4.4.4"],
            "mixed.example": ["10.4.4.4", PUBLIC],
            "localhost": ["127.0.0.1"],
        }
    )
    guard = net.guard(tuple(allow), tuple(deny))
    if passes:
        guard.target(url)
        dial(guard, url)
    else:
        with pytest.raises(TargetRefused):
            dial(guard, url)
    assert len(net.dialled) == passes


RANGES_V4 = ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"]
RANGES_V4 += ["192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"]


@given(st.integers(0, 2**32 - 1))
@example(0x0B000000)
@example(0x6440_0000 - 1)
def test_every_ipv4_address_is_judged_alike_in_each_form(number: int) -> None:
    address = IPv4Address(number)
    mapped = IPv6Address(0xFFFF_0000_0000 | number)
    answers = {refused(f"https://{address}/"), refused(f"https://[{mapped}]/")}
    assert len(answers) == 1
    if any(address in network for network in networks(*RANGES_V4)) or not address.is_global:
        assert answers == {True}


@given(st.integers(0, 2**128 - 1) | st.integers(0x2000 << 112, (0x4000 << 112) - 1))
def test_no_ipv6_address_outside_the_global_unicast_range_passes(number: int) -> None:
    address = IPv6Address(number)
    if not refused(f"https://[{address}]/"):
        assert number >> 125 == 1 or address.ipv4_mapped


@given(st.text(max_size=40) | st.builds("https://{}/".format, st.text(max_size=30)))
def test_any_text_is_refused_or_becomes_one_plain_target(url: str) -> None:
    try:
        target = Net().guard().target(url)
    except TargetRefused:
        return
    assert target.host.isascii()
    assert target.host == target.host.lower()
    assert target.path.isascii()
    assert target.path.isprintable()
    assert target.path[0] == "/"
    assert target.scheme == "https"
    again = Net().guard().target(f"https://{target.authority}{target.path}")
    assert again == target, "one reading only"


def refused(url: str) -> bool:
    try:
        Net().guard().target(url)
    except TargetRefused:
        return True
    return False


def test_a_name_that_does_not_resolve_is_worth_retrying() -> None:
    with pytest.raises(Unavailable, match=r"gone\.example cannot be resolved now"):
        dial(Net().guard(), "https://gone.example/")


def test_a_name_without_addresses_is_worth_retrying() -> None:
    with pytest.raises(Unavailable, match="no address"):
        dial(Net({"empty.example": []}).guard(), "https://empty.example/")


def test_a_resolver_that_hangs_ends_at_the_deadline() -> None:
    release = threading.Event()

    def hang(*_args: object, **_kwargs: object) -> list[tuple[Any, ...]]:
        release.wait(30)
        return []

    started = time.monotonic()
    with pytest.raises(TimedOut, match="not resolved in time"):
        dial(AddressGuard(resolve=hang), "https://slow.example/", seconds=0.2)
    assert time.monotonic() - started < 5
    release.set()


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    net = Net({"two.example": [PUBLIC_V6, PUBLIC]})
    net.failures[PUBLIC_V6] = OSError(101, "Network is unreachable")
    dial(net.guard(), "https://two.example/")
    assert net.dialled == [(PUBLIC_V6, 443), (PUBLIC, 443)]


@pytest.mark.parametrize(
    ("failure", "error"),
    [(ConnectionRefusedError(111, "Connection refused"), Unavailable), (TimeoutError("timed out"), TimedOut)],
)
def test_when_nobody_answers_no_address_is_told(failure: OSError, error: type[Exception]) -> None:
    net = Net({"down.example": [PUBLIC]})
    net.failures[PUBLIC] = failure
    with pytest.raises(error, match=r"down\.example") as caught:
        dial(net.guard(), "https://down.example/")
    assert PUBLIC not in str(caught.value)


def test_several_addresses_share_the_time_that_is_left() -> None:
    shares: list[float] = []

    def connect(_sockaddr: tuple[Any, ...], timeout: float) -> socket.socket:
        shares.append(timeout)
        raise TimeoutError

    guard = AddressGuard(resolve=Net({"many.example": [PUBLIC, PUBLIC_V6]}).resolve, connect=connect)
    with pytest.raises(TimedOut):
        dial(guard, "https://many.example/", seconds=8)
    assert shares[0] == pytest.approx(4, abs=0.5)
    assert shares[1] == pytest.approx(8, abs=0.5)


def test_the_real_connector_dials_loopback_where_it_is_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        guard = AddressGuard(allow=networks("127.0.0.0/8"))
        target = guard.target(f"http://127.0.0.1:{server.getsockname()[1]}/")
        with guard.dial(target, time.monotonic() + 5) as sock:
            assert sock.getpeername() == server.getsockname()
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    with pytest.raises(Unavailable, match="Connection refused"):
        guard.dial(target, time.monotonic() + 5)
