"""A deployment somewhere, for tests that need nothing but HTTP: `pytest tests/security --url …`."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

# What a test cannot have of a service that runs somewhere else: fixtures that all others of the kind are made from.
_WITHIN_THE_PROCESS = {"server", "issuer", "monkeypatch", "caplog", "capsys"}
_SECONDS = 30.0


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("deployment", "the tests that need HTTP alone, against a service that runs somewhere")
    group.addoption("--url", help="where it is: https://todo.example.com")
    group.addoption("--token-a", help="a token of a user WHOSE TASKS ARE DELETED")
    group.addoption("--token-b", help="a token of another such user")


def url_of(config: pytest.Config) -> str | None:
    """Where the deployment is; None when the tests bring a service of their own.

    Raises:
        UsageError: when a token is missing.
    """
    url: str | None = config.option.url
    if url is not None and not (url and config.option.token_a and config.option.token_b):
        raise pytest.UsageError("--url needs --token-a and --token-b, of two users whose tasks may be deleted")
    return url


def needs_http_alone(item: pytest.Item) -> bool:
    """Whether a test has clients, and nothing from behind them."""
    names = set(getattr(item, "fixturenames", ()))
    return "client" in names and not names & _WITHIN_THE_PROCESS


class _Patient(httpx.AsyncHTTPTransport):
    """Waits when it is told to: a deployment has rate limits."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        while True:
            answer = await super().handle_async_request(request)
            if answer.status_code != 429:
                return answer
            await answer.aclose()
            await asyncio.sleep(float(answer.headers["retry-after"]))


def _client(url: str, token: str | None) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return httpx.AsyncClient(transport=_Patient(), base_url=url, headers=headers, timeout=_SECONDS)


def two_users(config: pytest.Config) -> Callable[[str | None], httpx.AsyncClient]:
    """Makes clients of a test: of nobody (None), of the first user, then of the second."""
    url, tokens = config.option.url, [config.option.token_a, config.option.token_b]

    def connect(user_id: str | None) -> httpx.AsyncClient:
        if user_id is None:
            return _client(url, None)
        if user_id or not tokens:
            pytest.skip("needs another user than the two of --token-a and --token-b")
        return _client(url, tokens.pop(0))

    return connect


async def forget_all_tasks(config: pytest.Config) -> None:
    """Each test finds two users without tasks."""
    for token in (config.option.token_a, config.option.token_b):
        async with _client(config.option.url, token) as user:
            while tasks := (await user.get("/tasks?limit=200")).raise_for_status().json():
                for task in tasks:
                    await user.delete(f"/tasks/{task['id']}")
