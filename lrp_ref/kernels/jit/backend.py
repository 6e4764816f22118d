"""What Numba compiles."""

from __future__ import annotations

from ...step import Backend
from ..numpy.products import BLOCK
from .dispatch import step_for

BACKEND = Backend("jit", step_for, block=BLOCK)
