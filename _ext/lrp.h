/* The C core of lrp_ref: what the parts of the core know of each other.
 *
 * Arrays are dense and channels last: (samples, depth, height, width, channels); one- and two-dimensional windows have
 * leading axes of size 1. The element type is a macro T (float or double), so that both are the same source; functions
 * that the Cython module calls take `void *` and stand in one table for each element type and instruction set.
 *
 * Every number is summed by one thread in an order that depends on the layer alone: never on the number of threads or
 * samples, nor on where a block begins. That is what makes the bits the same.
 */
#ifndef LRP_H
#define LRP_H

#include <stddef.h>

typedef ptrdiff_t idx;

enum { LRP_OK = 0, LRP_NO_MEMORY = 1 };

/* A precondition: what the caller has checked, or what the lines before have made so. It is looked at in debug builds
 * alone (-DLRP_DEBUG, as tests/native/sanitize.sh builds), whatever NDEBUG says; in others it is not even evaluated. */
#if defined(LRP_DEBUG)
#include <stdio.h>
#include <stdlib.h>
#define LRP_ASSERT(condition)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: precondition broken: %s\n", __FILE__, __LINE__, #condition);                       \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)
#else
#define LRP_ASSERT(condition) ((void)sizeof(!(condition)))
#endif

/* Of one layer: shares of its rule, products of its input with a weight, parts that its input is packed of. */
enum { LRP_MOST_SHARES = 4, LRP_MOST_PRODUCTS = 4, LRP_MOST_PARTS = 4 };

/* ---- memory.c ---------------------------------------------------------------------------------------------------- */

/* Memory that begins at a multiple of 64 bytes and may be read one vector beyond its end; NULL where there is none.
 * What was released may come again, as it is: lrp_allocate is for scratch, lrp_allocate_exactly for what lasts. */
void *lrp_allocate(size_t bytes);
void *lrp_allocate_exactly(size_t bytes);
void lrp_release(void *memory);

/* ---- race_pool.c ------------------------------------------------------------------------------------------------- */

/* Run body(context, item, worker) for every item in [0, items), on up to `threads` threads, the caller's included.
 * `worker` is in [0, threads): memory that a thread needs for itself is found by it. Items are handed out as threads
 * become free, so no result may depend on which worker ran an item. Where the pool is busy (another Python thread is
 * in it), the caller runs all items itself. After fork() the child makes a pool of its own. */
void lrp_parallel(idx items, int threads, void (*body)(void *context, idx item, int worker), void *context);

/* ---- pack.inc: a padded input of a product ----------------------------------------------------------------------- */

/* Features that a part of a packed input may be: a itself, max(a, 0), min(a, 0), |a|, 1, a - bound, a * factor,
 * a / divisor. */
enum lrp_feature { LRP_COPY, LRP_POSITIVE, LRP_NEGATIVE, LRP_MAGNITUDE, LRP_ONE, LRP_MINUS, LRP_TIMES, LRP_OVER };

typedef struct {
    const void *x;         /* (samples, cells, channels) */
    enum lrp_feature feature;
    const void *operand;   /* LRP_MINUS: the bound; LRP_TIMES, LRP_OVER: (samples / repeat, cells, channels) */
    idx operand_cell;      /* strides of the operand over cells and channels, in elements: 0 where it broadcasts */
    idx operand_channel;   /* 1, or 0; 1 for factors */
    idx operand_sample;
    idx repeat;            /* LRP_TIMES, LRP_OVER: samples of x for one sample of the operand (the targets) */
    idx x_cell;            /* from cell to cell of x, where it is a slice of channels; 0: its channels */
} lrp_part;

typedef struct {
    idx samples, cells[3], channels; /* of each part */
    idx groups;                      /* the packed channels are [group][part][channel of the group] */
    idx before[3], padded[3];        /* where the cells lie in the packed array; what is outside of it is cut off */
    int parts;
    lrp_part part[LRP_MOST_PARTS];
} lrp_source;

/* ---- epilogue.inc: from products to a layer's output and the factors of its shares ------------------------------- */

enum lrp_stabiliser { LRP_EXACT, LRP_SIGNED, LRP_UNSIGNED };
enum lrp_where { LRP_ALL, LRP_NONNEGATIVE, LRP_NEGATIVE_ONLY };

typedef struct {
    int product;            /* which product is its denominator: 0 is the layer's own pre-activation; -1: zero */
    int half;               /* its denominator is half the sum of product 0 and its own: z+ of a w and |a||w| */
    const void *bias;       /* added to the product (for product 0 the layer's own is in z already) */
    enum lrp_stabiliser stabiliser;
    double epsilon;
    enum lrp_where where;   /* by the sign of the plain pre-activation; 0 counts as not negative */
    double coefficient;     /* lambda */
    void *factor;           /* (pixels, channels): what a message is multiplied by (`quotient`) or divided by */
} lrp_share;

/* Denominators that relevance may meet and that are no normal numbers: too small for their type (0 is), or
 * overflowed. What becomes of them is not decided here. */
enum lrp_odd { LRP_SMALL = 1, LRP_OVERFLOWED = 2 };

typedef struct {
    idx channels;
    int products;
    /* the first products are there as arrays, (pixels, channels) each; `raw` is not for these */
    int givens;
    const void *given[LRP_MOST_PRODUCTS];
    const void *bias;       /* of the layer, or NULL */
    /* 0: biases are (channels,); else they are (bias_pixels, channels), one for each pixel of a sample */
    idx bias_pixels;
    int rectified;          /* output = max(z, 0), else z */
    int quotient;           /* messages arrive as c: factors lambda * output / (z + e), 0 where the share is dead; else
                             * as R: divisors (z + e) / lambda, infinite where it is. A factor of 1 / z would overflow
                             * where z is so small that only R / z does not */
    void *output;           /* (pixels, channels) */
    idx output_step;        /* from pixel to pixel of the output, where it is a slice of channels; 0: its channels */
    int shares;
    lrp_share share[LRP_MOST_SHARES];
    int *odd;               /* of enum lrp_odd what was found is added here; NULL without shares */
    /* where not NULL, product p + (p = 0: bias) is stored here as well: (pixels, channels) */
    void *raw[LRP_MOST_PRODUCTS];
    /* Where `placed`, results do not lie one after the other: pixel (n, d, h, w) of extents (any, *extent) lies at
     * n * place[0] + d * place[1] + h * place[2] + w * place[3], in pixels. */
    int placed;
    idx extent[3], place[4];
} lrp_epilogue;

/* ---- account.inc: what a step accounts for ----------------------------------------------------------------------- */

/* The columns of a booking; what was handed on below is left 0, for it is known where it arrives. */
enum {
    LRP_ARRIVING,
    LRP_INPUTS,
    LRP_BIAS,
    LRP_STABILISER,
    LRP_UNASSIGNED,
    LRP_TURNOVER,
    LRP_ARRIVING_ABS,
    LRP_INPUTS_ABS,
    LRP_COLUMNS
};

typedef struct {
    const void *factor;     /* (samples, cells, channels), as `epilogue` makes them */
    const void *bias;       /* as that of the layer, or NULL */
    /* (samples, cells, channels): sum |terms| of its denominator; or NULL: `alike`, or `tilt` */
    const void *size;
    int alike;              /* all terms have one sign, which is that of the bias */
    int sign;               /* its weights are w + tilt w+ (1) or w + tilt w- (-1), on inputs that are not negative */
    double tilt;
    enum lrp_stabiliser stabiliser;
    double epsilon;
    const double *epsilons; /* of each sample, or NULL */
    double coefficient;
} lrp_account_share;

typedef struct {
    idx samples, targets, cells, channels;
    int quotient;           /* messages are c with R = output * c, else R */
    const void *message;    /* (samples, targets, cells, channels) */
    /* (samples, cells, channels): of the layer, or of the ReLU behind it; NULL where nothing needs it */
    const void *output;
    idx message_cell, output_cell; /* from cell to cell */
    const void *bias;       /* of the layer, or NULL: (channels,), or where `bias_cells` (cells, channels) */
    int bias_cells, shares;
    lrp_account_share share[LRP_MOST_SHARES];
    double *columns;        /* (samples, targets, LRP_COLUMNS) */
} lrp_account;

/* ---- the window of a convolution --------------------------------------------------------------------------------- */

typedef struct {
    idx groups, lower, upper;           /* channels of one group: below (with all parts), and above (of one product) */
    int products;
    idx kernel[3], stride[3], dilation[3];
} lrp_window;

enum lrp_algorithm { LRP_DIRECT, LRP_F2, LRP_F4 };

/* ---- pooling ----------------------------------------------------------------------------------------------------- */

/* Window o sees through tap t the cell o * stride + t * dilation - before, where there is one. */
typedef struct {
    idx samples, channels, cells[3], out[3], kernel[3], stride[3], dilation[3], before[3];
    idx repeat;             /* samples for one sample of the winners (the targets) */
} lrp_pool;

/* `length` numbers that lie together, `offset` elements behind the first that a window sees. */
typedef struct {
    idx offset, length;
} lrp_span;

/* A convolution with its prepared weights. */
typedef struct {
    lrp_window window;
    enum lrp_algorithm algorithm;
    /* as they came: [group][upper][lower][depth][height][width]; Winograd still reads them */
    const void *weight[LRP_MOST_PRODUCTS];
    idx weight_stride[LRP_MOST_PRODUCTS][6];  /* in elements; any */
    void *panels;             /* the prepared weights, convolution_bytes() of them */
    /* whether windows of a sample that hold the same numbers get the same results: direct sums do */
    int ties;
} lrp_convolution;

/* A scatter, the adjoint of a convolution: here `lower` are the channels of what is scattered, `upper` those of the
 * result. Its phases are convolutions, and have their weights one after the other in `panels`. */
typedef struct {
    lrp_window window;
    const void *weight[LRP_MOST_PRODUCTS];
    idx weight_stride[LRP_MOST_PRODUCTS][6];
    void *panels;           /* scatter_bytes() of them */
    void *phases;           /* scatter_phases() of lrp_convolution */
} lrp_scatter;

/* ---- dense layers ------------------------------------------------------------------------------------------------ */

/* y = x @ weight (+ total) */
typedef struct {
    const void *x, *weight; /* (samples, lower); (lower, upper), or (upper, lower) if `transposed` */
    int transposed;
    int absolute;           /* y = |x| @ |weight| */
    const void *total;      /* (samples, upper), or NULL */
    const void *mask;       /* (samples / repeat, upper), or NULL: where it is 0, so is y */
    void *y;                /* (samples, upper) */
    idx samples, lower, upper, repeat;
} lrp_dense;

/* ---- an LSTM over time ------------------------------------------------------------------------------------------- */

typedef struct {
    idx directions, features, hidden;
    int backwards[2];       /* whether a direction reads its sequence from the end */
    int all_gates;          /* whether relevance reaches all gates, or g alone */
    int booked;             /* whether the way back accounts for what it does */
    void *panels;           /* the prepared weights, lstm_bytes() of them */
} lrp_lstm;

/* A GRU whose gates get nothing; its passes are those of an LSTM, whose product rule and cell it does not look at. */
typedef struct {
    lrp_lstm sizes;         /* its panels are prepared for a GRU; all_gates is 0 */
    int resets_product;     /* r multiplies U h' + b', else h' */
} lrp_gru;

enum lrp_product { LRP_SIGNAL, LRP_PROPORTIONAL, LRP_ABSOLUTE, LRP_HALF };
enum lrp_returns { LRP_LAST, LRP_EVERY, LRP_CELL };

typedef struct {
    enum lrp_product product;
    int before;             /* products are weighed by what is before their activations */
    double product_epsilon, epsilon, sum_epsilon;
} lrp_lstm_rule;

typedef struct {
    idx samples, steps, targets;
    enum lrp_returns returns;
    lrp_lstm_rule rule;
    const void *x;          /* (samples, steps, features) */
    const idx *lengths;     /* (samples), or NULL */
    const void *first_hidden, *first_cell; /* (samples, directions * hidden), or NULL: 0 */
    void *output;           /* (samples, steps, directions * hidden), or without steps */
    int *odd;               /* as of lrp_epilogue */
    /* What the pass upwards leaves for the way back: (directions, samples, steps, ...) of lstm_padded(hidden) units. */
    void *hidden;           /* the state after each step */
    void *factors;          /* 2 of each unit where relevance reaches g alone, else 6; where `booked` 3 or 6 more */
} lrp_lstm_pass;

/* What a step accounts for: stabilisers, what no share takes, turnover, biases. */
enum { LRP_FATES = 4 };

/* The way back: from a message of the output's shape, targets behind samples, to the input and the initial states. */
typedef struct {
    const void *message;
    void *x;                /* (samples, targets, steps, features) */
    void *first_hidden, *first_cell; /* (samples, targets, directions * hidden) */
    /* Where `booked`: the columns of a booking, as those of lrp_account, and of each step what stabilisers took,
     * what nothing took, nothing, and what biases took, (samples, targets, steps) each. */
    double *columns, *details[LRP_FATES];
} lrp_lstm_back;

/* ---- functions of each element ----------------------------------------------------------------------------------- */

/* Of x, with the numbers p and q; the last of x and other arrays. */
enum lrp_function {
    LRP_RELU,         /* max(x, 0) */
    LRP_LEAKY,        /* x where x >= 0, else p x */
    LRP_CLIP,         /* min(q, max(p, x)) */
    LRP_HARD_SIGMOID, /* max(0, min(1, p x + q)) */
    LRP_HARD_SWISH,   /* x min(6, max(0, x + 3)) / 6 */
    LRP_SOFTSIGN,     /* x / (1 + |x|) */
    LRP_ABS,
    LRP_THRESHOLD,    /* x where x > p, else q */
    LRP_SHRINK,       /* x - q where x > p, x + q where x < -p, else 0 */
    LRP_SIGMOID,      /* 1 / (1 + exp(-x)) */
    LRP_SILU,         /* x / (1 + exp(-p x)) */
    LRP_GELU,         /* x times the normal distribution up to x */
    LRP_GELU_TANH,    /* x / (1 + exp(-sqrt(8 / pi) (x + 0.044715 x^3))) */
    LRP_TANH,
    LRP_SOFTPLUS,     /* log(1 + exp(p x)) / p */
    LRP_LOG_SIGMOID,  /* -log(1 + exp(-x)) */
    LRP_ELU,          /* q x where x > 0, else q p (exp(x) - 1) */
    LRP_CELU,         /* x where x > 0, else p (exp(x / p) - 1), for p > 0 */
    LRP_MISH,         /* x tanh(log(1 + exp(x))) */
    LRP_PRODUCT,      /* x a */
    LRP_PRELU,        /* x where x >= 0, else a x */
    LRP_AFFINE,       /* x a + b, the product rounded */
    LRP_SHARE,        /* x a / b, 0 where b is */
    LRP_FUNCTIONS
};

enum { LRP_MOST_AXES = 8, LRP_MOST_OPERANDS = 3 };

typedef struct {
    enum lrp_function function;
    double number[2];
    int axes, operands;     /* at least one axis */
    idx extent[LRP_MOST_AXES];
    const void *x[LRP_MOST_OPERANDS];
    idx step[LRP_MOST_OPERANDS][LRP_MOST_AXES]; /* in elements; 0 where an array broadcasts */
    void *y;
    idx y_step[LRP_MOST_AXES];
} lrp_pointwise;

/* ---- normalisations by mean and deviation of groups: norm.inc ---------------------------------------------------- */

typedef struct {
    idx rows, width, period; /* groups, their elements, and after how many groups gamma and beta come again */
    const void *x, *scale, *shift; /* (rows, width); (period, width) each, or NULL */
    int centred;            /* whether the mean is taken off */
    double epsilon, outside;
    idx correction;         /* the variance divides by width - correction */
    double stabiliser;      /* of the rule, signed */
    int quotient;           /* factors are y / (y + e), else y + e */
    void *y, *factor, *size; /* (rows, width); size = sum |terms| of a denominator, NULL: not asked for */
    void *inverse;          /* (rows) 1 / deviation */
} lrp_norm;

typedef struct {
    idx samples, targets, cells, width, period; /* cells: the groups of a sample */
    int centred, quotient;
    const void *message;    /* (samples, targets, cells, width) */
    const void *factor, *inverse, *scale; /* (samples * cells, width), (samples * cells) */
    void *c;                /* as the message */
} lrp_norm_back;

/* ---- the bodies, which know of each other within one instruction set and element type ---------------------------
 *
 *   gemm.inc      NAME(multiply)      the microkernel
 *   pack.inc      NAME(pack)(source, sample, first, last, to)
 *                                     padded rows (depth and height) of one sample
 *                 NAME(packed_already)(source)
 *                                     whether the input itself serves
 *   epilogue.inc  NAME(epilogue)(epilogue, products, step, first, pixels, channel, channels)
 *                                     output pixels [first, first + pixels), channels [channel, channel + channels), at
 *                                     least one vector of them or all; products[p] begins at that pixel and channel
 */

/* What the Cython module may call: one table for each instruction set and element type. Results are LRP_OK or why
 * not. */
typedef struct {
    const char *instruction_set;
    idx (*convolution_bytes)(const lrp_convolution *);
    int (*convolution_prepare)(const lrp_convolution *, int threads);
    int (*convolution_run)(const lrp_convolution *, const lrp_source *, const idx out[3], const lrp_epilogue *,
                           int threads);
    idx (*scatter_bytes)(const lrp_scatter *);
    int (*scatter_prepare)(const lrp_scatter *, int threads);
    int (*scatter_run)(const lrp_scatter *, const lrp_source *, const idx before[3], const idx spatial[3],
                       void *const *results, int threads);
    /* products that are there as arrays (pixels, channels) */
    void (*epilogue_arrays)(const lrp_epilogue *, const void *const *products, idx pixels, int threads);
    int (*account)(const lrp_account *, int threads);
    int (*dense)(const lrp_dense *, int threads);
    /* whether all numbers of x are finite: `cells` times `channels` of them, `step` from cell to cell */
    int (*finite)(const void *x, idx cells, idx channels, idx step, int threads);
    /* the least size of those that are not 0; infinity where all are */
    int (*least_size)(const void *x, idx cells, idx channels, idx step, double *found, int threads);
    /* yes = no where a <= 0; a (samples / repeat, cells, channels) with `a_cell` from cell to cell, the others
     * (samples, ...) */
    void (*choose)(const void *a, idx a_cell, void *yes, const void *no, idx samples, idx cells, idx channels,
                   idx repeat, int threads);
    /* maxima and where they are (bytes: 1 or 4 for each), or where `winner` is NULL the sums, of the windows of x */
    void (*pool)(const lrp_pool *, const void *x, void *y, void *winner, int bytes, int threads);
    /* to each cell of y, the numbers x of the windows that see it, added up; with `winner` of those that it won */
    int (*unpool)(const lrp_pool *, const void *x, void *y, const void *winner, int bytes, int threads);
    /* weights (directions, features | hidden, 4 * hidden) of the gates i, f, o, g; a bias (directions, 4 * hidden),
     * or NULL */
    idx (*lstm_bytes)(const lrp_lstm *);
    void (*lstm_prepare)(const lrp_lstm *, const void *input, const void *recurrent, const void *bias);
    idx (*lstm_padded)(idx hidden);
    int (*lstm_forward)(const lrp_lstm *, const lrp_lstm_pass *, int threads);
    int (*lstm_relevance)(const lrp_lstm *, const lrp_lstm_pass *, const lrp_lstm_back *, int threads);
    /* as an LSTM's, of the gates r, z, n; the bias b' (directions, hidden), or NULL */
    idx (*gru_bytes)(const lrp_gru *);
    void (*gru_prepare)(const lrp_gru *, const void *input, const void *recurrent, const void *bias,
                        const void *inner_bias);
    int (*gru_forward)(const lrp_gru *, const lrp_lstm_pass *, int threads);
    int (*gru_relevance)(const lrp_gru *, const lrp_lstm_pass *, const lrp_lstm_back *, int threads);
    void (*pointwise)(const lrp_pointwise *, int threads);
    int (*norm)(const lrp_norm *, int threads); /* what is odd about denominators */
    void (*norm_back)(const lrp_norm_back *, int threads);
} lrp_kernels;

/* How many convolutions a scatter is made of. */
idx lrp_scatter_phases(const lrp_window *);

const lrp_kernels *lrp_choose(const char *most, int is_double);

#endif
