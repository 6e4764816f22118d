"""What every layer is: a frozen record with a pure `forward`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from ..arrays import Array, Shape, frozen, like, parameter, total
from ..errors import DerivativeError, ShapeError
from ..held import adopt
from ..lazy_dataclass import lazy_dataclass


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Layer(ABC):
    """One computation of a network. Layers know no rules, no names and no neighbours."""

    #: Names of the fields that hold arrays of parameters.
    parameter_names: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in self.parameter_names and not (value is None and field.default is None):
                object.__setattr__(self, field.name, parameter(value, f"{type(self).__name__}.{field.name}"))

    @property
    def arity(self) -> int:
        """How many inputs the layer has."""
        return 1

    @abstractmethod
    def shape(self, *inputs: Shape) -> Shape:
        """The output's shape for inputs of these shapes, batch axis included.

        Parameters
        ----------
        inputs : the shape of each input, (N, …), as many as the layer's `arity`

        Raises
        ------
        ShapeError
            Where an input does not fit; the message says what would.
        """

    @abstractmethod
    def forward(self, *inputs: Array) -> Array:
        """The layer's output, an array (N, …) of the shape that `shape` gives, in the number type of the inputs.

        Parameters
        ----------
        inputs : arrays (N, …) of one number type, float32, float64 or rationals; parameters are cast to it

        Raises
        ------
        ShapeError
            Where an input does not fit, as in `shape`.
        NumberTypeError
            Where the inputs hold integers, or another number type in which the library does not compute.
        ExactnessError
            Where the inputs are rationals and the layer has no rational form.
        """

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        r"""The vector-Jacobian product, :math:`\bar a_i = J_i^\top \bar z`: the gradient of :math:`\langle \bar z, z\rangle`.

        At a kink the derivative is the one that `CONV-GRAD-KINK` names: that of ReLU at 0 is 0, a maximum belongs to its
        first argument.

        Parameters
        ----------
        inputs : the layer's inputs, each (N, …)
        output : its output for them
        upper : the gradient with respect to the output, of its shape and number type

        Returns
        -------
        tuple of arrays
            The gradient with respect to every input, of its shape and number type.

        Raises
        ------
        DerivativeError
            Where the layer has no derivative.
        """
        raise DerivativeError(f"{type(self).__name__} has no derivative with respect to its input")

    @property
    def parameters(self) -> dict[str, Array]:
        """The arrays that the layer holds, by field name."""
        arrays = {name: getattr(self, name) for name in self.parameter_names}
        return {name: value for name, value in arrays.items() if value is not None}

    def astype(self, dtype: Any) -> Self:
        """The same layer with its parameters in another number type.

        Parameters
        ----------
        dtype : float32, float64, or `object` for exact rationals, in which a float keeps its binary value

        Raises
        ------
        NumberTypeError
            Where it is another number type.
        """
        target = np.empty(0, dtype=dtype)
        return replace(self, **{name: adopt(like(value, target)) for name, value in self.parameters.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor, so that unpickled and copied parameters are read-only again.
        return type(self), tuple(getattr(self, field.name) for field in fields(self) if field.init)

    def __repr__(self) -> str:
        shown = []
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray) and value.ndim:
                shown.append(f"{field.name}{list(value.shape)}")
                continue
            value = value.item() if isinstance(value, np.ndarray) else value
            value = _short(value) if field.name in _PER_AXIS else value
            if value != field.default:
                shown.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


#: Fields that hold one entry per spatial axis, or one for all of them.
_PER_AXIS = frozenset({"kernel", "stride", "padding", "dilation", "output_padding", "factor"})


def _short(value: Any) -> Any:
    """((1, 1), (1, 1)) as 1: one entry where all are equal."""
    if not isinstance(value, tuple):
        return value
    entries = tuple(_short(entry) for entry in value)
    return entries[0] if len(set(entries)) == 1 else entries


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Linear(Layer):
    r"""A layer that is a pair of maps, each the other's transpose, plus a bias.

    .. math:: z = \sum_i \mathrm{map}(a_i, w_i) + b, \qquad
              \langle \mathrm{map}(a, w), s\rangle = \langle a, \mathrm{adjoint}(s, w)\rangle

    Both maps are linear in the array *and* in the weight, so a rule may hand in any modified weight.
    """

    @property
    @abstractmethod
    def weights(self) -> tuple[Array, ...]:
        """One weight for each input."""

    def offset(self, ndim: int) -> Array | None:
        """The bias, shaped to broadcast against an output of `ndim` axes; None where there is none.

        Parameters
        ----------
        ndim : the number of axes of the output, batch axis included: for 4 axes the bias (upper,) of a Conv becomes (upper, 1, 1)
        """
        return None

    @abstractmethod
    def map(self, a: Array, weight: Array) -> Array:
        """The linear part of one input: array (N, …) of the input's shape to one of the output's, without the bias.

        Parameters
        ----------
        a : the input, or what a rule makes of it, such as a⁺; (N, …)
        weight : the weight of this input, one of `weights`, or what a rule makes of it, such as w⁺; in the number type of `a`
        """

    @abstractmethod
    def adjoint(self, s: Array, weight: Array, shape: Shape) -> Array:
        """The transpose of `map`: array (N, …) of the output's shape to one of the input's, Σ_k s_k w_jk.

        Parameters
        ----------
        s : an array of the output's shape; in a rule the quotient s_k = R_k / z_k
        weight : as in `map`
        shape : the shape of the input, (N, …), which strides and poolings leave open
        """

    def map_absolute(self, a: Array, weight: Array) -> Array:
        """Σ_j |a_j w_jk|, what went into each output without its sign; a map with signs of its own overrides it.

        Parameters
        ----------
        a : the input, (N, …)
        weight : the weight of this input
        """
        return self.map(abs(a), abs(weight))

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        z = self.map(inputs[0], like(self.weights[0], inputs[0]))
        for a, weight in zip(inputs[1:], self.weights[1:], strict=True):
            z = z + self.map(a, like(weight, a))
        bias = self.offset(z.ndim)
        return z if bias is None else np.asarray(z + like(bias, z))

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        pairs = zip(inputs, self.weights, strict=True)
        return tuple(self.adjoint(upper, like(weight, a), a.shape) for a, weight in pairs)


class Elementwise(Layer):
    """A function of each element of one input."""

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        return inputs[0]

    def forward(self, *inputs: Array) -> Array:
        self.shape(*(a.shape for a in inputs))
        return np.asarray(self.function(inputs[0]))

    @abstractmethod
    def function(self, z: Array) -> Array:
        """The function itself."""

    @abstractmethod
    def derivative(self, z: Array, output: Array) -> Array:
        """Its derivative at z, where `output` is its value there; broadcastable against z."""

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        return (np.asarray(upper * self.derivative(inputs[0], output)),)


class BaseEmbedding(Layer):
    """An embedding: numbers (N, …) that are indices, each replaced by a vector, (N, …, features)."""

    def sum_vectors(self, relevance: Array) -> Array:
        """The relevance of each index, (N, …): that of its vector, (N, …, features), added up."""
        return total(relevance, (relevance.ndim - 1,))


class Recurrent(Layer):
    """A layer that runs over time: sequences (N, T, features) in, its state at every step or at the last one out."""

    @abstractmethod
    def unroll(self, *inputs: Array) -> Any:
        """Every state and gate of one pass over the sequences, with one entry per time step.

        Parameters
        ----------
        inputs : the sequences (N, T, features), then what else the layer reads, such as initial states and lengths

        Raises
        ------
        ShapeError
            Where an input does not fit.
        """


def ones(*, of: tuple[float, ...] = (1.0,)) -> tuple[Array, ...]:
    """Weights of layers whose connections are all equal: one number that broadcasts, shape (1,), each."""
    return tuple(frozen(np.array([value])) for value in of)


def need_rank(shape: Shape, low: int, meaning: str, high: int | None = None) -> None:
    """Raise `ShapeError` unless `shape` has `low` axes (or between `low` and `high`)."""
    if low <= len(shape) <= (low if high is None else high):
        return
    hint = " The batch axis is required: x[None] adds it to a single sample." if len(shape) == low - 1 else ""
    raise ShapeError(f"expected an input of shape {meaning}, found shape {shape}.{hint}")


def need_arity(layer: Layer, inputs: tuple[Shape, ...]) -> None:
    """Raise `ShapeError` unless there are as many inputs as the layer has, each with a first axis."""
    if len(inputs) != layer.arity:
        raise ShapeError(f"{type(layer).__name__} has {layer.arity} input(s), found {len(inputs)}")
    if () in inputs:
        raise ShapeError(f"an input of {type(layer).__name__} is a single number: every input has a batch axis")


def broadcast(*shapes: Shape) -> Shape:
    """`np.broadcast_shapes` with an error of ours; batch extents must agree."""
    try:
        result = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"shapes {', '.join(map(str, shapes))} do not broadcast") from None
    batches = {shape[0] for shape in shapes if len(shape) == len(result)}
    if len(batches) > 1:
        raise ShapeError(f"the batch extents of {', '.join(map(str, shapes))} differ")
    if len(batches) == 1 and any(len(shape) != len(result) for shape in shapes):
        raise ShapeError(f"shapes {', '.join(map(str, shapes))} have different ranks; every input has a batch axis")
    return tuple(result)
