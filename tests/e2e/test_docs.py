"""/docs in a real browser, under its Content-Security-Policy."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from service.dev.issuer import Issuer
from tests.conftest import new_user

BROWSER = Path(__file__).with_name("browser")


@pytest.fixture(scope="module")
def chromium() -> str:
    """The path of a Chromium."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium is installed: install one, or set CHROMIUM to its path")
    return found


def test_a_token_that_is_pasted_into_the_docs_creates_a_task(api: str, issuer: Issuer, chromium: str) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "API_URL": api,
        "CHROMIUM": chromium,
        "TOKEN": issuer.token(new_user(), expires_in=900),
    }
    visit = subprocess.run(
        ["node", BROWSER / "docs.js"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert visit.returncode == 0, visit.stderr
    assert json.loads(visit.stdout) == {"complaints": [], "elsewhere": [], "operations": 8, "status": "201"}
