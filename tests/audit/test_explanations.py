"""`todo-api audit --explain` tells of every name that a finding can have."""

import re
from pathlib import Path
from typing import Any

import pytest

import audit
from audit.access import read_access
from audit.explanations import explanations
from audit.probes import probe
from audit.probes.attempts import Attempts
from service.cli import main
from tests.conftest import Database, Main


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["audit", "--explain", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_every_name_that_the_code_gives_to_a_finding_is_explained() -> None:
    code = "".join(file.read_text() for file in Path(audit.__file__).parent.rglob("*.py"))
    given = set(re.findall(r'Finding\(\s*"(\w+)"', code))
    assert given == {"drift", "pgrls", "probe"}
    assert given < explanations().keys()


def test_all_names_are_listed_each_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    listed = said(capsys).splitlines()
    assert listed == [f"{name}: {each.what}" for name, each in explanations().items()]


@pytest.mark.parametrize("name", explanations())
def test_a_name_is_explained_in_sentences(capsys: pytest.CaptureFixture[str], name: str) -> None:
    text = said(capsys, name)
    assert re.match(rf"{name}\n\nWhat: \S.+\.\nWhy:  \S.+\.\nMend: \S.+\.\n\n\S", text)


def test_a_name_that_is_none_is_told_which_there_are(main_with: Main) -> None:
    code, told = main_with({}, "audit", "--explain", "wall_alterd")
    assert code == 2
    assert told.startswith("todo-api: wall_alterd: there is no check of that name, but ")
    assert told.count("\n") == 1
    assert set(explanations()) <= set(re.findall(r"\w+", told))


async def test_of_the_probes_it_names_all_that_is_tried(audited: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: set[str] = set()

    async def make(*given: Any) -> None:
        state, statement = given[4:6]
        form = "each column" if statement.form.startswith("column ") else statement.form
        tried.update((state.name, statement.command, statement.whose, form))

    monkeypatch.setattr(Attempts, "make", make)
    connection = await audited.as_superuser()
    await probe(connection, read_access())
    await connection.close()
    assert len(tried) > 40
    assert [word for word in tried if word not in explanations()["probe"].how] == []
