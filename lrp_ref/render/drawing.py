"""Figures that display themselves: a notebook shows the picture, not the name of its class. Importing this needs matplotlib."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure


class Drawing(Figure):
    """A `matplotlib.figure.Figure` that a notebook shows, whether or not pyplot was imported."""

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()
