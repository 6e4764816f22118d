# Dense layers.

cdef extern from "lrp.h" nogil:
    ctypedef struct lrp_dense:
        const void *x
        const void *weight
        int transposed, absolute
        const void *total
        const void *mask
        void *y
        idx samples, lower, upper, repeat


def dense(x, weight, threads, total=None, mask=None, bint absolute=False):
    """x @ weight, added to `total`; see `_core.pyi`."""
    cdef Memory a = memory(x, "x"), w = memory(weight, "the weight", dense=False), before = None, asked = None
    cdef int code, count = threads_of(threads)
    cdef const lrp_kernels *kernels = DOUBLES if a.is_double else FLOATS
    cdef lrp_dense r
    cdef idx rows
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
    if mask is not None:
        asked = memory(mask, "the mask")
        alike(a, asked, "x and the mask")
        rows = asked.extent(0) if asked.view.ndim else 0
        if asked.view.ndim != 2 or asked.extent(1) != r.upper or r.samples and (not rows or r.samples % rows):
            raise ValueError(f"a mask of shape {asked.shape()} for a result of shape {shape}")
        r.mask = asked.view.buf
        r.repeat = r.samples // asked.extent(0) if r.samples else 1
    result = empty(shape, a.is_double)
    r.y = pointer(result)
    with nogil:
        code = kernels.dense(&r, count)
    checked(code)
    return result
