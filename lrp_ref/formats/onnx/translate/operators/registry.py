"""How operators are listed: by name and by the version of the schema that a function was written for."""

from __future__ import annotations

from ..operator_call import Operator


def versions(op: str, function: Operator, *numbers: int) -> dict[tuple[str, int], Operator]:
    """One function for several schemas of an operator."""
    return {(op, number): function for number in numbers}
