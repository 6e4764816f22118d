"""What the C core computes."""

from __future__ import annotations

from ...step import Backend
from ..numpy.matrix_products import BLOCK
from .accounts import amounts
from .concat_in_place import output, slots
from .dispatch import step_for
from .native import _core
from .packed import finite
from .predictions import forward_for

BACKEND = Backend(
    "compiled",
    step_for,
    forward_for=forward_for,
    finite=finite,
    amounts=amounts,
    slots=slots,
    output=output,
    block=BLOCK,
    spends_resources=True,
    instruction_set=_core.instruction_set,
)
