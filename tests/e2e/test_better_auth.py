"""The tokens of a real Better Auth, whose keys come and go while the service runs."""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from pathlib import Path

import httpx
import jwt
import pytest
from jwt.utils import base64url_encode

from tests.cli.test_commands import wait_until
from tests.cli.test_dev import dev
from tests.conftest import new_user
from tests.e2e.better_auth import BetterAuth, User
from tests.e2e.conftest import Postgres, wait_until_ready
from tests.servers import free_port, todo_api_server
from tests.signing import ALGORITHMS, Signer

# The service asks for unknown keys no more often than this.
SECONDS_BETWEEN_FETCHES = 5

Serve = Callable[..., AbstractContextManager[str]]


@pytest.fixture(scope="module")
def serve(postgres: Postgres) -> Serve:
    """Run the service with the tokens of a Better Auth, and give its URL."""

    @contextmanager
    def run(better_auth: BetterAuth, **settings: str) -> Iterator[str]:
        # Some of these tests send more than a person would, and tokens that no client has.
        served = todo_api_server(postgres.api_url, better_auth.url, stderr=None, RATE_LIMIT="off", **settings)
        with served as (port, _):
            yield f"http://127.0.0.1:{port}"

    return run


@pytest.fixture(scope="module")
def service(serve: Serve, better_auth: BetterAuth) -> Iterator[str]:
    """A service that looks for new keys when it is shown one, and hardly otherwise."""
    # By another name than the issuer's, as in a network of containers. Other tests leave the URL to the service.
    keys = f"{better_auth.url.replace('localhost', '127.0.0.1')}/api/auth/jwks"
    with serve(better_auth, AUTH_JWKS_URL=keys) as url:
        wait_until_ready(url)
        yield url


@pytest.fixture
def user(better_auth: BetterAuth) -> User:
    return better_auth.sign_up()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def ask(service: str, token: str) -> httpx.Response:
    return httpx.get(f"{service}/tasks", headers=bearer(token))


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def with_kid(token: str, kid: str) -> str:
    """The token with another kid, and all else as it was."""
    header = jwt.get_unverified_header(token) | {"kid": kid}
    return base64url_encode(json.dumps(header).encode()).decode() + token[token.index(".") :]


def test_whoever_has_signed_up_creates_a_task_that_nobody_else_sees(better_auth: BetterAuth, service: str) -> None:
    ada, bob = better_auth.sign_up(), better_auth.sign_up()
    with (
        httpx.Client(base_url=service, headers=bearer(ada.token())) as as_ada,
        httpx.Client(base_url=service, headers=bearer(bob.token())) as as_bob,
    ):
        created = as_ada.post("/tasks", json={"title": "Buy milk"})
        assert (created.status_code, created.json()["owner_id"]) == (201, ada.id)
        task = f"/tasks/{created.json()['id']}"
        assert as_bob.get("/tasks").json() == []
        assert as_bob.get(task).status_code == 404
        assert as_bob.patch(task, json={"title": "Mine"}).status_code == 404
        assert as_bob.delete(task).status_code == 404
        assert as_ada.get(task).json() == created.json()


def test_the_first_token_of_a_new_key_is_good_at_once_and_those_of_the_old_one_still_are(
    better_auth: BetterAuth, service: str, user: User
) -> None:
    old = user.token()
    assert ask(service, old).status_code == 200
    better_auth.rotate()
    new = user.token()
    assert kid_of(new) != kid_of(old)
    assert ask(service, new).status_code == 200
    assert ask(service, old).status_code == 200


def test_the_tokens_of_a_key_that_is_listed_no_more_are_refused_before_long(
    serve: Serve, better_auth: BetterAuth, user: User
) -> None:
    refresh = 1
    with serve(better_auth, AUTH_JWKS_REFRESH_SECONDS=str(refresh)) as service:
        old = user.token()
        assert ask(service, old).status_code == 200
        better_auth.rotate()
        new = user.token()
        dropped = time.monotonic()
        better_auth.drop(kid_of(old))
        wait_until(lambda: ask(service, old).status_code == 401)
        assert time.monotonic() - dropped < refresh + 5
        assert ask(service, new).status_code == 200


async def test_two_hundred_requests_at_a_cold_start_have_the_keys_fetched_once(
    serve: Serve, better_auth: BetterAuth, user: User
) -> None:
    token = user.token()
    hits = len(better_auth.jwks_hits())
    # So slow that all of them arrive while the service fetches, which it does as soon as it starts.
    with better_auth.slow(1500), serve(better_auth) as service:
        async with httpx.AsyncClient(base_url=service, headers=bearer(token), timeout=30) as client:
            answers = await asyncio.gather(*(client.get("/tasks") for _ in range(200)))
        assert [answer.status_code for answer in answers] == [200] * 200
    assert len(better_auth.jwks_hits()) - hits == 1


async def test_made_up_kids_are_refused_and_have_the_keys_fetched_every_five_seconds_at_most(
    serve: Serve, better_auth: BetterAuth, user: User
) -> None:
    token = user.token()
    with serve(better_auth) as service:  # of its own: for five seconds it does not look for new keys any more
        async with httpx.AsyncClient(base_url=service, timeout=30) as client:
            assert (await client.get("/tasks", headers=bearer(token))).status_code == 200
            hits = len(better_auth.jwks_hits())
            for _ in range(40):
                tokens = [token, *(with_kid(token, new_user()) for _ in range(50))]
                answers = await asyncio.gather(*(client.get("/tasks", headers=bearer(token)) for token in tokens))
                assert [answer.status_code for answer in answers] == [200] + [401] * 50
    fetched = better_auth.jwks_hits()[hits:]
    assert fetched
    assert all(later - earlier > SECONDS_BETWEEN_FETCHES - 0.1 for earlier, later in pairwise(fetched))


def test_while_better_auth_is_away_known_keys_go_on_and_unknown_ones_are_told_to_wait(
    better_auth: BetterAuth, service: str, user: User
) -> None:
    known = user.token()
    assert ask(service, known).status_code == 200
    better_auth.rotate()
    unknown = user.token()
    with better_auth.away():
        assert {ask(service, known).status_code for _ in range(50)} == {200}
        told = ask(service, unknown)
        again_at = time.monotonic() + int(told.headers["Retry-After"])
        assert (told.status_code, told.json()["code"]) == (503, "keys_unavailable")
    time.sleep(max(0, again_at - time.monotonic()))
    assert ask(service, unknown).status_code == 200
    assert ask(service, known).status_code == 200


def test_a_service_that_starts_while_better_auth_is_away_waits_for_it(
    serve: Serve, better_auth: BetterAuth, user: User
) -> None:
    token = user.token()
    with better_auth.away(), serve(better_auth) as service:
        assert httpx.get(f"{service}/livez").status_code == 200
        assert httpx.get(f"{service}/readyz").status_code == 503
        told = ask(service, token)
        assert (told.status_code, told.json()["code"]) == (503, "keys_unavailable")
        assert int(told.headers["Retry-After"]) > 0
        # Nobody asks it anything but whether it is ready.
        better_auth.back()
        wait_until_ready(service)
        assert ask(service, token).status_code == 200


def test_the_service_waits_as_long_as_better_auths_rate_limit_says(serve: Serve) -> None:
    limited_for = 4
    with (
        BetterAuth(rate_limit_seconds=limited_for) as better_auth,
        serve(better_auth, AUTH_JWKS_REFRESH_SECONDS="1") as service,
    ):
        token = better_auth.sign_up().token()
        assert ask(service, token).status_code == 200
        with httpx.Client(base_url=better_auth.url) as greedy:
            while greedy.get("/api/auth/jwks").status_code == 200:
                pass
        # The limit is over so many seconds after the last request that was within it.
        hits = better_auth.jwks_hits()
        over = hits[-2] + limited_for
        wait_until(lambda: len(better_auth.jwks_hits()) > len(hits))
        while time.time() < over:
            assert ask(service, token).status_code == 200
            time.sleep(0.2)
        wait_until(lambda: len(better_auth.jwks_hits()) > len(hits) + 1)
        told, *later = better_auth.jwks_hits()[len(hits) :]
        assert told < over <= later[0]


def test_a_token_whose_time_is_over_is_told_apart_so_that_the_page_takes_another(serve: Serve) -> None:
    with BetterAuth(expiration_time="-1m") as better_auth, serve(better_auth) as service:
        refused = ask(service, better_auth.sign_up().token())
        assert (refused.status_code, refused.json()["code"]) == (401, "token_expired")


@pytest.fixture(scope="module", params=ALGORITHMS)
def signed(request: pytest.FixtureRequest, serve: Serve) -> Iterator[tuple[str, str, User]]:
    """An algorithm, a service that accepts it alone, and somebody whose tokens and session are signed with it."""
    with (
        # With all that Better Auth puts into a token unless it is told otherwise.
        BetterAuth(request.param, cookie_cache=True, mistakes=["whole-user"]) as better_auth,
        serve(better_auth, AUTH_ALGORITHMS=request.param) as service,
    ):
        yield request.param, service, better_auth.sign_up()


def test_a_token_of_each_algorithm_is_good(signed: tuple[str, str, User]) -> None:
    algorithm, service, user = signed
    token = user.token()
    assert jwt.get_unverified_header(token)["alg"] == algorithm
    assert ask(service, token).status_code == 200


def test_a_token_that_another_key_signed_by_the_same_kid_is_refused(signed: tuple[str, str, User]) -> None:
    algorithm, service, user = signed
    token = user.token()
    claims = jwt.decode(token, options={"verify_signature": False})
    forged = Signer(kid_of(token), algorithm).token(**claims)
    refused = ask(service, forged)
    assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")
    assert "signature" in refused.json()["detail"]


def test_the_jwt_in_a_cookie_of_the_session_is_no_token(signed: tuple[str, str, User]) -> None:
    _, service, user = signed
    cookie = user.cached_session()
    assert kid_of(cookie) == kid_of(user.token())
    refused = ask(service, cookie)
    assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")


def test_the_development_service_takes_the_tokens_of_a_better_auth(better_auth: BetterAuth, user: User) -> None:
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        with dev(Path(folder) / "dev", port, "--better-auth", f"{better_auth.url}/") as (process, _):
            assert ask(f"http://127.0.0.1:{port}", user.token()).status_code == 200
            process.terminate()
            assert process.wait(15) == 0
