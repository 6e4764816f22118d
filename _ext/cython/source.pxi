# The input of a product: parts that lie side by side in a padded array.

cdef extern from "lrp.h" nogil:
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


cdef int operand_of(lrp_part *part, Memory held, tuple shape, idx *samples) except -1:
    """Steps of the operand along x: MINUS has one sample, which broadcasts; TIMES, OVER fewer than x (targets)."""
    own = held.shape()
    cdef idx cells = 1, channels = shape[-1]
    for extent in shape[1:-1]:
        cells *= extent
    part.operand = held.view.buf
    if part.feature in (LRP_TIMES, LRP_OVER):
        if own[1:] != shape[1:] or own[0] == 0 and shape[0] != 0 or own[0] and shape[0] % own[0]:
            raise ValueError(f"a factor of shape {own} for an input of shape {shape}")
        part.operand_cell, part.operand_channel, part.operand_sample = channels, 1, cells * channels
        part.repeat = shape[0] // own[0] if own[0] and shape[0] else 1
        return 0
    own = (1,) * (len(shape) - 1 - len(own)) + own
    each_cell = own[:-1] == shape[1:-1]
    if len(own) != len(shape) - 1 or own[-1] not in (1, channels) or not (each_cell or all([e == 1 for e in own[:-1]])):
        raise ValueError(f"a bound of shape {held.shape()} for an input of shape {shape}")
    part.operand_channel = 1 if own[-1] == channels and channels > 1 else 0
    part.operand_cell = own[-1] if each_cell and cells > 1 else 0
    part.operand_sample, part.repeat = 0, 1
    return 0


cdef list source_of(lrp_source *source, object parts, int axes):
    """Fill `source` but for the padding; what must be kept while C reads it."""
    cdef Memory first = None, held
    cdef lrp_part *part
    kept = []
    source.parts = 0
    for array, feature, operand in parts:
        feature = index(feature)
        if source.parts == LRP_MOST_PARTS:
            raise ValueError(f"at most {LRP_MOST_PARTS} parts")
        if feature not in (COPY, POSITIVE, NEGATIVE, MAGNITUDE, ONE, MINUS, TIMES, OVER):
            raise ValueError(f"no such feature: {feature}")
        held = memory(array, "a part of the input", dense=False)
        first = held if first is None else first
        alike(first, held, "the parts of an input")
        if held.shape() != first.shape() or held.view.ndim != axes + 2:
            raise ValueError(f"parts must have one shape of {axes + 2} axes, found {first.shape()} and {held.shape()}")
        kept.append(held)
        part = &source.part[source.parts]
        part.x, part.feature, part.operand = held.view.buf, <lrp_feature><int>feature, NULL
        part.x_cell = cell_step(held, "a part of the input")
        part.operand_cell = part.operand_channel = part.operand_sample = 0
        part.repeat = 1
        if feature in (MINUS, TIMES, OVER):
            if isinstance(operand, (int, float, numpy.floating)):
                operand = numpy.asarray(operand, array.dtype)
            held = memory(operand, "the operand of a part")
            alike(first, held, "an input and its operand")
            operand_of(part, held, first.shape(), &source.samples)
            kept.append(held)
        source.parts += 1
    if first is None:
        raise ValueError("an input needs at least one part")
    source.samples, source.channels = first.extent(0), first.extent(axes + 1)
    for axis in range(3):
        source.cells[axis] = 1 if axis < 3 - axes else first.extent(axis - (3 - axes) + 1)
    return kept
