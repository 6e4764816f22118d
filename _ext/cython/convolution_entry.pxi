# Convolutions with prepared weights.

cdef extern from "lrp.h" nogil:
    ctypedef struct lrp_window:
        idx groups, lower, upper
        idx kernel[3]
        idx stride[3]
        idx dilation[3]
        int products
    enum lrp_algorithm:
        LRP_DIRECT, LRP_F2, LRP_F4
    ctypedef struct lrp_convolution:
        lrp_window window
        lrp_algorithm algorithm
        const void *weight[LRP_MOST_PRODUCTS]
        idx weight_stride[LRP_MOST_PRODUCTS][6]
        void *panels
        int ties

DIRECT, F2, F4 = LRP_DIRECT, LRP_F2, LRP_F4


cdef int window_of(lrp_window *window, list weights, object stride, object dilation) except -1:
    """Fill the window that weights of shape (groups, upper, lower, *kernel) look through; the number of axes."""
    cdef Memory first = weights[0], other
    cdef int axes = first.view.ndim - 3
    cdef idx size = 1
    if not 1 <= axes <= 3:
        raise ValueError(f"weights are (groups, upper, lower, *kernel) with 1 to 3 kernel axes, found {first.shape()}")
    for other in weights:
        alike(first, other, "weights")
        if other.shape() != first.shape():
            raise ValueError(f"weights of one convolution have one shape, found {first.shape()} and {other.shape()}")
    if 0 in first.shape():
        raise ValueError(f"weights without elements: {first.shape()}")
    window.groups, window.upper, window.lower = first.extent(0), first.extent(1), first.extent(2)
    window.products = <int>len(weights)
    per_axis(first.shape()[3:], "the kernel", axes, 1, window.kernel, 1)
    per_axis(whole(stride, "stride"), "stride", axes, 1, window.stride, 1)
    per_axis(whole(dilation, "dilation"), "dilation", axes, 1, window.dilation, 1)
    return axes


cdef int reach(lrp_source *source, const lrp_window *window, const idx *out) except -1:
    """The extents that `out` windows reach, in elements below MOST."""
    cdef idx size = source.channels * source.parts
    cdef int axis
    for axis in range(3):
        if window.dilation[axis] > MOST // window.kernel[axis] or out[axis] and window.stride[axis] > MOST // out[axis]:
            raise ValueError("the window reaches too far")
        source.padded[axis] = 0
        if out[axis]:
            source.padded[axis] = (out[axis] - 1) * window.stride[axis] + 1
            source.padded[axis] += (window.kernel[axis] - 1) * window.dilation[axis]
        if source.padded[axis] and size > MOST // source.padded[axis]:
            raise ValueError("the padded input is too large")
        size *= source.padded[axis] if source.padded[axis] else 1
    return 0


cdef class Convolution:
    """Products of one input with one or several weights; see `_core.pyi`."""

    cdef lrp_convolution c
    cdef const lrp_kernels *kernels
    cdef list weights
    cdef int axes
    cdef bint is_double, ready
    cdef readonly idx nbytes

    def __dealloc__(self):
        lrp_release(self.c.panels)

    def __init__(self, weights, stride, dilation, algorithm, threads, ties=False):
        cdef Memory held
        cdef int p, axis, code, count = threads_of(threads)
        if self.weights is not None:
            raise ValueError("a convolution is prepared once")
        self.weights = [memory(w, "a weight", dense=False) for w in weights]
        if not 1 <= len(self.weights) <= LRP_MOST_PRODUCTS:
            raise ValueError(f"1 to {LRP_MOST_PRODUCTS} weights, found {len(self.weights)}")
        self.axes = window_of(&self.c.window, self.weights, stride, dilation)
        algorithm = index(algorithm)
        if algorithm not in (DIRECT, F2, F4):
            raise ValueError(f"no such algorithm: {algorithm}")
        if algorithm != DIRECT and not self.is_plain():
            raise ValueError("F2 and F4 are for kernels of 3 x 3, stride and dilation 1, one group")
        self.c.algorithm = <lrp_algorithm><int>algorithm
        self.c.ties = bool(ties)
        for p, held in enumerate(self.weights):
            self.c.weight[p] = held.view.buf
            for axis in range(6):
                self.c.weight_stride[p][axis] = 0
            for axis in range(held.view.ndim):
                self.c.weight_stride[p][axis if axis < 3 else axis + 3 - self.axes] = held.stride(axis)
        held = self.weights[0]
        self.is_double = held.is_double
        self.kernels = DOUBLES if held.is_double else FLOATS
        self.nbytes = self.kernels.convolution_bytes(&self.c)
        if self.nbytes < 0:
            raise ValueError("the weights are too large")
        self.c.panels = lrp_allocate_exactly(self.nbytes)
        if self.c.panels == NULL:
            raise MemoryError(f"no memory for {self.nbytes} bytes of prepared weights")
        with nogil:
            code = self.kernels.convolution_prepare(&self.c, count)
        checked(code)
        self.ready = True
        if algorithm == DIRECT:
            self.weights = []  # no kernel reads them again

    cdef bint is_plain(self):
        cdef lrp_window *w = &self.c.window
        cdef bint plain = self.axes == 2 and w.groups == 1
        for axis in range(1, 3):
            plain = plain and w.kernel[axis] == 3 and w.stride[axis] == 1 and w.dilation[axis] == 1
        return plain

    def __call__(self, parts, before, out, Epilogue epilogue, threads, into=None, given=()):
        cdef lrp_source source
        cdef lrp_epilogue f
        cdef idx extents[3]
        cdef idx groups, lower
        cdef int code, odd = 0, count = threads_of(threads)
        if not self.ready:
            raise ValueError("a convolution that was not prepared")
        out, before = whole(out, "out"), whole(before, "before")
        kept = source_of(&source, parts, self.axes)
        cdef Memory first = kept[0]
        if first.is_double != self.is_double:
            raise TypeError("input and weights must have one type")
        groups, lower = self.c.window.groups, self.c.window.lower
        if source.channels % groups or source.channels * source.parts != lower * groups:
            raise ValueError(
                f"{source.parts} parts of {source.channels} channels for weights with {groups} groups of {lower}"
            )
        source.groups = self.c.window.groups
        per_axis(before, "before", self.axes, -MOST, source.before, 0)
        per_axis(out, "out", self.axes, 0, extents, 1)
        reach(&source, &self.c.window, extents)
        shape = (source.samples, *out, self.c.window.groups * self.c.window.upper)
        if epilogue is None:
            results = raw(&f, self.c.window.products, shape, self.is_double)
        else:
            *results, used = epilogue.arrange(&f, &odd, self.c.window.products, shape, self.is_double, into, given)
        with nogil:
            code = self.kernels.convolution_run(&self.c, &source, extents, &f, count)
        checked(code)
        return results if epilogue is None else (*results, odd)
