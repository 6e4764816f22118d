# What stands between Python and C: arrays as memory, and the checks that all functions share.

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE
from cpython.buffer cimport PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer

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
