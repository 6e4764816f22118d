"""What NumPy computes."""

from __future__ import annotations

from ...step import Backend
from .dispatch import step_for
from .matrix_products import BLOCK

BACKEND = Backend("numpy", step_for, block=BLOCK)
