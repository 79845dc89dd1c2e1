"""todo-api audit."""

import argparse
import asyncio
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audit.access import AccessError, read_access
from audit.examination import audit
from audit.explanations import explanations
from audit.finding import CannotLook, Progress
from audit.report import renderers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `todo-api audit`."""
    parser.add_argument("--database-url", metavar="URL", help="default: MIGRATION_DATABASE_URL")
    parser.add_argument("--format", choices=renderers(), default="text", help="default: text")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    parser.add_argument(
        "--explain", nargs="?", const="", metavar="NAME", help="say what NAME looks for, and why; without it, list all"
    )


def run(options: argparse.Namespace) -> int:
    """Audit, and give the exit code: 0 nothing found, 1 something, 2 it could not look."""
    if options.explain is not None:
        return _explain(options.explain)
    url = options.database_url or os.environ.get("MIGRATION_DATABASE_URL")
    if not url:
        return _cannot_look("write --database-url, or set MIGRATION_DATABASE_URL")
    if options.output and not options.output.parent.is_dir():
        return _cannot_look(f"{options.output} cannot be written: {options.output.parent} is no folder")
    try:
        with _progress() as progress:
            report = asyncio.run(audit(url, read_access(), progress))
        written = renderers()[options.format](report)
        if options.output:
            _write(options.output, written + "\n")
        else:
            print(written)
    except (AccessError, CannotLook, OSError) as error:
        return _cannot_look(str(error))
    return 1 if report.findings else 0


def _explain(name: str) -> int:
    known = explanations()
    if name and name not in known:
        return _cannot_look(f"{name}: there is no check of that name, but {', '.join(known)}")
    print(known[name] if name else "\n".join(f"{each.name}: {each.what}" for each in known.values()))
    return 0


def _write(file: Path, text: str) -> None:
    try:
        if file.exists() and not file.is_file():
            file.write_text(text, encoding="utf-8")  # /dev/stdout and the like are written to, never replaced
        else:
            _replace(file.resolve(), text)  # a link stays a link
    except OSError as error:
        raise CannotLook(f"{file} cannot be written: {error.strerror}") from None


def _replace(file: Path, text: str) -> None:
    # Who reads it meanwhile finds the old one or the new one, whole. Who may read it stays the same.
    new = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        new.touch(exist_ok=False)
        if file.exists():
            shutil.copymode(file, new)
        new.write_text(text, encoding="utf-8")
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A line on a terminal that says how far it is. It is gone afterwards, however that ends."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    try:
        yield _show
    finally:
        _show("")


def _show(doing: str) -> None:
    # What is longer than the terminal would take a second line, which is never cleared.
    width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    print(f"\r\033[K{doing[: width - 1]}", end="", file=sys.stderr, flush=True)


def _cannot_look(why: str) -> int:
    for line in why.splitlines():
        print(f"todo-api: {line}", file=sys.stderr)
    return 2
