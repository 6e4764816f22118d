"""One input under several rules, composites or methods: the figure of a lecture, in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..composites import composite_of
from ..errors import ParameterError, ShapeError
from ..explainer import Explainer
from ..network.model import Model
from ..propagate.explanation import Explanation
from .canvas import printable
from .grid import grid
from .maps import caption_of, labels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LARGE, _CELL = 32, 1.2  # cells of a map, below which it is so many inches wide: room for the headings
#: Anything that explains: called with an input and target=.
Explains = Callable[..., Explanation]


def compare(
    model: Model,
    x: Any,
    *,
    rules: Iterable[Any] = (),
    composites: Iterable[Any] = (),
    methods: Mapping[str, Any] | Iterable[Any] = (),
    target: Any = None,
    head: Any = None,
    labels: Sequence[str] | None = None,
    images: Sequence[Any] | None = None,
    title: str = "",
    cell: float | None = None,
) -> Figure:
    """Each sample in a row, and a column for each rule, composite and method, every map on a scale of its own.

    Parameters
    ----------
    model : the network
    x : a batch of images (N, C, H, W) or (N, H, W), or of vectors (N, F)
    rules : rules for linear layers, such as rules.Epsilon(0.25); each is a composite that is uniform
    composites : composites, or names of presets
    methods : what explains, called as an `Explainer` is: of `lrp_ref.methods`, explainers, wrappers; or such by the name that
        their column gets
    target : what is explained, as in a call of an `Explainer`, the same in all columns; one of each sample
    head : of the explainers of rules and composites
    labels : the names of the classes
    images : what is shown as the inputs, such as photographs before preprocessing; None: the inputs
    title : above everything
    cell : the side of a map in inches

    Raises
    ------
    ParameterError
        Where nothing is to be compared, or there are several targets.
    LrpError
        What explaining raises.
    """
    columns = _columns_of(model, rules, composites, methods, head)
    if not columns:
        raise ParameterError("nothing to compare: give rules=, composites= or methods=")
    found = [explains(x, target=target) for _, explains in columns]
    first = found[0]
    if any(e.several for e in found):
        raise ParameterError("a comparison shows one target of each sample: target= an int, or one for each")
    relevances = [[np.asarray(e.relevance[i], dtype=np.float64) for e in found] for i in range(len(first))]
    shown = list(first.activations[first.inputs[0]]) if images is None else list(images)
    if len(shown) != len(first):
        raise ShapeError(f"{len(shown)} images for {len(first)} samples")
    names = labels_of(first, labels)
    rows = [_title_of(first, i, names) for i in range(len(first))]
    if cell is None and max(np.atleast_2d(relevances[0][0]).shape if relevances else (1,)) < _LARGE:
        cell = _CELL
    return grid(shown, relevances, rows=rows, columns=[name for name, _ in columns], title=title, cell=cell)


def _columns_of(
    model: Model, rules: Iterable[Any], composites: Iterable[Any], methods: Mapping[str, Any] | Iterable[Any], head: Any
) -> list[tuple[str, Explains]]:
    """The heading of each column, and what explains."""
    found: list[tuple[str, Explains]] = [(_wrapped(str(rule)), Explainer(model, rule=rule, head=head)) for rule in rules]
    found += [(_wrapped(composite_of(one).name), Explainer(model, one, head=head)) for one in composites]
    named = methods.items() if isinstance(methods, Mapping) else [(_name_of(method), method) for method in methods]
    for name, method in named:
        if not callable(method):
            raise ParameterError(f"a method is called with an input, as an Explainer is; found {method!r}")
        found.append((_wrapped(str(name)), method))
    return found


def _name_of(method: Any) -> str:
    composite = getattr(method, "composite", None)
    if isinstance(method, Explainer):
        return composite_of("epsilon_plus" if composite is None else composite).name if method.rule is None else str(method.rule)
    return str(getattr(method, "name", type(method).__name__))


def _wrapped(name: str) -> str:
    """A heading in lines of at most some 14 letters, broken behind a bracket, a comma or an underscore."""
    name = printable(name)
    lines, line = [], ""
    for part in name.replace("(", "(\0").replace(", ", ",\0").replace("_", "_\0").split("\0"):
        if line and len(line) + len(part) > 14:
            lines.append(line)
            line = ""
        line += part
    return "\n".join([*lines, line])


def _title_of(e: Explanation, i: int, labels: Sequence[str] | None) -> str:
    target = None if e.target is None else int(e.target[i])
    return caption_of(target, float(e.value[i]), e.prediction[i], labels)
