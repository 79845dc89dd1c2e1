"""The mutation score of the defences: each is weakened on purpose, and the audit and the tests have to notice."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """One weakening.

    Args:
        name: what is otherwise, in a few words; unique.
        kind: `sql` or `python`.
        file: the one that changes, from the root of the repository.
        text: what stands in it then.
    """

    name: str
    kind: str
    file: str
    text: str
