"""Why a connection failed, in the system's own words, and what to do where a person has to.

aiohttp's words repeat the address, which stands in the message already, and bury the reason.
"""

from __future__ import annotations

import os
import socket
import ssl

import aiohttp

from ingestor.delivery.answers import printable

# OpenSSL's verdicts on a chain that ends with nobody it trusts: X509_V_ERR_…
_UNTRUSTED = {18, 19, 20, 21}
_TRUST = (
    "put the certificate of whoever signed it into the system's store "
    "(/usr/local/share/ca-certificates, then update-ca-certificates), or name it by SSL_CERT_FILE"
)
_HUNG_UP = "the server hung up"
_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}


def words_of(error: Exception) -> str:
    """Say in few words why a request got no answer."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "nobody answers there"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return _HUNG_UP
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off, or cannot be decoded"
    if isinstance(error, aiohttp.ClientResponseError):  # its status is not the server's
        words = error.message.partition("\n")[0].rstrip(":")
        return printable(f"no answer that can be read ({words}): is umami.url right?")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _of_system(error.certificate_error)
    return _of_system(error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error)


def _of_system(error: Exception) -> str:
    words = str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        words = error.verify_message or words
        if error.verify_code in _UNTRUSTED:
            words = f"{words}; {_TRUST}"
    elif isinstance(error, ssl.SSLError):
        words = str(error.reason or words).replace("_", " ").lower()
        if error.reason in _NO_TLS:
            words = f"{words}; what answers there speaks no TLS: is umami.url http://?"
    elif isinstance(error, socket.gaierror):
        words = error.strerror or words
    elif isinstance(error, OSError) and error.errno:
        words = os.strerror(error.errno)
    elif isinstance(error, aiohttp.ClientOSError):
        words = _HUNG_UP  # under the request: its own words are the address
    return printable(words) or type(error).__name__
