"""Pictures of relevance. Colours need NumPy alone; figures need the extra `plot`, which is imported when one is drawn.

Every function is pure: it returns an array or a `matplotlib.figure.Figure`, shows nothing, and leaves matplotlib's
global state alone.
"""

from .accounts import ledger
from .colours import heatmap, scale
from .figures import STYLES, picture
from .grid import grid
from .page import html
from .sequences import sequence
from .typeset import sentences
from .words import Reading, readings

__all__ = [
    "STYLES",
    "Reading",
    "grid",
    "heatmap",
    "html",
    "ledger",
    "picture",
    "readings",
    "scale",
    "sentences",
    "sequence",
]
