"""AUTH_JWKS_FILE, which is read again when it changes."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from service.identity import local_keys
from service.settings import Settings
from tests.conftest import MakeApp
from tests.security.test_keys import status
from tests.signing import ISSUER, Signer, jwks


@pytest.fixture
def _looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than once a second."""
    monkeypatch.setattr(local_keys, "_LOOK_EVERY_SECONDS", 0.0)


def write(file: Path, document: bytes | None) -> None:
    """None takes the file away."""
    if document is None:
        file.unlink()
    else:
        file.write_bytes(document)


def chmod(file: Path, mode: int) -> None:
    file.chmod(mode)


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
    assert await status(app, token) == 200  # within the second
    await asyncio.sleep(1.05)
    assert await status(app, new.token()) == 200
    assert await status(app, token) == 401


@pytest.mark.usefixtures("_looked_at_each_time")
async def test_a_file_that_is_put_in_place_of_another_is_read_again(
    make_app: MakeApp, of_file: Settings, file: Path
) -> None:
    old, new = Signer("key"), Signer("key")
    write(file, jwks(old))
    app = make_app(of_file)
    assert await status(app, old.token()) == 200
    replace(file, jwks(new))
    assert await status(app, new.token()) == 200
    assert await status(app, old.token()) == 401


@pytest.mark.usefixtures("_looked_at_each_time")
@pytest.mark.parametrize("broken", [b"", b"{", b'{"keys": []}', None], ids=["empty", "half", "without keys", "gone"])
async def test_a_broken_file_never_replaces_good_keys(
    make_app: MakeApp, of_file: Settings, file: Path, broken: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    signer = Signer()
    write(file, jwks(signer))
    app = make_app(of_file)
    write(file, broken)
    for _ in range(3):
        assert await status(app, signer.token()) == 200
    assert len([line for line in caplog.messages if line.startswith("AUTH_JWKS_FILE has changed")]) == 1
    later = Signer("later")
    write(file, jwks(later))
    assert await status(app, later.token()) == 200


def put_a_pipe(file: Path) -> None:
    """In place of the file. To read from it would keep the whole service waiting."""
    write(file, None)
    os.mkfifo(file)


@pytest.mark.usefixtures("_looked_at_each_time")
@pytest.mark.parametrize(
    ("put", "said"),
    [
        (put_a_pipe, "it is no file"),
        (lambda file: write(file, file.read_bytes() + b" " * 300_000), "it is longer than 262144 bytes"),
    ],
    ids=["a pipe", "a file without end"],
)
async def test_what_cannot_be_read_to_its_end_keeps_nobody_waiting(
    make_app: MakeApp,
    of_file: Settings,
    file: Path,
    caplog: pytest.LogCaptureFixture,
    put: Callable[[Path], None],
    said: str,
) -> None:
    signer = Signer()
    write(file, jwks(signer))
    app = make_app(of_file)
    put(file)
    assert await status(app, signer.token()) == 200
    assert caplog.messages == [f"AUTH_JWKS_FILE has changed and cannot be used; the keys of before stay: {said}"]


@pytest.mark.usefixtures("_looked_at_each_time")
async def test_a_file_whose_mode_changes_is_read_again(
    make_app: MakeApp, of_file: Settings, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = Signer("old"), Signer("new")
    write(file, jwks(old))
    app = make_app(of_file)

    def forbidden(*_: object) -> int:
        raise PermissionError(13, "Permission denied")  # for root nothing is

    with monkeypatch.context() as patch:
        patch.setattr("os.open", forbidden)
        write(file, jwks(new))
        assert await status(app, old.token()) == 200
    chmod(file, 0o644)
    assert await status(app, new.token()) == 200


@pytest.mark.usefixtures("_looked_at_each_time")
async def test_a_folder_in_place_of_the_file_costs_no_descriptors(
    make_app: MakeApp, of_file: Settings, file: Path
) -> None:
    signer = Signer()
    write(file, jwks(signer))
    app = make_app(of_file)
    write(file, None)
    os.mkdir(file)
    before = psutil.Process().num_fds()
    for mode in (0o700, 0o750, 0o755) * 5:
        chmod(file, mode)
        assert await status(app, signer.token()) == 200
    assert psutil.Process().num_fds() < before + 10
