"""Hypothesis strategies of whole models.

`any_models` puts layers of every kind side by side in one model, for what does not look inside a layer (files, number types).
`affine_models` wires linear layers, batch norms and constant factors into small graphs, for folding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from lrp_ref import Model, Node
from lrp_ref import layers as L
from lrp_ref.arrays import Array, Shape
from support.strategies import Numbers, any_dyadics, arrays, cast, dyadics, layers, negatives, positives


@dataclass(frozen=True, eq=False)
class Modelled:
    """A model and inputs that fit it."""

    model: Model
    x: dict[str, Array]

    def astype(self, dtype: Any) -> Modelled:
        return Modelled(self.model.astype(dtype), {name: cast(a, dtype) for name, a in self.x.items()})

    def __repr__(self) -> str:
        parameters = {f"{n.name}.{key}": value.tolist() for n in self.model.nodes for key, value in n.layer.parameters.items()}
        return f"{self.model!r}\nparameters={parameters}\nx={ {k: v.tolist() for k, v in self.x.items()} }"


_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=8)


@st.composite
def any_models(draw: DrawFn, *kinds: type[L.Layer], dtypes: tuple[Any, ...] = (np.float64, np.float32)) -> Modelled:
    """One to three layers of any kind side by side, some of them used twice; with or without domain and input shapes."""
    drawn = draw(st.lists(layers(*kinds, batch=st.just(2)), min_size=1, max_size=3))
    drawn = [pair for pair in drawn for _ in range(draw(st.sampled_from([1, 1, 2])))]
    reads = [shape for _, shapes in drawn for shape in shapes]
    names = draw(st.lists(_NAMES, min_size=len(reads) + len(drawn), max_size=len(reads) + len(drawn), unique=True))
    inputs = dict(zip(names, reads, strict=False))
    left, nodes = list(inputs), []
    for name, (layer, shapes) in zip(names[len(reads) :], drawn, strict=True):
        nodes.append(Node(name, layer, tuple(left[: len(shapes)])))
        left = left[len(shapes) :]
    domain, known = {}, {}
    for name, shape in inputs.items():
        if draw(st.booleans()):
            low = draw(arrays(draw(st.sampled_from([(), shape[1:]])), dyadics()))
            domain[name] = (low, low + draw(positives()))
        if draw(st.booleans()):
            known[name] = shape[1:]
    model = Model(tuple(draw(st.permutations(nodes))), tuple(inputs), None, domain, known)  # type: ignore[arg-type]
    x = {name: draw(arrays(shape, dyadics())) for name, shape in inputs.items()}
    dtype = draw(st.sampled_from(dtypes))
    return Modelled(model, x).astype(dtype)


# ---- graphs of linear and affine layers ------------------------------------------------------------------------------

#: Sample shapes: features, sequences of features, one to three spatial axes.
SAMPLES: tuple[Shape, ...] = ((3,), (2,), (2, 3), (3, 3), (2, 4), (2, 3, 2), (3, 2, 3), (2, 2, 2, 2))


@st.composite
def batch_norms(draw: DrawFn, sample: Shape, numbers: Numbers) -> L.BatchNorm:
    """σ² + ε is the square of a dyadic number, so that the layer has an exact value."""
    channels = (sample[0],)
    epsilon = draw(st.sampled_from([0.0, 0.0625, 0.25]))
    root = draw(arrays(channels, positives().map(lambda r: max(r, 0.5))))
    scale = draw(st.none() | arrays(channels, numbers))
    shift = draw(st.none() | arrays(channels, numbers))
    return L.BatchNorm(draw(arrays(channels, numbers)), root * root - epsilon, scale, shift, epsilon)


@st.composite
def scales(draw: DrawFn, sample: Shape, numbers: Numbers) -> L.Scale:
    """Constants for all, per channel, per feature (the last axis) or per element."""
    channel = (sample[0], *(1,) * (len(sample) - 1))
    shapes = st.sampled_from([(), (1,), channel, channel, sample[-1:], sample])
    weight = draw(arrays(draw(shapes), numbers))
    return L.Scale(weight, draw(st.none() | shapes.flatmap(lambda shape: arrays(shape, numbers))))


@st.composite
def _axis(draw: DrawFn, extent: int) -> tuple[int, int, tuple[int, int], int]:
    """Kernel, stride, padding and dilation along an axis of this extent."""
    before, after = draw(st.sampled_from([(0, 0), (0, 0), (1, 1), (0, 1), (2, 0)]))
    dilation = draw(st.sampled_from([1, 1, 2]))
    kernel = draw(st.integers(1, min(3, (extent + before + after - 1) // dilation + 1)))
    return kernel, draw(st.sampled_from([1, 1, 2, 3])), (before, after), dilation


@st.composite
def linears(draw: DrawFn, sample: Shape, numbers: Numbers) -> L.Linear:
    """A Dense layer on features, or a convolution or transposed convolution on channels and spatial axes."""
    if len(sample) == 1 or (len(sample) == 2 and draw(st.booleans())):
        upper = draw(st.sampled_from([1, 2, 3, sample[0]]))
        return L.Dense(draw(arrays((sample[-1], upper), numbers)), draw(st.none() | arrays((upper,), numbers)))
    groups = draw(st.sampled_from([g for g in (1, 2, 3) if sample[0] % g == 0]))
    upper = draw(st.integers(1, 2))
    kernel, stride, padding, dilation = zip(*(draw(_axis(extent)) for extent in sample[1:]), strict=True)
    bias = draw(st.none() | arrays((groups * upper,), numbers))
    if draw(st.booleans()):
        weight = draw(arrays((groups * upper, sample[0] // groups, *kernel), numbers))
        return L.Conv(weight, bias, stride, padding, dilation, groups)
    weight = draw(arrays((sample[0], upper, *kernel), numbers))
    reach = [d * (k - 1) + (e - 1) * s for k, d, e, s in zip(kernel, dilation, sample[1:], stride, strict=True)]
    cut = tuple((min(b, r), min(a, r - min(b, r))) for (b, a), r in zip(padding, reach, strict=True))
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    return L.ConvTranspose(weight, bias, stride, cut, dilation, groups, extra)


@st.composite
def affine_models(draw: DrawFn, numbers: Numbers | None = None, one_output: bool = False, named: int = 5) -> Modelled:
    """A graph of up to `named` + 1 nodes, most of them linear layers, batch norms and Scales; its input's shape is known."""
    chosen = draw(any_dyadics()) if numbers is None else numbers
    sample = draw(st.sampled_from(SAMPLES))
    found: dict[str, Shape] = {"input": sample}
    nodes: list[Node] = []
    kinds = {
        # What folds into what comes next to it often; the rest is there to be in the way.
        "linear": ["norm", "scale", "norm", "relu", "linear", "add"],
        "norm": ["linear", "linear", "scale", "relu", "norm", "add"],
        "": ["norm", "linear", "linear", "scale", "flatten", "relu"],
    }
    begun = draw(st.sampled_from([("linear", "norm"), ("norm", "linear"), ("scale", "linear"), ("linear", "scale"), ()]))
    for index in range(draw(st.integers(2, named))):
        last = list(found)[-1] if index < len(begun) else draw(st.sampled_from([list(found)[-1]] * 4 + list(found)))
        before = last.rstrip("0123456789")
        following = kinds.get("norm" if before == "scale" else before, kinds[""])
        kind = begun[index] if index < len(begun) else draw(st.sampled_from(following))
        shape = found[last]
        reads: tuple[str, ...] = (last,)
        layer: L.Layer
        if kind == "norm":
            layer = draw(batch_norms(shape, chosen))
        elif kind == "scale":
            layer = draw(scales(shape, chosen))
        elif kind == "linear":
            layer = draw(linears(shape, chosen))
        elif kind == "add":
            reads = (last, draw(st.sampled_from([name for name, other in found.items() if other == shape])))
            layer = L.Add()
        else:
            layer = L.ReLU() if kind == "relu" else L.Flatten()
        name = f"{kind}{index}"
        nodes.append(Node(name, layer, reads))
        found[name] = layer.shape(*((1, *found[read]) for read in reads))[1:]
        if math.prod(found[name]) > 60:
            break
    read = {name for node in nodes for name in node.inputs}
    ends = [node.name for node in nodes if node.name not in read]
    if one_output:
        ends = ends[-1:]
    elif draw(st.booleans()):
        ends = list(dict.fromkeys([*ends, draw(st.sampled_from(nodes)).name]))
    model = Model(tuple(nodes), ("input",), tuple(ends), None, {"input": sample})  # type: ignore[arg-type]
    return Modelled(model, {"input": draw(arrays((2, *sample), chosen))})


def generic() -> Numbers:
    """Numbers of any sign of which few sums are 0: nonzero quarters, each off by its own multiple of 1/64."""
    return st.builds(lambda a, b: a + b / 64, negatives() | positives(), st.integers(-7, 7))
