"""docs/mutation-score.md is of the mutants that there are. `make mutants` makes them, and writes it."""

import re
from pathlib import Path

import pytest

pytest.importorskip("pglast", reason="pip install todo-api[audit]")

from mutants import Mutant, equivalent, python, sql

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "mutation-score.md").read_text(encoding="utf-8")


def every_mutant() -> list[Mutant]:
    return [*python.mutants(ROOT), *sql.mutants(ROOT)]


def test_the_page_has_a_line_for_each_mutant_and_no_other() -> None:
    sections = re.split(r"^## (.+)\n", PAGE, flags=re.MULTILINE)
    tables = dict(zip(sections[1::2], sections[2::2], strict=True))
    tables.pop("Equivalent")
    told = {
        f"{of}: {what}" for of, table in tables.items() for what in re.findall(r"^\| (.+?) \| ", table, re.MULTILINE)
    }
    made = {mutant.name for mutant in every_mutant()}
    heads = {f"{of}: {head}" for of in tables for head in ("mutant", "---")}
    assert told - heads == made - set(equivalent.proofs())


def test_nobody_but_the_equivalent_ones_survived() -> None:
    assert "**nobody** | **nobody**" not in PAGE
    assert len(every_mutant()) >= 120


def test_each_proof_is_of_a_mutant_and_on_the_page() -> None:
    proofs = equivalent.proofs()
    equivalent.require_known(every_mutant(), proofs)
    assert all(f"| {name} | {proof} |" in PAGE for name, proof in proofs.items())


def test_each_mutant_changes_its_file() -> None:
    for mutant in every_mutant():
        file = ROOT / mutant.file
        assert not file.exists() or file.read_text(encoding="utf-8") != mutant.text, mutant.name
