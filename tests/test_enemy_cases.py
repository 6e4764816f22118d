"""Questions nobody listed, asked of parts A, C and D; the list was written before the code was read.

Squashes (S): 1 log_softmax · 2 softmax over axis 1 of (N, C, H, W) and of (N, T, C) · 3 softmax(z / T), softmax of 100 z ·
4 0.5 (1 + tanh(z / 2)) · 5 clip(p, 1e-7, 1 - 1e-7) · 6 argmax, top-k behind it · 7 100 p · 8 (p1 + p2) / 2 of two heads, p1 p2 ·
9 p ** 2, sqrt(p), log(p), logit(p) by log(p / (1 - p)) · 10 max over p, sum over p, mean over space of p · 11 hard sigmoid ·
12 exp(z) / sum exp(z) by nodes · 13 softmax of one logit pair's difference, sigmoid(z1 - z0) · 14 1 - (1 - p) · 15 p slice, gather, pad,
concat [p, z] · 16 where(p > 0.5, p, 0), relu(p) · 17 p - 0.5, 2 p - 1 (= tanh) · 18 softplus, gelu at the end, tanh at the end ·
19 sparse and hard max · 20 p times a mask of constants · 21 p + z residual · 22 contrast, targets, start, with a squash.

Ties (T): 1 stride 3 pool 5 dilation 2 · 2 zero padding against windows at borders, uniform negative image · 3 adaptive pools ·
4 1-d, 3-d pools · 5 ceil mode · 6 constant rows over grouped and depthwise convolution · 7 batch norm, residual, average pooling, resize,
transposed convolution before the pool · 8 a ReLU after the pool, global max, maxout by Maximum · 9 batch against single ·
10 threads one and two · 11 dense layers over equal rows, embedding, recurrent, attention (max over time) · 12 kernels under OPENBLAS_CORETYPE.

Gates (G): 1 LSTM with f = 1 - i · 2 highway · 3 squeeze and excitation · 4 FiLM · 5 attention gate of a U-Net · 6 GLU, SwiGLU · 7 hard sigmoid gate ·
8 gate times gate times signal · 9 sigmoid(x) * x as SiLU · 10 0.5 (1 + tanh) as a gate · 11 softmax gate of mixture of experts · 12 gate times a constant's learned start.

Requests (Q): 1 target as list, tuple, array of int8, uint64, bool, float, 0-d, np.int64, range, generator, negative, "predicted" per sample ·
2 targets [[0, 1]], ((0, 1),), [(0,), (1,)], masks · 3 (N, C, H, W) output · 4 empty targets · 5 rule Zero inside cells, in attention, in norms ·
6 contrast of unlike length · 7 keep of an unknown name, start_at.

Ranges (R): 1 subnormal weights, inputs · 2 infinite weights, zero input · 3 NaN in a cell that no output reads, NaN in a padded, masked cell ·
4 w², γ, αβ, zᴮ at 1e20 in float32 for dense, conv, pool, norm, product, softmax · 5 big biases · 6 float64 at 1e200 · 7 ε bigger than max float · 8 norm of tiny numbers.

Buffers (B): 1 view · 2 memory map · 3 field of a structured array · 4 as_strided · 5 broadcast_to · 6 read-only view of a writable base · 7 object array of fractions ·
8 list subclass, array subclass · 9 input changed during and after explain · 10 result arrays written by the caller · 11 pickle, copy, deepcopy of models · 12 memo shared between models · 13 constants of Add, Scale, Embedding, LSTM, Gate.

Share (H): 1 two inputs · 2 two targets of which one tiny · 3 contrast · 4 start · 5 NaN, infinite score · 6 zero score · 7 batch of mixed samples · 8 gradients · 9 table, JSON, caption agree.

Spellings and files (C): 1 relu as x * (x > 0), max(x, 0) with 0 on the left, 0.5 (x + |x|), clip(min=0) · 2 leaky by where · 3 silu, mish, gelu (erf, tanh) by nodes · 4 layer norm by hand with ddof ·
5 abs by max(x, -x), sqrt(x²) · 6 softsign by x / (1 + |x|) · 7 logsigmoid by -softplus(-x) · 8 dynamic shapes, -1, If, Loop · 9 QDQ per channel · 10 masks by Where, mean over mask ·
11 output names with odd characters, cut at an input, cut inside a cell, two cuts, cut at a constant · 12 sklearn pipelines nested, with passthrough, remainder, sparse.

Machine (D): 1 two runs on one output · 2 kill -9 at random · 3 read-only folder · 4 file size limit · 5 links: output, folder, input, dangling, loop · 6 names: space, quote, newline, -x, unicode, surrogate, "con", very long ·
7 fork + threads · 8 stdin, stdout closed · 9 locale C, no HOME, TMPDIR missing · 10 changed clock · 11 journal from another version, empty, directory · 12 input removed between · 13 same input twice · 14 misaligned, byte-swapped, negative strides in every backend.
"""
