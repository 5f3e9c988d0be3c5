"""TLS for webhooks: whom to trust, records taken in pieces, and what a failure means in plain words."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from shared.errors import Unavailable
from shared.webhooks.wire import PIECE, Unsent

# OpenSSL's names for what went wrong; their texts differ from version to version.
_OLD_VERSION = "it speaks no TLS version that is still safe; let it offer TLS 1.2 or 1.3"
_NO_TLS = "it does not speak TLS on this port (plain http, perhaps)"
_NO_COMMON_CIPHER = "it and we have no cipher in common, or it demands a client certificate, and we have none"
_CLIENT_CERTIFICATE = "it demands a client certificate, and we have none"
_TOO_WEAK = "its key, certificate or cipher is too weak; let it use 2048-bit RSA or ECDSA, and SHA-256"
_UNKNOWN_NAME = "it does not serve this host name"
_CLOSED = "it closed the connection during the handshake"
_WORDS = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _OLD_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": _OLD_VERSION,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _NO_COMMON_CIPHER,
    "NO_SHARED_CIPHER": _NO_COMMON_CIPHER,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": _TOO_WEAK,
    "DH_KEY_TOO_SMALL": _TOO_WEAK,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _CLIENT_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": _CLIENT_CERTIFICATE,
    "TLSV1_UNRECOGNIZED_NAME": _UNKNOWN_NAME,
    "TLSV1_ALERT_UNRECOGNIZED_NAME": _UNKNOWN_NAME,
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": "it does not speak HTTP/1.1",
    "TLSV1_ALERT_INTERNAL_ERROR": "it has an internal error; often it has no certificate for this host name",
}
# X509_V_ERR_* of OpenSSL's x509_vfy.h
_CERTIFICATE_WORDS = {
    9: "it is not valid yet",
    10: "it has expired",
    18: "it is signed by itself and by no authority",
    19: "no authority that we trust stands at the end of its chain",
    20: "no authority that we trust has issued it, or the server does not send the intermediate certificates",
    21: "no authority that we trust has issued it, or the server does not send the intermediate certificates",
    23: "it has been revoked",
    62: "it does not name the host of the url",
    64: "it does not name the address in the url",
    66: _TOO_WEAK,
    67: _TOO_WEAK,
    68: _TOO_WEAK,
}


def default_context() -> ssl.SSLContext:
    """Trust Mozilla's authorities as certifi has them: a system's own list may be as old as the system."""
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


class Tls:
    """A ``Channel`` through TLS.

    OpenSSL sees memory only and never the socket, so it returns after each piece that it is given: from a socket it
    would read on for as long as records without data come, session tickets for one.

    Args:
        context: trusts and verifies.
        host: whose certificate it must be.
        request: what is to be sent.
    """

    def __init__(self, context: ssl.SSLContext, host: str, request: Unsent) -> None:
        self._arrived = ssl.MemoryBIO()
        self._departing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arrived, self._departing, server_hostname=host)
        self._request = request
        self._open = False

    def outgoing(self) -> bytes:
        """Return what the handshake or the request needs to have sent next."""
        if not self._open:
            self._shake_hands()
        if self._open and self._request and not self._departing.pending:
            self._encrypt_a_piece()
        return self._departing.read()

    def incoming(self, data: bytes) -> Iterator[bytes]:
        """Yield what came in the clear; nothing means that it ended."""
        if data:
            self._arrived.write(data)
        else:
            self._arrived.write_eof()
        if not self._open:
            self._shake_hands()
        clear = self._decrypt() if self._open else None
        while clear is not None:
            yield clear
            clear = self._decrypt() if clear else None

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            raise Unavailable(explain(error)) from error
        self._open = True

    def _encrypt_a_piece(self) -> None:
        try:
            self._request.sent(self._tls.write(self._request.piece()))
        except ssl.SSLWantReadError:  # the receiver wants to renegotiate first
            return
        except ssl.SSLError as error:
            raise Unavailable(explain(error)) from error

    def _decrypt(self) -> bytes | None:
        """Return a piece; nothing at the end, None if more is needed."""
        try:
            return self._tls.read(PIECE)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):  # many servers hang up without the farewell that TLS asks for
            return b""
        except ssl.SSLError as error:
            raise Unavailable(explain(error)) from error


def explain(error: ssl.SSLError) -> str:
    """Say what went wrong, and what is to be done where that is clear."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {_CERTIFICATE_WORDS.get(error.verify_code, error.verify_message)}"
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return f"TLS failed: {_CLOSED}"
    text = str(error).rpartition("] ")[2].partition(" (_ssl")[0]
    reason = error.reason or text.upper().replace(" ", "_")  # Python does not know every name
    return f"TLS failed: {_WORDS.get(reason, reason.replace('_', ' ').lower())}"
