"""Explanations made of several explanations: the translation trick, and sliding windows over large images.

Both add up the relevance of one and the same target, so that what the parts conserve the whole conserves. They take any
`Explainer`, whatever its method (LRP, or a gradient, which conserves nothing), its rules, its backend and its number type, and
return what it returns, an `Explanation` of that method, with a few fields more. The relevant pattern, x ⊙ R, is
`Explanation.pattern`, also of these.
"""

from .sliding_window import Windowed, sliding_window
from .translation import Translated, translated

__all__ = ["Translated", "Windowed", "sliding_window", "translated"]
