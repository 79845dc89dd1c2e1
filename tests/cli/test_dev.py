"""`todo-api dev` and `todo-api token`: the product on a fresh machine."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jwt
import psutil
import pytest

from tests.servers import free_port

TODO_API = Path(sys.executable).with_name("todo-api")


def todo_api(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([TODO_API, *arguments], capture_output=True, text=True, timeout=30, check=False)


@contextmanager
def dev(folder: Path, port: int, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `todo-api dev` and give it, with the curl line that it printed."""
    process = subprocess.Popen(
        [TODO_API, "dev", "--port", str(port), "--folder", str(folder), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout
        printed: list[str] = []
        while not (printed and printed[-1].startswith("curl ")):
            line = process.stdout.readline()
            assert line, f"it ended: {printed}"
            printed.append(line.strip())
        yield process, printed[-1]
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def run(curl: str, *more: str) -> subprocess.CompletedProcess[str]:
    line = " ".join([curl, "-w '\\n%{http_code}'", *more])
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30, check=True, cwd="/")


def processes_of(folder: Path) -> list[psutil.Process]:
    """Those that mention the folder in their command line, or hold a file in it."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder) in " ".join(process.info["cmdline"] or []) and process.pid != os.getpid()
    ]


@pytest.fixture
def folder(scratch: Path) -> Iterator[Path]:
    yield scratch / "dev"
    for process in processes_of(scratch):
        process.kill()


@pytest.fixture(scope="module")
def used_folder() -> Iterator[Path]:
    """One in which the product ran before, for tests to copy."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "dev"
        with dev(folder, free_port()) as (process, curl):
            run(curl, CREATE)
            process.terminate()
            process.wait(15)
        yield folder


@pytest.fixture
def used(folder: Path, used_folder: Path) -> Path:
    subprocess.run(["cp", "-a", used_folder, folder], check=True)
    return folder


CREATE = "-d '{\"title\": \"Buy milk\"}' -H 'Content-Type: application/json'"


def nothing_is_left(folder: Path, port: int) -> None:
    assert processes_of(folder) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_it_keeps_its_tasks_and_leaves_nothing_behind(used: Path) -> None:
    port = free_port()
    with dev(used, port) as (process, curl):
        assert "Buy milk" in run(curl).stdout
        process.terminate()
        assert process.wait(15) == 0
    nothing_is_left(used, port)


def test_a_server_that_outlived_a_killed_process_is_taken_over(used: Path) -> None:
    with dev(used, free_port()) as (process, _):
        process.kill()
        process.wait()
    assert processes_of(used) != []
    with dev(used, free_port()) as (process, curl):
        assert run(curl).stdout.endswith("200")
        process.terminate()
        process.wait(15)
    assert processes_of(used) == []


@pytest.mark.parametrize("after", [0.6, 1.8])
def test_a_start_that_is_ended_can_be_made_again(folder: Path, after: float) -> None:
    port = free_port()
    command = [str(TODO_API), "dev", "--port", str(port), "--folder", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(after)
    process.terminate()
    _, said = process.communicate(timeout=15)
    assert "Traceback" not in said
    nothing_is_left(folder, port)
    if after == 1.8:
        with dev(folder, port) as (_, curl):
            assert run(curl).stdout == "[]\n200"


def test_what_is_no_better_auth_gets_one_line(used: Path) -> None:
    for origin in ("localhost:3000", "http://localhost:3000/api/auth", "http://LOCALHOST:3000", "/", ""):
        result = todo_api("dev", "--port", str(free_port()), "--folder", str(used), "--better-auth", origin)
        assert result.returncode == 2
        assert result.stderr.startswith("todo-api: --better-auth: write an origin as a browser sends it")
        assert len(result.stderr.splitlines()) == 1


def test_two_of_them_run_side_by_side_but_not_in_one_folder(used: Path, used_folder: Path) -> None:
    with dev(used, free_port()) as (_, one), dev(used_folder, free_port()) as (process, two):
        before = run(two).stdout
        run(one, CREATE)
        assert run(two).stdout == before != run(one).stdout
        line = one_line(todo_api("dev", "--port", str(free_port()), "--folder", str(used)))
        assert "is in use: stop the other `make dev`" in line
        assert run(one).stdout.endswith("200")
        process.terminate()
        process.wait(15)


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode != 0
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    return line


def test_a_taken_port_gets_one_line(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = one_line(todo_api("dev", "--port", str(port), "--folder", str(folder)))
    assert line == f"todo-api: port {port} is taken: choose another, as in PORT={port + 1} make dev"


@pytest.mark.parametrize("damage", ["no control file", "another version"])
def test_a_broken_folder_gets_one_line(used: Path, damage: str) -> None:
    folder = used
    data = folder / "postgres"
    if damage == "no control file":
        (data / "global" / "pg_control").unlink()
    else:
        (data / "PG_VERSION").write_text("9\n")
    line = one_line(todo_api("dev", "--port", str(free_port()), "--folder", str(folder)))
    assert str(folder) in line
    assert processes_of(folder) == []


def test_a_folder_that_is_none_gets_one_line(folder: Path) -> None:
    folder.write_text("")
    line = one_line(todo_api("dev", "--port", str(free_port()), "--folder", str(folder)))
    assert line == f"todo-api: {folder} cannot be used as a folder: File exists"


def test_a_broken_key_gets_one_line(folder: Path) -> None:
    folder.mkdir()
    (folder / "private-key.json").write_text("{")
    assert "no token" in one_line(todo_api("token", "alice", "--folder", str(folder)))


def test_a_token_is_printed_and_nothing_else(used_folder: Path) -> None:
    folder = used_folder
    result = todo_api("token", "alice", "--folder", str(folder))
    assert (result.returncode, result.stderr) == (0, "")
    (token,) = result.stdout.splitlines()
    key = jwt.PyJWK(json.loads((folder / "jwks.json").read_text())["keys"][0])
    claims = jwt.decode(token, key, audience="http://localhost:3000", issuer="http://localhost:3000")
    assert claims["sub"] == "alice"
    assert claims["exp"] - time.time() == pytest.approx(3600, abs=30)
    assert (folder / "private-key.json").stat().st_mode & 0o777 == 0o600
    expired = todo_api("token", "alice", "--expires-in", "-1", "--folder", str(folder)).stdout.strip()
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(expired, key, audience="http://localhost:3000", leeway=10)
    assert "no token" in one_line(todo_api("token", "o'brien", "--folder", str(folder)))
    assert "no token" in one_line(todo_api("token", "alice", "--expires-in", "90000", "--folder", str(folder)))


def test_there_is_no_token_outside_the_development_set_up(folder: Path) -> None:
    line = one_line(todo_api("token", "alice", "--folder", str(folder)))
    assert line == "todo-api: there is no development set-up here: run `make dev` first"
    assert not folder.exists()
