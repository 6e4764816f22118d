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

# What follows declares as much of lrp.h as Cython has to know. The header wins: the C compiler takes sizes, offsets and
# the order of members from there, so members may be left out here, and one that is misspelled does not compile. Each
# entry declares the structs that it fills; the table has `const void *` for pointers to them.
cdef extern from "lrp.h" nogil:
    ctypedef Py_ssize_t idx
    int LRP_OK, LRP_NO_MEMORY
    enum:
        LRP_MOST_SHARES, LRP_MOST_PRODUCTS, LRP_MOST_PARTS
    void *lrp_allocate(size_t)
    void *lrp_allocate_exactly(size_t)
    void lrp_release(void *)

    ctypedef struct lrp_kernels:
        const char *instruction_set
        idx (*convolution_bytes)(const void *) noexcept nogil
        int (*convolution_prepare)(const void *, int) noexcept nogil
        int (*convolution_run)(
            const void *, const void *, const idx *, const void *, int
        ) noexcept nogil
        idx (*scatter_bytes)(const void *) noexcept nogil
        int (*scatter_prepare)(const void *, int) noexcept nogil
        int (*scatter_run)(
            const void *, const void *, const idx *, const idx *, void *const *, int
        ) noexcept nogil
        void (*epilogue_arrays)(const void *, const void *const *, idx, int) noexcept nogil
        int (*account)(const void *, int) noexcept nogil
        int (*dense)(const void *, int) noexcept nogil
        int (*finite)(const void *, idx, idx, idx, int) noexcept nogil
        int (*least_size)(const void *, idx, idx, idx, double *, int) noexcept nogil
        void (*choose)(const void *, idx, void *, const void *, idx, idx, idx, idx, int) noexcept nogil
        void (*pool)(const void *, const void *, void *, void *, int, int) noexcept nogil
        int (*unpool)(const void *, const void *, void *, const void *, int, int) noexcept nogil
        idx (*lstm_bytes)(const void *) noexcept nogil
        void (*lstm_prepare)(const void *, const void *, const void *, const void *) noexcept nogil
        idx (*lstm_padded)(idx) noexcept nogil
        int (*lstm_forward)(const void *, const void *, int) noexcept nogil
        int (*lstm_relevance)(const void *, const void *, const void *, int) noexcept nogil
        idx (*gru_bytes)(const void *) noexcept nogil
        void (*gru_prepare)(const void *, const void *, const void *, const void *, const void *) noexcept nogil
        int (*gru_forward)(const void *, const void *, int) noexcept nogil
        int (*gru_relevance)(const void *, const void *, const void *, int) noexcept nogil
        void (*pointwise)(const void *, int) noexcept nogil
        int (*norm)(const void *, int) noexcept nogil
        void (*norm_back)(const void *, int) noexcept nogil
    const lrp_kernels *lrp_choose(const char *, int)

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

# Counted up in `lrp_ref/kernels/compiled/native.py` alone: setup.py hands it on.
cdef extern from *:
    int LRP_INTERFACE

INTERFACE = LRP_INTERFACE

# Cython registers a module under the name that it was compiled with, whatever it was imported as. Where the package is
# a copy inside another one, that name is not ours.
cdef str _name = "lrp_ref.kernels.compiled._core"
if __name__ != _name and getattr(sys.modules.get(_name), "__file__", None) == __file__:
    del sys.modules[_name]
