"""Why a connection failed, in words that lead nobody astray."""

from __future__ import annotations

import aiohttp
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from ingestor.delivery.troubles import words_of

REQUEST = aiohttp.RequestInfo(
    URL("http://h.example"), "POST", CIMultiDictProxy(CIMultiDict()), URL("http://h.example")
)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            aiohttp.ClientPayloadError(
                "Response payload is not completed: <ContentLengthError: 400"
            ),
            "the answer broke off, or cannot be decoded",
        ),
        (
            aiohttp.ClientResponseError(
                REQUEST, (), status=400, message="Bad status line:\n  Expected HTTP/\n\n  b'\\x15'"
            ),
            "no answer that can be read (Bad status line): is umami.url right?",
        ),
        (aiohttp.ServerDisconnectedError(), "the server hung up"),
        (
            aiohttp.ClientOSError(None, "Can not write request body for http://h.example"),
            "the server hung up",
        ),
    ],
)
def test_a_broken_answer_is_no_400_of_the_server(error: Exception, words: str) -> None:
    assert words_of(error) == words
