"""schemathesis against the server as it is deployed: what openapi.json promises, and the checks of hooks.py.

Two users at once, each in a run of their own. `make contract` runs this; it is too long for `make test`.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.dev.issuer import Issuer
from tests.conftest import Database, Token
from tests.servers import todo_api_server

ROOT = Path(__file__).parents[2]
ST = Path(sys.executable).with_name("st")
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
USERS = ("alice", "bob")
PHASES = ("examples", "coverage", "fuzzing", "stateful")
EXAMPLES = os.environ.get("CONTRACT_EXAMPLES", "100")
SECONDS = 240


@pytest.fixture(scope="module")
def server_url(database: Database, issuer: Issuer) -> Iterator[str]:
    """The running server. Afterwards: it has lived through it all, and its log holds no traceback."""
    log = issuer.jwks_file.with_name("serve.log")
    with log.open("w") as stderr, todo_api_server(database.api_url, issuer, stderr=stderr, RATE_LIMIT="off") as served:
        port, pid = served
        yield f"http://127.0.0.1:{port}"
        print(f"the server holds {psutil.Process(pid).memory_info().rss / 2**20:.0f} MiB")
    assert "Traceback" not in log.read_text()


@pytest.fixture(scope="module")
def seed() -> int:
    """Another one each time, so that the runs of a year try more than one; CONTRACT_SEED repeats a run."""
    return int(os.environ.get("CONTRACT_SEED", random.randrange(2**32)))  # noqa: S311 - no secret


def test_the_server_keeps_every_promise_to_two_users_at_once(
    server_url: str, token_for: Token, tmp_path: Path, seed: int
) -> None:
    users = tmp_path / "users.json"
    users.write_text(json.dumps({"auth": [_with_token(user, token_for(user)) for user in USERS]}))
    runs = {user: _start(user, server_url, users, tmp_path, seed) for user in USERS}
    try:
        said = {user: run.communicate(timeout=SECONDS)[0] for user, run in runs.items()}
    finally:
        for run in runs.values():
            run.kill()
            run.wait()
    print(f"CONTRACT_SEED={seed}", *said.values(), sep="\n")
    assert {user: run.returncode for user, run in runs.items()} == dict.fromkeys(USERS, 0)
    for user in USERS:
        _look_at(json.loads((tmp_path / f"{user}.json").read_text()))


def _with_token(user: str, token: str) -> dict[str, Any]:
    """A user in the file that schemathesis reads: https://github.com/WebFuzzing/Commons."""
    return {"name": user, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {token}"}]}


def _start(user: str, url: str, users: Path, folder: Path, seed: int) -> subprocess.Popen[str]:
    command: list[str | Path] = [ST, "--config-file", CONFIGURATION, "run", f"{url}/openapi.json", "--no-color"]
    command += ["--phases", ",".join(PHASES), "--max-examples", EXAMPLES, "--seed", str(seed)]
    command += ["--report", "json", "--report-json-path", folder / f"{user}.json"]
    environment = os.environ | {"SCHEMATHESIS_USERS": str(users), "SCHEMATHESIS_USER": user}
    return subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _look_at(report: dict[str, Any]) -> None:
    """A run that skipped something, or had next to nothing to say, is no success."""
    assert {phase: report["phases"][phase]["status"] for phase in PHASES} == dict.fromkeys(PHASES, "success")
    assert report["operations"]["tested"] == report["operations"]["total"] == 8
    assert report["test_cases"]["generated"] > 500
