"""Pictures of relevance. Colours need NumPy alone; figures need the extra `plot`, which is imported when one is drawn.

Every function is pure: it returns an array, a page or a `matplotlib.figure.Figure`, which a notebook displays, opens no window,
and leaves matplotlib's global state alone.
"""

from .accounts import ledger
from .colours import heatmap, scale
from .figures import picture, picture_on
from .grid import grid
from .maps import STYLES
from .page import html
from .png import png
from .readings import Reading, readings
from .sequences import sequence
from .sheets import Sheets, pixels
from .typeset import sentences

__all__ = [
    "STYLES",
    "Reading",
    "Sheets",
    "grid",
    "heatmap",
    "html",
    "ledger",
    "picture",
    "picture_on",
    "pixels",
    "png",
    "readings",
    "scale",
    "sentences",
    "sequence",
]
