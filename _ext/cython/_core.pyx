"""The C core. Arrays are float32 or float64 (one type in a call), channels last; nothing is cast or copied silently.

Everything is checked here: a wrong shape, type or layout is a `ValueError` or `TypeError` before any C runs, no
memory is a `MemoryError`. `lrp_ref/kernels/compiled/_core.pyi` says what each function computes.
"""

import os
import sys
from operator import index

import numpy

# What checks arguments need not be fast, but small: a third of the module.
cdef extern from *:
    """
    #if defined(__GNUC__) && !defined(__clang__)
    #pragma GCC optimize("Os")
    #endif
    """

include "boundary.pxi"
include "epilogue_entry.pxi"
include "source.pxi"
include "convolution_entry.pxi"
include "scatter_entry.pxi"
include "dense_entry.pxi"
include "arrays_entry.pxi"
include "account_entry.pxi"
include "pooling_entry.pxi"
include "recurrent_entry.pxi"
include "pointwise_entry.pxi"
include "norm_entry.pxi"

# Whoever changes what a function takes or gives counts this up, here and in `lrp_ref/kernels/compiled/native.py`.
INTERFACE = 10

# Cython registers a module under the name that it was compiled with, whatever it was imported as. Where the package is
# a copy inside another one, that name is not ours.
cdef str _name = "lrp_ref.kernels.compiled._core"
if __name__ != _name and getattr(sys.modules.get(_name), "__file__", None) == __file__:
    del sys.modules[_name]
