# What is no convolution: products that are there, dense layers, pooling windows.


def epilogue(Epilogue how not None, products, threads):
    """The output and the factors, from products that are there as arrays; see `_core.pyi`."""
    cdef lrp_epilogue f
    cdef const void *begins[4]
    cdef Memory first, held
    cdef int odd = 0, count = threads_of(threads)
    cdef idx pixels = 1
    cdef const lrp_kernels *kernels
    kept = [memory(product, "a product") for product in products]
    if not 1 <= len(kept) <= 4:
        raise ValueError(f"1 to 4 products, found {len(kept)}")
    first = kept[0]
    if first.view.ndim < 2:
        raise ValueError(f"products are (samples, ..., channels), found {first.shape()}")
    for p, held in enumerate(kept):
        alike(first, held, "the products")
        if held.shape() != first.shape():
            raise ValueError(f"products must have one shape, found {first.shape()} and {held.shape()}")
        begins[p] = held.view.buf
    output, factors, _ = how.arrange(&f, &odd, <int>len(kept), first.shape(), first.is_double)
    for axis in range(first.view.ndim - 1):
        pixels *= first.extent(axis)
    kernels = DOUBLES if first.is_double else FLOATS
    with nogil:
        kernels.epilogue_arrays(&f, begins, pixels, count)
    return output, factors, odd


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
        raise ValueError(f"a (samples, ..., channels), found shapes {where.shape()}, {first.shape()} and {second.shape()}")
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


def rows(x, weight, threads, total=None, wanted=None, bint absolute=False):
    """x @ weight, added to `total`; see `_core.pyi`."""
    cdef Memory a = memory(x, "x"), w = memory(weight, "the weight", dense=False), before = None, asked = None
    cdef int code, count = threads_of(threads)
    cdef const lrp_kernels *kernels = DOUBLES if a.is_double else FLOATS
    cdef lrp_dense r
    alike(a, w, "x and the weight")
    if a.view.ndim != 2 or w.view.ndim != 2 or a.extent(1) != w.extent(0):
        raise ValueError(f"x (samples, lower) and a weight (lower, upper), found {a.shape()} and {w.shape()}")
    r.transposed = not lies_dense(&w.view, False)
    if r.transposed and not lies_dense(&w.view, True):
        raise ValueError(f"the weight must be C- or Fortran-contiguous, found strides {weight.strides}")
    r.x, r.weight, r.total, r.mask = a.view.buf, w.view.buf, NULL, NULL
    r.absolute = absolute
    r.samples, r.lower, r.upper, r.repeat = a.extent(0), a.extent(1), w.extent(1), 1
    shape = (r.samples, r.upper)
    if total is not None:
        before = memory(total, "the total")
        alike(a, before, "x and the total")
        if before.shape() != shape:
            raise ValueError(f"a total of shape {shape}, found {before.shape()}")
        r.total = before.view.buf
    if wanted is not None:
        asked = memory(wanted, "what is wanted")
        alike(a, asked, "x and what is wanted")
        if asked.view.ndim != 2 or asked.extent(1) != r.upper or r.samples and (not asked.extent(0) or r.samples % asked.extent(0)):
            raise ValueError(f"what is wanted of shape {asked.shape()} for a result of shape {shape}")
        r.mask = asked.view.buf
        r.repeat = r.samples // asked.extent(0) if r.samples else 1
    result = empty(shape, a.is_double)
    r.y = pointer(result)
    with nogil:
        code = kernels.dense(&r, count)
    checked(code)
    return result
