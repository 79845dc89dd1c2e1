"""The commands that a deployment runs, and what it has to tell them."""

import os
import secrets
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
from service.settings import Settings
from tests.conftest import Database, Main, Token, in_database
from tests.servers import free_port, todo_api_server

TODO_API = Path(sys.executable).with_name("todo-api")


@pytest.fixture
def environment(database: Database, issuer: Issuer) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database.api_url,
        "MIGRATION_DATABASE_URL": database.superuser_url,
        "AUTH_ISSUER": ISSUER,
        "AUTH_AUDIENCE": ISSUER,
        "CURSOR_KEY": "0123456789abcdef" * 2,
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
        _, alive = psutil.wait_procs(children, timeout=2)
        assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log
    assert headers["Authorization"] not in log


def test_what_people_write_and_search_for_is_in_no_log(
    database: Database, issuer: Issuer, token_for: Token, capfd: pytest.CaptureFixture[str]
) -> None:
    marker = secrets.token_hex(8)
    with todo_api_server(database.api_url, issuer) as (port, _):
        headers = {"Authorization": f"Bearer {token_for(marker)}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            assert client.post("/tasks", json={"title": marker}).status_code == 201
            assert len(client.get("/tasks", params={"q": marker}).json()) == 1
            assert client.get("/tasks", params={marker: "x"}).status_code == 422
            assert client.post("/tasks", json={"title": "x", "status": marker}).status_code == 422
            assert client.get(f"/{marker}").status_code == 404
    said = "".join(capfd.readouterr())
    assert "startup complete" in said
    assert marker not in said


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(200):
        try:
            if condition():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise TimeoutError


@pytest.mark.usefixtures("roles_to_itself")
def test_migrate_can_be_repeated(environment: dict[str, str]) -> None:
    result = run(environment, "migrate")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"DATABASE_URL": None}, "DATABASE_URL is not set"),
        ({"AUTH_ISSUER": None, "AUTH_AUDIENCE": None}, "AUTH_ISSUER is not set"),
        ({"AUTH_ISSUER": ""}, "AUTH_ISSUER: write it as tokens have it"),
        ({"AUTH_ISSUER": '"https://a.example"'}, "AUTH_ISSUER: write it as tokens have it"),
        ({"AUTH_AUDIENCE": "https://a.example "}, "AUTH_AUDIENCE: write it as tokens have it"),
        ({"AUTH_AUDIENCE": "https://a.example # their aud"}, "AUTH_AUDIENCE: write it as tokens have it"),
        ({"AUTH_JWKS_FILE": None, "AUTH_SHARED_SECRET": f"'{'hunter2' * 6}'"}, "AUTH_SHARED_SECRET: write it without"),
        ({"AUTH_JWKS_FILE": "/nowhere.json"}, "AUTH_JWKS_FILE: /nowhere.json cannot be used: No such file"),
        ({"AUTH_JWKS_FILE": "/" + "a" * 5000}, "AUTH_JWKS_FILE: /aaa"),
        ({"AUTH_JWKS_FILE": ""}, "AUTH_JWKS_FILE: /"),
        ({"AUTH_JWKS_FILE": "/dev/null"}, "AUTH_JWKS_FILE: "),
        ({"AUTH_JWKS_FILE": "{pyproject}"}, "AUTH_JWKS_FILE: "),
        ({"AUTH_JWKS_FILE": None, "AUTH_JWKS_URL": "auth.example"}, "AUTH_JWKS_URL: write https://HOST"),
        ({"AUTH_JWKS_FILE": None, "AUTH_JWKS_URL": "ftp://auth.example/x"}, "AUTH_JWKS_URL: write https://HOST"),
        ({"AUTH_JWKS_FILE": None, "AUTH_JWKS_URL": "https://a:hunter2@auth.example"}, "AUTH_JWKS_URL: write https"),
        ({"AUTH_JWKS_FILE": None, "AUTH_JWKS_URL": "https://auth.example:hunter2"}, "AUTH_JWKS_URL: write https"),
        ({"AUTH_JWKS_FILE": None, "AUTH_JWKS_URL": "https://[auth.example"}, "AUTH_JWKS_URL: write https"),
        ({"AUTH_JWKS_FILE": None, "AUTH_JWKS_URL": "http://auth.example/jwks"}, "AUTH_JWKS_URL: write https://: who"),
        ({"AUTH_JWKS_FILE": None, "AUTH_JWKS_URL": "http://8.8.8.8/jwks"}, "AUTH_JWKS_URL: write https://: who"),
        ({"AUTH_JWKS_FILE": None, "AUTH_JWKS_URL": "https://auth.example:0/x"}, "AUTH_JWKS_URL: write https://HOST"),
        ({"AUTH_JWKS_FILE": None, "AUTH_JWKS_URL": "https://auth.example/#x"}, "AUTH_JWKS_URL: write https://HOST"),
        (
            {"AUTH_JWKS_FILE": None, "AUTH_ISSUER": "https://a.example?x=1"},
            "AUTH_ISSUER/api/auth/jwks is no place for ke",
        ),
        ({"AUTH_JWKS_FILE": None, "AUTH_ISSUER": "todo"}, "AUTH_ISSUER/api/auth/jwks is no place for keys: set A"),
        (
            {"AUTH_JWKS_FILE": None, "AUTH_ISSUER": "http://a.example"},
            "AUTH_ISSUER/api/auth/jwks is no place for keys: set",
        ),
        ({"AUTH_JWKS_URL": "https://auth.example/jwks"}, "AUTH_JWKS_FILE, AUTH_JWKS_URL: leave all but one out"),
        ({"AUTH_SHARED_SECRET": "hunter2" * 6}, "AUTH_JWKS_FILE, AUTH_SHARED_SECRET: leave all but one out"),
        ({"AUTH_JWKS_FILE": None, "AUTH_SHARED_SECRET": "hunter2"}, "AUTH_SHARED_SECRET: write 32 characters"),
        (
            {"AUTH_JWKS_FILE": None, "AUTH_SHARED_SECRET": "hunter2" * 6, "AUTH_ALGORITHMS": "EdDSA"},
            "AUTH_SHARED_SECRET means HS256: leave AUTH_ALGORITHMS out",
        ),
        ({"AUTH_JWKS_REFRESH_SECONDS": "60"}, "AUTH_JWKS_FILE is not fetched: leave AUTH_JWKS_REFRESH_SECONDS out"),
        ({"AUTH_JWKS_FILE": None, "AUTH_JWKS_MAX_AGE_SECONDS": "599"}, "AUTH_JWKS_MAX_AGE_SECONDS: write twice"),
        ({"AUTH_JWKS_FILE": None, "AUTH_JWKS_URL": "http://134744072/x"}, "AUTH_JWKS_URL: write https://: who"),
        ({"AUTH_JWKS_FILE": None, "AUTH_JWKS_URL": "http://evil\u3002com/x"}, "AUTH_JWKS_URL: write https://: who"),
        ({"AUTH_JWKS_FILE": None, "AUTH_JWKS_URL": "http://[::ffff:8.8.8.8]/x"}, "AUTH_JWKS_URL: write https://: "),
        ({"AUTH_JWKS_FILE": None, "AUTH_JWKS_URL": "http://10.0.0.1.evil.example"}, "AUTH_JWKS_URL: write https://"),
        ({"AUTH_JWKS_FILE": None, "SSL_CERT_FILE": "/nowhere.pem"}, "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or SSL"),
        ({"AUTH_JWKS_FILE": None, "ALL_PROXY": "nowhere://a:hunter2@b"}, "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or SSL"),
        ({"AUTH_MAX_LIFETIME_SECONDS": "0"}, "AUTH_MAX_LIFETIME_SECONDS: "),
        ({"AUTH_ALGORITHMS": "none"}, "AUTH_ALGORITHMS: "),
        ({"AUTH_ALGORITHMS": "HS256"}, "AUTH_ALGORITHMS: "),
        ({"AUTH_ALGORITHMS": ""}, "AUTH_ALGORITHMS: "),
        ({"CORS_ORIGINS": "*"}, "CORS_ORIGINS: "),
        ({"CORS_ORIGINS": "https://a.example/"}, "CORS_ORIGINS: "),
        ({"CORS_ORIGINS": "a.example"}, "CORS_ORIGINS: "),
        ({"CORS_ORIGINS": "https://A.example"}, "CORS_ORIGINS: "),
        ({"CORS_ORIGINS": "https://a.example:443"}, "CORS_ORIGINS: "),
        ({"DATABASE_POOL_SIZE": "0"}, "DATABASE_POOL_SIZE: "),
        ({"CURSOR_KEY": None}, "CURSOR_KEY is not set"),
        ({"CURSOR_KEY": "hunter2"}, "CURSOR_KEY: write 32 characters at least"),
        ({"CURSOR_KEY": "choose-a-key-of-32-characters-or-more"}, "CURSOR_KEY: "),
        ({"RATE_LIMIT": "perhaps"}, "RATE_LIMIT: write on or off"),
        ({"RATE_LIMIT_REQUESTS": "0"}, "RATE_LIMIT_REQUESTS: "),
        ({"RATE_LIMIT_STORAGE": "memcached://:hunter2@localhost"}, "RATE_LIMIT_STORAGE: write memory, or redis://"),
        ({"RATE_LIMIT_STORAGE": "redis://:hunter2@localhost/x"}, "RATE_LIMIT_STORAGE: write memory, or redis://"),
        ({"RATE_LIMIT_STORAGE": "redis://localhost:hunter2"}, "RATE_LIMIT_STORAGE: write memory, or redis://"),
        ({"RATE_LIMIT_STORAGE": "redis://:hunter2[@localhost"}, "RATE_LIMIT_STORAGE: write memory, or redis://"),
        ({"RATE_LIMIT_STORAGE": "redis://localhost:99999/0"}, "RATE_LIMIT_STORAGE: write memory, or redis://"),
        ({"RATE_LIMIT": "off", "RATE_LIMIT_BURST": "5"}, "RATE_LIMIT is off: leave RATE_LIMIT_BURST out"),
        ({"TRUSTED_PROXIES": "proxy.example"}, "TRUSTED_PROXIES: write addresses or networks"),
        ({"TRUSTED_PROXIES": "10.0.0.1/8"}, "TRUSTED_PROXIES: write addresses or networks"),
        ({"DATABASE_URL": "mysql://root:hunter2@localhost/x"}, "DATABASE_URL: "),
        ({"DATABASE_URL": "postgresql://todo_api:hunter2@localhost:port/x"}, "DATABASE_URL: "),
        ({"DATABASE_URL": "postgresql://todo_api:hunter2@db.example/x?sslmode=prefer"}, "DATABASE_URL: "),
        ({"DATABASE_URL": "postgresql://todo_api:hunter2@db.example/x?sslrootcert=/no"}, "DATABASE_URL: "),
        ({"DATABASE_URL": "postgresql://todo_api:hunter2@db.example/x?options=-c%20a"}, "DATABASE_URL: "),
    ],
    ids=str,
)
def test_a_wrong_setting_gets_one_line_that_names_it(
    environment: dict[str, str], main_with: Main, change: dict[str, str | None], expected: str
) -> None:
    wrong = {name: value for name, value in (environment | change).items() if value is not None}
    if wrong.get("AUTH_JWKS_FILE") == "{pyproject}":
        wrong["AUTH_JWKS_FILE"] = str(Path(__file__).parents[2] / "pyproject.toml")
    code, stderr = main_with(wrong, "serve", "--port", "1")
    assert code == 2, stderr
    lines = stderr.splitlines()
    assert len(lines) == (
        2 if {"AUTH_ISSUER", "AUTH_AUDIENCE"} <= set(change) else 1
    )  # of the settings that are missing, each has one
    assert lines[0].startswith(f"todo-api: {expected}")
    assert "hunter2" not in stderr


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:3000/api/auth/jwks",
        "http://better-auth:3000/api/auth/jwks",
        "http://auth.default.svc.cluster.local/jwks",
        "http://auth.internal/jwks",
        "http://10.0.0.1/jwks",
        "http://[fd00::1]/jwks",
        "https://auth.example/jwks?v=1",
        "https://m\u00fcnchen.example/jwks",
    ],
)
def test_keys_may_be_at_https_and_at_http_within_the_own_network(environment: dict[str, str], url: str) -> None:
    keys_from_there = {name: value for name, value in environment.items() if name != "AUTH_JWKS_FILE"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (keys_from_there | {"AUTH_JWKS_URL": url}).items():
            patch.setenv(name, value)
        assert Settings.load().keys_url == url.replace("m\u00fcnchen", "xn--mnchen-3ya")


def test_a_key_file_without_a_usable_key_is_refused(
    environment: dict[str, str], main_with: Main, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "jwks.json"
    secret = '"k": "c2VjcmV0LXNlY3JldA"'
    unusable = (
        f'{{"kty": "oct", "kid": "a", {secret}}}',
        f'{{"kid": "b", {secret}}}',
        f'{{"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "c", {secret}}}',
        '{"kty": "OKP", "crv": "Ed25519", "d": "c2VjcmV0LXNlY3JldA", "x": "AA", "kid": "d"}',
        '{"kty": "RSA", "kid": "e", "use": "enc"}',
        '{"kty": 5, "kid": []}',
        "5",
    )
    file.write_text(f'{{"keys": [{", ".join(unusable)}]}}')
    code, stderr = main_with(environment | {"AUTH_JWKS_FILE": str(file)}, "serve", "--port", "1")
    assert code == 2
    assert stderr.splitlines()[-1].endswith("holds no usable public key")
    assert len(caplog.messages) == len(unusable)
    assert "c2VjcmV0" not in stderr + caplog.text


def test_migrate_says_in_a_line_what_is_wrong(environment: dict[str, str], main_with: Main, database: Database) -> None:
    without = {name: value for name, value in environment.items() if name != "MIGRATION_DATABASE_URL"}
    code, stderr = main_with(without, "migrate")
    assert (code, len(stderr.splitlines())) == (2, 1)
    away = environment | {"MIGRATION_DATABASE_URL": "postgresql://owner:hunter2@127.0.0.1:1/todo"}
    code, stderr = main_with(away, "migrate")
    assert (code, len(stderr.splitlines())) == (1, 1)
    assert "hunter2" not in stderr
    odd = environment | {"DATABASE_URL": "postgresql://todo_api:hunter2@localhost:port/x"}
    code, stderr = main_with(odd, "migrate")
    assert (code, stderr.splitlines()) == (
        2,
        ["todo-api: DATABASE_URL: write postgresql://ROLE:PASSWORD@HOST/DATABASE"],
    )
    powerless = environment | {"MIGRATION_DATABASE_URL": in_database(database.api_url, database.name)}
    code, stderr = main_with(powerless, "migrate")
    assert (code, len(stderr.splitlines())) == (1, 1)
    assert "permission denied" in stderr or "must have admin option" in stderr  # as Postgres 15 says it


def test_help_explains_every_command() -> None:
    text = run({}, "--help").stdout
    assert "write a number from 1 to 65535" in run({}, "serve", "--port", "x").stderr
    assert "write a number from 1 up" in run({}, "serve", "--workers", "0").stderr
    for command in ("dev", "token", "migrate", "serve"):
        assert f"    {command} " in text
