"""What a report was made with, and the SHA-256 of what it judged by: who reads it later can tell what it was."""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from audit.access import ACCESS_FILE
from audit.policies import path_in_repository, policy_files

ACCESS_PATH = "db/access.toml"


def versions(server: str) -> dict[str, str]:
    """The versions of the tools, and `sha256:` with the digest of each file.

    Args:
        server: the version of Postgres.

    Raises:
        OSError: when a file cannot be read.
    """
    files = {ACCESS_PATH: ACCESS_FILE} | {path_in_repository(file): file for file in policy_files()}
    return {"todo-api": _todo_api(), "PostgreSQL": server} | {path: _sha256(file) for path, file in files.items()}


def _todo_api() -> str:
    try:
        return version("todo-api")
    except PackageNotFoundError:  # run from its folder, without having been installed
        return "not installed"


def _sha256(file: Path) -> str:
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
