"""What compiled steps prepare once for a layer and a rule: how its products are computed, and weights as the core takes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...arrays import Array, Relative, Shape
from ...forks import cached_property
from ...held import root
from ...layers.base import Linear
from ...layers.conv import Conv, ConvTranspose
from ...layers.linear import Dense
from ...lazy_dataclass import lazy_dataclass
from ...memo import Key
from ...network.model import Model, Node
from ...resources import Resources
from ...rules import LinearRule
from ...rules.terms import Feature
from .accounts import SizeMethod, accounting, size_method_of, size_term
from .native import _core
from .packed import Rows, Sizes, Windows, epilogue, fan_in, offset_last
from .product_plan import PlannedShare, ProductPlan, product_plan


@lazy_dataclass(frozen=True, eq=False)
class PackedLayer:
    """A layer with its rule applied: packed weights, and the shares' metadata (their weights live in `products`)."""

    shares: tuple[PlannedShare, ...]
    features: tuple[Feature, ...]
    bias: Array | None
    product_of: dict[int, int]  # for each column the index of its product
    products: Rows | Windows
    size_methods: tuple[SizeMethod | None, ...]  # how the sizes of the shares' denominators are found

    def epilogue(self, shares: tuple[PlannedShare, ...], relu_follows: bool, quotient: bool) -> Any:
        """The epilogue that turns matrix products into the output and each share's factors."""
        return epilogue(shares, self.product_of, self.bias, relu_follows, quotient)

    @cached_property
    def relative(self) -> bool:
        """Whether a stabiliser needs the whole sample."""
        return any(isinstance(column.share.stabiliser, Relative) for column in self.shares)

    @cached_property
    def sizes(self) -> dict[tuple[bool, bool], tuple[int, ...]]:
        """By whether a ReLU is behind and whether c arrives, the shares whose sizes take a product of their own.

        γ tells them apart by a pre-activation that the output shows.
        """
        size_methods = tuple(enumerate(self.size_methods))
        return {
            (r, q): tuple(
                i for i, method in size_methods if method is None or not (method.alike or (method.tilt and (q or not r)))
            )
            for r in (False, True)
            for q in (False, True)
        }

    @cached_property
    def accounting(self) -> dict[bool, Any]:
        """What the core knows of the shares, by whether c arrives."""
        known = [SizeMethod(False, 0.0, 1, ()) if method is None else method for method in self.size_methods]
        layer_bias = None if self.bias is None else offset_last(self.bias)
        shares = [column.share for column in self.shares]
        biases = [None if share.bias is None else offset_last(share.bias) for share in shares]
        return {q: accounting(known, shares, biases, layer_bias, q) for q in (False, True)}

    @cached_property
    def usual(self) -> dict[tuple[bool, bool], Any]:
        """The epilogues of all shares, by whether a ReLU follows and whether c arrives."""
        return {(r, q): self.epilogue(self.shares, r, q) for r in (False, True) for q in (False, True)}


@lazy_dataclass(frozen=True)
class ConvAlgorithm:
    """How a layer's products are computed: by which convolution algorithm, upwards and downwards."""

    upward: int = _core.DIRECT
    downward: int = _core.DIRECT
    ties: bool = False  # whether windows that hold the same numbers need the same output

    def __str__(self) -> str:
        names = {_core.DIRECT: "direct", _core.F2: "F(2×2)", _core.F4: "F(4×4)"}
        return names[self.upward] if self.upward == self.downward else f"{names[self.upward]}/{names[self.downward]}"


def conv_algorithm(layer: Linear, lower: Shape | None, upper: Shape | None, resources: Resources, dtype: Any) -> ConvAlgorithm:
    """The algorithms for inputs and outputs of these sample shapes (C, *spatial)."""
    if not isinstance(layer, (Conv, ConvTranspose)) or resources.memory == "low" or lower is None or upper is None:
        return ConvAlgorithm()
    window = layer.window
    plain = window.kernel == (3, 3) and set(window.stride) == {1} and set(window.dilation) == {1} and layer.groups == 1
    # Below that the transforms cost more than they save: measured by benchmarks/kernels.py.
    if not plain or min(lower[0], upper[0]) < 16 or min(lower[1:] + upper[1:]) < 6:
        return ConvAlgorithm()
    larger = resources.fast or np.dtype(dtype) == np.float64

    def tile(spatial: Shape) -> int:
        return _core.F4 if larger and min(spatial) > 14 else _core.F2

    return ConvAlgorithm(tile(upper[1:]), tile(lower[1:]))


def supported_features(
    model: Model, node: Node, rule: LinearRule, nonnegative: bool
) -> tuple[tuple[Feature, ...], bool, bool] | None:
    """Cheap check, before any packing: the features that the rule uses, whether c can be emitted, whether places are alike.

    None where the step does not serve.
    """

    def build() -> tuple[tuple[tuple[Feature, ...], bool, bool] | None, int]:
        plan = product_plan(node.layer, rule, nonnegative, model.dtype, False)  # type: ignore[arg-type]
        return (None if plan is None else (plan.features, plan.keeps_quotient, plan.even)), 0

    return model.remember(("supported features", node.layer, rule, nonnegative), build)


def packed_key(node: Node, rule: LinearRule, nonnegative: bool, relu_follows: bool, choice: ConvAlgorithm) -> Key:
    """By what a model remembers a packed layer: made once for a step, because every call asks."""
    return Key("packed", node.layer, rule, nonnegative, relu_follows, choice)


def prepared(
    model: Model,
    key: Key,
    node: Node,
    rule: LinearRule,
    nonnegative: bool,
    relu_follows: bool,
    choice: ConvAlgorithm,
    threads: int,
) -> PackedLayer:
    """The layer under the rule, packed once for a model; `key` is the `packed_key` of these."""

    def build() -> tuple[PackedLayer, int]:
        halves = isinstance(node.layer, Conv) and choice.upward == _core.DIRECT  # the two products are added up alike
        plan = product_plan(node.layer, rule, nonnegative, model.dtype, relu_follows, halves)  # type: ignore[arg-type]
        assert plan is not None
        return packed(node.layer, plan, choice, threads)

    return model.remember(key, build)


def packed(layer: Any, plan: ProductPlan, choice: ConvAlgorithm, threads: int) -> tuple[PackedLayer, int]:
    """The layer under the rule that was planned, and the bytes that were packed."""
    order = [column for group in plan.groups for column in group.columns]
    product_of = {column: index for index, column in enumerate(order) if column >= 0}
    without_weights = tuple(replace(c, share=replace(c.share, terms=()), terms=()) for c in plan.columns)
    size_methods = tuple(size_method_of(column, plan.rule, plan.nonnegative, fan_in(layer)) for column in plan.columns)
    if isinstance(layer, Dense):
        rows = Rows(plan)
        layer_weights = {id(root(w)) for w in layer.weights}
        extra = {id(root(w)): root(w).nbytes for w in rows.arrays() if id(root(w)) not in layer_weights}
        return PackedLayer(without_weights, plan.features, plan.bias, product_of, rows, size_methods), sum(extra.values())
    windows = Windows(layer, plan, (choice.upward, choice.downward), threads, choice.ties)
    methods_without_weights = tuple(method and replace(method, terms=()) for method in size_methods)
    return PackedLayer(without_weights, plan.features, plan.bias, product_of, windows, methods_without_weights), windows.nbytes


def sizes(
    model: Model, node: Node, rule: LinearRule, nonnegative: bool, relu_follows: bool, choice: ConvAlgorithm, threads: int
) -> Sizes:
    """The products of sizes of a convolution under the rule, packed once for a model, when it is first asked for its accounts."""

    def build() -> tuple[Sizes, int]:
        plan = product_plan(node.layer, rule, nonnegative, model.dtype, relu_follows)  # type: ignore[arg-type]
        assert plan is not None
        size_methods = [size_method_of(column, rule, nonnegative, fan_in(node.layer)) for column in plan.columns]
        terms = [
            () if method is None else tuple(size_term(term, nonnegative) for term in method.terms) for method in size_methods
        ]
        products = Sizes(node.layer, terms, choice.upward, threads)  # type: ignore[arg-type]
        return products, products.nbytes

    return model.remember(("sizes", node.layer, rule, nonnegative, relu_follows, choice), build)
