"""What an explainer returns: a record of arrays that can be looked at, summed up and saved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import Array, frozen, is_exact, like, total
from ..errors import GraphError, MissingExtraError, NonFiniteError, ParameterError, ShapeError, unknown
from ..lazy_dataclass import lazy_dataclass
from ..ledger import Ledger, plain
from .share import remarks, share_arrived

if TYPE_CHECKING:
    from pathlib import Path

FORMAT, VERSION = "lrp_ref.explanation", 1


@lazy_dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Relevance, and what it explains.

    With one target per sample, arrays are (N, …); with `targets=` or target="all" the targets are a second axis, (N, T, …).

    Attributes
    ----------
    relevances : the relevance of every input and of every kept node's output, by name
    inputs : the inputs' names
    activations : the inputs' values, by name
    prediction : the model's output (of the chosen output node), after any softmax
    target : flat index of what was explained in a sample's output, (N,) or (N, T); None for a given start
    value : what was explained: the score, the contrast, the log-odds, the probability, or the sum of the given start
    ledger : the accounts, where they were asked for
    backend, precision : what computed it
    composite : the composite's name
    head : what of the output was explained: "logit" (the score, or the output's own number where it is no probability),
        "log-odds", "probability", or a head of one's own; empty for a given start
    cautions : what a reader should know of the head before the numbers are believed
    doubt : how far `value` may be from the exact one by rounding, in its shape; None: it is plainly no rounding
    method : how it was explained: "LRP", the name of a composite of derivatives, "gradient", or a name of `lrp_ref.methods`
    parameters : those of the method, by name, as numbers, texts and lists
    shared : what the relevances share out, in the shape of `value`, where a method of another name than "LRP" conserves: the
        value less that of its baseline. None: LRP shares the value itself, and other methods share nothing
    feature_names : of the features of the only input, where they are known, such as the columns of a table
    class_names : of the elements of the output, where they are known
    """

    relevances: Mapping[str, Array]
    inputs: tuple[str, ...]
    activations: Mapping[str, Array]
    prediction: Array
    target: Array | None
    value: Array
    ledger: Ledger | None = None
    backend: str = "reference"
    precision: str = "float64"
    composite: str = ""
    head: str = ""
    cautions: tuple[str, ...] = ()
    doubt: Array | None = None
    method: str = "LRP"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    shared: Array | None = None
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        held = self.__dict__
        for name in ("relevances", "activations"):
            held[name] = MappingProxyType({key: frozen(np.asarray(a)) for key, a in held[name].items()})
        held["parameters"] = MappingProxyType(dict(held["parameters"]))
        for name in ("prediction", "target", "value", "doubt", "shared"):
            if held[name] is not None:
                held[name] = frozen(np.asarray(held[name]))

    def __reduce__(self) -> tuple[Any, ...]:
        values = (dict(self.relevances), self.inputs, dict(self.activations), self.prediction, self.target, self.value)
        facts = (self.backend, self.precision, self.composite, self.head, self.cautions, self.doubt, self.method)
        names = (self.feature_names, self.class_names)
        return Explanation, (*values, self.ledger, *facts, dict(self.parameters), self.shared, *names)

    @property
    def relevance(self) -> Any:
        """The relevance of the input, in its shape; of several inputs a mapping."""
        if len(self.inputs) == 1:
            return self.relevances[self.inputs[0]]
        return MappingProxyType({name: self.relevances[name] for name in self.inputs})

    @property
    def values(self) -> Any:
        """`relevance`, by the name that SHAP's explanations have for it."""
        return self.relevance

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if len(self.inputs) > 1:
            raise GraphError(f"an explanation of several inputs is no array: relevances[…] of {', '.join(self.inputs)}")
        made = np.asarray(self.relevance, dtype=dtype)
        return made.copy() if copy else made

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, which: Any) -> Explanation:
        from .samples import take

        return take(self, which)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The number type that the relevance was computed in."""
        return self.value.dtype

    @property
    def several(self) -> bool:
        """Whether targets are a second axis."""
        return self.value.ndim == 2

    def at(self, name: str) -> Array:
        """The relevance of a kept node's output; at("input") is that of the input.

        Parameters
        ----------
        name : of an input, or of a node that keep= names

        Raises
        ------
        UnknownNameError
            Where the node was not kept: keep="all", or keep=("conv1", …), keeps it.
        """
        if name not in self.relevances:
            error = unknown("kept node", name, self.relevances)
            raise type(error)(f"{error} Ask for it with keep=({name!r},) or keep='all'.")
        return self.relevances[name]

    @property
    def total(self) -> Array:
        """Σ R over all inputs, (N,) or (N, T)."""
        return sum((self._sum(self.relevances[name]) for name in self.inputs), self.value * like(0, self.value))

    def _sum(self, relevance: Array) -> Array:
        lead = self.value.shape
        return total(relevance.reshape(*lead, math.prod(relevance.shape[len(lead) :])), (-1,))

    @property
    def residual(self) -> Array:
        """What is shared out − Σ R: what the inputs do not account for. LRP shares the value, and its ledger says where it went.

        Raises
        ------
        ParameterError
            Where the method conserves nothing, so that the difference means nothing.
        """
        if not self.conserves:
            raise ParameterError(f"{self.method} does not conserve relevance, so there is no residual")
        return np.asarray((self.value if self.shared is None else self.shared) - self.total)

    @property
    def conserves(self) -> bool:
        """Whether the relevance shares the value out, so that what is missing can be accounted for."""
        return self.method == "LRP" or self.shared is not None

    @property
    def share_arrived(self) -> Array | None:
        """Σ R over all inputs by the value, float64 (N,) or (N, T); NaN where the value is 0 or rounding.

        None for a given start, and for a method that does not conserve. What the inputs do not get stayed in biases and
        stabilisers, or was not assigned; the ledger says where.
        """
        if self.target is None or not self.conserves:
            return None
        return share_arrived(self.total, self.value if self.shared is None else self.shared, self.doubt)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What should not go unnoticed: `cautions`; that under 5 % of the value arrives, over 200 %, or with the other sign.

        With a ledger the nodes that kept the rest are named, and what would keep less. Of other methods than LRP the share says
        how well they are computed, and is not remarked on.
        """
        if self.method != "LRP":
            return self.cautions
        return (*self.cautions, *remarks(self.share_arrived, self.value, self.ledger))

    def named(self, feature_names: Sequence[str] = (), class_names: Sequence[str] = ()) -> Explanation:
        """The explanation with names for the features of its input, and for the elements of its output.

        Parameters
        ----------
        feature_names : as many as the only input has features; none: those that it has
        class_names : as many as the output has elements; none: those that it has

        Raises
        ------
        ShapeError
            Where there is another number of them.
        GraphError
            Where features are named and there are several inputs.
        """
        from .samples import with_names

        return with_names(self, tuple(map(str, feature_names)), tuple(map(str, class_names)))

    def top(self, count: int = 10, sample: int = 0, target: int = 0) -> tuple[tuple[Any, Any], ...]:
        """The features of one sample with the largest |R|, each by its name, its number or its place, with its relevance.

        Parameters
        ----------
        count : how many
        sample : which of the batch
        target : which of several targets, by its place among them

        Raises
        ------
        GraphError
            Where there are several inputs.
        ParameterError
            Where there is no such sample or target.
        """
        from .tables import top_features

        return top_features(self, count, sample, target)

    def coarsen(self, groups: Any, name: str | None = None) -> Array:
        """Relevance summed over groups of features (Montavon et al. 2018, §4.4, pooling).

        Parameters
        ----------
        groups : integer labels 0, 1, …, that broadcast against one sample (superpixels: of shape (H, W)); or an int p: square
            patches of p × p cells over the last two axes, what is left over at the end in smaller ones
        name : of an input or a kept node; None: the only input

        Returns
        -------
        (…, groups), or (…, patches, patches) for patches

        Raises
        ------
        GraphError
            Where the model has several inputs, and none is named.
        UnknownNameError
            Where the node was not kept.
        ParameterError
            Where labels are negative or no integers, or patches have no cell.
        ShapeError
            Where labels do not broadcast against a sample.
        """
        if name is None and len(self.inputs) > 1:
            raise GraphError(f"name which input's relevance to coarsen: {', '.join(self.inputs)}")
        relevance = self.at(self.inputs[0] if name is None else name)
        lead, sample = self.value.shape, relevance.shape[self.value.ndim :]
        if isinstance(groups, (int, np.integer)) and not isinstance(groups, bool):
            return _patches(relevance, int(groups), len(lead))
        labels = np.asarray(groups)
        if labels.dtype.kind not in "iu" or (labels.size and labels.min() < 0):
            raise ParameterError("groups must be non-negative integer labels, or one int for patches")
        try:
            labels = np.broadcast_to(labels, sample).reshape(-1)
        except ValueError:
            raise ShapeError(f"group labels of shape {np.shape(groups)} do not broadcast against a sample of {sample}") from None
        flat = relevance.reshape(*lead, math.prod(sample))
        parts = [total(flat[..., labels == g], (-1,)) for g in range(int(labels.max()) + 1 if labels.size else 0)]
        return np.stack(parts, axis=-1) if parts else np.zeros((*lead, 0), relevance.dtype)

    def pattern(self) -> Array:
        """The relevant pattern x ⊙ R, with R clipped to [0, max] and scaled to [0, 1] per sample (Montavon et al. 2018, §6.6).

        Raises
        ------
        GraphError
            Where the model has several inputs.
        """
        if len(self.inputs) > 1:
            raise GraphError("the relevant pattern is defined for one input")
        relevance, x = self.relevance, self.activations[self.inputs[0]]
        lead = self.value.ndim
        positive = np.maximum(relevance, like(0, relevance))
        axes = tuple(range(lead, relevance.ndim))
        top = positive.max(axis=axes, keepdims=True, initial=0) if positive.size else positive
        scaled = positive / np.where(top == 0, like(1, positive), top)
        return np.asarray(scaled * (x[:, None] if self.several else x))

    def arrays(self) -> dict[str, Array]:
        """Everything but the ledger as named arrays, as `save` writes them."""
        found = {f"relevance/{name}": array for name, array in self.relevances.items()}
        found |= {"prediction": self.prediction, "value": self.value}
        found |= {"residual": self.residual} if self.conserves else {}
        found |= {} if self.shared is None else {"shared": self.shared}
        share = self.share_arrived
        found |= {} if self.target is None else {"target": self.target}
        found |= {} if share is None else {"share_arrived": share}
        return {name: array.astype(str) if is_exact(array) else array for name, array in found.items()}

    def save(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write an `.npz` that `numpy.load` reads without pickle: whole or not at all, the same bytes for the same explanation.

        It holds relevance/<name>, activation/<name> (the inputs), prediction, value, residual (where the method conserves),
        target, and "about" as JSON. `load` reads it. Rationals are written as strings such as "7/3".

        Parameters
        ----------
        path : of the file, which ends in .npz
        overwrite : whether a file of that name is replaced

        Raises
        ------
        ParameterError
            Where the path has another suffix.
        ExistingFileError
            Where the file exists and `overwrite` is not set.
        FormatError
            Where it cannot be written.
        """
        from .stored import write_explanation

        return write_explanation(self, path, overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Explanation:
        """The explanation that `save` wrote.

        Parameters
        ----------
        path : of the file

        Raises
        ------
        FormatError
            Where it is missing, broken, no explanation, or of a version that did not keep the inputs.
        """
        from .stored import read_explanation

        return read_explanation(path)

    def to_json(self, indent: int | None = None) -> str:
        """The explanation as JSON: nested lists, or strings for rationals.

        Parameters
        ----------
        indent : spaces per level of nesting, as `json.dumps` has it; None: all on one line
        """
        import json

        found = {name: plain(array) for name, array in self.arrays().items()}
        if self.share_arrived is not None:
            found["share_arrived"] = _without_nan(found["share_arrived"])
        ledger = None if self.ledger is None else json.loads(self.ledger.to_json())
        about = {"format": FORMAT, "version": VERSION, "method": self.method, "composite": self.composite, "head": self.head}
        about |= {"parameters": dict(self.parameters)} if self.parameters else {}
        about |= {"remarks": list(self.remarks), "backend": self.backend, "ledger": ledger}
        return json.dumps(about | found, indent=indent)

    def _facts(self) -> list[tuple[str, str]]:
        with np.printoptions(precision=4, threshold=8, edgeitems=2):
            facts = [("composite", self.composite)] if self.composite or self.method == "LRP" else []
            facts += [] if self.method == "LRP" else [("method", self.described)]
            facts += [("target", "a given start" if self.target is None else str(self.target))]
            facts += [("head", self.head)] if self.head else []
            facts += [("value", str(self.value))]
            facts += [("Σ R", str(self.total)), ("residual", str(self.residual))] if self.conserves else []
            share = self.share_arrived
            facts += [] if share is None else [("arrived", f"{100 * share} %")]
        if self.feature_names and len(self):
            most = ", ".join(f"{name} {float(amount):.3g}" for name, amount in self.top(5))
            facts += [("largest |R|", most if len(self.value.reshape(-1)) == 1 else f"{most} (of the first)")]
        shapes = ", ".join(f"{name} {self.relevances[name].shape}" for name in self.relevances)
        facts += [("relevance", shapes), ("computed", f"{self.precision}, backend {self.backend}")]
        return [*facts, *(("remark", remark) for remark in self.remarks)]

    @property
    def described(self) -> str:
        """The method with its parameters."""
        given = ", ".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.method}({given})" if given else self.method

    def __repr__(self) -> str:
        facts = self._facts()
        width = max(len(name) for name, _ in facts)
        return "\n".join(["Explanation", *(f"  {name:<{width}}  {text}" for name, text in facts)])

    def _repr_html_(self) -> str:
        from html import escape

        body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in self._facts())
        return f"<table><caption>Explanation</caption>{body}</table>{self._picture()}"

    def _picture(self) -> str:
        """The first sample as a picture in a page; nothing where it cannot be drawn."""
        from base64 import b64encode

        from ..render import picture

        if not len(self):
            return ""
        try:
            drawn = picture(self)._repr_png_()  # type: ignore[attr-defined]
        except (MissingExtraError, ShapeError, NonFiniteError):
            return ""
        of = f"<div>sample 0 of {len(self)}</div>" if len(self) > 1 else ""
        return f'{of}<img alt="the relevance of the input" src="data:image/png;base64,{b64encode(drawn).decode()}">'

    def plot(self, x: Any = None, *, ax: Any = None, **options: Any) -> Any:
        """A picture of one sample, which a notebook displays.

        Parameters
        ----------
        x : what to show as the input, such as the photograph before preprocessing; None: the values that were explained
        ax : axes of matplotlib, on which one map (style="heatmap", "overlay" or "pattern") or the bars of a vector are drawn
            alone; None: the whole picture
        **options : sample, labels, style, cmap, percentile, vmax, smooth and (without `ax`) dpi, as `lrp_ref.render.picture`
            takes them

        Returns
        -------
        A `matplotlib.figure.Figure`; the axes where they were given

        Raises
        ------
        LrpError
            As `lrp_ref.render.picture` raises them.
        """
        from ..render import picture, picture_on

        return picture(self, x, **options) if ax is None else picture_on(ax, self, x, **options)

    def to_pandas(self, name: str | None = None) -> Any:
        """The relevance as a `pandas.DataFrame`, a row for each sample (and target), a column for each feature.

        Parameters
        ----------
        name : of an input or a kept node; None: the only input

        Raises
        ------
        MissingExtraError
            Where pandas is not installed.
        GraphError, UnknownNameError
            Where there are several inputs and none is named, or the node was not kept.
        """
        from .tables import to_pandas

        return to_pandas(self, name)

    def to_xarray(self) -> Any:
        """The explanation as an `xarray.Dataset` whose axes have names.

        Raises
        ------
        MissingExtraError
            Where xarray is not installed.
        """
        from .tables import to_xarray

        return to_xarray(self)


def _without_nan(value: Any) -> Any:
    """(Nested) lists of floats as JSON has them, which knows no NaN."""
    return [_without_nan(v) for v in value] if isinstance(value, list) else None if math.isnan(value) else value


def _patches(relevance: Array, size: int, lead: int) -> Array:
    """Sums over square patches of the last two axes, and over everything between them and the leading axes."""
    if size < 1 or relevance.ndim < lead + 2:
        raise ParameterError(f"patches need a size of at least 1 and two spatial axes, found {size} and {relevance.shape[lead:]}")
    between = math.prod(relevance.shape[lead:-2])
    maps = total(relevance.reshape(*relevance.shape[:lead], between, *relevance.shape[-2:]), (lead,))
    rows = np.stack([maps[..., r : r + size, :].sum(axis=-2) for r in range(0, maps.shape[-2], size)], axis=-2)
    return np.stack([rows[..., c : c + size].sum(axis=-1) for c in range(0, rows.shape[-1], size)], axis=-1)
