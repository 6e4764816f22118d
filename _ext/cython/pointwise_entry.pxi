# Functions of each element.

cdef extern from "lrp.h" nogil:
    enum lrp_function:
        LRP_RELU, LRP_LEAKY, LRP_CLIP, LRP_HARD_SIGMOID, LRP_HARD_SWISH, LRP_SOFTSIGN, LRP_ABS, LRP_THRESHOLD
        LRP_SHRINK, LRP_SIGMOID, LRP_SILU, LRP_GELU, LRP_GELU_TANH, LRP_TANH, LRP_SOFTPLUS, LRP_LOG_SIGMOID
        LRP_ELU, LRP_CELU, LRP_MISH
        LRP_PRODUCT, LRP_PRELU, LRP_AFFINE, LRP_SHARE, LRP_FUNCTIONS
    enum:
        LRP_MOST_AXES, LRP_MOST_OPERANDS
    ctypedef struct lrp_pointwise:
        lrp_function function
        double number[2]
        int axes, operands
        idx extent[LRP_MOST_AXES]
        const void *x[LRP_MOST_OPERANDS]
        idx step[LRP_MOST_OPERANDS][LRP_MOST_AXES]
        void *y
        idx y_step[LRP_MOST_AXES]

RELU, LEAKY, CLIP, HARD_SIGMOID, HARD_SWISH = LRP_RELU, LRP_LEAKY, LRP_CLIP, LRP_HARD_SIGMOID, LRP_HARD_SWISH
SOFTSIGN, ABS, THRESHOLD, SHRINK = LRP_SOFTSIGN, LRP_ABS, LRP_THRESHOLD, LRP_SHRINK
SIGMOID, SILU, GELU, GELU_TANH, TANH, SOFTPLUS = LRP_SIGMOID, LRP_SILU, LRP_GELU, LRP_GELU_TANH, LRP_TANH, LRP_SOFTPLUS
LOG_SIGMOID, ELU, CELU, MISH = LRP_LOG_SIGMOID, LRP_ELU, LRP_CELU, LRP_MISH
PRODUCT, PRELU, AFFINE, SHARE = LRP_PRODUCT, LRP_PRELU, LRP_AFFINE, LRP_SHARE


cdef class Pointwise:
    """A function of elements; see `_core.pyi`."""

    cdef lrp_pointwise how
    cdef bint ready

    def __init__(self, function, first=0.0, second=0.0):
        code = index(function)
        if not 0 <= code < LRP_FUNCTIONS:
            raise ValueError(f"no such function: {code}")
        self.how.function = <lrp_function><int>code
        self.how.number[0], self.how.number[1] = real(first), real(second)
        self.how.operands = 1 + (code >= PRODUCT) + (code >= AFFINE)
        self.ready = True

    def __call__(self, *operands, threads, into=None):
        cdef lrp_pointwise p
        cdef int o, count = threads_of(threads)
        cdef Memory held, first
        cdef const lrp_kernels *kernels
        if not self.ready or len(operands) != self.how.operands:
            raise ValueError(f"{self.how.operands} arrays are needed, found {len(operands)}")
        p = self.how
        kept = [memory(x, "an operand", False) for x in operands]
        first = kept[0]
        for held in kept[1:]:
            alike(first, held, "the operands")
        broadcast(&p, kept)
        order = order_of(&p)
        output = fitting(&p, order, first.is_double) if into is None else into
        held = memory(output, "the output", False)
        placed(&p, held, first.is_double)
        if held.view.len:
            joined(&p, order)
            kernels = DOUBLES if first.is_double else FLOATS
            with nogil:
                kernels.pointwise(&p, count)
        return output


cdef int broadcast(lrp_pointwise *p, list kept) except -1:
    """Extents that all operands broadcast to, and their steps there."""
    cdef Memory held
    cdef int axis, own, o
    p.axes = 0
    for held in kept:
        p.axes = max(p.axes, held.view.ndim)
    if p.axes > LRP_MOST_AXES:
        raise ValueError(f"at most {LRP_MOST_AXES} axes, found {p.axes}")
    for axis in range(p.axes):
        p.extent[axis] = 1
        for held in kept:
            own = axis - p.axes + held.view.ndim
            if own >= 0 and held.view.shape[own] != 1:
                if p.extent[axis] not in (1, held.view.shape[own]):
                    raise ValueError(f"an array of shape {held.shape()} does not broadcast with those before it")
                p.extent[axis] = held.view.shape[own]
    for o, held in enumerate(kept):
        p.x[o] = held.view.buf
        for axis in range(p.axes):
            own = axis - p.axes + held.view.ndim
            p.step[o][axis] = 0
            if own >= 0 and held.view.shape[own] > 1:
                p.step[o][axis] = held.view.strides[own] // held.view.itemsize
    return 0


cdef list order_of(lrp_pointwise *p):
    """The axes from the outermost in memory inwards: of the first operand with all elements, else as they are."""
    cdef int o, axis, place
    for o in range(p.operands):
        for axis in range(p.axes):
            if p.extent[axis] > 1 and p.step[o][axis] == 0:
                break
        else:
            found = []
            for axis in range(p.axes):  # a few: put each where it belongs
                place = len(found)
                while place and p.extent[axis] > 1 and abs(p.step[o][<int>found[place - 1]]) < abs(p.step[o][axis]):
                    place -= 1
                found.insert(place, axis)
            return found
    return list(range(p.axes))


cdef object fitting(lrp_pointwise *p, list order, bint is_double):
    """A new array whose axes lie in memory in this order."""
    cdef int axis, place
    cdef bint plain = True
    for place in range(p.axes):
        plain = plain and <int>order[place] == place
    found = empty(tuple([p.extent[<int>axis] for axis in order]), is_double)
    if plain:
        return found
    turned = [0] * p.axes
    for place in range(p.axes):
        turned[<int>order[place]] = place
    return found.transpose(turned)


cdef int placed(lrp_pointwise *p, Memory held, bint is_double) except -1:
    """Where the output goes."""
    cdef int axis
    shape = tuple([p.extent[axis] for axis in range(p.axes)])
    if held.is_double != is_double or held.shape() != shape:
        raise ValueError(f"an output of shape {shape} does not go into one of {held.shape()}")
    for axis in range(p.axes):
        p.y_step[axis] = held.view.strides[axis] // held.view.itemsize
        if held.view.readonly or held.view.len and p.extent[axis] > 1 and p.y_step[axis] == 0:
            raise ValueError("the output cannot be written element by element")
    p.y = held.view.buf
    return 0


cdef int joined(lrp_pointwise *p, list order) except -1:
    """Axes from the outermost to the innermost, those that run on in all arrays as one."""
    cdef lrp_pointwise old = p[0]
    cdef int place, axis, o, last = -1
    cdef bint runs
    for place in order:
        axis = place
        if old.extent[axis] == 1:
            continue
        runs = last >= 0 and p.y_step[last] == old.y_step[axis] * old.extent[axis]
        for o in range(p.operands):
            runs = runs and p.step[o][last] == old.step[o][axis] * old.extent[axis]
        if runs:
            p.extent[last] *= old.extent[axis]
        else:
            last += 1
            p.extent[last] = old.extent[axis]
        p.y_step[last] = old.y_step[axis]
        for o in range(p.operands):
            p.step[o][last] = old.step[o][axis]
    p.axes = last + 1
    if not p.axes:
        p.axes = p.extent[0] = 1
        p.y_step[0] = 0
        for o in range(p.operands):
            p.step[o][0] = 0
    return 0
