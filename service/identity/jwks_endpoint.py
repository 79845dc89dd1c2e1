"""One GET of a JWKS endpoint, within bounds of time and size."""

import asyncio
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from service.identity.jwks import LONGEST_DOCUMENT
from service.settings import SettingsError

_DEADLINE_SECONDS = 3.0
# One would tie this service to one server behind a load balancer.
_NO_COOKIES = CookieJar(DefaultCookiePolicy(allowed_domains=[]))


class FetchFailed(Exception):
    """Its text is a clause, fit to be logged.

    Args:
        retry_after: seconds that the endpoint asks to be left alone for.
    """

    def __init__(self, reason: str, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class JwksEndpoint:
    """Where a key set is. HTTPS_PROXY and its like, NO_PROXY and SSL_CERT_FILE hold for it.

    Args:
        url: https, or http within the own network.

    Raises:
        SettingsError: when one of these variables cannot be used.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        # Compressed, a small answer could become a large one.
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            self._client = httpx.AsyncClient(headers=headers, cookies=_NO_COOKIES, follow_redirects=False)
        except Exception as error:  # of whatever reads them, and without its text, which quotes them
            raise SettingsError(
                f"HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or SSL_CERT_FILE cannot be used ({type(error).__name__})"
            ) from None

    async def get(self) -> bytes:
        """The document.

        Raises:
            FetchFailed: for whatever reason: another status than 200, a redirect too, an answer that takes longer than
                3 s in all, or one of more than 256 KiB.
        """
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS), self._client.stream("GET", self._url) as response:
                return await _body(response)
        except TimeoutError:
            raise FetchFailed(f"it took longer than {_DEADLINE_SECONDS:.0f} s") from None
        except FetchFailed:
            raise
        except Exception as error:  # of the network, of TLS or of a parser, without its text, which quotes the URL
            raise FetchFailed(f"there is no answer ({type(_root(error)).__name__})") from None

    def __str__(self) -> str:
        """The URL, without its query, which may hold a secret."""
        return self._url.partition("?")[0]

    async def close(self) -> None:
        """Let go of its connections."""
        await self._client.aclose()


def _root(error: BaseException) -> BaseException:
    """What is behind it: that a name is not known, a connection refused, a certificate not good."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return error


async def _body(response: httpx.Response) -> bytes:
    if response.status_code != 200:
        raise FetchFailed(f"it answers {response.status_code}", _retry_after(response.headers))
    if "content-encoding" in response.headers:
        raise FetchFailed("its answer is compressed, which was not asked for")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > LONGEST_DOCUMENT:
            raise FetchFailed(f"its answer is longer than {LONGEST_DOCUMENT} bytes")
    return bytes(body)


def _retry_after(headers: httpx.Headers) -> float:
    """RFC 9110 §10.2.3: seconds, or a date. Better Auth says X-Retry-After."""
    said = headers.get("retry-after") or headers.get("x-retry-after") or ""
    if said.isascii() and said.isdecimal():
        return float(said[:10])
    with suppress(ValueError):
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    return 0.0
