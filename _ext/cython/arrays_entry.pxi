# Arrays as a whole: new ones, whether all is finite, the least size, a choice of two.


def new_array(shape, dtype):
    """A new array that is filled slice by slice; see `_core.pyi`."""
    kind = numpy.dtype(dtype)
    if kind.char not in "fd" or not kind.isnative:
        raise TypeError(f"an array of the core holds float32 or float64, not {kind}")
    return empty(shape, kind.char == "d")


def finite(x, threads):
    """Whether no number is infinite or NaN; see `_core.pyi`."""
    cdef Memory held = memory(x, "x", dense=False)
    cdef idx cells, channels, step
    cdef int found, count = threads_of(threads)
    cdef const lrp_kernels *kernels = DOUBLES if held.is_double else FLOATS
    if held.view.ndim == 0 or held.view.len == 0:
        return held.view.len == 0 or bool(numpy.isfinite(x))
    step, channels = cell_step(held, "x"), held.extent(held.view.ndim - 1)
    cells = held.view.len // held.view.itemsize // channels
    with nogil:
        found = kernels.finite(held.view.buf, cells, channels, step, count)
    return found != 0


def least_size(x, threads):
    """The least size of a number that is not 0; see `_core.pyi`."""
    cdef Memory held = memory(x, "x", dense=False)
    cdef idx cells, channels, step
    cdef double found
    cdef int code, count = threads_of(threads)
    cdef const lrp_kernels *kernels = DOUBLES if held.is_double else FLOATS
    if held.view.ndim == 0 or held.view.len == 0:
        return float(abs(x)) or float("inf") if held.view.len else float("inf")
    step, channels = cell_step(held, "x"), held.extent(held.view.ndim - 1)
    cells = held.view.len // held.view.itemsize // channels
    with nogil:
        code = kernels.least_size(held.view.buf, cells, channels, step, &found, count)
    checked(code)
    return found


def choose(a, yes, no, threads):
    """Into `yes`, `no` where a is not more than 0; see `_core.pyi`."""
    cdef Memory where = memory(a, "a", dense=False), first = memory(yes, "yes"), second = memory(no, "no")
    cdef idx step, cells = 1, channels, samples, repeat
    cdef int axis, count = threads_of(threads)
    cdef const lrp_kernels *kernels = DOUBLES if where.is_double else FLOATS
    alike(where, first, "a and yes")
    alike(where, second, "a and no")
    if first.shape() != second.shape() or where.view.ndim < 2 or first.view.ndim != where.view.ndim:
        found = f"{where.shape()}, {first.shape()} and {second.shape()}"
        raise ValueError(f"a (samples, ..., channels), found shapes {found}")
    samples = first.extent(0)
    if first.shape()[1:] != where.shape()[1:] or samples and (not where.extent(0) or samples % where.extent(0)):
        raise ValueError(f"a of shape {where.shape()} for results of shape {first.shape()}")
    if first.view.len == 0:
        return yes
    step, channels = cell_step(where, "a"), where.extent(where.view.ndim - 1)
    for axis in range(1, where.view.ndim - 1):
        cells *= where.extent(axis)
    repeat = samples // where.extent(0)
    cdef void *to = pointer(yes)
    with nogil:
        kernels.choose(where.view.buf, step, to, second.view.buf, samples, cells, channels, repeat, count)
    return yes
