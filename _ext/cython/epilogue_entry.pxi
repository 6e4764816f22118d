# From products to outputs and factors.

cdef extern from "lrp.h" nogil:
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

COPY, POSITIVE, NEGATIVE, MAGNITUDE, ONE = LRP_COPY, LRP_POSITIVE, LRP_NEGATIVE, LRP_MAGNITUDE, LRP_ONE
MINUS, TIMES, OVER = LRP_MINUS, LRP_TIMES, LRP_OVER
EXACT, SIGNED, UNSIGNED = LRP_EXACT, LRP_SIGNED, LRP_UNSIGNED
ALL, NONNEGATIVE, NEGATIVE_ONLY = LRP_ALL, LRP_NONNEGATIVE, LRP_NEGATIVE_ONLY
SMALL, OVERFLOWED = LRP_SMALL, LRP_OVERFLOWED


cdef class Epilogue:
    """What is done with the products of a layer; see `_core.pyi`."""

    cdef Memory bias
    cdef list shares, biases
    cdef bint rectified, quotient, ready

    def __init__(self, bias, bint rectified, bint quotient, shares):
        if self.ready:
            raise ValueError("an epilogue is made once")
        self.bias = None if bias is None else memory(bias, "the bias")
        self.rectified = rectified
        self.quotient = quotient
        self.shares, self.biases = [], []
        for product, half, own, stabiliser, epsilon, where, coefficient in shares:
            product, stabiliser, where = index(product), index(stabiliser), index(where)
            known = stabiliser in (EXACT, SIGNED, UNSIGNED) and where in (ALL, NONNEGATIVE, NEGATIVE_ONLY)
            if not known or product < (1 if half else -1):
                raise ValueError(
                    f"no such share: product {product}, half {half}, stabiliser {stabiliser}, where {where}"
                )
            self.shares.append(
                (int(product), bool(half), int(stabiliser), real(epsilon), int(where), real(coefficient))
            )
            self.biases.append(None if own is None or product == 0 else memory(own, "the bias of a share"))
        if len(self.shares) > LRP_MOST_SHARES:
            raise ValueError(f"at most {LRP_MOST_SHARES} shares, found {len(self.shares)}")
        self.ready = True

    cdef const void *bias_at(self, Memory bias, lrp_epilogue *f, tuple shape, bint is_double) except? NULL:
        """Where a bias begins, after a look at its shape and type."""
        if bias is None:
            return NULL
        if bias.is_double != is_double:
            raise TypeError("a bias must have the type of the products")
        cdef idx cells = 1
        if bias.shape() == shape[1:] and len(shape) > 2:
            for extent in shape[1:-1]:
                cells *= extent
        elif bias.shape() == shape[-1:]:
            cells = 0
        else:
            raise ValueError(f"a bias must have shape {shape[-1:]} or {shape[1:]}, found {bias.shape()}")
        if f.bias_pixels != cells and f.bias_pixels != -1:
            raise ValueError("either all biases have one number for each output cell, or none has")
        f.bias_pixels = cells
        return bias.view.buf

    cdef tuple arrange(
        self, lrp_epilogue *f, int *odd, int products, tuple shape, bint is_double, object into=None, object given=()
    ):
        """Fill `f` for results of `shape`; the new arrays: (output, factors), and what must be kept while C reads it.

        What is odd about denominators is added to `odd`.

        The output may go into an array that is there, and the first products come from some.
        """
        cdef Memory held
        cdef const void *own
        if not self.ready:
            raise ValueError("an epilogue that was not made")
        kept = [memory(product, "a product") for product in given]
        if products + len(kept) > LRP_MOST_PRODUCTS:
            raise ValueError(f"at most {LRP_MOST_PRODUCTS} products, found {products + len(kept)}")
        f.givens = <int>len(kept)
        products += f.givens
        for p, held in enumerate(kept):
            if held.shape() != shape or held.is_double != is_double:
                raise ValueError(f"a product of shape {held.shape()} for an output of shape {shape}")
            f.given[p] = held.view.buf
        f.channels, f.products, f.rectified, f.quotient = shape[-1], products, self.rectified, self.quotient
        f.bias_pixels, f.placed, f.odd = -1, 0, odd
        f.bias = self.bias_at(self.bias, f, shape, is_double)
        output, f.output_step = into, 0
        if into is None:
            output = empty(shape, is_double)
        else:
            held = memory(into, "what the output goes into", dense=False)
            if held.shape() != shape or held.is_double != is_double:
                raise ValueError(f"an output of shape {shape} does not go into one of {held.shape()}, {into.dtype}")
            f.output_step = cell_step(held, "what the output goes into")
        f.output = pointer(output)
        f.shares = <int>len(self.shares)
        factors = []
        for q, (product, half, stabiliser, epsilon, where, coefficient) in enumerate(self.shares):
            if product >= products:
                raise ValueError(f"share {q} has product {product} of {products}")
            factors.append(empty(shape, is_double))
            own = self.bias_at(self.biases[q], f, shape, is_double)
            f.share[q] = lrp_share(product, half, own, stabiliser, epsilon, where, coefficient, pointer(factors[q]))
        if f.bias_pixels == -1:
            f.bias_pixels = 0
        for q in range(LRP_MOST_PRODUCTS):
            f.raw[q] = NULL
        return output, factors, kept


cdef list raw(lrp_epilogue *f, int products, tuple shape, bint is_double):
    """Fill `f` so that the products themselves are stored; the new arrays."""
    f.channels, f.products, f.rectified, f.quotient, f.shares = shape[-1], products, 0, 0, 0
    f.bias, f.bias_pixels, f.output, f.output_step, f.placed, f.givens, f.odd = NULL, 0, NULL, 0, 0, 0, NULL
    found = [empty(shape, is_double) for _ in range(products)]
    for q in range(LRP_MOST_PRODUCTS):
        f.raw[q] = pointer(found[q]) if q < products else NULL
    return found



def epilogue(Epilogue how not None, products, threads):
    """The output and the factors, from products that are there as arrays; see `_core.pyi`."""
    cdef lrp_epilogue f
    cdef const void *begins[LRP_MOST_PRODUCTS]
    cdef Memory first, held
    cdef int odd = 0, count = threads_of(threads)
    cdef idx pixels = 1
    cdef const lrp_kernels *kernels
    kept = [memory(product, "a product") for product in products]
    if not 1 <= len(kept) <= LRP_MOST_PRODUCTS:
        raise ValueError(f"1 to {LRP_MOST_PRODUCTS} products, found {len(kept)}")
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
