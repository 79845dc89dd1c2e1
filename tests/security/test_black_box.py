"""The tests that need HTTP alone run against a service that runs somewhere: `pytest tests/security --url …`."""

import asyncio
import re
import sys
from pathlib import Path

from service.dev.issuer import Issuer
from service.settings import Settings
from tests.conftest import new_user
from tests.servers import todo_api_server

HERE = Path(__file__).parent


async def pytest_against(*arguments: str) -> tuple[int, str]:
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *arguments)
    process = await asyncio.create_subprocess_exec(*command, cwd=HERE.parents[1], stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_isolation_holds_at_an_address(settings: Settings, issuer: Issuer) -> None:
    tokens = [f"--token-{name}={issuer.token(new_user(), expires_in=900)}" for name in "ab"]
    with todo_api_server(settings.database_url.get_secret_value(), issuer, RATE_LIMIT="off") as (port, _):
        files = (str(HERE / "test_isolation.py"), str(HERE / "test_covert_channels.py"))
        code, said = await pytest_against(*files, f"--url=http://127.0.0.1:{port}", *tokens)
    assert code == 0, said
    assert re.search(r": \d+ tests are left out, which need the process or its database", said)
    assert "database: " not in said  # none was started
    passed = re.search(r"(\d+) passed, \d+ skipped, \d+ deselected", said)
    assert passed
    assert int(passed[1]) > 20


async def test_an_address_needs_two_tokens() -> None:
    code, _ = await pytest_against(str(HERE / "test_isolation.py"), "--url", "http://127.0.0.1:1", "--token-a", "x")
    assert code == 4
