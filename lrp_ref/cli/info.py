"""`lrp-ref info`: versions, backends and what computes."""

from __future__ import annotations

import platform
import sys
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any

import click
import numpy as np

from .. import __version__, zoo
from ..composites import PRESETS
from ..formats import SUFFIXES
from ..propagate.plan import BACKENDS, instruction_set
from ..propagate.versions import PRECISIONS
from ..resources import chosen_threads
from .output import Output

_OPTIONAL = ("click", "rich", "matplotlib", "Pillow", "onnx", "numba", "torch", "scikit-learn", "threadpoolctl")
#: What cannot be done without a module, and the extra that installs it; the core needs a compiler when lrp_ref is installed.
_NEEDS = {
    "pictures": ("matplotlib", "plot"),
    "photographs": ("PIL", "plot"),
    ".onnx": ("onnx", "onnx"),
    "backend jit": ("numba", "numba"),
    "PyTorch modules": ("torch", "torch"),
}


#: What is said where the core was left out when lrp_ref was installed.
WITHOUT_CORE = "the compiled core is not built here: explanations are the same, but slower"


@click.command(short_help="Show versions, backends, precisions, threads.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def info(as_json: bool) -> None:
    """Versions, backends, precisions, the threads of the compiled core and of the BLAS library, and what is missing here."""
    out = Output(as_json)
    missing = {what: f"pip install 'lrp_ref[{extra}]'" for what, (module, extra) in _NEEDS.items() if find_spec(module) is None}
    facts = {
        "lrp_ref": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()}, {platform.machine()}, {sys.platform})",
        "numpy": np.__version__,
        "packages": {name: _version(name) for name in _OPTIONAL},
        "backends": list(BACKENDS),
        "default_backend": BACKENDS[-1],
        "instruction_set": instruction_set(),
        "threads": chosen_threads(None),
        "precisions": list(PRECISIONS),
        "blas": _blas(),
        "formats": [suffix for suffix in SUFFIXES if suffix not in missing],
        "missing": missing,
        "zoo": list(zoo.names()),
        "composites": list(PRESETS),
    }
    for name, value in facts.items():
        out.say(f"{name.replace('_', ' '):<16}{_fact_text(name, value)}")
    out.document({"format": "lrp_ref.info", "version": 1, **facts})


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _blas() -> list[dict[str, Any]] | None:
    """Libraries and their threads; None where threadpoolctl is not there to ask."""
    try:
        threadpoolctl = import_module("threadpoolctl")
    except ImportError:
        return None
    keys = ("internal_api", "version", "num_threads", "architecture")
    return [
        {key: library.get(key) for key in keys}
        for library in threadpoolctl.threadpool_info()
        if library.get("user_api") == "blas"
    ]


def _fact_text(name: str, value: Any) -> str:
    if name == "packages":
        return ", ".join(f"{package} {version or 'not installed'}" for package, version in value.items())
    if name == "instruction_set":
        return value or WITHOUT_CORE
    if name == "missing":
        return ", ".join(f"{what} ({install})" for what, install in value.items()) or "nothing"
    if name == "blas":
        if value is None:
            return "unknown: threadpoolctl is not installed"
        return ", ".join(f"{b['internal_api']} {b['version']}, {b['num_threads']} threads" for b in value) or "none found"
    return ", ".join(value) if isinstance(value, list) else str(value)
