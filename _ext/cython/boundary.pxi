# What stands between Python and C: the declarations of lrp.h, arrays as memory, checks that all functions share.

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE
from cpython.buffer cimport PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer

# What follows declares as much of lrp.h as Cython has to know. The header wins: the C compiler takes sizes, offsets and
# the order of members from there, so members may be left out here, and one that is misspelled does not compile.
cdef extern from "lrp.h" nogil:
    ctypedef Py_ssize_t idx
    int LRP_OK, LRP_NO_MEMORY
    enum:
        LRP_MOST_SHARES, LRP_MOST_PRODUCTS, LRP_MOST_PARTS
    void *lrp_allocate(size_t)
    void *lrp_allocate_exactly(size_t)
    void lrp_release(void *)

    enum lrp_feature:
        LRP_COPY, LRP_POSITIVE, LRP_NEGATIVE, LRP_MAGNITUDE, LRP_ONE, LRP_MINUS, LRP_TIMES, LRP_OVER
    ctypedef struct lrp_part:
        const void *x
        lrp_feature feature
        const void *operand
        idx operand_cell, operand_channel, operand_sample, repeat, x_cell
    ctypedef struct lrp_source:
        idx samples, channels, groups
        idx cells[3]
        idx before[3]
        idx padded[3]
        int parts
        lrp_part part[LRP_MOST_PARTS]

    enum lrp_stabiliser:
        LRP_EXACT, LRP_SIGNED, LRP_UNSIGNED
    enum lrp_where:
        LRP_ALL, LRP_NONNEGATIVE, LRP_NEGATIVE_ONLY
    enum lrp_odd:
        LRP_SMALL, LRP_OVERFLOWED
    ctypedef struct lrp_share:
        int product, half
        const void *bias
        lrp_stabiliser stabiliser
        double epsilon
        lrp_where where
        double coefficient
        void *factor
    ctypedef struct lrp_epilogue:
        idx channels, bias_pixels
        const void *given[LRP_MOST_PRODUCTS]
        int products, givens, rectified, quotient, shares, placed
        const void *bias
        void *output
        idx output_step
        lrp_share share[LRP_MOST_SHARES]
        int *odd
        void *raw[LRP_MOST_PRODUCTS]

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

    ctypedef struct lrp_scatter:
        lrp_window window
        const void *weight[LRP_MOST_PRODUCTS]
        idx weight_stride[LRP_MOST_PRODUCTS][6]
        void *panels
        void *phases
    idx lrp_scatter_phases(const lrp_window *)

    ctypedef struct lrp_pool:
        idx samples, channels, repeat
        idx cells[3]
        idx out[3]
        idx kernel[3]
        idx stride[3]
        idx dilation[3]
        idx before[3]

    ctypedef struct lrp_dense:
        const void *x
        const void *weight
        int transposed, absolute
        const void *total
        const void *mask
        void *y
        idx samples, lower, upper, repeat
    int LRP_COLUMNS
    ctypedef struct lrp_account_share:
        const void *factor
        const void *bias
        const void *size
        int alike, sign
        double tilt
        lrp_stabiliser stabiliser
        const double *epsilons
        double epsilon, coefficient
    ctypedef struct lrp_account:
        idx samples, targets, cells, channels, message_cell, output_cell
        int quotient, bias_cells, shares
        const void *message
        const void *output
        const void *bias
        lrp_account_share share[LRP_MOST_SHARES]
        double *columns
    ctypedef struct lrp_lstm:
        idx directions, features, hidden
        int backwards[2]
        int all_gates, booked
        void *panels
    enum lrp_product:
        LRP_SIGNAL, LRP_PROPORTIONAL, LRP_ABSOLUTE, LRP_HALF
    enum lrp_returns:
        LRP_LAST, LRP_EVERY, LRP_CELL
    ctypedef struct lrp_lstm_rule:
        lrp_product product
        int before
        double product_epsilon, epsilon, sum_epsilon
    ctypedef struct lrp_lstm_pass:
        idx samples, steps, targets
        lrp_returns returns
        lrp_lstm_rule rule
        const void *x
        const idx *lengths
        const void *first_hidden
        const void *first_cell
        void *output
        int *odd
        void *hidden
        void *factors
    ctypedef struct lrp_lstm_back:
        const void *message
        void *x
        void *first_hidden
        void *first_cell
        double *columns
        double *details[4]

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

    ctypedef struct lrp_kernels:
        const char *instruction_set
        idx (*convolution_bytes)(const lrp_convolution *) noexcept nogil
        int (*convolution_prepare)(const lrp_convolution *, int) noexcept nogil
        int (*convolution_run)(
            const lrp_convolution *, const lrp_source *, const idx *, const lrp_epilogue *, int
        ) noexcept nogil
        idx (*scatter_bytes)(const lrp_scatter *) noexcept nogil
        int (*scatter_prepare)(const lrp_scatter *, int) noexcept nogil
        int (*scatter_run)(
            const lrp_scatter *, const lrp_source *, const idx *, const idx *, void *const *, int
        ) noexcept nogil
        void (*epilogue_arrays)(const lrp_epilogue *, const void *const *, idx, int) noexcept nogil
        int (*account)(const lrp_account *, int) noexcept nogil
        int (*dense)(const lrp_dense *, int) noexcept nogil
        int (*finite)(const void *, idx, idx, idx, int) noexcept nogil
        int (*least_size)(const void *, idx, idx, idx, double *, int) noexcept nogil
        void (*choose)(const void *, idx, void *, const void *, idx, idx, idx, idx, int) noexcept nogil
        void (*pool)(const lrp_pool *, const void *, void *, void *, int, int) noexcept nogil
        int (*unpool)(const lrp_pool *, const void *, void *, const void *, int, int) noexcept nogil
        idx (*lstm_bytes)(const lrp_lstm *) noexcept nogil
        void (*lstm_prepare)(const lrp_lstm *, const void *, const void *, const void *) noexcept nogil
        idx (*lstm_padded)(idx) noexcept nogil
        int (*lstm_forward)(const lrp_lstm *, const lrp_lstm_pass *, int) noexcept nogil
        int (*lstm_relevance)(const lrp_lstm *, const lrp_lstm_pass *, const lrp_lstm_back *, int) noexcept nogil
        void (*pointwise)(const lrp_pointwise *, int) noexcept nogil
        int (*norm)(const lrp_norm *, int) noexcept nogil
        void (*norm_back)(const lrp_norm_back *, int) noexcept nogil
    const lrp_kernels *lrp_choose(const char *, int)

# More than this many elements in one array, and an offset in bytes might not fit.
cdef idx MOST = (<size_t>-1) >> 5

cdef bytes _most = os.fsencode(os.environ.get("LRP_REF_INSTRUCTION_SET", ""))
cdef const lrp_kernels *FLOATS = lrp_choose(<const char *>_most, 0)
cdef const lrp_kernels *DOUBLES = lrp_choose(<const char *>_most, 1)
instruction_set = FLOATS.instruction_set.decode()


cdef class Memory:
    """An array's memory, held through the buffer protocol: NumPy's headers and binary interface are not needed."""

    cdef Py_buffer view
    cdef bint held
    cdef bint is_double

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)

    cdef idx extent(self, int axis):
        return self.view.shape[axis]

    cdef tuple shape(self):
        return tuple([self.view.shape[axis] for axis in range(self.view.ndim)])

    cdef idx stride(self, int axis):
        """In elements."""
        return self.view.strides[axis] // self.view.itemsize


cdef bint lies_dense(Py_buffer *view, bint fortran):
    """Whether numbers lie together, with the last axis running fastest, or (`fortran`) the first."""
    cdef idx expected = view.itemsize
    cdef int axis, i
    if view.len == 0:
        return True
    for i in range(view.ndim):
        axis = i if fortran else view.ndim - 1 - i
        if view.shape[axis] != 1 and view.strides[axis] != expected:
            return False
        expected *= view.shape[axis]
    return True


cdef int layout(Py_buffer *view, str what, bint dense) except -1:
    """Refuse memory that no kernel reads: all of it is asked of the buffer, whatever the array says of itself."""
    cdef idx reach = <idx>view.buf
    cdef int axis
    if dense and not lies_dense(view, False):
        strides = tuple([view.strides[axis] for axis in range(view.ndim)])
        raise ValueError(f"{what} must be C-contiguous, found strides {strides}")
    for axis in range(view.ndim):
        if view.shape[axis] > 1:
            reach |= view.strides[axis]
    if view.len and reach % view.itemsize:
        raise ValueError(f"{what} is not aligned")
    if view.len // view.itemsize > MOST:
        raise ValueError(f"{what} is too large")
    return 0


cdef Memory memory(object array, str what, bint dense=True):
    """The memory of a float array; `dense`: C-contiguous."""
    if not isinstance(array, numpy.ndarray):
        raise TypeError(f"{what} must be an array, found {type(array).__name__}")
    if array.dtype.char not in "fd" or not array.dtype.isnative:
        raise TypeError(f"{what} must be float32 or float64, found {array.dtype}")
    cdef Memory held = Memory()
    PyObject_GetBuffer(array, &held.view, PyBUF_STRIDES | PyBUF_FORMAT)
    held.held = True
    cdef const char *spelled = held.view.format
    if spelled[0] == b"=" or spelled[0] == b"@":  # of what is not aligned
        spelled += 1
    held.is_double = spelled[0] == b"d"
    cdef idx size = 8 if held.is_double else 4
    if (spelled[0] != b"f" and spelled[0] != b"d") or spelled[1] != 0 or held.view.itemsize != size:
        raise TypeError(f"{what} must be float32 or float64, found a buffer of {held.view.format}")
    layout(&held.view, what, dense)
    return held


cdef idx cell_step(Memory held, str what) except -1:
    """From cell to cell of an array (samples, *cells, channels), dense or a slice of the channels of one that is."""
    cdef int axis, last = held.view.ndim - 1
    cdef idx step = held.extent(last), expected = -1
    if held.view.len == 0:
        return step
    if held.extent(last) > 1 and held.stride(last) != 1:
        raise ValueError(f"the channels of {what} must lie together")
    for axis in range(last - 1, -1, -1):
        if held.extent(axis) == 1:
            continue
        if expected == -1:
            step = expected = held.stride(axis)
        if held.stride(axis) != expected or expected < held.extent(last):
            raise ValueError(f"{what} must be dense, or a slice of the channels of what is")
        expected *= held.extent(axis)
    return step


cdef int alike(Memory one, Memory other, str what) except -1:
    """Both have one element type."""
    if one.is_double != other.is_double:
        raise TypeError(f"{what}: float32 and float64 in one call")
    return 0


cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object, int *) except? -1


cdef tuple whole(object values, str what):
    """Whole numbers that fit the core, as a tuple: what is read once is checked and used alike."""
    cdef int over = 0
    cdef long long held
    if type(values) is tuple:  # as most are: looked at, and that is all
        for value in <tuple>values:
            held = PyLong_AsLongLongAndOverflow(value, &over) if type(value) is int else 0
            if type(value) is not int or over or not -MOST <= held <= MOST:
                break
        else:
            return values
    found = []
    for value in values:
        number = index(value)
        if not -MOST <= number <= MOST:
            raise ValueError(f"{what} out of range: {number if abs(number) < 1 << 70 else 'a number beyond 2**70'}")
        found.append(number)
    return tuple(found)


cdef object empty(shape, bint is_double):
    """A new array, or MemoryError; ValueError where no memory could hold it."""
    cdef idx extent, size = 1
    cdef tuple extents = whole(shape, "extents")
    for extent in extents:
        if extent < 0:
            raise ValueError(f"negative extents: {extents}")
        if extent and size > MOST // extent:
            raise ValueError(f"an array of shape {extents} is too large")
        size *= extent if extent else 1
    cdef idx item = 8 if is_double else 4
    if size * item < KEPT:
        return numpy.empty(extents, "f8" if is_double else "f4")
    return numpy.ndarray(extents, "f8" if is_double else "f4", Block(size * item))


# Smaller arrays are NumPy's own: their memory comes back fast, and a block has a cost of its own.
cdef idx KEPT = 1 << 16


cdef extern from "Python.h":
    int PyTraceMalloc_Track(unsigned int domain, size_t address, size_t size)
    int PyTraceMalloc_Untrack(unsigned int domain, size_t address)


cdef class Block:
    """Memory of a new array. It is kept when the array goes, for one of the next call: large blocks that go back to the
    system come again as pages that have to be cleared, which took a third of the time of small networks."""

    cdef void *memory
    cdef Py_ssize_t bytes

    def __cinit__(self, Py_ssize_t size):
        self.bytes = size
        self.memory = lrp_allocate(size)
        if self.memory == NULL:
            raise MemoryError(f"no memory for an array of {size} bytes")
        PyTraceMalloc_Track(DOMAIN, <size_t>self.memory, size)

    def __dealloc__(self):
        if self.memory != NULL:
            PyTraceMalloc_Untrack(DOMAIN, <size_t>self.memory)
            lrp_release(self.memory)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.memory, self.bytes, 0, flags)


# Where tracemalloc counts it: "lrp" in ASCII.
cdef unsigned int DOMAIN = 0x6c7270



cdef void *pointer(object array) except? NULL:
    """Where a new, dense array of ours begins. The caller keeps the array."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES | PyBUF_WRITABLE)
    cdef void *found = view.buf
    PyBuffer_Release(&view)
    return found


cdef double real(object value) except? -1:
    """A number that a double can hold."""
    try:
        return float(value)
    except OverflowError:
        raise ValueError("a number is too large") from None


cdef int threads_of(object threads) except -1:
    number = index(threads)
    if number < 1:
        raise ValueError(f"threads must be at least 1, found {number}")
    return min(number, 256)


cdef int per_axis(tuple values, str what, int axes, idx least, idx *to, idx leading) except -1:
    """One number (of `whole`) for each axis, behind leading axes of `leading`: `to` has three entries."""
    cdef int axis
    if len(values) != axes:
        raise ValueError(f"{what} must have {axes} entries, found {values}")
    for axis in range(3 - axes):
        to[axis] = leading
    for axis in range(axes):
        to[3 - axes + axis] = values[axis]
        if to[3 - axes + axis] < least:
            raise ValueError(f"{what} out of range: {values}")
    return 0


cdef int checked(int code) except -1:
    """What a function of the core returned."""
    if code == LRP_NO_MEMORY:
        raise MemoryError("no memory for the scratch of a kernel")
    return 0
