"""Mutants that change nothing which anybody could notice, each with the proof in words."""

import tomllib
from collections.abc import Iterable
from pathlib import Path

from mutants import Mutant

FILE = Path(__file__).with_name("equivalent.toml")


def proofs() -> dict[str, str]:
    """Why, by the name of the mutant."""
    said: dict[str, str] = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return {name: " ".join(proof.split()) for name, proof in said.items()}


def require_known(mutants: Iterable[Mutant], names: Iterable[str]) -> None:
    """Raises:
    ValueError: when one of the names is of no mutant, so that its proof would be of nothing.
    """
    unknown = set(names) - {mutant.name for mutant in mutants}
    if unknown:
        raise ValueError(f"{FILE.name} has proofs of what is no mutant: {', '.join(sorted(unknown))}")
