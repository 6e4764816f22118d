"""The nodes of an estimator as they are read, and its fitted attributes."""

from __future__ import annotations

from typing import Any

from ...errors import FormatError
from ...layers.base import Layer
from ...network.model import Node

_SEARCHES = frozenset({"GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV"})


class Graph:
    """The nodes that have been read."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def add(self, name: str, layer: Layer, *sources: str) -> str:
        """Add a node under this name, or one that is still free; returns its name.

        Parameters
        ----------
        name : the name that the node gets, or name-2, name-3 and so on where it is taken
        layer : what the node computes
        sources : the names of the nodes that it reads, or "input", as many as the layer has inputs
        """
        taken, free_name, number = {"input", *(node.name for node in self.nodes)}, name, 2
        while free_name in taken:
            free_name, number = f"{name}-{number}", number + 1
        self.nodes.append(Node(free_name, layer, sources))
        return free_name


def best_estimator(estimator: Any) -> Any:
    """The best estimator of a search; another estimator itself.

    Parameters
    ----------
    estimator : a fitted search, such as a `GridSearchCV`, or any other estimator

    Raises
    ------
    FormatError
        Where the search is not fitted, or was told not to refit its best estimator.
    """
    return best_estimator(fitted_attribute(estimator, "best_estimator_")) if type(estimator).__name__ in _SEARCHES else estimator


def steps_of(estimator: Any) -> list[tuple[str, Any]]:
    """The (name, estimator) pairs of a pipeline, "passthrough" left out; of another estimator it alone.

    Parameters
    ----------
    estimator : a pipeline, whose inner pipelines are opened and whose searches become their best estimators; or another estimator

    Raises
    ------
    FormatError
        Where the pipeline has no steps.
    """
    if type(estimator).__name__ != "Pipeline":
        return [(type(estimator).__name__.lower(), estimator)]
    steps = [(name, best_estimator(step)) for name, step in estimator.steps if step is not None and step != "passthrough"]
    flat = [pair for name, step in steps for pair in (steps_of(step) if type(step).__name__ == "Pipeline" else [(name, step)])]
    if not flat:
        raise FormatError("the pipeline has no steps")
    return flat


def fitted_attribute(estimator: Any, name: str) -> Any:
    """The value of a fitted attribute.

    Parameters
    ----------
    estimator : an estimator of scikit-learn
    name : of an attribute that fitting makes, such as "coef_"

    Raises
    ------
    FormatError
        Where the estimator has none, so that it is not fitted.
    """
    value = getattr(estimator, name, None)
    if value is None:
        first = "with refit=True" if name == "best_estimator_" else "first"  # a search may be fitted, and have kept none
        raise FormatError(f"this {type(estimator).__name__} has no {name}: fit it {first}")
    return value


def feature_count(estimator: Any) -> int:
    """The number of features that a fitted estimator takes.

    Parameters
    ----------
    estimator : a fitted estimator; of a pipeline the first step counts, of a search its best estimator

    Raises
    ------
    FormatError
        Where it is not fitted.
    """
    estimator = best_estimator(estimator)
    kind = type(estimator).__name__
    if kind == "Pipeline":
        return feature_count(steps_of(estimator)[0][1])
    if kind == "FeatureUnion":  # says the number of its first part, which may be "drop"
        transformers = [step for _, step in estimator.transformer_list if not isinstance(step, str)]
        if transformers:
            return feature_count(transformers[0])
    return int(fitted_attribute(estimator, "n_features_in_"))
