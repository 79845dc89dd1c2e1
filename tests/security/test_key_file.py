"""AUTH_JWKS_FILE, which is read again when it changes."""

import asyncio
import os
from pathlib import Path

import pytest

from service.settings import Settings
from tests.conftest import MakeApp
from tests.security.test_keys import status
from tests.signing import ISSUER, Signer, jwks

LOOKED_AGAIN = 1.05


def write(file: Path, document: bytes | None) -> None:
    """None takes the file away."""
    if document is None:
        file.unlink()
    else:
        file.write_bytes(document)


def replace(file: Path, document: bytes) -> None:
    """By another file of the same time, and here of the same size."""
    half = file.with_suffix(".half")
    half.write_bytes(document)
    os.utime(half, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    half.replace(file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "jwks.json"


@pytest.fixture
def of_file(settings: Settings, file: Path) -> Settings:
    return settings.model_copy(update={"auth_issuer": ISSUER, "auth_audience": ISSUER, "auth_jwks_file": file})


async def test_a_file_that_changes_is_read_again(make_app: MakeApp, of_file: Settings, file: Path) -> None:
    old, new = Signer("old"), Signer("new")
    write(file, jwks(old))
    app = make_app(of_file)
    token = old.token()
    assert await status(app, token) == 200
    write(file, jwks(new))
    await asyncio.sleep(LOOKED_AGAIN)
    assert await status(app, new.token()) == 200
    assert await status(app, token) == 401


async def test_a_file_that_is_put_in_place_of_another_is_read_again(
    make_app: MakeApp, of_file: Settings, file: Path
) -> None:
    old, new = Signer("key"), Signer("key")
    write(file, jwks(old))
    app = make_app(of_file)
    assert await status(app, old.token()) == 200
    replace(file, jwks(new))
    await asyncio.sleep(LOOKED_AGAIN)
    assert await status(app, new.token()) == 200
    assert await status(app, old.token()) == 401


@pytest.mark.parametrize("broken", [b"", b"{", b'{"keys": []}', None], ids=["empty", "half", "without keys", "gone"])
async def test_a_broken_file_never_replaces_good_keys(
    make_app: MakeApp, of_file: Settings, file: Path, broken: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    signer = Signer()
    write(file, jwks(signer))
    app = make_app(of_file)
    write(file, broken)
    await asyncio.sleep(LOOKED_AGAIN)
    for _ in range(3):
        assert await status(app, signer.token()) == 200
    assert len([line for line in caplog.messages if line.startswith("AUTH_JWKS_FILE has changed")]) == 1
    later = Signer("later")
    write(file, jwks(later))
    await asyncio.sleep(LOOKED_AGAIN)
    assert await status(app, later.token()) == 200
