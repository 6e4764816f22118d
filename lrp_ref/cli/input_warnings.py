"""What is suspicious about an input: its range, what the first layer sees of it, a preprocessing that is a guess."""

from __future__ import annotations

from collections.abc import Mapping

from ..arrays import Array
from ..preprocess import FirstLayer, misfit
from .network import Network

GUESS = "nothing says how this network wants its images: pixels became 0 to 1, which is a guess (--preprocess says it)"


def input_warnings(network: Network, first: FirstLayer | None, arrays: Mapping[str, Array], shown: Array | None) -> list[str]:
    """A sentence for all that is suspicious about one sample, but that its preprocessing is a guess.

    Parameters
    ----------
    network : the network
    first : what its first layer knows; None: nothing
    arrays : the inputs by name
    shown : the photograph that the network sees, where it is one
    """
    model = network.model
    found = [text for key, array in arrays.items() if (text := misfit(array, model.domain.get(key)))]
    if first is not None and (text := first.misfit(arrays[model.inputs[0]], shown)):
        found.append(text)
    return found
