"""Reading PyTorch modules, through PyTorch's own ONNX export in memory: what that can write, `lrp_ref.formats.onnx` reads.

PyTorch, `onnx` and `onnxscript` (extra `torch`) are needed for this step alone. The model that comes out needs NumPy.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import FormatError, LrpError, ParameterError, missing_extra
from ..network.model import Model
from . import onnx

EXPORTERS = ("dynamo", "torchscript")
#: How far the model may be from the module, of the largest value: an export that went wrong is further off than float32 rounds.
TOLERANCE = 1e-3
_SCOPES = "pkg.torch.onnx.name_scopes"


def load(module: Any, example_input: Any, *, exporter: str | None = None, check: bool = True, **options: Any) -> Model:
    """A model that computes what a PyTorch module computes in evaluation mode.

    Parameters
    ----------
    module : a `torch.nn.Module`; its weights, its mode and its device stay as they are
    example_input : an input of the module, batch axis first, as a tensor or an array; of several inputs a tuple. Its values only
        serve `check`; the model takes batches of any size
    exporter : "dynamo" (needs onnxscript) or "torchscript" (PyTorch's older one); None: the first where onnxscript is installed
    check : whether the model's prediction for the example is compared with the module's (not where `outputs` are chosen)
    **options : of `lrp_ref.formats.onnx.load`, such as `patterns` and `budget`

    Returns
    -------
    Model
        Nodes have the names of the submodules that they come from. Batch norms behind a convolution are folded by the exporter.

    Raises
    ------
    MissingExtraError
        Where PyTorch or `onnx` is not installed.
    FormatError
        Where PyTorch cannot export the module; the export holds operators that are not read, all of which are listed; or the
        model predicts something else than the module, as where that draws random numbers.
    ParameterError
        Where `module` is no module, or the exporter is not known.
    """
    torch = _torch()
    if not isinstance(module, torch.nn.Module):
        raise ParameterError(f"a torch.nn.Module is needed, found {type(module).__name__}")
    if exporter is None:
        exporter = EXPORTERS[0] if _installed("onnxscript") else EXPORTERS[1]
    if exporter not in EXPORTERS:
        raise ParameterError(f"exporter is one of {', '.join(EXPORTERS)}, found {exporter!r}")
    example = _example(torch, module, example_input)
    module_name = type(module).__name__
    _refuse_projections(torch, module, module_name)
    with _evaluation_mode(torch, module), _without_warnings():
        try:
            written = (_dynamo if exporter == "dynamo" else _torchscript)(torch, module, example)
        except LrpError:
            raise
        except Exception as error:  # exporters raise anything; their message is what helps
            other = "; exporter='torchscript' is PyTorch's older one" if exporter == "dynamo" else ""
            raise FormatError(f"{module_name}: PyTorch cannot export this module to ONNX: {_cause(error)}{other}") from error
        expected = _outputs(torch, module(*example)) if check else []
    try:
        model = onnx.load(written, **options)
    except FormatError as error:
        raise error.at(module_name) from None
    if check and "outputs" not in options:
        _compare(model, [tensor.cpu().numpy() for tensor in example], expected, module_name)
    return model


def _refuse_projections(torch: Any, module: Any, module_name: str) -> None:
    """Refuse LSTMs with projections by name: exporters say little about them, or write something else."""
    for name, submodule in module.named_modules():
        size = getattr(submodule, "proj_size", 0) if isinstance(submodule, torch.nn.LSTM) else 0
        if size:
            raise FormatError(f"{module_name}: {name or 'it'!r} is an LSTM with proj_size={size}, which has no form in ONNX")


def _torch() -> Any:
    for name, package in (("torch", "PyTorch"), ("onnx", "onnx")):
        if not _installed(name):
            raise missing_extra(package, "torch", "reading PyTorch modules")
    return importlib.import_module("torch")


def _installed(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _example(torch: Any, module: Any, inputs: Any) -> tuple[Any, ...]:
    """The inputs as tensors where the module is, in its number type; two samples: older exporters take 1 for fixed."""
    parameter = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    tensors = []
    for value in inputs if isinstance(inputs, (tuple, list)) else (inputs,):
        tensor = torch.as_tensor(value).detach().to(parameter.device)
        if tensor.is_floating_point():
            tensor = tensor.to(parameter.dtype)
        if not tensor.ndim or not len(tensor):
            raise ParameterError(f"an example input needs a batch axis and a sample, found shape {tuple(tensor.shape)}")
        tensors.append(torch.cat([tensor, tensor]) if len(tensor) == 1 else tensor)
    return tuple(tensors)


@contextmanager
def _evaluation_mode(torch: Any, module: Any) -> Iterator[None]:
    """Evaluation mode without gradients; every submodule gets its own mode back."""
    modes = [(submodule, submodule.training) for submodule in module.modules()]
    try:
        module.eval()
        with torch.no_grad():
            yield
    finally:
        for submodule, mode in modes:
            submodule.training = mode


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Exporters warn of PyTorch's own deprecations and of packages that are not needed here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _names(module: Any, count: int) -> list[str]:
    """The inputs' names: those of forward's parameters."""
    names = [name for name, p in inspect.signature(module.forward).parameters.items() if p.kind == p.POSITIONAL_OR_KEYWORD]
    return names[:count] if len(names) >= count else [f"input{i}" if i else "input" for i in range(count)]


def _dynamo(torch: Any, module: Any, example: tuple[Any, ...]) -> Any:
    """The export as a ModelProto, in which nodes are named by their modules."""
    batch = tuple({0: torch.export.Dim.DYNAMIC} for _ in example)
    names = _names(module, len(example))
    # Inputs that forward takes as *args are one parameter whose value is a tuple.
    packed = any(p.kind == p.VAR_POSITIONAL for p in inspect.signature(module.forward).parameters.values())
    shapes = (batch,) if packed else batch
    program = torch.onnx.export(module, example, dynamo=True, dynamic_shapes=shapes, input_names=names, verbose=False)
    proto = program.model_proto  # made anew each time that it is asked for
    _rename(module, proto.graph)
    return proto


def _rename(module: Any, graph: Any) -> None:
    """Name nodes by the modules that they come from, and outputs by their nodes."""
    modules = {name: list(submodule.children()) for name, submodule in module.named_modules() if name}
    scopes = [[entry.value for entry in node.metadata_props if entry.key == _SCOPES] for node in graph.node]
    module_names = [_name(modules, scope[0]) if scope else node.name for scope, node in zip(scopes, graph.node, strict=True)]
    taken = {value.name for value in graph.input} | {name for node in graph.node for name in node.output}
    outputs = {value.name: value for value in graph.output}
    new: dict[str, str] = {}
    for i, node in enumerate(graph.node):
        # Of several nodes that one module becomes the last has its name: that is the module's output.
        inner = module_names[i] in modules and module_names[i] in module_names[i + 1 :]
        node.name = _unique(f"{module_names[i]}.{node.op_type}" if inner else module_names[i], taken - set(node.output))
        taken.add(node.name)
        new.update({name: node.name for name in node.output[:1] if name in outputs})
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for name, value in outputs.items():
        value.name = new.get(name, name)


def _name(modules: Mapping[str, list[Any]], scopes: str) -> str:
    """A node's name from the exporter's list of where it comes from, such as "['', 'layer1', 'layer1.0', 'add_3']"."""
    *path, function = ast.literal_eval(scopes)
    inside = path[-1] if path else ""
    if inside in modules and not modules[inside]:
        return str(inside)
    return f"{inside}.{re.sub(r'_[0-9]+$', '', function)}".removeprefix(".")


def _unique(name: str, taken: set[str]) -> str:
    free_name, count = name, 1
    while free_name in taken:
        count += 1
        free_name = f"{name}_{count}"
    return free_name


def _torchscript(torch: Any, module: Any, example: tuple[Any, ...]) -> bytes:
    """The older exporter's file, which names nodes by their modules itself."""
    names = _names(module, len(example))
    file = io.BytesIO()
    axes = {name: {0: "N"} for name in names}
    torch.onnx.export(module, example, file, dynamo=False, input_names=names, dynamic_axes=axes)
    return file.getvalue()


def _cause(error: BaseException) -> str:
    """The innermost cause in one line: exporters wrap it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 400 else f'{text[:400]}…'}"


def _outputs(torch: Any, value: Any) -> list[Any]:
    """The tensors of an output, which may be one, a sequence or a mapping (as in Hugging Face's records)."""
    if isinstance(value, torch.Tensor):
        return [value.cpu().numpy()]
    values: Sequence[Any] = (
        list(value.values()) if hasattr(value, "values") else value if isinstance(value, (tuple, list)) else []
    )
    return [array for part in values for array in _outputs(torch, part)]


def _compare(model: Model, example: list[Any], expected: list[Any], module_name: str) -> None:
    """Refuse a model whose prediction is none of what the module returns: an export can go wrong without an error."""
    x = dict(zip(model.inputs, example, strict=True)) if len(model.inputs) == len(example) else None
    if x is None:
        raise FormatError(
            f"{module_name}: the export has the inputs {', '.join(model.inputs)}, the module was given {len(example)}"
        )
    x = {name: array.astype(model.dtype) for name, array in x.items()}
    prediction = model(x)
    for name, array in {model.outputs[0]: prediction}.items() if len(model.outputs) == 1 else prediction.items():
        fitting = [other for other in expected if other.shape == array.shape]
        distance = min((float(np.abs(other - array).max(initial=0)) / _scale(other) for other in fitting), default=np.inf)
        if not distance <= TOLERANCE:
            raise FormatError(
                f"{module_name}: the output {name!r} of the export is {distance:.2g} of the largest value away from the "
                "module's; does it draw random numbers, or depend on more than its inputs? check=False loads it all the same"
            )


def _scale(array: Any) -> float:
    largest = float(np.abs(array).max(initial=0))
    return largest if largest > 0 else 1.0
