# Adjoints of convolutions with prepared weights.

cdef extern from "lrp.h" nogil:
    idx lrp_scatter_phases(const lrp_window *)
    ctypedef struct lrp_scatter:
        lrp_window window
        const void *weight[LRP_MOST_PRODUCTS]
        idx weight_stride[LRP_MOST_PRODUCTS][6]
        void *panels
        void *phases


cdef int check_extents(const lrp_source *source, const lrp_window *window, const idx *spatial) except -1:
    """No offset in the result with its margins, or in what is scattered, overflows."""
    cdef idx size = max(source.channels * source.parts, window.groups * window.upper)
    cdef int axis
    cdef idx cells
    for axis in range(3):
        cells = max(source.cells[axis], 1)
        if window.dilation[axis] > MOST // window.kernel[axis] or window.stride[axis] > MOST // cells:
            raise ValueError("the window reaches too far")
        extent = spatial[axis] + source.cells[axis] + window.dilation[axis] * (window.kernel[axis] - 1)
        if size > MOST // max(extent, 1):
            raise ValueError("the result is too large")
        size *= max(extent, 1)
    return 0


cdef class Scatter:
    """The adjoint of a convolution, of any stride; see `_core.pyi`."""

    cdef lrp_scatter s
    cdef const lrp_kernels *kernels
    cdef list weights
    cdef int axes
    cdef bint is_double, ready
    cdef readonly idx nbytes

    def __dealloc__(self):
        lrp_release(self.s.panels)
        lrp_release(self.s.phases)

    def __init__(self, weights, stride, dilation, threads):
        cdef Memory held
        cdef int p, axis, code, count = threads_of(threads)
        if self.weights is not None:
            raise ValueError("a scatter is prepared once")
        self.weights = [memory(w, "a weight", dense=False) for w in weights]
        if not 1 <= len(self.weights) <= LRP_MOST_PRODUCTS:
            raise ValueError(f"1 to {LRP_MOST_PRODUCTS} weights, found {len(self.weights)}")
        self.axes = window_of(&self.s.window, self.weights, stride, dilation)
        for p, held in enumerate(self.weights):
            self.s.weight[p] = held.view.buf
            for axis in range(6):
                self.s.weight_stride[p][axis] = 0
            for axis in range(held.view.ndim):
                self.s.weight_stride[p][axis if axis < 3 else axis + 3 - self.axes] = held.stride(axis)
        held = self.weights[0]
        self.is_double = held.is_double
        self.kernels = DOUBLES if held.is_double else FLOATS
        self.nbytes = self.kernels.scatter_bytes(&self.s)
        if self.nbytes < 0:
            raise ValueError("the weights are too large")
        self.s.panels = lrp_allocate_exactly(self.nbytes)
        self.s.phases = lrp_allocate_exactly(lrp_scatter_phases(&self.s.window) * sizeof(lrp_convolution))
        if self.s.panels == NULL or self.s.phases == NULL:
            raise MemoryError(f"no memory for {self.nbytes} bytes of prepared weights")
        with nogil:
            code = self.kernels.scatter_prepare(&self.s, count)
        checked(code)
        self.ready = True
        self.weights = []  # no kernel reads them again

    def __call__(self, parts, before, spatial, threads):
        cdef lrp_source source
        cdef lrp_window *w = &self.s.window
        cdef idx extents[3]
        cdef idx cut[3]
        cdef void *results[LRP_MOST_PRODUCTS]
        cdef int p, code, count = threads_of(threads)
        if not self.ready:
            raise ValueError("a scatter that was not prepared")
        before, spatial = whole(before, "before"), whole(spatial, "spatial")
        kept = source_of(&source, parts, self.axes)
        cdef Memory first = kept[0]
        if first.is_double != self.is_double:
            raise TypeError("what is scattered and the weights must have one type")
        if source.channels % w.groups or source.channels * source.parts != w.lower * w.groups:
            raise ValueError(
                f"{source.parts} parts of {source.channels} channels for weights with {w.groups} groups of {w.lower}"
            )
        source.groups = w.groups
        per_axis(before, "before", self.axes, -MOST, cut, 0)
        per_axis(spatial, "spatial", self.axes, 0, extents, 1)
        check_extents(&source, w, extents)
        shape = (source.samples, *spatial, w.groups * w.upper)
        found = [empty(shape, self.is_double) for _ in range(w.products)]
        for p in range(w.products):
            results[p] = pointer(found[p])
        with nogil:
            code = self.kernels.scatter_run(&self.s, &source, cut, extents, results, count)
        checked(code)
        return found
