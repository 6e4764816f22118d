"""Pictures of relevance. Colours need NumPy alone; figures need the extra `plot`, which is imported when one is drawn.

Every function is pure: it returns an array or a `matplotlib.figure.Figure`, shows nothing, and leaves matplotlib's
global state alone.
"""

from .accounts import ledger
from .colours import heatmap, scale
from .figures import STYLES, picture
from .grid import grid

__all__ = ["STYLES", "grid", "heatmap", "ledger", "picture", "scale"]
