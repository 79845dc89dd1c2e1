"""A client in TypeScript whose types come from openapi.json, and whether the service keeps what they promise."""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path

import asyncpg
import pytest

from service.dev.issuer import Issuer
from tests.conftest import new_user
from tests.e2e.conftest import Postgres, wait_until_ready

CLIENT = Path(__file__).with_name("typescript")
OPENAPI = Path(__file__).parents[2] / "openapi.json"
KEY = "in-flight"
LOCKS = [
    CLIENT / "package-lock.json",
    CLIENT.parent / "better-auth" / "package-lock.json",
    CLIENT.parent / "browser" / "package-lock.json",
    CLIENT.parents[1] / "contract" / "package-lock.json",
]


@contextmanager
def key_in_flight(postgres: Postgres, user: str) -> Iterator[None]:
    """As if another request of this user's had claimed KEY and not yet been answered."""
    claim = "INSERT INTO app.idempotency_keys (owner_id, key, payload_sha256) VALUES ($1, $2, sha256(''))"
    with asyncio.Runner() as loop:
        connection = loop.run(asyncpg.connect(postgres.superuser_url))
        try:
            loop.run(connection.execute("BEGIN"))
            loop.run(connection.execute(claim, user, KEY))
            yield
        finally:
            loop.run(connection.close())


# What is wrong while the client plays a scenario of typescript/src/main.ts. They are told who will be asking.
SCENARIOS: dict[str, Callable[[Postgres, str], AbstractContextManager[None]]] = {
    "ordinary": lambda *_: nullcontext(),
    "limited": lambda *_: nullcontext(),
    "in-flight": key_in_flight,
    "broken": lambda postgres, _: postgres.grant_revoked(),
    "away": lambda postgres, _: postgres.away(),
}

Play = Callable[[str], frozenset[str]]


@pytest.fixture(scope="module")
def play(api: str, postgres: Postgres, issuer: Issuer) -> Play:
    """Have the client play a scenario, once, and give the kinds of answers that it got: `GET /tasks 200`."""

    @cache
    def played(scenario: str) -> frozenset[str]:
        alice = new_user()
        environment = {
            "PATH": os.environ["PATH"],
            "API_URL": api,
            "ALICE": issuer.token(alice, expires_in=900),
            "ALICE_YESTERDAY": issuer.token(alice, expires_in=-24 * 3600),
            "BOB": issuer.token(new_user(), expires_in=900),
            "KEY_IN_FLIGHT": KEY,
        }
        wait_until_ready(api)
        with SCENARIOS[scenario](postgres, alice):
            client = subprocess.run(
                ["node", "--enable-source-maps", CLIENT / "dist" / "main.js", scenario],
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        assert client.returncode == 0, client.stderr
        return frozenset(client.stdout.splitlines())

    return played


def test_every_operation_does_what_its_types_say(play: Play) -> None:
    play("ordinary")


def test_a_caller_who_sends_too_much_is_told_when_to_try_again(play: Play) -> None:
    play("limited")


def test_a_second_request_with_a_key_in_flight_is_a_conflict(play: Play) -> None:
    play("in-flight")


def test_a_fault_of_the_service_is_an_internal_error(play: Play) -> None:
    play("broken")


def test_without_its_database_the_service_is_unavailable(play: Play) -> None:
    play("away")


def test_every_documented_answer_is_given_and_no_other(play: Play) -> None:
    documented = {
        f"{method.upper()} {path} {status}"
        for path, operations in json.loads(OPENAPI.read_text())["paths"].items()
        for method, operation in operations.items()
        for status in operation["responses"]
    }
    given = frozenset[str]().union(*map(play, SCENARIOS))
    # No fault of the database is a 500 of these two, and nothing else could be made to fail from outside.
    assert given == documented - {"GET /livez 500", "GET /readyz 500"}


def test_nothing_is_kept_from_the_compiler() -> None:
    ways_around = re.compile(r"\bany\b|\bas (?!const\b)|[\w)\]]!(?!=)|@ts-")
    sources = [source for source in (CLIENT / "src").glob("*.ts") if source.name != "api.d.ts"]
    assert sources
    for source in sources:
        code = re.sub(r"(?<!:)//.*|/\*[\s\S]*?\*/", "", source.read_text())
        assert ways_around.findall(code) == [], source.name


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.parent.name)
def test_the_packages_may_come_from_whichever_registry_npm_is_set_to(lock: Path) -> None:
    assert "://" not in lock.read_text()
    packages = json.loads(lock.read_text())["packages"]
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []
