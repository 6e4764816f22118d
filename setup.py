"""Builds the compiled core, which is optional; everything that can be declared is in pyproject.toml.

LRP_REF_WITHOUT_EXTENSION=1 leaves it out: the wheel then serves every platform.
"""

import os
import platform
import re
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# -ffp-contract=fast: a·b + c is one rounding wherever the processor has it, in vector loops and their remainders alike.
# The next two let a comparison become a mask. None of them reorders a sum: -ffast-math would.
# -O2 and vectors: what -O3 adds are copies of loops, a third of the size for at most some percent of the time.
FLAGS = [
    "-std=gnu11",
    "-O2",
    "-ftree-vectorize",
    "-fno-tree-slp-vectorize",  # what belongs together is written as vectors: a hundredth of the size
    "-fvect-cost-model=dynamic",
    "-g0",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",
]
FLAGS += ["-Werror=incompatible-pointer-types"]  # Cython has `const void *` where C has a struct
FLAGS += ["-fno-asynchronous-unwind-tables"]  # nothing unwinds through C: a twentieth of the size
SKIPPED = "lrp_ref is installed without its compiled core (explanations are the same, but slower): "


class OptionalBuild(build_ext):
    """Builds the compiled core where there is a compiler for it, and says so where there is none."""

    def build_extension(self, ext: Extension) -> None:
        if self.compiler.compiler_type == "msvc":
            sys.stderr.write(SKIPPED + "it needs the vector types of gcc or clang\n")
            return
        if platform.system() == "Linux":
            ext.extra_link_args += ["-Wl,-s"]  # without symbols: half the size
        try:
            super().build_extension(ext)
        except Exception as error:  # noqa: BLE001 - whatever a foreign compiler fails with, the package works without
            sys.stderr.write(f"{SKIPPED}{error}\n")


def interface() -> str:
    """The number of the core's interface: one place has it, which refuses cores with another."""
    text = Path("lrp_ref/kernels/compiled/native.py").read_text(encoding="utf-8")
    (found,) = re.findall(r"^INTERFACE = (\d+)$", text, re.MULTILINE)
    return str(found)


def extensions() -> list[Extension]:
    """The compiled core, as C that Cython writes below build/; nothing where Cython is missing, or it is not wanted."""
    if os.environ.get("LRP_REF_WITHOUT_EXTENSION", "0") != "0":
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        sys.stderr.write(SKIPPED + "Cython is missing\n")
        return []
    core = Extension(
        "lrp_ref.kernels.compiled._core",
        sources=["_ext/cython/_core.pyx", "_ext/core.c", "_ext/common/memory.c", "_ext/common/threads.c"],
        depends=sorted(str(path) for pattern in ("*.inc", "*.h", "*.pxi") for path in Path("_ext").rglob(pattern))
        + ["lrp_ref/kernels/compiled/native.py"],
        include_dirs=["_ext"],
        define_macros=[("LRP_INTERFACE", interface())],
        extra_compile_args=FLAGS,
        extra_link_args=["-pthread"],
        optional=True,
    )
    made: list[Extension] = cythonize([core], build_dir="build/cython", language_level=3)
    return made


setup(ext_modules=extensions(), cmdclass={"build_ext": OptionalBuild})
