"""The C core. Arrays are float32 or float64 (one type in a call), C-contiguous and channels last; nothing is cast or copied silently.

Everything is checked here: a wrong shape, type or layout is a `ValueError` or `TypeError` before any C runs, no memory is a
`MemoryError`. `lrp_ref/_ext.pyi` says what each function computes.
"""

import os

import numpy

include "boundary.pxi"
include "finish.pxi"
include "parts.pxi"
include "convolution.pxi"
include "scatter.pxi"
include "rest.pxi"
include "pooling.pxi"
