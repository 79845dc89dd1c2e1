"""docs/better-auth.md: whoever makes one of its mistakes finds in the log what it says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from service.app import create_app
from service.settings import Settings
from tests.conftest import http_client
from tests.e2e.better_auth import FOLDER, BetterAuth, User

GUIDE = (Path(__file__).parents[2] / "docs" / "better-auth.md").read_text()
SECRET = SecretStr("a secret of 32 bytes, which nobody reads")


def token(user: User) -> str:
    return user.token()


def token_asked_for_elsewhere(user: User) -> str:
    """By another name of the same server's."""
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in user.session.cookies.jar)
    headers = {"Host": "elsewhere.example.com", "Cookie": cookies}
    return str(httpx.get(f"{user.session.base_url}token", headers=headers).raise_for_status().json()["token"])


# What is wrong with Better Auth, with who signs up, with the settings here; and what is sent.
Mistake = tuple[dict[str, Any], dict[str, str], Callable[[str], dict[str, Any]], Callable[[User], str]]
MISTAKES: dict[str, Mistake] = {
    "AUTH_ISSUER ends with a slash": ({}, {}, lambda url: {"auth_issuer": f"{url}/"}, token),
    "no baseURL": ({"mistakes": ["no-base-url"]}, {}, lambda _: {}, token_asked_for_elsewhere),
    "AUTH_AUDIENCE is made up": ({}, {}, lambda _: {"auth_audience": "todo"}, token),
    "a field overrides aud": ({"mistakes": ["whole-user", "field-aud"]}, {"aud": "mine"}, lambda _: {}, token),
    "a picture in the row": (
        {"mistakes": ["whole-user"]},
        {"image": f"data:image/png;base64,{'A' * 9000}"},
        lambda _: {},
        token,
    ),
    "a session for a token": ({}, {}, lambda _: {}, User.session_token),
    "30 days": ({"expiration_time": "30d"}, {}, lambda _: {}, token),
    "another alg": ({"algorithm": "ES256"}, {}, lambda _: {}, token),
    "the myth of the shared secret": (
        {"mistakes": ["shared-secret"]},
        {},
        lambda _: {"auth_shared_secret": SECRET},
        token,
    ),
    "another basePath": ({"mistakes": ["base-path"]}, {}, lambda _: {}, token),
}


def test_the_frontend_of_the_guide_is_the_one_that_a_browser_runs() -> None:
    assert f"```ts\n{(FOLDER / 'page' / 'tasks.ts').read_text()}```" in GUIDE


def lines_of_the_guide() -> set[str]:
    table = GUIDE.split("| what was done | what the log says |")[1].split("\n\n")[0]
    rows = [row.strip(" |").rsplit(" | ", 1) for row in table.splitlines() if row and "---" not in row]
    return {line for _, line in rows if not line.startswith("Nothing: ")}


async def logged(name: str, settings: Settings, caplog: pytest.LogCaptureFixture) -> tuple[httpx.Response, set[str]]:
    """How the mistake is answered, and what the log says then."""
    of_better_auth, of_the_user, of_settings, sent = MISTAKES[name]
    caplog.clear()
    with BetterAuth(**of_better_auth) as better_auth:
        url = better_auth.url
        right = {
            "auth_issuer": url,
            "auth_audience": url,
            "auth_jwks_file": None,
            "auth_jwks_url": f"{url}/api/auth/jwks",
        }
        app = create_app(settings.model_copy(update=right | of_settings(url)))
        client = http_client(app, sent(better_auth.sign_up(**of_the_user)))
        async with app.router.lifespan_context(app), client:
            answer = await client.get("/tasks")
    return answer, {message.replace(url, "https://app.example.com") for message in caplog.messages}


async def test_the_guide_says_of_each_mistake_what_the_log_says(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    told, seen = lines_of_the_guide(), set[str]()
    for name in MISTAKES:
        answer, lines = await logged(name, settings, caplog)
        assert answer.status_code == (503 if name == "another basePath" else 401), name
        assert lines & told, name
        seen |= lines
    assert told <= seen
