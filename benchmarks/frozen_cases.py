"""The cases of `frozen.py`: each a name and a call that gives arrays, or raises. Only names that a user types are used here."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import lrp_ref
from lrp_ref import Model, Node, composites, rules, wrappers, zoo
from lrp_ref import layers as L

Case = Callable[[], dict[str, Any]]
BACKENDS = ("reference", "numpy", "jit", "compiled")
PRECISIONS = ("float32", "float64", "fast")


class Weights:
    """Random parameters from one seed, of a size that keeps activations near 1."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def __call__(self, *shape: int) -> Any:
        fan = max(1, int(np.prod(shape[1:])))
        return self.rng.standard_normal(shape) / np.sqrt(fan)

    def conv(self, upper: int, lower: int, *kernel: int, **options: Any) -> L.Conv:
        """A convolution."""
        return L.Conv(self(upper, lower, *kernel), self(upper) / 4, **options)

    def dense(self, lower: int, upper: int) -> L.Dense:
        """A dense layer."""
        return L.Dense(self(upper, lower).T, self(upper) / 4)


def norm(w: Weights, channels: int) -> L.BatchNorm:
    """A batch norm with statistics of its own."""
    return L.BatchNorm(w(channels) / 4, np.abs(w(channels)) + 0.5, w(channels) + 1, w(channels) / 4)


def networks() -> dict[str, tuple[Model, tuple[int, ...]]]:
    """Small networks of the kinds that there are, with the shape of a sample."""
    w = Weights(0)
    sequential = Model.sequential
    found = {
        "dense": (sequential([w.dense(12, 9), L.ReLU(), w.dense(9, 7), L.LeakyReLU(), w.dense(7, 4)]), (12,)),
        "lenet": (
            sequential(
                [
                    w.conv(6, 1, 5, 5),
                    L.ReLU(),
                    L.AvgPool(2),
                    w.conv(8, 6, 3, 3),
                    L.ReLU(),
                    L.MaxPool(2),
                    L.Flatten(),
                    w.dense(8 * 4, 5),
                ]
            ),
            (1, 16, 16),
        ),
        "vgg": (
            sequential(
                [
                    *(w.conv(16, 3, 3, 3, padding=1), L.ReLU(), w.conv(16, 16, 3, 3, padding=1), L.ReLU(), L.MaxPool(2)),
                    *(w.conv(32, 16, 3, 3, padding=1), L.ReLU(), w.conv(32, 32, 3, 3, padding=1), L.ReLU(), L.MaxPool(2)),
                    *(L.Flatten(), w.dense(32 * 25, 10), L.ReLU(), w.dense(10, 6)),
                ]
            ),
            (3, 20, 20),
        ),
        "one axis": (
            sequential(
                [
                    w.conv(5, 3, 4, stride=2, padding=((1, 0),)),
                    L.ReLU(),
                    L.SumPool(2),
                    w.conv(4, 5, 2),
                    L.Tanh(),
                    L.Flatten(),
                    w.dense(16, 3),
                ]
            ),
            (3, 21),
        ),
        "three axes": (
            sequential([w.conv(4, 2, 3, 3, 2, padding=1), L.ReLU(), L.GlobalAvgPool(), L.Flatten(), w.dense(4, 3)]),
            (2, 5, 4, 4),
        ),
        "depthwise": (
            sequential(
                [
                    w.conv(6, 1, 3, 3, groups=6, padding=1),
                    norm(w, 6),
                    L.ReLU(),
                    w.conv(8, 3, 1, 1, groups=2),
                    L.ReLU(),
                    L.GlobalMaxPool(),
                    L.Flatten(),
                    w.dense(8, 3),
                ]
            ),
            (6, 9, 9),
        ),
        "norms": (
            sequential(
                [
                    w.conv(6, 2, 3, 3),
                    L.LRN(3),
                    L.GELU(),
                    L.GroupNorm(2),
                    L.Softplus(),
                    L.Flatten(),
                    L.LayerNorm(1),
                    w.dense(6 * 16, 3),
                ]
            ),
            (2, 6, 6),
        ),
        "softmax": (sequential([w.dense(6, 5), L.ReLU(), w.dense(5, 4), L.Softmax()]), (6,)),
        "sigmoid": (sequential([w.dense(6, 5), L.Sigmoid(), w.dense(5, 2), L.Sigmoid()]), (6,)),
    }
    found["residual"] = (_residual(w), (3, 12, 12))
    found["u-net"] = (_unet(w), (2, 8, 8))
    found["gate"] = (_gated(w), (6,))
    for kind in ("LSTM", "GRU", "RNN"):
        found[kind] = (_recurrent(w, kind), (5, 4))
    return found


def _residual(w: Weights) -> Model:
    return Model(
        inputs=("x",),
        nodes=(
            Node("stem", w.conv(16, 3, 3, 3, padding=1), ("x",)),
            Node("stem norm", norm(w, 16), ("stem",)),
            Node("stem relu", L.ReLU(), ("stem norm",)),
            Node("conv", w.conv(16, 16, 3, 3, padding=1), ("stem relu",)),
            Node("norm", norm(w, 16), ("conv",)),
            Node("sum", L.Add(2), ("norm", "stem relu")),
            Node("relu", L.ReLU(), ("sum",)),
            Node("down", w.conv(24, 16, 1, 1, stride=2), ("relu",)),
            Node("difference", L.Subtract(), ("down", "down")),
            Node("total", L.Add(3), ("down", "difference", "down")),
            Node("pool", L.GlobalAvgPool(), ("total",)),
            Node("flat", L.Flatten(), ("pool",)),
            Node("scores", w.dense(24, 4), ("flat",)),
        ),
    )


def _unet(w: Weights) -> Model:
    return Model(
        inputs=("x",),
        nodes=(
            Node("down", w.conv(8, 2, 3, 3, padding=1), ("x",)),
            Node("down relu", L.ReLU(), ("down",)),
            Node("pool", L.MaxPool(2), ("down relu",)),
            Node("deep", w.conv(8, 8, 3, 3, padding=1), ("pool",)),
            Node("deep relu", L.ReLU(), ("deep",)),
            Node("up", L.ConvTranspose(w(8, 8, 2, 2), w(8), stride=2), ("deep relu",)),
            Node("wide", L.Upsample(2), ("deep relu",)),
            Node("beside", L.Concat(3), ("down relu", "up", "wide")),
            Node("mask", w.conv(2, 24, 1, 1), ("beside",)),
        ),
    )


def _gated(w: Weights) -> Model:
    return Model(
        inputs=("x",),
        nodes=(
            Node("gate", w.dense(6, 5), ("x",)),
            Node("open", L.Sigmoid(), ("gate",)),
            Node("signal", w.dense(6, 5), ("x",)),
            Node("bent", L.Tanh(), ("signal",)),
            Node("product", L.Multiply(1), ("open", "bent")),
            Node("scores", w.dense(5, 3), ("product",)),
        ),
    )


def _recurrent(w: Weights, kind: str) -> Model:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]
    made = getattr(L, kind).from_arrays(w(2, 4, gates * 6), w(2, 6, gates * 6), return_sequences=True)
    last = getattr(L, kind).from_arrays(w(12, gates * 5), w(5, gates * 5), w(gates * 5))
    return Model.sequential([made, last, w.dense(5, 3)])


def sample(shape: tuple[int, ...], batch: int = 3) -> Any:
    """Inputs between 0 and 1, of which a corner is uniform."""
    x = np.random.default_rng(7).random((batch, *shape))
    x[..., : max(1, shape[-1] // 3)] = 0.25
    return x


def arrays(e: Any) -> dict[str, Any]:
    """Everything that an explanation says."""
    found = {f"relevance {name}": value for name, value in e.relevances.items()}
    found |= {"prediction": e.prediction, "value": e.value}
    if e.target is not None:
        found["target"] = e.target
    if e.ledger is not None:
        for entry in e.ledger:
            for name in ("arriving", "inputs", "bias", "stabiliser", "unassigned", "turnover"):
                found[f"{name} of {entry.node}"] = getattr(entry.booking, name)
    return found


def explained(model: Model, shape: tuple[int, ...], call: dict[str, Any] | None = None, **choices: Any) -> Case:
    """One explanation."""
    return lambda: arrays(lrp_ref.Explainer(model, threads=1, **choices)(sample(shape), **(call or {})))


#: Composites and rules, taken in turns.
CHOICES: tuple[dict[str, Any], ...] = (
    {"composite": "epsilon_plus"},
    {"composite": "epsilon_alpha2_beta1"},
    {"composite": composites.epsilon_gamma_box(low=0, high=1)},
    {"composite": "deep_taylor", "allow_negative": True},
    {"composite": "alpha1_beta0"},
    {"composite": "epsilon_plus_flat"},
    {"rule": rules.Epsilon(0.25)},
    {"rule": rules.Epsilon(rules.relative(0.25))},
    {"composite": "epsilon_plus", "ledger": True, "keep": "all"},
    {"composite": composites.epsilon_gamma_box(low=0, high=1), "ledger": True},
    {"composite": composites.lrp_overview(low=0, high=1)},
)


#: Those of networks that run over time.
RECURRENT: tuple[dict[str, Any], ...] = (
    {"composite": "lstm_all"},
    {"composite": "lstm_prop"},
    {"composite": "lstm_all", "ledger": True, "keep": "all"},
    {"composite": "lstm_half"},
    {"composite": "lstm_abs", "ledger": True},
    {"rule": rules.Epsilon(0.25)},
)


def of_backends() -> Iterator[tuple[str, Case]]:
    """Every network over backends and precisions, under choices taken in turns."""
    turn = itertools.count()
    for (name, (model, shape)), backend, precision in itertools.product(networks().items(), BACKENDS, PRECISIONS):
        head = {"head": "logit"} if name in ("softmax", "sigmoid") else {}
        for _ in range(2):
            number = next(turn) * 4 % len(CHOICES)
            call = {"target": (1, 3, 4)} if name == "u-net" else {}
            made = RECURRENT[number % len(RECURRENT)] if name in ("LSTM", "GRU", "RNN") else CHOICES[number]
            choices = made | head | {"backend": backend, "precision": precision}
            yield f"{name}, {backend}, {precision}, {number}", explained(model, shape, call, **choices)


def of_questions() -> Iterator[tuple[str, Case]]:
    """Targets, contrasts, heads, starts, filters, wrappers."""
    nets = networks()
    model, shape = nets["lenet"]
    calls: dict[str, dict[str, Any]] = {
        "target 2": {"target": 2},
        "a target each": {"target": np.array([0, 1, 4])},
        "all targets": {"target": "all"},
        "two targets": {"targets": (0, 3)},
        "contrast": {"target": 1, "contrast": 2},
        "start": {"start": np.ones((3, 5))},
        "start at": {"start": np.ones((3, 6, 6, 6)), "start_at": "avgpool1"},
        "filter": {"filter": {"conv1": [0, 3]}},
    }
    for name, call in calls.items():
        for backend in BACKENDS:
            yield (
                f"{name}, {backend}",
                explained(model, shape, call, composite="epsilon_plus", backend=backend, ledger=name != "filter"),
            )
    for name in ("softmax", "sigmoid"):
        squashed, wide = nets[name]
        for head in ("logit", "log-odds", None):
            yield f"{name}, head {head}", explained(squashed, wide, head=head, rule=rules.Zero())
    explainer = lrp_ref.Explainer(model, composite="epsilon_plus", threads=1)
    yield "translation", lambda: wrappers.translated(explainer, sample(shape, 1), shifts=1).arrays()
    yield "sliding window", lambda: wrappers.sliding_window(explainer, sample((1, 20, 20), 1), stride=2, window=(16, 16)).arrays()


def of_rationals() -> Iterator[tuple[str, Case]]:
    """Exact explanations."""
    for name in ("dense", "lenet"):
        model, shape = networks()[name]
        exact = model.astype(object)
        x = np.round(sample(shape, 1) * 8) / 8
        for rule in (
            rules.Zero(),
            rules.Epsilon(0.25),
            rules.GeneralizedGamma(),
            rules.AlphaBeta(2, 1),
            rules.ZPlus(),
            rules.Flat(),
        ):

            def call(exact: Model = exact, rule: Any = rule, x: Any = x) -> dict[str, Any]:
                return arrays(lrp_ref.explain(exact, x, rule=rule, ledger=True))

            yield f"rationals, {name}, {rule}", call


def of_files() -> Iterator[tuple[str, Case]]:
    """Networks that ship, and networks read from files."""
    for name in zoo.names():
        for composite in ("epsilon_plus", "alpha1_beta0"):
            yield f"zoo:{name}, {composite}", lambda name=name, composite=composite: _shipped(name, composite)
    for name, (model, shape) in networks().items():
        yield f"npz, {name}", lambda model=model, shape=shape: _stored(model, shape)
    yield "scikit-learn", _estimator
    from frozen_onnx import files

    for name, (data, shape) in files().items():
        yield f"ONNX, {name}", lambda data=data, shape=shape: _loaded(data, shape)


def _shipped(name: str, composite: str) -> dict[str, Any]:
    model = zoo.load(name)
    if "digits" in name:
        return arrays(lrp_ref.explain(model, zoo.digits().images[:4], composite=composite, ledger=True))
    shape = next(iter(model.input_shape.values()), None) or (6,)
    x = np.arange(2 * int(np.prod(shape))).reshape(2, *shape) % 5
    return arrays(lrp_ref.explain(model, x.astype(model.dtype), composite="lstm_all", ledger=True))


def _stored(model: Model, shape: tuple[int, ...]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = lrp_ref.save(model, Path(folder) / "network.npz")
        return {"output": lrp_ref.load(path)(sample(shape))}


def _estimator() -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(2)
    x = rng.standard_normal((60, 5))
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, (x[:, 0] > 0).astype(int))
    return arrays(lrp_ref.explain(lrp_ref.formats.sklearn.load(fitted), x[:3], rule=rules.Zero(), ledger=True, head="logit"))


def _loaded(data: bytes, shape: tuple[int, ...]) -> dict[str, Any]:
    model = lrp_ref.formats.onnx.load(data)
    x = sample(shape, 2).astype(np.float32)
    return {"output": model(x), **arrays(lrp_ref.explain(model, x, ledger=True))}


def of_errors() -> Iterator[tuple[str, Case]]:
    """Requests that are refused: the class of the error counts."""
    model, shape = networks()["lenet"]
    x = sample(shape)
    explain = lrp_ref.explain
    wrong: dict[str, Callable[[], Any]] = {
        "no batch axis": lambda: explain(model, x[0]),
        "channels": lambda: explain(model, np.zeros((1, 2, 14, 14))),
        "integers": lambda: explain(model, np.zeros((1, 1, 14, 14), int)),
        "NaN": lambda: explain(model, x * np.nan),
        "target 9": lambda: explain(model, x, target=9),
        "target by name": lambda: explain(model, x, target="dog"),
        "unknown composite": lambda: explain(model, x, composite="epsilon_minus"),
        "unknown backend": lambda: explain(model, x, backend="cuda"),
        "unknown precision": lambda: explain(model, x, precision="float8"),
        "rule and composite": lambda: explain(model, x, rule=rules.Zero(), composite="epsilon_plus"),
        "no domain": lambda: explain(model, x, composite="epsilon_gamma_box"),
        "α − β": lambda: rules.AlphaBeta(2, 2),
        "negative γ": lambda: rules.Gamma(-1),
        "bounds": lambda: rules.ZBox(1, 0),
        "ε": lambda: rules.Epsilon(-1),
        "keep": lambda: explain(model, x, keep="conv9"),
        "start's shape": lambda: explain(model, x, start=np.ones((3, 4))),
        "no rule": lambda: explain(Model.sequential([L.Exp()]), np.ones((1, 2))),
        "a squash without a head": lambda: explain(networks()["softmax"][0], sample((6,))),
        "deep Taylor below 0": lambda: explain(model, -x, composite="deep_taylor", target="all"),
        "outside the domain": lambda: explain(model, x + 9, composite=composites.epsilon_gamma_box(low=0, high=1)),
        "no file": lambda: lrp_ref.load("/nowhere/network.npz"),
        "a pickle": lambda: lrp_ref.load("/nowhere/network.pkl"),
        "no ONNX": lambda: lrp_ref.formats.onnx.load(b"nothing"),
        "a circle": lambda: Model(inputs=("x",), nodes=(Node("a", L.ReLU(), ("b",)), Node("b", L.ReLU(), ("a",)))),
        "names": lambda: Model(inputs=("x",), nodes=(Node("a", L.ReLU(), ("x",)), Node("a", L.ReLU(), ("x",)))),
        "weights": lambda: L.Dense(np.array([[np.inf]])),
    }
    for name, call in wrong.items():
        yield f"refused: {name}", lambda call=call: {"answer": np.asarray(str(call()))}


def cases() -> dict[str, Case]:
    """All of them, by name."""
    return dict(itertools.chain(of_backends(), of_questions(), of_rationals(), of_files(), of_errors()))
