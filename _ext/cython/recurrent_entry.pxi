# LSTMs and GRUs over time.

cdef extern from "lrp.h" nogil:
    ctypedef struct lrp_lstm:
        idx directions, features, hidden
        int backwards[2]
        int all_gates, booked
        void *panels
    ctypedef struct lrp_gru:
        lrp_lstm sizes
        int resets_product
    enum:
        LRP_FATES
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
        double *details[LRP_FATES]

SIGNAL, PROPORTIONAL, ABSOLUTE, HALF = LRP_SIGNAL, LRP_PROPORTIONAL, LRP_ABSOLUTE, LRP_HALF
LAST, EVERY, CELL = LRP_LAST, LRP_EVERY, LRP_CELL


cdef class LSTM:
    """An LSTM with prepared weights; see `_core.pyi`."""

    cdef lrp_lstm m
    cdef const lrp_kernels *kernels
    cdef bint is_double, ready
    cdef readonly idx nbytes

    def __dealloc__(self):
        lrp_release(self.m.panels)

    def __init__(self, weight_input, weight_recurrent, bias, backwards, all_gates, booked):
        cdef Memory w, u, b
        w, u, b = self.weights(weight_input, weight_recurrent, bias, backwards, 4)
        cdef const void *offset = NULL if b is None else b.view.buf
        self.m.all_gates, self.m.booked = 1 if all_gates else 0, 1 if booked else 0
        self.allocate(self.kernels.lstm_bytes(&self.m))
        with nogil:
            self.kernels.lstm_prepare(&self.m, w.view.buf, u.view.buf, offset)
        self.ready = True

    cdef tuple weights(self, weight_input, weight_recurrent, bias, backwards, idx gates):
        """Look at the weights of so many gates, and take the sizes from them."""
        cdef Memory w = memory(weight_input, "the input's weight"), u = memory(weight_recurrent, "the recurrent weight")
        cdef Memory b = None
        cdef idx d
        if self.m.panels != NULL:
            raise ValueError("a recurrent layer is prepared once")
        alike(w, u, "the weights")
        if w.view.ndim != 3 or u.view.ndim != 3:
            raise ValueError(f"weights are (directions, lower, {gates}·hidden), found {w.shape()} and {u.shape()}")
        self.m.directions, self.m.features, self.m.hidden = w.extent(0), w.extent(1), u.extent(1)
        if not 1 <= self.m.directions <= 2 or self.m.features < 1 or self.m.hidden < 1 or self.m.hidden > MOST // 4:
            raise ValueError(f"one or two directions, found weights {w.shape()} and {u.shape()}")
        wide = gates * self.m.hidden
        if w.extent(2) != wide or u.shape() != (self.m.directions, self.m.hidden, wide):
            raise ValueError(f"weights {w.shape()} and {u.shape()} do not fit each other")
        if bias is not None:
            b = memory(bias, "the bias")
            alike(w, b, "the weights and the bias")
            if b.shape() != (self.m.directions, wide):
                raise ValueError(f"a bias of shape {(self.m.directions, wide)}, found {b.shape()}")
        given = tuple(backwards)
        if len(given) != self.m.directions:
            raise ValueError(f"one switch for each direction, found {given}")
        for d in range(self.m.directions):
            self.m.backwards[d] = 1 if given[d] else 0
        self.is_double = w.is_double
        self.kernels = DOUBLES if w.is_double else FLOATS
        return w, u, b

    cdef int allocate(self, idx bytes) except -1:
        """Memory for the prepared weights."""
        self.nbytes = bytes
        self.m.panels = lrp_allocate_exactly(bytes)
        if self.m.panels == NULL:
            raise MemoryError(f"no memory for {bytes} bytes of prepared weights")
        return 0

    cdef int up(self, const lrp_lstm_pass *p, int threads) noexcept nogil:
        return self.kernels.lstm_forward(&self.m, p, threads)

    cdef int down(self, const lrp_lstm_pass *p, const lrp_lstm_back *back, int threads) noexcept nogil:
        return self.kernels.lstm_relevance(&self.m, p, back, threads)

    cdef tuple described(self, lrp_lstm_pass *p, object x, object lengths, object states, object returned, object rule):
        """Fill `p` from what the layer reads; what must be kept while it is used."""
        if not self.ready:
            raise ValueError("a recurrent layer that was not prepared")
        cdef Memory a = memory(x, "x"), held
        cdef Py_ssize_t[::1] ends
        cdef idx n
        returns = index(returned)
        if a.is_double != self.is_double:
            raise TypeError("x and the weights must have one type")
        if a.view.ndim != 3 or a.extent(2) != self.m.features or a.extent(1) < 1:
            raise ValueError(f"x is (samples, steps, {self.m.features}) with at least one step, found {a.shape()}")
        if not LRP_LAST <= returns <= LRP_CELL:
            raise ValueError(f"returns is LAST, EVERY or CELL, found {returns}")
        p.samples, p.steps, p.targets, p.returns = a.extent(0), a.extent(1), 1, <lrp_returns><int>returns
        product, before, product_epsilon, epsilon, sum_epsilon = rule
        product = index(product)
        if not LRP_SIGNAL <= product <= LRP_HALF or (product == LRP_SIGNAL) == bool(self.m.all_gates):
            raise ValueError(f"the product rule {product} is none, or needs other prepared weights")
        p.rule.product, p.rule.before = <lrp_product><int>product, 1 if before else 0
        p.rule.product_epsilon, p.rule.epsilon = real(product_epsilon), real(epsilon)
        p.rule.sum_epsilon = real(sum_epsilon)
        p.x, p.lengths, p.first_hidden, p.first_cell = a.view.buf, NULL, NULL, NULL
        kept = [a]
        if lengths is not None:
            if not isinstance(lengths, numpy.ndarray) or lengths.dtype != numpy.intp or lengths.shape != (p.samples,):
                raise TypeError(f"lengths are {p.samples} numbers of type intp")
            ends = numpy.array(lengths, numpy.intp)  # a copy: the caller's may change after it was checked
            for n in range(p.samples):
                if ends[n] < 1 or ends[n] > p.steps:
                    raise ValueError(f"lengths are from 1 to {p.steps}, found {ends[n]}")
            if p.samples:
                p.lengths = <const idx *>&ends[0]
            kept.append(ends)
        given = tuple(states)
        if len(given) != 2:
            raise ValueError(f"two initial states, or None for each, found {len(given)}")
        for n, state in enumerate(given):
            if state is None:
                continue
            held = memory(state, "an initial state")
            alike(a, held, "x and an initial state")
            shape = (p.samples, self.m.directions * self.m.hidden)
            if held.shape() != shape:
                raise ValueError(f"an initial state of shape {shape}, found {held.shape()}")
            if n == 0:
                p.first_hidden = held.view.buf
            else:
                p.first_cell = held.view.buf
            kept.append(held)
        return tuple(kept)

    cdef tuple upper(self, const lrp_lstm_pass *p, tuple front):
        """The shape of an output, or of a message."""
        columns = self.m.directions * self.m.hidden
        return (*front, p.steps, columns) if p.returns == LRP_EVERY else (*front, columns)

    cdef idx vectors(self):
        """How many numbers of each unit a step keeps beside its state: factors, and what becomes of R_c and R_h."""
        if self.m.all_gates:
            return 12 if self.m.booked else 6
        return 5 if self.m.booked else 2

    def forward(self, x, lengths, states, returns, rule, threads):
        cdef lrp_lstm_pass p
        cdef int code, odd = 0, count = threads_of(threads)
        kept = self.described(&p, x, lengths, states, returns, rule)
        p.odd = &odd
        output = empty(self.upper(&p, (p.samples,)), self.is_double)
        cdef idx padded = self.kernels.lstm_padded(self.m.hidden)
        hidden = empty((self.m.directions, p.steps, p.samples, padded), self.is_double)
        factors = empty((self.m.directions, p.steps, p.samples, self.vectors(), padded), self.is_double)
        p.output, p.hidden, p.factors = pointer(output), pointer(hidden), pointer(factors)
        with nogil:
            code = self.up(&p, count)
        checked(code)
        return output, (hidden, factors), odd

    def relevance(self, saved, message, x, lengths, states, returns, rule, threads):
        cdef lrp_lstm_pass p
        cdef int code, count = threads_of(threads)
        cdef Memory a, hidden, factors
        kept = self.described(&p, x, lengths, states, returns, rule)
        states_saved, factors_saved = saved
        a = memory(message, "the message")
        hidden, factors = memory(states_saved, "saved"), memory(factors_saved, "saved")
        if a.is_double != self.is_double or hidden.is_double != self.is_double or factors.is_double != self.is_double:
            raise TypeError("the message, what was saved and the weights must have one type")
        padded = self.kernels.lstm_padded(self.m.hidden)
        shape = (self.m.directions, p.steps, p.samples)
        if hidden.shape() != (*shape, padded) or factors.shape() != (*shape, self.vectors(), padded):
            raise ValueError("what was saved does not fit the sequences")
        p.targets = a.extent(1) if a.view.ndim > 1 else 0
        if a.shape() != self.upper(&p, (p.samples, p.targets)):
            raise ValueError(f"a message of shape {self.upper(&p, (p.samples, 'targets'))}, found {a.shape()}")
        p.output, p.odd, p.hidden, p.factors = NULL, NULL, hidden.view.buf, factors.view.buf
        cdef lrp_lstm_back back
        lower = empty((p.samples, p.targets, p.steps, self.m.features), self.is_double)
        first = [empty((p.samples, p.targets, self.m.directions * self.m.hidden), self.is_double) for _ in range(2)]
        back.message, back.x = a.view.buf, pointer(lower)
        back.first_hidden, back.first_cell = pointer(first[0]), pointer(first[1])
        accounts = None
        if self.m.booked:
            columns = empty((p.samples, p.targets, LRP_COLUMNS), True)
            stabiliser, unassigned, bias = details = [empty((p.samples, p.targets, p.steps), True) for _ in range(3)]
            back.columns, back.details[2] = <double *>pointer(columns), NULL
            back.details[0], back.details[1], back.details[3] = (
                <double *>pointer(stabiliser), <double *>pointer(unassigned), <double *>pointer(bias)
            )
            accounts = columns, *details
        with nogil:
            code = self.down(&p, &back, count)
        checked(code)
        return lower, first[0], first[1], accounts


cdef class GRU(LSTM):
    """A GRU with prepared weights; see `_core.pyi`."""

    cdef lrp_gru g

    def __init__(self, weight_input, weight_recurrent, bias, inner_bias, backwards, resets_product, booked):
        cdef Memory w, u, b, inner = None
        w, u, b = self.weights(weight_input, weight_recurrent, bias, backwards, 3)
        cdef const void *offset = NULL if b is None else b.view.buf
        cdef const void *inside = NULL
        if inner_bias is not None:
            inner = memory(inner_bias, "the bias inside")
            alike(w, inner, "the weights and the bias inside")
            if inner.shape() != (self.m.directions, self.m.hidden):
                raise ValueError(f"a bias inside of shape {(self.m.directions, self.m.hidden)}, found {inner.shape()}")
            inside = inner.view.buf
        self.m.all_gates, self.m.booked = 0, 1 if booked else 0
        self.g.sizes, self.g.resets_product = self.m, 1 if resets_product else 0
        self.allocate(self.kernels.gru_bytes(&self.g))
        self.g.sizes = self.m
        with nogil:
            self.kernels.gru_prepare(&self.g, w.view.buf, u.view.buf, offset, inside)
        self.ready = True

    cdef tuple described(self, lrp_lstm_pass *p, object x, object lengths, object states, object returned, object rule):
        kept = LSTM.described(self, p, x, lengths, states, returned, rule)
        if p.returns == LRP_CELL:
            raise ValueError("returns is LAST or EVERY: a GRU has no cell state")
        return kept

    cdef idx vectors(self):
        return 6 if self.m.booked else 3

    cdef int up(self, const lrp_lstm_pass *p, int threads) noexcept nogil:
        return self.kernels.gru_forward(&self.g, p, threads)

    cdef int down(self, const lrp_lstm_pass *p, const lrp_lstm_back *back, int threads) noexcept nogil:
        return self.kernels.gru_relevance(&self.g, p, back, threads)
