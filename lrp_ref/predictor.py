"""The forward half of a plan as a value of its own: a network that predicts as fast as it is explained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

import numpy as np

from .arrays import Array, Shape
from .layers.base import Layer
from .layers.pooling import Selecting
from .lazy_dataclass import lazy_dataclass
from .memo import Memo
from .network.model import Model, ancestors
from .network.table import COLUMN
from .propagate import versions
from .propagate.footprint import forward_footprint
from .propagate.forward import last_reads, node_outputs, refuse_values
from .propagate.plan import Plan, plan
from .resources import Resources, chosen_threads
from .rules import Gradient

#: Plans that a predictor keeps: one for each shape of its inputs.
PLANS = 32


@lazy_dataclass(frozen=True, eq=False)
class _Layout:
    """What serves inputs of some shapes: plan, shapes at every node, what is dropped behind each step."""

    plan: Plan
    shapes: Mapping[str, Shape]
    dead_after: tuple[tuple[str, ...], ...]


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Predictor:
    r"""A model that predicts by the steps of a backend: :math:`f(x)` alone, nothing kept for a way back.

    `model(x)` is the definition. A predictor gives the same outputs within the rounding of floats (`CONV-FLOAT-GENERAL`); with
    the compiled backend it is faster, and takes less memory. A sample has the same bits in any batch, with any number of threads
    of that backend. It is a value: it can be copied, pickled and shared by threads.

    >>> import lrp_ref
    >>> from lrp_ref import layers as L
    >>> model = lrp_ref.Model.sequential([L.Dense([[1.0, -1.0], [2.0, 1.0]]), L.ReLU()])
    >>> lrp_ref.Predictor(model)([[1.0, 2.0]])
    array([[5., 1.]])

    Parameters
    ----------
    model : the network; batch norms and constant factors are folded first (`canonize`)
    backend : one of `lrp_ref.BACKENDS`; None: the fastest there is. Rationals are the reference's
    precision : "float64", "float32", "fast" or "exact", as of an `Explainer`; None: the model's own
    threads : of the compiled backend; None: LRP_REF_NUM_THREADS, or as many as this process has CPUs. They change no bit
    memory : "normal", or "low": the compiled backend keeps no transformed weights, and takes longer
    canonize : whether the model is rewritten first; a rewritten one rounds otherwise

    Raises
    ------
    UnknownNameError, ParameterError
        Where there is no such backend or precision, or threads or memory make no sense.
    """

    model: Model
    backend: str | None = None
    precision: str | None = None
    threads: int | None = None
    memory: str = "normal"
    canonize: bool = True
    _model: Model = field(init=False)
    _resources: Resources = field(init=False)
    _layouts: Memo = field(init=False)

    def __post_init__(self) -> None:
        versions.check_computing(self.backend, self.precision)
        model = versions.cast(self.model, self.precision)
        resources = Resources(chosen_threads(self.threads), self.memory, self.precision == "fast")
        for name, value in (("_model", model), ("_resources", resources), ("_layouts", Memo(PLANS))):
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: what is derived from the model shares its memo again.
        return Predictor, (self.model, self.backend, self.precision, self.threads, self.memory, self.canonize)

    def __call__(self, x: Any) -> Any:
        """The output for a batch of inputs.

        Parameters
        ----------
        x : the input, (N, …), or a mapping from input names

        Returns
        -------
        array (N, …); of several outputs a mapping from their names

        Raises
        ------
        ShapeError, NumberTypeError, NonFiniteError, UnknownNameError
            Where the inputs do not fit, as `model(x)` does; and where an output is not finite. The node is named.
        """
        arrays = self._model._cast(x)
        if self.model.extents is not None:
            output: Any = self._fitted(versions.sample_shapes(arrays))(x)
            return output
        layout = self._layout(arrays)
        values = node_outputs(layout.plan, arrays, layout.shapes, layout.dead_after)
        names = layout.plan.model.outputs
        if not all(layout.plan.finite(values[name][:, None]) for name in names):
            refuse_values(layout.plan.model, arrays, names)
        outputs = [np.ascontiguousarray(values[name]) for name in names]
        return outputs[0] if len(names) == 1 else dict(zip(self.model.outputs, outputs, strict=True))

    def _fitted(self, shapes: Mapping[str, Shape]) -> Predictor:
        """The predictor for samples of these shapes, of a network with open extents."""
        key = ("fitted", tuple(shapes.items()))
        predictor: Predictor = self._layouts.get(key, lambda: (replace(self, model=self.model.fitted(shapes)), 1))
        return predictor

    def _layout(self, arrays: Mapping[str, Array]) -> _Layout:
        """What serves these inputs; those that do not fit are refused."""

        def build() -> tuple[_Layout, int]:
            shapes = self._model.shapes_of(arrays)
            plan = self.plan(versions.sample_shapes(arrays))
            count = len(next(iter(arrays.values())))
            return _Layout(plan, shapes.batch(count), last_reads(plan.steps, plan.model.outputs)), 1

        layout: _Layout = self._layouts.get(("inputs", tuple((name, array.shape) for name, array in arrays.items())), build)
        return layout

    def plan(self, shapes: Mapping[str, Shape] | None = None) -> Plan:
        """The steps that serve the model.

        Parameters
        ----------
        shapes : of one sample of each input; None: the model's own, if it has them
        """
        samples = dict(self.model.input_shape) if shapes is None else {name: tuple(shape) for name, shape in shapes.items()}
        if self.model.extents is not None and len(samples) == len(self.model.inputs):
            return self._fitted(samples).plan(samples)
        plan: Plan = self._layouts.get(tuple(sorted(samples.items())), lambda: (self._planned(samples), 1))
        return plan

    def _planned(self, shapes: Mapping[str, Shape]) -> Plan:
        model = _needed(self._model)
        model = versions.canonized(model, shapes) if self.canonize else model
        known = len(shapes) == len(model.inputs)
        samples = self._model.sample_shapes({name: (1, *s) for name, s in shapes.items()}) if known else {}
        backend = versions.backend_for(model, self.backend)
        rules = {node.name: Gradient() for node in model.nodes if _helps(backend, node.layer)}
        return plan(model, rules, backend, shapes=samples, resources=self._resources)

    def memory_needed(self, shape: Shape | Mapping[str, Shape]) -> int:
        """An estimate, in bytes, of what predicting an input of this shape takes beside the model, prepared weights included.

        Parameters
        ----------
        shape : of the input, batch axis included; of several inputs a mapping
        """
        whole = dict(shape) if isinstance(shape, Mapping) else {self._model.inputs[0]: tuple(shape)}
        plan = self.plan({name: tuple(s[1:]) for name, s in whole.items()})
        plan.prepare()
        size = forward_footprint(plan, plan.model.shapes(whole), last_reads(plan.steps, plan.model.outputs))
        return size + plan.model.remembered

    def __repr__(self) -> str:
        plan = self.plan()
        rows = plan.rows()
        width = min(COLUMN, max(len(name) for name, _ in rows))
        return "\n".join([f"Predictor: {plan.described}", *(f"{name:<{width}}  {label}" for name, label in rows)])


def _helps(backend: str, layer: Layer) -> bool:
    """Whether the step of the layer's derivative, which weighs nothing on its way up, may be faster than the layer itself.

    NumPy finds a maximum faster than it finds which cell that is.
    """
    slower = backend == "numpy" and isinstance(layer, Selecting)
    return backend != "reference" and Gradient().fits(layer) and not slower


def _needed(model: Model) -> Model:
    """The model without the nodes that no output depends on."""
    below = ancestors(model, *model.outputs)
    if len(below) == len(model.nodes):
        return model
    nodes = tuple(node for node in model.nodes if node.name in below)
    return versions.version(model, ("needed", model.dtype), lambda: replace(model, nodes=nodes))
