"""Pictures of relevance. Colours need NumPy alone; figures need the extra `plot`, which is imported when one is drawn.

Every function is pure: it returns an array, a page or a `matplotlib.figure.Figure`, which a notebook displays, opens no window,
and leaves matplotlib's global state alone.
"""

from .accounts import ledger
from .colours import heatmap, scale
from .comparison import compare
from .figures import picture, picture_on
from .grid import grid
from .maps import STYLES
from .page import html
from .png import png
from .pools import pooled
from .readings import Reading, readings
from .sequences import sequence
from .sheets import Sheets, pixels
from .typeset import sentences
from .views import blend, grey_map, masked_input, projection, scaled_input

__all__ = [
    "STYLES",
    "Reading",
    "Sheets",
    "blend",
    "compare",
    "grey_map",
    "grid",
    "heatmap",
    "html",
    "ledger",
    "masked_input",
    "picture",
    "picture_on",
    "pixels",
    "png",
    "pooled",
    "projection",
    "readings",
    "scale",
    "scaled_input",
    "sentences",
    "sequence",
]
