"""`todo-api dev`: the whole product on a fresh machine, in one process that leaves nothing behind."""

import ctypes
import shlex
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import uvicorn
from pydantic import SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from sqlalchemy import make_url

from service.app import create_app
from service.database.migrate import MigrationError, migrate
from service.dev import DEV_FOLDER, DevError
from service.dev.issuer import ISSUER, Issuer
from service.dev.postgres import embedded
from service.http.protocol import HttpProtocol
from service.settings import MigrationSettings, Settings, SettingsError, exact_origin

_HOST = "127.0.0.1"
# Where Next.js and Vite serve a frontend unless told otherwise.
_ORIGINS = tuple(f"http://{host}:{port}" for port in (3000, 5173) for host in ("localhost", "127.0.0.1"))
_PR_SET_CHILD_SUBREAPER = 36


class _GivenSettings(Settings):
    """Those that are given, and the defaults: nothing of the environment, which may be meant for another service."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def run(port: int, *, folder: Path | None = None, better_auth: str | None = None) -> None:
    """Serve on this port until Ctrl-C or SIGTERM.

    Args:
        port: on 127.0.0.1.
        folder: where Postgres and the key pair live; .dev/ unless given.
        better_auth: the origin of a Better Auth whose tokens are taken; those of `todo-api token` unless given.

    Raises:
        DevError: when the port is taken, or the folder cannot be used.
        SettingsError: when `better_auth` is no origin.
    """
    _adopt_orphans()
    try:
        _run(port, folder, None if better_auth is None else _origin(better_auth))
    finally:
        for left_over in psutil.Process().children(recursive=True):
            left_over.kill()  # what a signal during the start left, an initdb say


def _run(port: int, folder: Path | None, better_auth: str | None) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit)
    home = folder or DEV_FOLDER
    with _listening(port) as listener, embedded(home / "postgres") as superuser_url:
        issuer = Issuer(home)
        issuer.ensure_keys()
        _migrate(superuser_url, home)
        runtime_url = make_url(superuser_url).set(username="todo_api", password=None)
        keys = {"auth_jwks_file": issuer.jwks_file} if better_auth is None else {}
        settings = _GivenSettings.load(
            **keys,
            database_url=SecretStr(runtime_url.render_as_string(hide_password=False)),
            auth_issuer=better_auth or ISSUER,
            auth_audience=better_auth or ISSUER,
            cursor_key=SecretStr(issuer.derived_secret("cursors")),
            cors_origins=_ORIGINS,
        )
        config = uvicorn.Config(
            create_app(settings),
            log_level="warning",
            http=HttpProtocol,
            ws="none",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=3,
        )
        _Server(config, port, _token(folder, better_auth)).run(sockets=[listener])


def _migrate(superuser_url: str, folder: Path) -> None:
    try:
        migrate(MigrationSettings(migration_database_url=SecretStr(superuser_url), database_url=None))
    except MigrationError as error:
        raise DevError(
            f"the development database cannot be migrated: {error}. To begin anew: rm -rf {folder}"
        ) from None


def _adopt_orphans() -> None:
    """Have Postgres become our child when pg_ctl ends, where prctl(2) can do so: then its end can be waited for."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _exit(number: int, _: FrameType | None) -> None:
    sys.exit(0)


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
        listener.listen()
    except OSError:
        listener.close()
        raise DevError(f"port {port} is taken: choose another, as in PORT={port + 1} make dev") from None
    return listener


def _origin(better_auth: str) -> str:
    try:
        return exact_origin(better_auth.removesuffix("/"))
    except ValueError as error:
        raise SettingsError(f"--better-auth: {error}") from None


def _token(folder: Path | None, better_auth: str | None) -> str:
    """How a token is written in a command line."""
    if better_auth is not None:
        return "<a token of /api/auth/token there>"
    command = [str(Path(sys.executable).with_name("todo-api")), "token", "alice"]
    return f"$({shlex.join(command if folder is None else [*command, '--folder', str(folder.resolve())])})"


class _Server(uvicorn.Server):
    """Says where it is once it is there."""

    def __init__(self, config: uvicorn.Config, port: int, token: str) -> None:
        super().__init__(config)
        self._token = token
        self._url = f"http://{_HOST}:{port}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(
            f"\nThe Todo API is ready at {self._url} (docs: {self._url}/docs). Ctrl-C ends it.\n\n"
            f"List tasks:\n\n"
            f'  curl -s -H "Authorization: Bearer {self._token}" {self._url}/tasks\n',
            flush=True,
        )
