"""Hypothesis strategies: small random networks with inputs, and composites that serve them.

As in `strategies`, everything is drawn as float64 whose values float32 and `Fraction` hold exactly, and `Net.astype` moves
a network to another number type. With the default numbers (few bits, powers of two) a network computes without any
rounding in float64, so that all backends have the same activations, whatever the order in which they add up.

    @given(nets().flatmap(lambda net: st.tuples(st.just(net), composites(net))))
    def test_something(drawn):
        net, composite = drawn
        lrp_ref.explain(net.model, net.inputs, composite=composite, **net.options)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from lrp_ref import Composite, Model, Node, canonize, composites, rules
from lrp_ref import layers as L
from lrp_ref.arrays import Array, Shape
from lrp_ref.errors import ShapeError
from support.strategies import Numbers, arrays, cast, floats

# ---- networks ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Net:
    """A network with a batch of inputs; the explained output is "scores", (N, classes)."""

    model: Model
    inputs: Mapping[str, Array]

    @property
    def batch(self) -> int:
        return int(next(iter(self.inputs.values())).shape[0])

    @property
    def options(self) -> dict[str, Any]:
        """What an Explainer must be told about the network."""
        return {"output": "scores"} if len(self.model.outputs) > 1 else {}

    def astype(self, dtype: Any) -> Net:
        """The same network in another number type (nothing is rounded where the numbers are dyadic)."""
        return Net(self.model.astype(dtype), {name: cast(a, dtype) for name, a in self.inputs.items()})

    def sample(self, n: int) -> Net:
        """The network with sample `n` as its whole batch."""
        return Net(self.model, {name: a[n : n + 1] for name, a in self.inputs.items()})

    @cached_property
    def canonical(self) -> Model:
        """What an Explainer works on."""
        return canonize(self.model, {name: a.shape[1:] for name, a in self.inputs.items()})

    @cached_property
    def values(self) -> Mapping[str, Array]:
        """The activations of the canonical model."""
        return self.canonical.trace(self.inputs).activations

    @property
    def exact(self) -> bool:
        """Whether the network computes in its own number type without any rounding."""
        rational = self.astype(object)
        return all((cast(self.values[node.name], object) == rational.values[node.name]).all() for node in self.canonical.nodes)

    def __repr__(self) -> str:
        parameters = {n.name: {k: v.tolist() for k, v in n.layer.parameters.items()} for n in self.model.nodes}
        inputs = {name: a.tolist() for name, a in self.inputs.items()}
        return f"Net({self.model!r}\nparameters={parameters}\ninputs={inputs})"


def few() -> Numbers:
    """Parameters and inputs of few bits: deep sums of their products are still exact."""
    return st.sampled_from([1.0, -1.0, 0.5, -0.5, 2.0, 0.25, -0.25, 1.5, 0.0, -0.0, -2.0])


def many() -> Numbers:
    """General numbers, of which few sums cancel."""
    return floats(4)


class _Graph:
    """A network that is being drawn."""

    def __init__(self, draw: DrawFn, numbers: Numbers, rational: bool, homogeneous: bool, products: bool) -> None:
        self.draw, self.numbers, self.rational, self.homogeneous = draw, numbers, rational, homogeneous
        self.products = products
        self.nodes: list[Node] = []
        self.shapes: dict[str, Shape] = {}
        self.counts: Counter[str] = Counter()

    def add(self, layer: L.Layer, *reads: str) -> str:
        shape = layer.shape(*((1, *self.shapes[name]) for name in reads))[1:]
        kind = type(layer).__name__.lower()
        self.counts[kind] += 1
        name = f"{kind}{self.counts[kind]}"
        self.nodes.append(Node(name, layer, reads))
        self.shapes[name] = shape
        return name

    def array(self, *shape: int) -> Array:
        return self.draw(arrays(shape, self.numbers))

    def bias(self, *shape: int) -> Array | None:
        return None if self.homogeneous or self.draw(st.booleans()) else self.array(*shape)

    def one(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def twin(self, name: str) -> str:
        """A node of the same shape, the node itself if there is no other."""
        return str(self.one(*(n for n, shape in self.shapes.items() if shape == self.shapes[name])))


def _linear(g: _Graph, name: str, keep: bool = False) -> L.Layer:
    """A Dense, or a convolution of any kind, on the output of `name`; `keep`: of the same shape."""
    shape = g.shapes[name]
    if len(shape) == 1:
        upper = shape[0] if keep else g.one(3, 2, 4)
        return L.Dense(g.array(shape[0], upper), g.bias(upper))
    dims, channels = len(shape) - 1, shape[0]
    groups = g.one(1, channels)
    if keep:
        width = g.one(3, 1)
        weight = g.array(channels, channels // groups, *(width,) * dims)
        return L.Conv(weight, g.bias(channels), padding=width // 2, groups=groups)
    kernel = tuple(min(extent, g.one(2, 1, 3)) for extent in shape[1:])
    upper = g.one(1, 2) * groups
    if g.one(True, True, True, False):
        weight, padding = g.array(upper, channels // groups, *kernel), tuple((g.one(0, 1), g.one(0, 1)) for _ in kernel)
        return L.Conv(weight, g.bias(upper), stride=g.one(1, 1, 2), padding=padding, groups=groups)
    kernel = tuple(min(extent, 2) for extent in kernel)
    return L.ConvTranspose(g.array(channels, upper // groups, *kernel), g.bias(upper), groups=groups)


def _activation(g: _Graph, name: str) -> str:
    choices: list[L.Layer | None] = [L.ReLU(), L.ReLU(), L.ReLU(), L.ReLU(), None, L.LeakyReLU(0.25)]
    if not g.rational:
        choices += [L.Tanh(), L.Sigmoid(), L.GELU(), L.Softplus()]
    layer = g.one(*choices)
    return name if layer is None else g.add(layer, name)


def _weighted(g: _Graph, name: str) -> str:
    """A linear layer, perhaps between batch norms or constant factors, and its activation."""
    before = _affine(g, name) if g.one(False, False, False, True) else name
    z = g.add(_linear(g, before), before)
    return _activation(g, _affine(g, z) if g.one(False, False, True) else z)


def _affine(g: _Graph, name: str) -> str:
    shape = g.shapes[name]
    channels = (shape[0],)
    if g.homogeneous or g.one(True, False):
        factor = g.array(*channels, *(1,) * (len(shape) - 1)) if g.one(True, False) else g.array()
        return g.add(L.Scale(factor, g.bias(*factor.shape)), name)
    root = g.draw(arrays(channels, st.sampled_from([1.0, 0.5, 2.0])))
    scale = g.array(*channels) if g.one(True, False) else None
    return g.add(L.BatchNorm(g.array(*channels), root * root, scale, g.bias(*channels), 0), name)


def _pooled(g: _Graph, name: str) -> str:
    shape = g.shapes[name]
    if len(shape) == 1:
        return _weighted(g, name)
    cells = math.prod(shape[1:])
    if g.one(False, False, False, True):
        power = cells & (cells - 1) == 0  # 1/n is a dyadic number then
        return g.add(g.one(L.GlobalMaxPool(), L.GlobalSumPool(), *([L.GlobalAvgPool()] if power else [])), name)
    kind = g.one(L.MaxPool, L.MaxPool, L.AvgPool, L.SumPool)
    kernel = tuple(min(extent, 2) for extent in shape[1:])
    padding = tuple(g.one(0, 0, 1) if extent > 1 else 0 for extent in kernel)
    options = {"count_include_pad": g.one(True, False)} if kind is L.AvgPool else {}
    return g.add(kind(kernel, stride=g.one(None, 1), padding=padding, **options), name)


def _residual(g: _Graph, name: str) -> str:
    branch = _activation(g, g.add(_linear(g, name, keep=True), name))
    other = g.one(name, g.twin(name))
    return _activation(g, g.add(g.one(L.Add(), L.Add(), L.Subtract()), *g.draw(st.permutations([branch, other]))))


def _twice(g: _Graph, name: str) -> str:
    """One layer at two nodes, behind each other or side by side."""
    layer = _linear(g, name, keep=True)
    first = g.add(layer, name)
    second = g.add(layer, g.one(_activation(g, first), g.twin(name)))
    return _activation(g, g.add(L.Add(), first, second))


def _concat(g: _Graph, name: str) -> str:
    shape = g.shapes[name]
    others = [n for n, s in g.shapes.items() if len(s) == len(shape) and s[1:] == shape[1:] and s[0] + shape[0] <= 5]
    return g.add(L.Concat(), name, g.one(*others)) if others else _weighted(g, name)


def _gated(g: _Graph, name: str) -> str:
    if g.homogeneous or not g.products:
        return _weighted(g, name)
    gate = g.add(_linear(g, name, keep=True), name)
    gate = g.add(L.ReLU() if g.rational else L.Sigmoid(), gate)
    signal = g.one(0, 1)
    return g.add(L.Multiply(signal), *((name, gate) if signal == 0 else (gate, name)))


def _moved(g: _Graph, name: str) -> str:
    shape = g.shapes[name]
    choices: list[L.Layer] = [L.Dropout(), L.Identity()]
    if len(shape) > 1:
        choices += [L.Transpose((0, 1, *range(len(shape), 1, -1))), L.Reshape((-1, *shape[2:])), L.Flatten()]
        choices += [L.Pad((*((0, 1),), *((1, 0),) * (len(shape) - 2))), L.Upsample(2)] if math.prod(shape) <= 9 else []
    if shape[0] in (2, 4):
        choices.append(L.Mean(1, keepdims=True))
    return g.add(g.one(*choices), name)


_BLOCKS: tuple[Callable[[_Graph, str], str], ...] = (
    _weighted,
    _weighted,
    _pooled,
    _pooled,
    _pooled,
    _residual,
    _twice,
    _concat,
    _gated,
    _moved,
    _moved,
)


@st.composite
def nets(
    draw: DrawFn,
    numbers: Numbers | None = None,
    rational: bool = True,
    homogeneous: bool = False,
    products: bool = True,
    batch: SearchStrategy[int] | None = None,
    most: int = 4,
) -> Net:
    """A network of a few blocks: dense or convolutional, with branches, shared layers, gates, pooling and batch norms.

    Parameters
    ----------
    numbers : of parameters and inputs; default: few bits
    rational : whether all layers have exact values in the rationals
    homogeneous : whether f(t x) = t f(x) for t > 0: no biases, no products
    products : whether there may be products of two signals
    batch : the batch extent; default: 1 or 2
    most : how many blocks there are at the most
    """
    numbers = few() if numbers is None else numbers
    g = _Graph(draw, numbers, rational, homogeneous, products)
    sample = draw(st.sampled_from([(3,), (1, 3, 3), (2, 4), (2, 2, 3), (4,), (2, 2, 2), (1, 4, 3)]))
    names = ("input",) if draw(st.sampled_from([True, True, False])) else ("left", "right")
    for name in names:
        g.shapes[name] = sample
    last = names[0] if len(names) == 1 else g.add(g.one(L.Add(), L.Concat()), *names)
    for _ in range(draw(st.integers(1, most))):
        block = g.one(*_BLOCKS)
        if math.prod(g.shapes[last]) > 24:  # the oracle takes one message at a time
            block = _pooled
        source = last if g.one(True, True, True, False) else g.one(*g.shapes)
        try:
            last = block(g, source)
        except ShapeError:  # a window that does not fit
            last = _moved(g, source)
    return Net(_finished(g, names, last, sample), _inputs(g, names, sample, 1 if batch is None else draw(batch)))


def _inputs(g: _Graph, names: Sequence[str], sample: Shape, least: int) -> dict[str, Array]:
    n = least if least != 1 else g.one(1, 2)
    return {name: g.array(n, *sample) for name in names}


def _finished(g: _Graph, names: tuple[str, ...], last: str, sample: Shape) -> Model:
    """With a dense layer on top, and perhaps a second output."""
    if len(g.shapes[last]) > 1:
        last = g.add(L.Flatten(), last)
    classes = g.one(2, 3, 1)
    g.nodes.append(Node("scores", L.Dense(g.array(g.shapes[last][0], classes), g.bias(classes)), (last,)))
    outputs = ("scores", g.nodes[0].name) if g.one(False, False, False, True) else ("scores",)
    shapes = dict.fromkeys(names, sample) if g.one(True, False) else None
    return Model(tuple(g.nodes), names, tuple(dict.fromkeys(outputs)), input_shape=shapes)


# ---- composites --------------------------------------------------------------------------------------------------------

#: Rules of linear layers that need nothing else.
LINEAR_RULES: tuple[rules.LinearRule, ...] = (
    rules.Zero(),
    rules.Epsilon(0.25),
    rules.Epsilon(0.5, signed=False),
    rules.Gamma(0.25),
    rules.Gamma(0.5, epsilon=0.25),
    rules.GeneralizedGamma(0.25),
    rules.AlphaBeta(1, 0),
    rules.AlphaBeta(2, 1),
    rules.AlphaBeta(2, 1, bias="none"),
    rules.AlphaBeta(1.5, 0.5, empty="renormalise"),
    rules.ZPlus(),
    rules.WSquare(),
    rules.Flat(),
)
PRODUCT_RULES = (rules.SignalTakesAll(), rules.HalfProduct(), rules.AbsoluteProduct(0.25))
POOL_RULES = (rules.WinnerTakesAll(), rules.WinnerTakesAll("split"), rules.AverageSurrogate(rules.Epsilon(0.25)))


def bounds(net: Net) -> tuple[float, float]:
    """Integers that no activation of the network leaves."""
    values = [a for a in net.values.values() if a.size]
    low = min((math.floor(a.min()) for a in values), default=0)
    high = max((math.ceil(a.max()) for a in values), default=1)
    return float(low), float(max(high, low + 1))


def _negative_pools(net: Net) -> bool:
    """Whether a maximum pooling sees negative values, which the proportional rule refuses."""
    pools = [node for node in net.canonical.nodes if isinstance(node.layer, L.Selecting)]
    return any((net.values[node.inputs[0]] < 0).any() for node in pools)


def presets(net: Net, rational: bool = True) -> list[Composite]:
    """The presets that serve the network."""
    low, high = bounds(net)
    found = [
        composites.epsilon_plus(0.25),
        composites.epsilon_plus_flat(),
        composites.epsilon_alpha2_beta1(),
        composites.epsilon_gamma_box(low, high),
        composites.alpha1_beta0(),
        composites.innvestigate_b_flat(),
    ]
    if not _negative_pools(net):
        found.append(composites.deep_taylor(low, high))
    if not rational:
        found.append(composites.lrp_overview(low, high))
    return found


def _rule_for(draw: DrawFn, net: Net, node: Node) -> rules.Rule:
    choices: Sequence[rules.Rule]
    if isinstance(node.layer, L.Linear):
        choices = (*LINEAR_RULES, rules.ZBox(*bounds(net)))
    elif isinstance(node.layer, L.Multiply):
        choices = PRODUCT_RULES
    elif isinstance(node.layer, L.Selecting):
        choices = POOL_RULES if _negative_pools(net) else (*POOL_RULES, rules.Proportional())
    else:
        choices = (rules.Pass(),)
    return draw(st.sampled_from(choices))


@st.composite
def composites_for(draw: DrawFn, net: Net, rational: bool = True) -> Composite:
    """A preset, one rule everywhere, or any rule that fits at each node."""
    kind = draw(st.sampled_from(["mixed", "preset", "uniform", "mixed"]))
    if kind == "preset":
        return draw(st.sampled_from(presets(net, rational)))
    if kind == "uniform":
        return composites.uniform(draw(st.sampled_from(LINEAR_RULES)))
    entries = [(node.name, _rule_for(draw, net, node)) for node in net.canonical.nodes]
    # Batch norms are folded only where the input's shape is known: until then they need a rule too.
    return Composite((*entries, ((L.BatchNorm, L.Scale), rules.Pass())), "mixed")


@st.composite
def explained(draw: DrawFn, **options: Any) -> tuple[Net, Composite]:
    """A network and a composite; options are those of `nets`."""
    net = draw(nets(**options))
    return net, draw(composites_for(net, options.get("rational", True)))
