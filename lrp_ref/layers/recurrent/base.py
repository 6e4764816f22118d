"""What recurrent layers share: directions, lengths, initial states, gate orders, and the arrays of an unrolled pass.

All arrays of a pass have the axes (directions, N, T, ·) in the order in which the steps are computed: the reverse direction reads
its sequence from the end. A step of every direction and sample is computed at once, each sample by matrix products of its own, so
that its bits do not depend on the batch that it comes in.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from ...arrays import Array, Shape, is_exact, like, zeros
from ...errors import ExactnessError, ParameterError, ShapeError
from ...lazy_dataclass import lazy_dataclass
from ..activations import Activation, ReLU, Sigmoid, Tanh
from ..base import Recurrent, need_arity, need_rank
from ..elementwise import HardSigmoid, Softsign
from ..shape import Identity

DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
#: What a layer may read beside its sequence.
READS = ("lengths", "hidden", "cell")
#: Activations of gates and states. The hard sigmoid is Keras's and ONNX's, max(0, min(1, 0.2 z + 0.5)).
ACTIVATIONS: dict[str, Activation | Identity] = {
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
    "relu": ReLU(),
    "identity": Identity(),
    "softsign": Softsign(),
    "hard_sigmoid": HardSigmoid(0.2, 0.5),
}


@lazy_dataclass(frozen=True, eq=False)
class Unrolled:
    """Every value of one pass over the sequences: what a rule needs on the way back.

    Attributes
    ----------
    x : (D, N, T, F) the sequences, in computing order
    alive : (D, N, T, 1) whether the step belongs to the sequence; None: all do
    z : (D, N, T, gates·H) pre-activations, in the layer's gate order
    values : (D, N, T, gates·H) activations of them
    hidden : (D, N, T + 1, H) what goes from step to step, the initial state first
    cell : the same of an LSTM's cell state
    inner : (D, N, T, H) of a GRU: r ⊙ h, or U h + b before the reset gate
    """

    x: Array
    alive: Array | None
    z: Array
    values: Array
    hidden: Array
    cell: Array | None = None
    inner: Array | None = None


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Cells(Recurrent):
    """The fields of every recurrent layer; see `LSTM`."""

    weight_input: Any
    weight_recurrent: Any
    bias: Any = None
    initial_hidden: Any = None
    direction: str = "forward"
    returns: str = "last"
    reads: tuple[str, ...] = ()
    parameter_names: ClassVar[tuple[str, ...]] = ("weight_input", "weight_recurrent", "bias", "initial_hidden")
    #: The states that an initial value may be read for.
    states: ClassVar[tuple[str, ...]] = ("hidden",)

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = type(self).__name__
        choose(self.direction, f"{kind}.direction", DIRECTIONS)
        choose(self.returns, f"{kind}.returns", ("last", "all", *(s for s in self.states if s != "hidden")))
        known = tuple(r for r in READS if r == "lengths" or r in self.states)
        object.__setattr__(self, "reads", tuple(self.reads) if not isinstance(self.reads, str) else (self.reads,))
        if not set(self.reads) <= set(known) or list(self.reads) != sorted(set(self.reads), key=known.index):
            raise ParameterError(f"{kind}.reads must be some of {', '.join(map(repr, known))}, in this order, found {self.reads}")
        for name, value in self.parameters.items():  # one direction may be given without an axis for it
            if value.ndim == (2 if name.startswith("weight") else 1) and DIRECTIONS[self.direction] == 1:
                object.__setattr__(self, name, value[None])
        self._check_extents()

    def _check_extents(self) -> None:
        wanted = self._extents()
        for name, value in self.parameters.items():
            if value.shape != wanted[name]:
                raise ShapeError(f"{type(self).__name__}.{name} must have shape {wanted[name]}, found {value.shape}")
        for state in self.states:
            if getattr(self, f"initial_{state}") is not None and state in self.reads:
                raise ParameterError(f"{type(self).__name__}.initial_{state} is a constant, or read as an input, not both")

    def _extents(self) -> dict[str, Shape]:
        """The shape that each parameter must have, from the features and the hidden units of the weights."""
        kind, count, gates = type(self).__name__, DIRECTIONS[self.direction], len(self.gate_names)
        for name, what in (("weight_input", "features"), ("weight_recurrent", "hidden")):
            if getattr(self, name).ndim != 3 or 0 in getattr(self, name).shape:
                raise ShapeError(
                    f"{kind}.{name} must be (directions, {what}, {gates}·hidden), found {getattr(self, name).shape}; "
                    f"{kind}.from_arrays takes one direction without its axis"
                )
        features, hidden = self.weight_input.shape[1], self.weight_recurrent.shape[1]
        wide = gates * hidden
        return {
            "weight_input": (count, features, wide),
            "weight_recurrent": (count, hidden, wide),
            "bias": (count, wide),
            "initial_hidden": (count, hidden),
            "initial_cell": (count, hidden),
        }

    # --- sizes --------------------------------------------------------------------------------------------------------

    @property
    def gate_names(self) -> str:
        """One letter for each gate, in the order in which the weights hold them."""
        raise NotImplementedError

    @property
    def directions(self) -> int:
        """1, or 2 of a bidirectional layer."""
        return DIRECTIONS[self.direction]

    @property
    def features(self) -> int:
        """How many numbers a step of the sequence has."""
        return int(self.weight_input.shape[1])

    @property
    def hidden(self) -> int:
        """How many hidden units each direction has."""
        return int(self.weight_recurrent.shape[1])

    @property
    def arity(self) -> int:
        return 1 + len(self.reads)

    def shape(self, *inputs: Shape) -> Shape:
        need_arity(self, inputs)
        kind, (n, wide) = type(self).__name__, (inputs[0][0], self.directions * self.hidden)
        need_rank(inputs[0], 3, f"(N, T, {self.features})")
        if inputs[0][2] != self.features:
            raise ShapeError(f"{kind} expects {self.features} features on the last axis, found shape {inputs[0]}")
        if not inputs[0][1]:
            raise ShapeError(f"an empty sequence: {kind} needs at least one step, found shape {inputs[0]}")
        for name, shape in zip(self.reads, inputs[1:], strict=True):
            wanted = (n,) if name == "lengths" else (n, wide)
            if shape != wanted:
                raise ShapeError(f"{kind} reads {name} of shape {wanted}, found {shape}")
        return (n, inputs[0][1], wide) if self.returns == "all" else (n, wide)

    # --- the pass -----------------------------------------------------------------------------------------------------

    def forward(self, *inputs: Array) -> Array:
        return self.output(self.unroll(*inputs))

    def unroll(self, *inputs: Array) -> Unrolled:
        """The pass over time, with every value that it computes."""
        self.shape(*(a.shape for a in inputs))
        read = dict(zip(self.reads, inputs[1:], strict=True))
        x, steps = self.to_step_order(inputs[0]), inputs[0].shape[1]
        alive = None
        if "lengths" in read:
            alive = self.to_step_order((np.arange(steps) < ends(read["lengths"], steps)[:, None])[..., None])
        states = {name: self._initial(name, read, x) for name in self.states}
        weight = like(self.weight_input, x)
        z = np.matmul(x, weight[:, None])
        if self.bias is not None:
            z = z + like(self.bias, x)[:, None, None]
        return self._run(x, z, alive, **states)

    def vjp(self, inputs: tuple[Array, ...], output: Array, upper: Array) -> tuple[Array, ...]:
        gradients: tuple[Array, ...] = self._chain(self.unroll(*inputs)).through_time(upper)
        return gradients

    @abstractmethod
    def _chain(self, u: Unrolled) -> Any:
        """The chain rule of one step of the unrolled pass (`derivative.Chain`)."""

    @abstractmethod
    def _run(self, x: Array, z: Array, alive: Array | None, **states: Array) -> Unrolled:
        """The steps, one after the other; `z` holds what the input and the bias contribute, and may be overwritten."""

    def to_step_order(self, x: Array) -> Array:
        """The sequences (N, T, ·) once for each direction, (D, N, T, ·), contiguous, in the order in which it reads them."""
        reverse = x[:, ::-1]
        return np.stack({"forward": [x], "reverse": [reverse], "bidirectional": [x, reverse]}[self.direction])

    def to_sequence_order(self, steps: Array) -> Array:
        """Arrays (D, N, T, ·) in step order, back in the order of the sequence; still one for each direction."""
        if self.direction == "forward":
            return steps
        return np.concatenate([steps[:-1], steps[-1:, :, ::-1]])

    def output(self, u: Unrolled) -> Array:
        """What the layer returns of an unrolled pass."""
        if self.returns == "all":
            steps = u.hidden[:, :, 1:]
            if u.alive is not None:
                steps = np.where(u.alive, steps, like(0, steps))
            return np.ascontiguousarray(merge_directions(self.to_sequence_order(steps)))
        states = u.hidden if self.returns == "last" else u.cell
        assert states is not None
        return merge_directions(states[:, :, -1])

    def split_directions(self, states: Array) -> Array:
        """The states (N, …, D·H) of each direction, (D, N, …, H); the inverse of `merge_directions`."""
        return np.stack(np.split(states, self.directions, axis=-1))

    def _initial(self, name: str, read: dict[str, Array], x: Array) -> Array:
        """The state before the first step, (D, N, 1, H)."""
        if name in read:
            return self.split_directions(read[name])[:, :, None]
        state = zeros((x.shape[0], x.shape[1], 1, self.hidden), x)
        constant = getattr(self, f"initial_{name}")
        return state if constant is None else state + like(constant, x)[:, None, None]


def merge_directions(states: Array) -> Array:
    """The states (D, N, …, H) of all directions side by side, (N, …, D·H)."""
    return np.concatenate(list(states), axis=-1)


def ends(lengths: Array, steps: int) -> Array:
    """Lengths as integers; `ParameterError` unless they are whole numbers from 1 to `steps`."""
    wide = lengths.astype(np.float64)
    wrong = (wide != np.rint(wide)) | (wide < 1) | (wide > steps)
    if wrong.any():
        raise ParameterError(f"lengths must be whole numbers from 1 to {steps}, the steps of the array; found {wide[wrong][0]:g}")
    return wide.astype(np.intp)


def choose(value: Any, name: str, known: Sequence[str] | dict[str, Any]) -> None:
    """Raise `ParameterError` unless `value` is one of `known`."""
    if not isinstance(value, str) or value not in known:
        raise ParameterError(f"{name} must be one of {', '.join(map(repr, known))}, found {value!r}")


def activation(name: str, scale: Any, a: Array) -> Callable[[Array], Array]:
    """The function of that name times `scale`, for arrays in the number type of `a`."""
    layer = ACTIVATIONS[name]
    if is_exact(a) and isinstance(layer, (Sigmoid, Tanh)):
        raise ExactnessError(f"{name} of a rational is not rational; use float64 arrays")
    function = layer.forward if isinstance(layer, Identity) else layer.function
    if scale == 1:
        return function
    factor = like(scale, a)
    return lambda z: np.asarray(factor * function(z))


def times(a: Array, weight: Array) -> Array:
    """(D, N, T, lower) times (D, lower, upper), one matrix product for each direction and sample."""
    return np.asarray(np.matmul(np.ascontiguousarray(a), weight[:, None]))


def select_alive(alive: Array | None, step: slice, new: Array, old: Array) -> Array:
    """`new` where the step belongs to the sequence, else `old`."""
    return new if alive is None else np.where(alive[:, :, step], new, old)


def rearranged(value: Any, order: str, wanted: str, name: str) -> Any:
    """Blocks of the last axis, one for each letter of `order`, in the order `wanted`."""
    if value is None:
        return None
    array = table(value, name)
    if array.ndim == 0 or array.shape[-1] % len(order):
        raise ShapeError(f"{name} must hold {len(order)} blocks (gate order {order!r}), found shape {array.shape}")
    blocks = dict(zip(order, np.split(array, len(order), axis=-1), strict=True))
    return np.concatenate([blocks[letter] for letter in wanted], axis=-1)


def table(value: Any, name: str) -> Any:
    """An array; `ShapeError` where rows have different lengths."""
    try:
        return np.asarray(value)
    except ValueError:
        raise ShapeError(f"{name} is no array: its rows have different lengths") from None


def sides(weight: Any) -> str:
    """Which direction arrays of one or two directions are for, where nothing is said."""
    return "bidirectional" if np.ndim(weight) == 3 and len(weight) == 2 else "forward"


def gate_order(order: Any, allowed: Sequence[str], kind: str) -> str:
    """The canonical one of `allowed` that has the letters of `order`."""
    for candidate in allowed:
        if isinstance(order, str) and sorted(order) == sorted(candidate):
            return candidate
    raise ParameterError(f"{kind}: unknown gate order {order!r}; it is an arrangement of {' or '.join(map(repr, allowed))}")
