"""A model as a plain function of arrays, for packages that explain functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, Shape
from ..errors import ShapeError
from ..forks import cached_property
from ..network.model import Model
from ..propagate.heads import Head, head_of
from ..propagate.start import Request
from .scoring import Scorer


@dataclass(frozen=True, eq=False)
class Function:
    """A model as a function: samples in, what is explained of them out, in float64. It can be pickled.

    Attributes
    ----------
    model, head, output, target, shape, channels_last, backend, threads : as `as_function` takes them
    """

    model: Model
    head: Any = None
    output: str | None = None
    target: int | None = None
    shape: Shape | None = None
    channels_last: bool = False
    backend: str | None = None
    threads: int | None = None

    @cached_property
    def _scorer(self) -> Scorer:
        head: Head | None = None if self.head is None else head_of(self.head)
        return Scorer(self.model, head, self.output, self.backend, None, self.threads)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_scorer"}

    def __call__(self, x: Any) -> Array:
        """The numbers of samples.

        Parameters
        ----------
        x : (n, …), an array or what becomes one, such as a table

        Returns
        -------
        (n, outputs), or (n,) of a target

        Raises
        ------
        ShapeError
            Where the samples do not have as many numbers as `shape`.
        """
        array = np.asarray(x).astype(self._scorer.model.dtype)
        if self.shape is not None:
            if array.ndim < 1 or array[:1].size not in (0, int(np.prod(self.shape))):
                raise ShapeError(f"samples of shape {self.shape} are needed, found an array of shape {array.shape}")
            array = array.reshape(len(array), *self.shape)
        if self.channels_last:
            array = np.moveaxis(array, -1, 1)
        found = self._scorer.answer(np.ascontiguousarray(array), Request("all" if self.target is None else self.target)).value
        return np.asarray(found if self.target is None else found[:, 0]).astype(np.float64)


def as_function(
    model: Model,
    *,
    head: Any = None,
    output: str | None = None,
    target: int | None = None,
    shape: Shape | None = None,
    channels_last: bool = False,
    backend: str | None = None,
    threads: int | None = None,
) -> Function:
    """A model as a function of arrays, as SHAP, LIME and other packages take one; none of them is needed here.

    >>> import numpy as np
    >>> from lrp_ref import Model, layers as L, methods
    >>> model = Model.sequential([L.Flatten(), L.Dense([[1.0], [2.0], [3.0], [4.0]])])
    >>> f = methods.as_function(model, shape=(1, 2, 2))
    >>> f([[1, 0, 0, 1]])
    array([[5.]])

    Parameters
    ----------
    model : of one input
    head : what of a probability is given, as of an `Explainer`: "logit", "log-odds" or "probability"
    output : which output, where the model has several
    target : one element of the output; None: all of them
    shape : of one sample, for functions that are given rows of numbers; None: as they come
    channels_last : whether samples come as (…, C), as pictures do in LIME
    backend, threads : what computes it, as of an `Explainer`

    Raises
    ------
    HeadError, TargetError, UnknownNameError
        Where a head or an output must be chosen, or is not there.
    """
    found = Function(model, head, output, target, None if shape is None else tuple(shape), channels_last, backend, threads)
    _ = found._scorer
    return found
