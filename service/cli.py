"""todo-api: dev, token, migrate, openapi, audit, serve."""

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from audit.cli import add_arguments as add_audit_arguments
from audit.cli import run as run_audit
from service.settings import MigrationSettings, Settings, SettingsError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and give its exit code: 0 done, 1 failed, 2 misused, 3 refused to serve."""
    options = _parser().parse_args(arguments)
    _log_to_stderr()
    try:
        code: int = options.command(options)
    except SettingsError as error:
        return _failed(error, 2)
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="todo-api",
        description="A Todo API whose rows Postgres guards.",
        epilog="Settings come from the environment: see .env.example.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    dev = commands.add_parser(
        "dev",
        help="run everything on this machine: an embedded Postgres, a key pair, the API",
        description="Run the API on 127.0.0.1 with an embedded Postgres and a key pair, all in .dev/.",
    )
    dev.add_argument("--port", type=_port, default=8000, help="default: 8000")
    dev.add_argument("--folder", type=Path, metavar="FOLDER", help="default: .dev beside the code")
    dev.add_argument(
        "--better-auth", metavar="URL", help="take the tokens of this Better Auth, http://localhost:3000 for example"
    )
    dev.set_defaults(command=_dev)

    token = commands.add_parser(
        "token",
        help="print a development token",
        description="Print a JWT that the API of `todo-api dev` accepts, and nothing else.",
    )
    token.add_argument("name", metavar="NAME", help="the user id, for example alice")
    token.add_argument(
        "--expires-in", type=int, default=3600, metavar="SECONDS", help="default: 3600; negative: an expired token"
    )
    token.add_argument("--folder", type=Path, metavar="FOLDER", help="that of `todo-api dev`")
    token.set_defaults(command=_token)

    migrate = commands.add_parser(
        "migrate",
        help="bring the database to the newest schema and policies",
        description="Apply db/migrations/ and db/policies/ to MIGRATION_DATABASE_URL in one transaction, "
        "then give todo_api the password that DATABASE_URL names.",
    )
    migrate.set_defaults(command=_migrate)

    openapi = commands.add_parser(
        "openapi",
        help="print the OpenAPI document",
        description="Print what GET /openapi.json answers, as JSON. It needs no setting and no database.",
    )
    openapi.set_defaults(command=_openapi)

    audit = commands.add_parser(
        "audit",
        help="look at a live database for whatever would let a user reach another's rows",
        description="Judge a database by db/access.toml, changing nothing. Exits 1 on a finding, 2 if it cannot look.",
    )
    add_audit_arguments(audit)
    audit.set_defaults(command=run_audit)

    serve = commands.add_parser(
        "serve",
        help="serve requests",
        description="Serve with DATABASE_URL and AUTH_*. Exits 3 when its role or the schema lets RLS be bypassed.",
    )
    serve.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
    serve.add_argument("--port", type=_port, default=8000, help="default: 8000")
    serve.add_argument("--workers", type=_workers, default=1, help="processes; default: 1")
    serve.set_defaults(command=_serve)
    return parser


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError("write a number from 1 to 65535")
    return int(text)


def _workers(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1000:
        raise argparse.ArgumentTypeError("write a number from 1 up")
    return int(text)


def _failed(error: Exception, code: int) -> int:
    for line in str(error).splitlines():
        print(f"todo-api: {line}", file=sys.stderr)
    return code


def _dev(options: argparse.Namespace) -> int:
    from service.dev import DevError

    try:
        from service.dev.server import run

        run(options.port, folder=options.folder, better_auth=options.better_auth)
    except DevError as error:
        return _failed(error, 1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass  # the usual way to end it
    return 0


def _token(options: argparse.Namespace) -> int:
    from service.dev import DevError
    from service.dev.issuer import Issuer

    try:
        print(Issuer(options.folder).token(options.name, expires_in=options.expires_in))
    except DevError as error:
        return _failed(error, 2)
    return 0


def _migrate(_: argparse.Namespace) -> int:
    from service.database.migrate import MigrationError, migrate

    try:
        migrate(MigrationSettings.load())
    except MigrationError as error:
        return _failed(error, 1)
    print("The database is at the newest migration, and db/policies/ is in force.")
    return 0


def _openapi(_: argparse.Namespace) -> int:
    from service.app import openapi_document

    print(json.dumps(openapi_document(), indent=2, ensure_ascii=False))
    return 0


def _serve(options: argparse.Namespace) -> int:
    import uvicorn

    from service.app import create_app
    from service.database.guard import GuardError, require_no_faults

    settings = Settings.load()

    async def rehearse() -> None:
        """Find here, once, what would stop each worker."""
        engine = create_app(settings).state.engine
        try:
            await require_no_faults(engine)
        finally:
            await engine.dispose()

    try:
        asyncio.run(rehearse())
    except GuardError as error:
        return _failed(error, 3)
    uvicorn.run(
        "service.cli:app",
        factory=True,
        host=options.host,
        port=options.port,
        workers=options.workers,
        loop="uvloop",
        http="service.http.protocol:HttpProtocol",
        ws="none",
        server_header=False,
        # Who the client is, which rate limits ask, only a trusted proxy may say.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        access_log=False,  # it quotes query strings, which hold what people search for
        timeout_graceful_shutdown=10,
    )
    return 0


def app() -> object:
    """The application with the settings of the environment: what each uvicorn worker runs."""
    from service.app import create_app

    _log_to_stderr()
    return create_app(Settings.load())
