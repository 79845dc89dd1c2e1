"""How much CPU of the API process does a request cost at one commit, compared with another?

Both commits serve side by side, each from its own checkout and database, and are loaded in turns, so that what else the
machine does falls on both. Each round compares two turns that follow each other, and the median of the rounds counts.
"""

import argparse
import asyncio
import ctypes
import itertools
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import psutil
import uvloop
from sqlalchemy import make_url

from service.dev.issuer import ISSUER, Issuer
from service.dev.postgres import embedded

REPOSITORY = Path(__file__).parents[1]
HOST = "127.0.0.1"
CONNECTIONS = 16
WARM_UP_REQUESTS = 1000
PR_SET_CHILD_SUBREAPER = 36
MOST_REQUESTS = 20_000
TASKS_IN_LIST = 50
BODY = b'{"title": "Buy milk", "description": "Two litres, if they have them"}'

# `todo-api` of the folder that it runs in, and of no other: the package is installed from one of them.
TODO_API = """
import sys
from pathlib import Path
import db, service
from service.cli import main
for package in (db, service):
    if not Path(package.__path__[0]).samefile(Path.cwd() / package.__name__):
        sys.exit(f"{package.__name__} comes from {package.__path__[0]}")
sys.exit(main())
"""


@dataclass(frozen=True)
class Request:
    """What is sent, and the status that has to come back."""

    content: bytes
    status: bytes

    @classmethod
    def of(cls, method: str, path: str, token: str, body: bytes = b"") -> "Request":
        lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", f"Authorization: Bearer {token}"]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        head = "\r\n".join(lines).encode()
        return cls(head + b"\r\n\r\n" + body, b"201" if method == "POST" else b"200")


class Connection:
    """A keep-alive connection that knows just enough HTTP to cost little."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection(HOST, port))

    async def ask(self, request: Request) -> tuple[bytes, bytes]:
        """The head and the body of the response, which has the expected status."""
        self._writer.write(request.content)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
        body = await self._reader.readexactly(int(length))
        if head.split(b" ", 2)[1] != request.status:
            raise RuntimeError(f"{head.decode()}{body.decode()}")
        return head, body

    def close(self) -> None:
        self._writer.close()


@dataclass(frozen=True)
class Turn:
    """What a number of requests cost: CPU of the server in µs for each, and their median duration in ms."""

    cpu: float
    p50: float


@dataclass(frozen=True)
class Server:
    """A commit that is being served."""

    name: str
    process: psutil.Process
    port: int

    async def scenarios(self, issuer: Issuer) -> dict[str, Request]:
        """Make the tasks that are read, and sign tokens once, as a client does."""
        reader, writer = (issuer.token(name, expires_in=24 * 3600) for name in ("reader", "writer"))
        connection = await Connection.open(self.port)
        for _ in range(TASKS_IN_LIST):
            head, _ = await connection.ask(Request.of("POST", "/tasks", reader, BODY))
        connection.close()
        path = head.lower().partition(b"\r\nlocation: ")[2].partition(b"\r\n")[0].decode()
        return {
            "GET by id": Request.of("GET", path, reader),
            "plain POST": Request.of("POST", "/tasks", writer, BODY),
            f"GET list of {TASKS_IN_LIST}": Request.of("GET", f"/tasks?limit={TASKS_IN_LIST}", reader),
        }

    async def turn(self, request: Request, count: int) -> Turn:
        """Send a request so many times, from all connections at once."""
        # Anew each turn: the server closes those that were idle during the turns of others.
        connections = [await Connection.open(self.port) for _ in range(CONNECTIONS)]
        requests = itertools.repeat(request, count)
        durations: list[float] = []

        async def ask(connection: Connection) -> None:
            for one in requests:
                asked = time.perf_counter()
                await connection.ask(one)
                durations.append(time.perf_counter() - asked)

        cpu = self._cpu_seconds()
        await asyncio.gather(*map(ask, connections))
        cpu = self._cpu_seconds() - cpu
        for connection in connections:
            connection.close()
        return Turn(cpu=cpu / count * 1e6, p50=median(durations) * 1e3)

    def _cpu_seconds(self) -> float:
        used = self.process.cpu_times()
        return used.user + used.system


def main() -> None:
    options = _options()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # by way of all that cleans up
    _adopt_orphans()
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="compare-commits-")))
        stack.callback(_end_children)
        url = stack.enter_context(embedded(home / "postgres"))
        issuer = Issuer(home)
        issuer.ensure_keys()
        version = asyncio.run(_prepare_postgres(url))
        servers = []
        for name, commit in zip(("base", "head"), options.commits, strict=True):
            tree = stack.enter_context(_checkout(commit, home / name)) if commit else REPOSITORY
            servers.append(stack.enter_context(_serving(name, tree, url, issuer, home / f"{name}.log")))
        uvloop.run(_compare(servers, issuer, options))
        print(_how_it_was_measured(options, version))


def _adopt_orphans() -> None:
    """Have what a killed child leaves become ours, where prctl(2) can do so: then `_end_children` finds it."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_children() -> None:
    """What an interrupted start left, an initdb say, which would go on writing into a folder that is being removed."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        child.kill()
    psutil.wait_procs(children, timeout=5)


def _how_it_was_measured(options: argparse.Namespace, version: str) -> str:
    base, head = (_git("rev-parse", "--short", commit) if commit else "the work tree" for commit in options.commits)
    return (
        f"\nbase is {base}, head is {head}. {options.rounds} rounds after a warm-up, {CONNECTIONS} connections; "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, Postgres {version} on the same machine. CPU is "
        "that of the API process, user and system. The ratio is the median of the rounds' ratios, with their quartiles."
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", metavar="BASE", help="a commit")
    parser.add_argument("head", metavar="HEAD", nargs="?", help="another; default: the work tree as it is")
    parser.add_argument("--rounds", type=int, default=15, help="default: 15")
    parser.add_argument("--seconds", type=float, default=2, help="of CPU, about, in a turn; default: 2")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("quartiles need two rounds at least")
    options.commits = (options.base, options.head)
    return options


def _git(*arguments: str, check: bool = True) -> str:
    command = ["git", "-C", str(REPOSITORY), *arguments]
    return subprocess.run(command, check=check, stdout=subprocess.PIPE, text=True).stdout.strip()


@contextmanager
def _checkout(commit: str, folder: Path) -> Iterator[Path]:
    try:
        _git("worktree", "add", "--quiet", "--detach", str(folder), commit)
        yield folder
    finally:
        _git("worktree", "remove", "--force", str(folder), check=False)


async def _prepare_postgres(url: str) -> str:
    """Two databases on a server that need not outlive this program. Gives its version."""
    connection = await asyncpg.connect(url)
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        await connection.execute(f"ALTER SYSTEM SET {setting} = off")
    await connection.execute("SELECT pg_reload_conf()")
    for name in ("base", "head"):
        await connection.execute(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0")
    version: str = await connection.fetchval("SHOW server_version")
    await connection.close()
    return version.split()[0]


def _environment(tree: Path, url: str, name: str, issuer: Issuer) -> dict[str, str]:
    """What either commit needs to be told; neither minds what it does not know."""
    superuser = make_url(url).set(database=name)
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tree),
        "MIGRATION_DATABASE_URL": superuser.render_as_string(hide_password=False),
        "DATABASE_URL": superuser.set(username="todo_api", password=None).render_as_string(hide_password=False),
        "DATABASE_POOL_SIZE": str(CONNECTIONS),
        "AUTH_ISSUER": ISSUER,
        "AUTH_AUDIENCE": ISSUER,
        "AUTH_JWKS_FILE": str(issuer.jwks_file),
        "CURSOR_KEY": "0123456789abcdef" * 2,
        # On, because it is part of the cost, and so high that nobody meets it.
        "RATE_LIMIT_REQUESTS": "1000000",
        "RATE_LIMIT_BURST": "1000000",
        "RATE_LIMIT_SECONDS": "1",
    }


@contextmanager
def _serving(name: str, tree: Path, url: str, issuer: Issuer, log: Path) -> Iterator[Server]:
    environment, todo_api = _environment(tree, url, name, issuer), [sys.executable, "-c", TODO_API]
    subprocess.run([*todo_api, "migrate"], cwd=tree, env=environment, check=True, stdout=subprocess.DEVNULL)
    port = _free_port()
    command = [*todo_api, "serve", "--host", HOST, "--port", str(port), "--workers", "1"]
    with log.open("w") as stderr:
        # In a session of its own: Ctrl-C is for this program, which then ends it.
        process = subprocess.Popen(command, cwd=tree, env=environment, stderr=stderr, start_new_session=True)
    try:
        _wait_for(process, port, log)
        yield Server(name, psutil.Process(process.pid), port)
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
    return port


def _wait_for(process: "subprocess.Popen[Any]", port: int, log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            break
        with socket.socket() as attempt:
            if attempt.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"the server does not serve:\n{log.read_text()}")


async def _compare(servers: list[Server], issuer: Issuer, options: argparse.Namespace) -> None:
    requests = [await server.scenarios(issuer) for server in servers]
    print("| scenario | requests a turn | base CPU µs | head CPU µs | ratio (quartiles) | base p50 ms | head p50 ms |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    counts: dict[str, int] = {}
    for name in requests[0]:
        warm_up = [
            await server.turn(own[name], WARM_UP_REQUESTS) for server, own in zip(servers, requests, strict=True)
        ]
        # By CPU, not by the clock, which tells more of what else the machine does.
        counts[name] = min(MOST_REQUESTS, int(options.seconds * 1e6 / max(turn.cpu for turn in warm_up)) + 1)
    turns: dict[str, list[tuple[Turn, Turn]]] = {name: [] for name in counts}
    for round_number in range(options.rounds):
        for name, count in counts.items():
            order = (0, 1) if round_number % 2 else (1, 0)
            both = {number: await servers[number].turn(requests[number][name], count) for number in order}
            turns[name].append((both[0], both[1]))
    for name, count in counts.items():
        print(_row(name, count, turns[name]))


def _row(scenario: str, count: int, turns: list[tuple[Turn, Turn]]) -> str:
    low, ratio, high = quantiles([head.cpu / base.cpu for base, head in turns], n=4, method="inclusive")
    base, head = zip(*turns, strict=True)
    cells = [
        scenario,
        str(count),
        *(f"{median(turn.cpu for turn in commit):.0f}" for commit in (base, head)),
        f"**{ratio:.3f}** ({low:.3f} to {high:.3f})",
        *(f"{median(turn.p50 for turn in commit):.1f}" for commit in (base, head)),
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
