# Normalisations by mean and deviation of groups.

cdef extern from "lrp.h" nogil:
    ctypedef struct lrp_norm:
        idx rows, width, period, correction
        const void *x
        const void *scale
        const void *shift
        int centred, quotient
        double epsilon, outside, stabiliser
        void *y
        void *factor
        void *size
        void *inverse
    ctypedef struct lrp_norm_back:
        idx samples, targets, cells, width, period
        int centred, quotient
        const void *message
        const void *factor
        const void *inverse
        const void *scale
        void *c


cdef const void *rows_at(object array, Memory like, lrp_norm *k, list kept, str what) except? NULL:
    """Where γ or β begins: (period, width); NULL where there is none."""
    if array is None:
        return NULL
    cdef Memory held = memory(array, what)
    alike(like, held, f"x and {what}")
    cdef idx period = held.extent(0) if held.view.ndim == 2 else 0
    if period < 1 or held.extent(1) != k.width or k.period and period != k.period:
        raise ValueError(f"{what} must be (period, {k.width}), found {held.shape()}")
    k.period = period
    kept.append(held)
    return held.view.buf


def norm(x, scale, shift, epsilon, outside, correction, bint centred, stabiliser, bint quotient, bint booked, threads):
    """The output of a normalisation, and what the way back needs; see `_core.pyi`."""
    cdef lrp_norm k
    cdef Memory held = memory(x, "x")
    cdef int odd, count = threads_of(threads)
    cdef const lrp_kernels *kernels = DOUBLES if held.is_double else FLOATS
    if held.view.ndim != 2 or held.extent(1) < 1:
        raise ValueError(f"x is (rows, width) of at least one number, found {held.shape()}")
    kept = []
    k.rows, k.width, k.period, k.centred, k.quotient = held.extent(0), held.extent(1), 0, centred, quotient
    k.epsilon, k.outside, k.stabiliser, k.correction = real(epsilon), real(outside), real(stabiliser), index(correction)
    if not 0 <= k.correction <= 1 or k.width <= k.correction:
        raise ValueError(f"a correction of {k.correction} for groups of {k.width}")
    k.x, k.scale = held.view.buf, rows_at(scale, held, &k, kept, "the scale")
    k.shift = rows_at(shift, held, &k, kept, "the shift")
    k.period = k.period or 1
    shape = (k.rows, k.width)
    y, factor, inverse = empty(shape, held.is_double), empty(shape, held.is_double), empty((k.rows,), held.is_double)
    size = empty(shape, held.is_double) if booked else None
    k.y, k.factor, k.inverse, k.size = pointer(y), pointer(factor), pointer(inverse), pointer(size) if booked else NULL
    with nogil:
        odd = kernels.norm(&k, count)
    return y, factor, inverse, size, odd


def norm_back(message, factor, inverse, scale, bint centred, bint quotient, threads):
    """What comes down through a normalisation; see `_core.pyi`."""
    cdef lrp_norm_back k
    cdef lrp_norm upper
    cdef Memory held = memory(message, "the message"), by = memory(factor, "a factor")
    cdef Memory divided = memory(inverse, "the inverse")
    cdef int count = threads_of(threads)
    cdef const lrp_kernels *kernels = DOUBLES if held.is_double else FLOATS
    alike(held, by, "the message and a factor")
    alike(held, divided, "the message and the inverse")
    if held.view.ndim != 4 or held.extent(3) < 1:
        raise ValueError(f"a message (samples, targets, cells, width), found {held.shape()}")
    k.samples, k.targets, k.cells, k.width = held.extent(0), held.extent(1), held.extent(2), held.extent(3)
    if by.shape() != (k.samples * k.cells, k.width) or divided.shape() != (k.samples * k.cells,):
        found = f"a factor {by.shape()} and an inverse {divided.shape()}"
        raise ValueError(f"{found} for a message of shape {held.shape()}")
    kept = []
    upper.width, upper.period = k.width, 0
    k.scale = rows_at(scale, held, &upper, kept, "the scale")
    k.period, k.centred, k.quotient = upper.period or 1, centred, quotient
    k.message, k.factor, k.inverse = held.view.buf, by.view.buf, divided.view.buf
    found = empty(held.shape(), held.is_double)
    k.c = pointer(found)
    with nogil:
        kernels.norm_back(&k, count)
    return found
