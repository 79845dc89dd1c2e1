"""Rules about the code itself."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TASKS = sorted((ROOT / "service" / "tasks").glob("*.py"))


def test_imports_run_one_way() -> None:
    """The layers stand in pyproject.toml, under importlinter."""
    lint = subprocess.run(
        [Path(sys.executable).with_name("lint-imports")], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert lint.returncode == 0, lint.stdout


def identifiers(file: Path) -> Iterator[tuple[str, int]]:
    """Every name, attribute, argument, keyword and string of a module but its docstrings, with its line."""
    tree = ast.parse(file.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.alias(name=name):
                yield name, node.lineno
            case ast.keyword(arg=str(name)):
                yield name, node.value.lineno
            case ast.Constant(value=str(name)) if id(node) not in docstrings:
                yield name, node.lineno


DECLARATIONS = {
    "owner_id",  # a column, and a member of what is read
    "owner_id <> ''",
    "tasks_owner_id_check",
    "idempotency_keys_owner_id_check",
    "app.current_user_id()",  # the column's default
    "Whose task it is: the `sub` of their tokens.",
}


@pytest.mark.parametrize("file", TASKS, ids=lambda file: file.name)
def test_the_tasks_code_cannot_name_a_user(file: Path) -> None:
    suspicious = ("owner", "user", "caller", "identity", "sub`", "set_config", "set local", "current_setting")
    found = [
        (name, line)
        for name, line in identifiers(file)
        if any(word in name.lower() for word in suspicious)
        and name not in ("CallersTransaction", "CallersCursors")
        and not (file.name == "models.py" and name in DECLARATIONS)
    ]
    assert found == []


def test_the_owner_is_declared_and_never_compared() -> None:
    tree = ast.parse((ROOT / "service" / "tasks" / "models.py").read_text())
    named = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "owner_id"]
    assert len(named) == 3  # in Task, in IdempotencyKey, in TaskRead
    assert all(isinstance(node.ctx, ast.Store) for node in named)
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "owner_id"]


def test_app_user_id_is_written_in_one_place() -> None:
    writers = [
        file.relative_to(ROOT).as_posix()
        for file in (ROOT / "service").rglob("*.py")
        if "SET LOCAL app.user_id" in file.read_text() or "set_config" in file.read_text()
    ]
    assert writers == ["service/database/connection.py"]


def test_no_handler_commits() -> None:
    for file in TASKS:
        assert not {"commit", "rollback", "begin", "execute", "AsyncSession"} & {name for name, _ in identifiers(file)}


def test_serving_imports_nothing_of_the_development_set_up() -> None:
    code = "import sys, service.cli, service.app; print([m for m in sys.modules if m.startswith('service.dev')])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT).strip() == "[]"


def test_serving_reads_the_environment_in_the_settings_alone() -> None:
    for file in (ROOT / "service").rglob("*.py"):
        if file.name != "settings.py":
            assert not {"environ", "getenv"} & {name for name, _ in identifiers(file)}, file
