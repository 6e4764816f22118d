# What a step accounts for.

cdef extern from "lrp.h" nogil:
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


cdef class Accounting:
    """Shares, as far as an account needs them; see `_core.pyi`."""

    cdef list shares
    cdef Memory bias
    cdef bint quotient

    def __init__(self, bias, bint quotient, shares):
        self.bias = None if bias is None else memory(bias, "the bias")
        self.quotient = quotient
        self.shares = []
        for own, stabiliser, epsilon, coefficient, alike, tilt, sign in shares:
            if stabiliser not in (EXACT, SIGNED, UNSIGNED) or sign not in (-1, 1):
                raise ValueError(f"no such share: stabiliser {stabiliser}, sign {sign}")
            held = None if own is None else memory(own, "the bias of a share")
            self.shares.append(
                (held, int(stabiliser), float(epsilon), float(coefficient), bool(alike), float(tilt), int(sign))
            )
        if len(self.shares) > LRP_MOST_SHARES:
            raise ValueError(f"at most {LRP_MOST_SHARES} shares, found {len(self.shares)}")

    cdef const void *bias_at(self, Memory bias, lrp_account *k, tuple sample, bint is_double) except? NULL:
        """Where a bias begins, after a look at its shape and type."""
        if bias is None:
            return NULL
        if bias.is_double != is_double:
            raise TypeError("a bias must have the type of the message")
        cells = bias.shape() == sample and len(sample) > 1
        if not cells and bias.shape() != sample[-1:]:
            raise ValueError(f"a bias must have shape {sample[-1:]} or {sample}, found {bias.shape()}")
        if k.bias_cells not in (-1, cells):
            raise ValueError("either all biases have one number for each output cell, or none has")
        k.bias_cells = cells
        return bias.view.buf

    def __call__(self, message, output, factors, epsilons, sizes, threads):
        """The columns of a booking, (samples, targets, 8) in float64; see `_core.pyi`."""
        cdef lrp_account k
        cdef lrp_account_share *to
        cdef Memory held = memory(message, "the message", dense=False), other, first = held
        cdef int code, q, count = threads_of(threads)
        cdef const lrp_kernels *kernels = DOUBLES if first.is_double else FLOATS
        shape = first.shape()
        if len(shape) < 3 or not len(factors) == len(epsilons) == len(sizes) == len(self.shares):
            raise ValueError(f"a message (samples, targets, ..., channels) and an entry for each share, found {shape}")
        sample, below, kept = shape[2:], (shape[0], *shape[2:]), [held]
        k.samples, k.targets, k.channels, k.cells = shape[0], shape[1], shape[-1], 1
        for extent in shape[2:-1]:
            k.cells *= extent
        k.quotient, k.bias_cells, k.shares = self.quotient, -1, <int>len(self.shares)
        k.message, k.message_cell = first.view.buf, cell_step(first, "the message")
        k.output, k.output_cell = NULL, k.channels
        if output is not None:
            held = account_array(output, "the output", below, first.is_double, False)
            k.output, k.output_cell = held.view.buf, cell_step(held, "the output")
            kept.append(held)
        elif self.quotient:
            raise ValueError("a message c needs the output")
        k.bias = self.bias_at(self.bias, &k, sample, first.is_double)
        for q in range(k.shares):
            own, stabiliser, epsilon, coefficient, alike, tilt, sign = self.shares[q]
            to = &k.share[q]
            held = account_array(factors[q], "a factor", below, first.is_double, True)
            kept.append(held)
            to.factor, to.size, to.epsilon, to.epsilons = held.view.buf, NULL, epsilon, NULL
            if epsilons[q] is not None:
                other = memory(epsilons[q], "the stabilisers")
                if other.shape() != shape[:1] or not other.is_double:
                    raise ValueError(f"stabilisers are float64 of shape {shape[:1]}, found {other.shape()}")
                to.epsilons = <const double *>other.view.buf
                kept.append(other)
            to.bias = self.bias_at(own, &k, sample, first.is_double)
            to.stabiliser, to.coefficient, to.alike, to.tilt, to.sign = stabiliser, coefficient, alike, tilt, sign
            if sizes[q] is not None:
                held = account_array(sizes[q], "a size", below, first.is_double, True)
                to.size = held.view.buf
                kept.append(held)
            elif not alike and (tilt <= 0 or output is None):
                raise ValueError(f"the size of share {q} is not known")
        if k.bias_cells == -1:
            k.bias_cells = 0
        found = numpy.empty((shape[0], shape[1], LRP_COLUMNS))
        k.columns = <double *>pointer(found)
        with nogil:
            code = kernels.account(&k, count)
        checked(code)
        return found


cdef Memory account_array(array, str what, tuple shape, bint is_double, bint dense):
    cdef Memory held = memory(array, what, dense)
    if held.shape() != shape or held.is_double != is_double:
        raise ValueError(f"{what} of shape {shape} is needed, found {held.shape()}, {array.dtype}")
    return held
