# Pooling windows: maxima and their winners, sums, and what goes back to the cells.

cdef extern from "lrp.h" nogil:
    ctypedef struct lrp_pool:
        idx samples, channels, repeat
        idx cells[3]
        idx out[3]
        idx kernel[3]
        idx stride[3]
        idx dilation[3]
        idx before[3]


cdef idx MOST_TAPS = 2**31 - 1  # a winner is an int32


cdef int pool_of(
    lrp_pool *p, Memory first, bint forwards, tuple kernel, tuple stride, tuple dilation, tuple before, tuple other
) except -1:
    """Fill `p` from an array of cells (forwards) or of windows and the extents of the other; the number of axes."""
    cdef int axis, axes = first.view.ndim - 2
    cdef idx taps = 1
    cdef idx *own = &p.cells[0] if forwards else &p.out[0]
    cdef idx *others = &p.out[0] if forwards else &p.cells[0]
    if not 1 <= axes <= 3:
        raise ValueError(f"arrays are (samples, *spatial, channels) with 1 to 3 spatial axes, found {first.shape()}")
    per_axis(kernel, "the kernel", axes, 1, p.kernel, 1)
    per_axis(stride, "stride", axes, 1, p.stride, 1)
    per_axis(dilation, "dilation", axes, 1, p.dilation, 1)
    per_axis(before, "before", axes, -MOST, p.before, 0)
    per_axis(first.shape()[1:first.view.ndim - 1], "spatial", axes, 0, own, 1)
    per_axis(other, "out" if forwards else "spatial", axes, 0, others, 1)
    p.samples, p.channels, p.repeat = first.extent(0), first.extent(axes + 1), 1
    for axis in range(3):
        if p.dilation[axis] > MOST // p.kernel[axis] or p.stride[axis] > MOST // max(p.out[axis], 1):
            raise ValueError("the window reaches too far")
        if p.kernel[axis] > MOST_TAPS // taps:
            raise ValueError(f"a window of too many taps: {kernel}")
        taps *= p.kernel[axis]
    return axes


cdef tuple windowed(object kernel, object stride, object dilation, object before):
    return whole(kernel, "the kernel"), whole(stride, "stride"), whole(dilation, "dilation"), whole(before, "before")


cdef object winner_type(lrp_pool *p):
    return numpy.dtype("u1" if p.kernel[0] * p.kernel[1] * p.kernel[2] < 256 else "i4")


def winners(x, kernel, stride, dilation, before, out, threads):
    """The maximum of each window, and which tap it is at; see `_core.pyi`."""
    cdef Memory a = memory(x, "x")
    cdef lrp_pool p
    kernel, stride, dilation, before = windowed(kernel, stride, dilation, before)
    out = whole(out, "out")
    cdef int count = threads_of(threads), bytes
    cdef const lrp_kernels *kernels = DOUBLES if a.is_double else FLOATS
    pool_of(&p, a, True, kernel, stride, dilation, before, out)
    shape = (a.extent(0), *out, p.channels)
    best = empty(shape, a.is_double)
    winner = numpy.empty(shape, winner_type(&p))
    bytes = winner.itemsize
    cdef void *to = pointer(best)
    cdef void *where = pointer(winner)
    if best.size:
        with nogil:
            kernels.pool(&p, a.view.buf, to, where, bytes, count)
    return best, winner


def window_sums(x, kernel, stride, dilation, before, out, threads):
    """The sum of each window; see `_core.pyi`."""
    cdef Memory a = memory(x, "x")
    cdef lrp_pool p
    kernel, stride, dilation, before = windowed(kernel, stride, dilation, before)
    out = whole(out, "out")
    cdef int count = threads_of(threads)
    cdef const lrp_kernels *kernels = DOUBLES if a.is_double else FLOATS
    pool_of(&p, a, True, kernel, stride, dilation, before, out)
    sums = empty((a.extent(0), *out, p.channels), a.is_double)
    cdef void *to = pointer(sums)
    if sums.size:
        with nogil:
            kernels.pool(&p, a.view.buf, to, NULL, 0, count)
    return sums


def to_winners(message, winner, kernel, stride, dilation, before, spatial, threads):
    """Each window's message at its winner, added up; see `_core.pyi`."""
    cdef Memory a = memory(message, "the message")
    cdef lrp_pool p
    kernel, stride, dilation, before = windowed(kernel, stride, dilation, before)
    spatial = whole(spatial, "spatial")
    pool_of(&p, a, False, kernel, stride, dilation, before, spatial)
    cdef Memory won = taps(winner, winner_type(&p))
    own, shape = won.shape(), a.shape()
    if own[1:] != shape[1:] or (own[0] == 0 and shape[0] != 0) or (own[0] and shape[0] % own[0]):
        raise ValueError(f"winners of shape {own} for messages of shape {shape}")
    p.repeat = shape[0] // own[0] if own[0] and shape[0] else 1
    return unpooled(&p, a, won, spatial, threads_of(threads))


def window_spread(s, kernel, stride, dilation, before, spatial, threads):
    """The adjoint of `window_sums`; see `_core.pyi`."""
    cdef Memory a = memory(s, "s")
    cdef lrp_pool p
    kernel, stride, dilation, before = windowed(kernel, stride, dilation, before)
    spatial = whole(spatial, "spatial")
    pool_of(&p, a, False, kernel, stride, dilation, before, spatial)
    return unpooled(&p, a, None, spatial, threads_of(threads))


cdef Memory taps(object winner, object kind):
    """The memory of winners."""
    cdef Memory held = Memory()
    if not isinstance(winner, numpy.ndarray) or winner.dtype != kind:
        raise TypeError(f"winners of this window are a C-contiguous array of {kind}")
    PyObject_GetBuffer(winner, &held.view, PyBUF_STRIDES | PyBUF_FORMAT)
    held.held = True
    if held.view.itemsize != kind.itemsize:
        raise TypeError(f"winners of this window are a C-contiguous array of {kind}")
    layout(&held.view, "winners", True)
    return held


cdef object unpooled(lrp_pool *p, Memory a, Memory winner, tuple spatial, int threads):
    cdef const lrp_kernels *kernels = DOUBLES if a.is_double else FLOATS
    cdef int code, bytes = 0
    lower = empty((a.extent(0), *spatial, p.channels), a.is_double)
    cdef void *to = pointer(lower)
    cdef const void *where = NULL
    if not lower.size:
        return lower
    if winner is not None:
        where, bytes = winner.view.buf, winner.view.itemsize
    with nogil:
        code = kernels.unpool(p, a.view.buf, to, where, bytes, threads)
    checked(code)
    return lower
