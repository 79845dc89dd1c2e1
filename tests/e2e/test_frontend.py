"""A page in a real browser: it signs up with Better Auth's own client, and calls the API, which is another origin."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.better_auth import BetterAuth
from tests.e2e.conftest import Postgres, Visit, wait_until_ready
from tests.servers import todo_api_server

Play = Callable[..., Any]


@pytest.fixture(scope="module")
def api_of_the_page(postgres: Postgres, better_auth: BetterAuth) -> Iterator[str]:
    """The URL of a service that lists the origin of the page."""
    with todo_api_server(
        postgres.api_url, better_auth.url, CORS_ORIGINS=better_auth.url, AUTH_JWKS_REFRESH_SECONDS="1"
    ) as (port, _):
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url)
        yield url


@pytest.fixture
def play(visit: Visit, better_auth: BetterAuth, api_of_the_page: str) -> Play:
    """Have the page play a scenario of better-auth/page/page.js, and give what it could see."""

    def played(scenario: str, *, page: str = better_auth.url, token: str = "") -> Any:
        return visit("frontend.js", API_URL=api_of_the_page, PAGE_URL=page, SCENARIO=scenario, TOKEN=token)

    return played


def test_whoever_signs_up_in_the_page_creates_lists_changes_and_deletes_a_task(play: Play) -> None:
    seen = play("signedIn")
    assert {step: answer["status"] for step, answer in seen.items()} == {
        "created": 201,
        "listed": 200,
        "read": 200,
        "updated": 200,
        "late": 412,
        "deleted": 204,
        "gone": 404,
    }
    assert seen["read"]["body"] == seen["created"]["body"]
    assert seen["updated"]["body"]["status"] == "Done"
    assert [task["title"] for task in seen["listed"]["body"]] == ["Bake bread"]
    of_each = {"RateLimit", "RateLimit-Policy", "X-Request-Id"}
    assert {step: set(answer["headers"]) - of_each for step, answer in seen.items()} == {
        "created": {"ETag", "Location"},
        "listed": {"ETag", "Link"},
        "read": {"ETag"},
        "updated": {"ETag"},
        "late": set(),
        "deleted": set(),
        "gone": set(),
    }
    assert all(of_each <= set(answer["headers"]) for answer in seen.values())


def test_the_frontend_of_the_guide_replaces_a_token_that_is_refused(play: Play) -> None:
    assert play("byTheGuide") == {"statuses": [201, 201, 201, 201], "tokens": 3, "signedOut": "not signed in"}


def test_the_frontend_of_the_guide_never_acts_as_who_was_signed_in_before(play: Play) -> None:
    assert play("inTurns") == [True, True, True]


def test_a_page_sees_that_it_is_not_signed_in(play: Play) -> None:
    seen = play("signedOut")
    assert [seen["none"]["status"], seen["bad"]["status"]] == [401, 401]
    assert [seen["none"]["body"]["code"], seen["bad"]["body"]["code"]] == ["token_missing", "token_invalid"]
    assert seen["none"]["headers"]["WWW-Authenticate"] == 'Bearer realm="todo"'
    assert 'error="invalid_token"' in seen["bad"]["headers"]["WWW-Authenticate"]


def test_a_page_sees_a_fault_of_the_service_as_a_500(play: Play, postgres: Postgres) -> None:
    with postgres.grant_revoked():
        seen = play("broken")
    assert (seen["status"], seen["body"]["code"]) == (500, "internal_error")
    assert seen["headers"]["X-Request-Id"] == seen["body"]["request_id"]


def test_a_page_of_an_origin_that_is_not_listed_sees_nothing_whatever_token_it_has(
    play: Play, better_auth: BetterAuth
) -> None:
    # The same page by its other name, which is another origin.
    elsewhere = better_auth.url.replace("localhost", "127.0.0.1")
    token = better_auth.sign_up().token()
    assert play("given", page=elsewhere, token=token) == {"without": "TypeError", "with": "TypeError"}
    assert play("given", token=token) == {"without": 401, "with": 200}
