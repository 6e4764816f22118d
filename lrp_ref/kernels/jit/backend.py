"""What Numba compiles."""

from __future__ import annotations

from ...step import Backend
from ..numpy.matrix_products import BLOCK
from .dispatch import step_for

BACKEND = Backend("jit", step_for, block=BLOCK)
