"""Do tokens with made-up key ids slow down those whose key is known?

One client asks for a task with a good token, a hundred times a second, in turns: alone, and while others send tokens
with random kids. The turns alternate, so that what else the machine does falls on both. Better Auth is a real one.
"""

import argparse
import asyncio
import json
import os
import platform
import secrets
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

import jwt
import uvloop
from jwt.utils import base64url_encode
from pydantic import SecretStr
from sqlalchemy import make_url

from benchmarks.compare_commits import Connection, Request
from service.database.migrate import migrate
from service.dev.postgres import embedded
from service.settings import MigrationSettings
from tests.e2e.better_auth import BetterAuth
from tests.servers import todo_api_server

GOOD_A_SECOND = 100
STRANGERS = 4  # connections that send made-up kids
UNKNOWN_TASK = "/tasks/01890a5d-ac96-774b-bcce-b302099a8057"


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="key-flood-") as folder, embedded(Path(folder) / "postgres") as url:
        migrate(MigrationSettings(migration_database_url=SecretStr(url), database_url=None))
        api_url = make_url(url).set(username="todo_api", password=None).render_as_string(hide_password=False)
        with (
            (Path(folder) / "log").open("w") as log,
            BetterAuth() as better_auth,
            todo_api_server(api_url, better_auth.url, stderr=log, RATE_LIMIT="off") as (port, _),
        ):
            token = better_auth.sign_up().token()
            began = time.time()
            quiet, flooded = uvloop.run(_compare(port, token, options))
            fetched = [hit for hit in better_auth.jwks_hits() if hit > began]
    _print(quiet, flooded, fetched, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--seconds", type=float, default=10, help="of a turn; default: 10")
    parser.add_argument("--kids", type=int, default=2000, help="made up in a turn, evenly spread; default: 2000")
    return parser.parse_args()


async def _compare(port: int, token: str, options: argparse.Namespace) -> tuple[list[list[float]], list[list[float]]]:
    """The durations of good requests in seconds, of each quiet turn and of each flooded one."""
    quiet, flooded = [], []
    await _good_requests(port, token, 2)  # to warm up
    for _ in range(options.rounds):
        quiet.append(await _good_requests(port, token, options.seconds))
        strangers = asyncio.gather(
            *(_made_up_kids(port, token, options.kids // STRANGERS, options.seconds) for _ in range(STRANGERS))
        )
        flooded.append(await _good_requests(port, token, options.seconds))
        await strangers
    return quiet, flooded


async def _good_requests(port: int, token: str, seconds: float) -> list[float]:
    request = Request(Request.of("GET", UNKNOWN_TASK, token).content, b"404")
    return await _paced(port, [request] * int(seconds * GOOD_A_SECOND), seconds)


async def _made_up_kids(port: int, token: str, number: int, seconds: float) -> None:
    requests = [
        Request(Request.of("GET", UNKNOWN_TASK, _with_random_kid(token)).content, b"401") for _ in range(number)
    ]
    await _paced(port, requests, seconds)


def _with_random_kid(token: str) -> str:
    header = jwt.get_unverified_header(token) | {"kid": secrets.token_hex(16)}
    return base64url_encode(json.dumps(header).encode()).decode() + token[token.index(".") :]


async def _paced(port: int, requests: list[Request], seconds: float) -> list[float]:
    """Send them over one connection, spread over so many seconds. How late one is counts as its duration, too."""
    connection = await Connection.open(port)
    started = time.perf_counter()
    durations = []
    for number, request in enumerate(requests):
        due = started + number * seconds / len(requests)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await connection.ask(request)
        durations.append(time.perf_counter() - due)
    connection.close()
    return durations


def _print(
    quiet: list[list[float]], flooded: list[list[float]], fetched: list[float], options: argparse.Namespace
) -> None:
    print("| known kid | p50 ms | p99 ms |")
    print("| --- | --- | --- |")
    for name, turns in (("alone", quiet), (f"with {options.kids} made-up kids", flooded)):
        print(f"| {name} | {_percentile(turns, 50):.2f} | {_percentile(turns, 99):.2f} |")
    ratios = [_of(flood, 99) / _of(calm, 99) for calm, flood in zip(quiet, flooded, strict=True)]
    apart = min((later - earlier for earlier, later in pairwise(fetched)), default=0.0)
    print(
        f"\nThe p99 with made-up kids is **{median(ratios):.2f}** times that without (rounds: "
        f"{', '.join(f'{ratio:.2f}' for ratio in ratios)}). The keys were fetched {len(fetched)} times, {apart:.2f} s "
        f"apart at least. Medians of {options.rounds} rounds of turns of {options.seconds:.0f} s; {GOOD_A_SECOND} good "
        f"requests a second; {os.cpu_count()} cores for the service, Postgres, Better Auth and this program; "
        f"Python {platform.python_version()}."
    )


def _percentile(turns: list[list[float]], percent: int) -> float:
    return median(_of(turn, percent) for turn in turns) * 1e3


def _of(durations: list[float], percent: int) -> float:
    return quantiles(durations, n=100)[percent - 1]


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
