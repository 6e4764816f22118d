# What is no convolution: products that are there, dense layers, pooling windows.


def finish(Finish how, products, threads):
    """The output and the factors, from products that are there as arrays; see `_ext.pyi`."""
    cdef lrp_finish f
    cdef const void *begins[4]
    cdef Memory first, held
    cdef int count = threads_of(threads)
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
    output, factors = how.arrange(&f, <int>len(kept), first.shape(), first.is_double)
    for axis in range(first.view.ndim - 1):
        pixels *= first.extent(axis)
    kernels = DOUBLES if first.is_double else FLOATS
    with nogil:
        kernels.finish_arrays(&f, begins, pixels, count)
    return output, factors


def rows(x, weight, threads, total=None):
    """x @ weight, added to `total`; see `_ext.pyi`."""
    cdef Memory a = memory(x, "x"), w = memory(weight, "the weight", dense=False), before = None
    cdef int transposed, code, count = threads_of(threads)
    cdef const lrp_kernels *kernels = DOUBLES if a.is_double else FLOATS
    cdef const void *added = NULL
    cdef void *y
    alike(a, w, "x and the weight")
    if a.view.ndim != 2 or w.view.ndim != 2 or a.extent(1) != w.extent(0):
        raise ValueError(f"x (samples, lower) and a weight (lower, upper), found {a.shape()} and {w.shape()}")
    transposed = not weight.flags.c_contiguous
    if transposed and not weight.flags.f_contiguous:
        raise ValueError(f"the weight must be C- or Fortran-contiguous, found strides {weight.strides}")
    shape = (a.extent(0), w.extent(1))
    if total is not None:
        before = memory(total, "the total")
        alike(a, before, "x and the total")
        if before.shape() != shape:
            raise ValueError(f"a total of shape {shape}, found {before.shape()}")
        added = before.view.buf
    result = empty(shape, a.is_double)
    y = pointer(result)
    cdef idx samples = a.extent(0), lower = a.extent(1), upper = w.extent(1)
    with nogil:
        code = kernels.rows(a.view.buf, w.view.buf, transposed, added, y, samples, lower, upper, count)
    checked(code)
    return result
