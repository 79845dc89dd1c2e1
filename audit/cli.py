"""todo-api audit."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from audit.access import AccessError, read_access
from audit.checks import checks
from audit.examination import CannotLook, audit
from audit.report import renderers


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `todo-api audit`."""
    parser.add_argument("--database-url", metavar="URL", help="default: MIGRATION_DATABASE_URL")
    parser.add_argument("--format", choices=renderers(), default="text", help="default: text")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    parser.add_argument("--explain", choices=checks(), metavar="CHECK", help="say what a check looks for, and why")


def run(options: argparse.Namespace) -> int:
    """Audit, and give the exit code: 0 nothing found, 1 something, 2 it could not look."""
    if options.explain:
        print(checks()[options.explain])
        return 0
    url = options.database_url or os.environ.get("MIGRATION_DATABASE_URL")
    if not url:
        return _cannot_look("write --database-url, or set MIGRATION_DATABASE_URL")
    try:
        report = asyncio.run(audit(url, read_access(), _progress if sys.stderr.isatty() else lambda _: None))
        written = renderers()[options.format](report)
        if options.output:
            options.output.write_text(written + "\n")
        else:
            print(written)
    except (AccessError, CannotLook, OSError) as error:
        return _cannot_look(str(error))
    return 1 if report.findings else 0


def _progress(doing: str) -> None:
    print(f"\r\033[K{doing}", end="", file=sys.stderr, flush=True)


def _cannot_look(why: str) -> int:
    for line in why.splitlines():
        print(f"todo-api: {line}", file=sys.stderr)
    return 2
