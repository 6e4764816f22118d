"""What may stand for a network and for its input: estimators, modules and files; tables and images.

A package is never imported to find out whether something is of its kind: what is, comes from a package that is imported.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from .errors import FormatError, ParameterError, ShapeError
from .lazy_dataclass import lazy_dataclass
from .network.model import Model
from .propagate.explanation import Explanation

_KERAS = """{kind} is read through ONNX. Three lines export it:
    model.export("model.onnx", format="onnx")   # Keras 3.8 or newer; needs onnx (and tf2onnx under TensorFlow)
    import lrp_ref
    network = lrp_ref.load("model.onnx")"""


@lazy_dataclass(frozen=True, eq=False)
class Source:
    """A network, and the names that come with it.

    Attributes
    ----------
    model : the network
    feature_names : of its input, where they are known
    class_names : of its output's elements, where they are known
    """

    model: Model
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()

    def named(self, explanation: Explanation) -> Explanation:
        """An explanation with the names that are known and that it has not.

        Parameters
        ----------
        explanation : of the model

        Raises
        ------
        ParameterError
            Where the columns of the table that was explained are others than those that the estimator was fitted to.
        """
        columns, fitted = explanation.feature_names, self.feature_names
        if columns and fitted and columns != fitted:
            wrong = next((a, b) for a, b in zip((*columns, None), (*fitted, None), strict=False) if a != b)
            raise ParameterError(
                f"the columns of the table are others than those that the estimator was fitted to, or in another order: "
                f"{wrong[0]!r} where {wrong[1]!r} was; table[list(estimator.feature_names_in_)] puts them in order"
            )
        names = self.class_names if len(self.class_names) == explanation.prediction[:1].size else ()
        if not names and columns == (columns or fitted):
            return explanation
        return replace(explanation, feature_names=columns or fitted, class_names=names)


def source_of(source: Any, x: Any = None) -> Source:
    """The network that a model, a path, an estimator of scikit-learn or a module of PyTorch stands for.

    Parameters
    ----------
    source : the model; a path of a file that `lrp_ref.load` reads; a fitted estimator or pipeline, read by
        `lrp_ref.formats.sklearn.load`; a `torch.nn.Module`, exported by `lrp_ref.formats.torch.load` with the input as example
    x : the input, for modules

    Raises
    ------
    FormatError, MissingExtraError
        Where it cannot be read, or not from here; the message says how it is exported.
    ParameterError
        Where it is nothing that stands for a network.
    """
    if isinstance(source, Model):
        return Source(source)
    kinds = {kind.__module__.partition(".")[0] for kind in type(source).__mro__}
    if isinstance(source, str) or hasattr(source, "__fspath__"):
        from .formats import load

        return Source(load(source))
    if "torch" in kinds and isinstance(source, sys.modules["torch"].nn.Module):
        from .formats import torch

        if x is None:
            raise ParameterError(
                f"{type(source).__name__} is a module of PyTorch: lrp_ref.formats.torch.load(module, example_input) makes a "
                "model of it, with an input as an example"
            )
        return Source(torch.load(source, x))
    if hasattr(source, "get_params") and hasattr(source, "fit") and "keras" not in kinds:
        return _of_estimator(source)
    if kinds & {"keras", "tensorflow", "tf_keras"}:
        raise FormatError(_KERAS.format(kind=f"the Keras model {type(source).__name__}"))
    raise ParameterError(
        "a network is a lrp_ref.Model, the path of an .npz or .onnx file, a fitted estimator of scikit-learn or a module of "
        f"PyTorch; found {type(source).__name__}"
    )


def _of_estimator(estimator: Any) -> Source:
    """An estimator with the names of its features and classes; one score for two classes is that of the second."""
    from .formats import sklearn

    model = sklearn.load(estimator)
    features = tuple(str(name) for name in getattr(estimator, "feature_names_in_", ()))
    classes = getattr(estimator, "classes_", ())
    names = tuple(str(name) for name in classes) if getattr(classes, "ndim", 1) == 1 else ()
    return Source(model, features, names[1:] if len(names) == 2 else names)


def require_model(model: Any) -> Model:
    """A model, or an error that names what makes one of what was given.

    Parameters
    ----------
    model : what was given as a network

    Raises
    ------
    ParameterError
        Where it is none.
    """
    if isinstance(model, Model):
        return model
    name = type(model).__name__
    if isinstance(model, str) or hasattr(model, "__fspath__"):
        way = f"lrp_ref.load({str(model)!r})"
    elif any(kind.__module__.startswith("torch") for kind in type(model).__mro__):
        way = "lrp_ref.formats.torch.load(module, example_input)"
    elif hasattr(model, "get_params"):
        way = "lrp_ref.formats.sklearn.load(estimator)"
    else:
        way = "lrp_ref.Model.sequential([…]), or lrp_ref.load(path)"
    raise ParameterError(f"a lrp_ref.Model is needed, found {name}: {way} makes one. lrp_ref.explain takes it as it is")


def column_names(x: Any) -> tuple[str, ...]:
    """The names of the columns of a `pandas.DataFrame`; of anything else none.

    Parameters
    ----------
    x : an input
    """
    if type(x).__module__.partition(".")[0] != "pandas" or not hasattr(x, "columns"):
        return ()
    return tuple(str(name) for name in x.columns)


def input_of(model: Model, x: Any) -> Any:
    """The input of a model from images of Pillow, by the preprocessing that the model's domain asks for; else x itself.

    Parameters
    ----------
    model : the network
    x : an image, or a list of images: a batch; anything else stays what it is

    Raises
    ------
    ParameterError
        Where nothing says what the model wants of an image.
    ShapeError, GraphError
        Where the model's input is no image.
    """
    images = x if isinstance(x, (list, tuple)) and x else [x]
    if not all(any(kind.__module__.startswith("PIL.") for kind in type(one).__mro__) for one in images):
        return x
    import numpy as np

    from .preprocess import resolve

    found = resolve(model)
    if found.guessed:
        raise ParameterError(
            "nothing says what the model wants of an image: neither a preprocessing nor a domain. "
            "lrp_ref.preprocess.resolve(model, 'imagenet') has one, and its preprocessing(image)[None] is an input"
        )
    arrays = [found.preprocessing(image) for image in images]
    try:
        return np.stack(arrays)
    except ValueError as error:
        raise ShapeError(f"the images become inputs of different shapes: {error}") from None
