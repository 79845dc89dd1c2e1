"""The commands that a deployment runs, and what it has to tell them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from service.dev.issuer import ISSUER, Issuer
from tests.cli.test_dev import free_port
from tests.conftest import Database, Token, in_database

TODO_API = Path(sys.executable).with_name("todo-api")


@pytest.fixture
def environment(database: Database, issuer: Issuer) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database.api_url,
        "MIGRATION_DATABASE_URL": database.superuser_url,
        "AUTH_ISSUER": ISSUER,
        "AUTH_AUDIENCE": ISSUER,
        "AUTH_JWKS_FILE": str(issuer.jwks_file),
    }


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TODO_API, *arguments], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_serve_serves_until_it_is_told_to_stop(environment: dict[str, str], token_for: Token, workers: int) -> None:
    port = free_port()
    command = [str(TODO_API), "serve", "--port", str(port), "--workers", str(workers)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        url, headers = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {token_for('alice')}"}
        wait_until(lambda: httpx.get(f"{url}/readyz").status_code == 200)
        response = httpx.get(f"{url}/tasks?limit=1", headers=headers)
        assert response.status_code == 200
        assert "server" not in response.headers
        children = psutil.Process(process.pid).children()
        assert len(children) >= (workers if workers > 1 else 0)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=15)
        _, alive = psutil.wait_procs(children, timeout=5)
        assert alive == []
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log
    assert headers["Authorization"] not in log


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(200):
        try:
            if condition():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise TimeoutError


@pytest.mark.xdist_group("cluster")
def test_migrate_can_be_repeated(environment: dict[str, str]) -> None:
    result = run(environment, "migrate")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"DATABASE_URL": None}, "DATABASE_URL is not set"),
        ({"AUTH_ISSUER": None, "AUTH_AUDIENCE": None}, "AUTH_ISSUER is not set"),
        ({"AUTH_ISSUER": ""}, "AUTH_ISSUER: "),
        ({"AUTH_JWKS_FILE": "/nowhere.json"}, "AUTH_JWKS_FILE: "),
        ({"AUTH_JWKS_FILE": "/dev/null"}, "AUTH_JWKS_FILE: "),
        ({"AUTH_JWKS_FILE": "{pyproject}"}, "AUTH_JWKS_FILE: "),
        ({"AUTH_ALGORITHMS": "none"}, "AUTH_ALGORITHMS: "),
        ({"AUTH_ALGORITHMS": "HS256"}, "AUTH_ALGORITHMS: "),
        ({"AUTH_ALGORITHMS": ""}, "AUTH_ALGORITHMS: "),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS: "),
        ({"CORS_ORIGINS": "https://a.example/"}, "CORS_ORIGINS: "),
        ({"CORS_ORIGINS": "a.example"}, "CORS_ORIGINS: "),
        ({"DATABASE_POOL_SIZE": "0"}, "DATABASE_POOL_SIZE: "),
        ({"DATABASE_URL": "mysql://root:hunter2@localhost/x"}, "DATABASE_URL: "),
        ({"DATABASE_URL": "postgresql://todo_api:hunter2@localhost:port/x"}, "DATABASE_URL: "),
        ({"DATABASE_URL": "postgresql://todo_api:hunter2@db.example/x?sslmode=prefer"}, "DATABASE_URL: "),
        ({"DATABASE_URL": "postgresql://todo_api:hunter2@db.example/x?sslrootcert=/no"}, "DATABASE_URL: "),
        ({"DATABASE_URL": "postgresql://todo_api:hunter2@db.example/x?options=-c%20a"}, "DATABASE_URL: "),
    ],
    ids=str,
)
def test_a_wrong_setting_gets_one_line_that_names_it(
    environment: dict[str, str], change: dict[str, str | None], expected: str
) -> None:
    wrong = {name: value for name, value in (environment | change).items() if value is not None}
    if wrong.get("AUTH_JWKS_FILE") == "{pyproject}":
        wrong["AUTH_JWKS_FILE"] = str(Path(__file__).parents[2] / "pyproject.toml")
    result = run(wrong, "serve", "--port", "1")
    assert result.returncode == 2, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == len(change)
    assert lines[0].startswith(f"todo-api: {expected}")
    assert "hunter2" not in result.stderr


def test_a_key_file_without_a_usable_key_is_refused(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text('{"keys": [{"kty": "oct", "kid": "a", "k": "c2VjcmV0LXNlY3JldA"}, {"kid": "b"}, 5]}')
    result = run(environment | {"AUTH_JWKS_FILE": str(file)}, "serve", "--port", "1")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].endswith("holds no usable public key")
    assert "c2VjcmV0" not in result.stderr


def test_migrate_says_in_a_line_what_is_wrong(environment: dict[str, str], database: Database) -> None:
    without = {name: value for name, value in environment.items() if name != "MIGRATION_DATABASE_URL"}
    result = run(without, "migrate")
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    away = environment | {"MIGRATION_DATABASE_URL": "postgresql://owner:hunter2@127.0.0.1:1/todo"}
    result = run(away, "migrate")
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert "hunter2" not in result.stderr
    powerless = environment | {"MIGRATION_DATABASE_URL": in_database(database.api_url, database.name)}
    result = run(powerless, "migrate")
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert "permission denied" in result.stderr


def test_help_explains_every_command() -> None:
    text = run({}, "--help").stdout
    for command in ("dev", "token", "migrate", "serve"):
        assert f"    {command} " in text
        assert run({}, command, "--help").returncode == 0
    assert run({}).returncode == 2
    assert run({}, "serve", "--port", "x").returncode == 2
