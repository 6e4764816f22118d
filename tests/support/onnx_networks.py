"""Small networks in the shapes of well-known ones, written with `onnx.helper` as exporters write them."""

import numpy as np


class Maker:
    """Writes nodes one after the other; every method returns the name of what its node computes."""

    def __init__(self, opset=17, seed=0):
        self.opset, self.rng = opset, np.random.default_rng(seed)
        self.nodes, self.constants, self.channels = [], {}, {}

    def constant(self, array, name=None):
        name = name or f"w{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def op(self, kind, *inputs, outputs=1, **attributes):
        from onnx import helper

        names = [f"{kind.lower()}{len(self.nodes)}_{k}" for k in range(outputs)]
        given = [self.constant(v) if isinstance(v, (np.ndarray, np.generic)) else v for v in inputs]
        self.nodes.append(helper.make_node(kind, given, names, name=f"/{kind}_{len(self.nodes)}", **attributes))
        self.channels[names[0]] = self.channels.get(given[0]) if given else None
        return names[0] if outputs == 1 else tuple(names)

    def floats(self, *shape, scale=1.0):
        return (self.rng.normal(size=shape) * scale).astype(np.float32)

    def conv(self, x, upper, kernel=3, stride=1, groups=1, bias=True, **attributes):
        lower = self.channels[x] // groups
        attributes = attributes or {"pads": [kernel // 2] * 4}
        weight = self.floats(upper, lower, kernel, kernel, scale=(2 / (lower * kernel**2)) ** 0.5)
        rest = [self.floats(upper, scale=0.1)] if bias else []
        y = self.op("Conv", x, weight, *rest, kernel_shape=[kernel] * 2, strides=[stride] * 2, group=groups, **attributes)
        self.channels[y] = upper
        return y

    def norm(self, x):
        c = self.channels[x]
        parts = [np.abs(self.floats(c)) + 0.5, self.floats(c), self.floats(c), np.abs(self.floats(c)) + 0.5]
        return self.op("BatchNormalization", x, *(p.astype(np.float32) for p in parts))

    def dense(self, x, lower, upper, split=False):
        weight = self.floats(upper, lower, scale=lower**-0.5)
        if split:
            return self.op("Add", self.op("MatMul", x, np.ascontiguousarray(weight.T)), self.floats(upper))
        return self.op("Gemm", x, weight, self.floats(upper), transB=1)

    def model(self, y, shape, batch="N", name="image", out="score"):
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        last = self.nodes[-1]
        last.output[list(last.output).index(y)] = out
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *shape])],
            [helper.make_tensor_value_info(out, TensorProto.FLOAT, ["N", "classes"])],
            [numpy_helper.from_array(value, key) for key, value in self.constants.items()],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        onnx.checker.check_model(made)
        return made

    def flat(self, x):
        """x.view(x.size(0), -1) as PyTorch exports it."""
        size = self.op("Gather", self.op("Shape", x), np.array(0), axis=0)
        return self.op("Reshape", x, self.op("Concat", self.op("Unsqueeze", size, np.array([0])), np.array([-1]), axis=0))


def started(lower=3, opset=17, seed=0):
    m = Maker(opset, seed)
    m.channels["image"] = lower
    return m


def vgg(batch="N"):
    m, x = started(), "image"
    for width, depth in ((6, 2), (8, 2), (10, 3)):
        for _ in range(depth):
            x = m.op("Relu", m.conv(x, width))
        x = m.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = m.op("Relu", m.dense(m.op("Flatten", x), 10 * 4 * 4, 20))
    return m.model(m.dense(m.op("Dropout", x), 20, 10), (3, 32, 32), batch)


def resnet(batch="N"):
    m = started(seed=1)
    x = m.op("Relu", m.norm(m.conv("image", 8, 7, 2, bias=False)))
    x = m.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for width, stride in ((8, 1), (16, 2), (24, 2)):
        for step in (stride, 1):
            y = m.op("Relu", m.norm(m.conv(x, width // 2, 1, bias=False)))
            y = m.op("Relu", m.norm(m.conv(y, width // 2, 3, step, bias=False)))
            y = m.norm(m.conv(y, width, 1, bias=False))
            short = x if m.channels[x] == width and step == 1 else m.norm(m.conv(x, width, 1, step, bias=False))
            x = m.op("Relu", m.op("Add", y, short))
    x = m.op("Flatten", m.op("GlobalAveragePool", x))
    return m.model(m.dense(x, 24, 10), (3, 64, 64), batch)


def densenet(batch="N"):
    m = started(seed=2)
    x = m.conv("image", 8)
    for block in range(2):
        for _ in range(3):
            y = m.conv(m.op("Relu", m.norm(x)), 8, 1, bias=False)
            y = m.conv(m.op("Relu", m.norm(y)), 4, 3, bias=False)
            joined = m.op("Concat", x, y, axis=1)
            m.channels[joined] = m.channels[x] + 4
            x = joined
        if not block:
            x = m.conv(m.op("Relu", m.norm(x)), m.channels[x] // 2, 1, bias=False)
            x = m.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = m.op("Relu", m.norm(x))
    width = m.channels[x]
    x = m.op("ReduceMean", x, axes=[-2, -1], keepdims=1)
    return m.model(m.dense(m.flat(x), width, 10), (3, 32, 32), batch)


def squeeze_excite(m, x, width):
    """A gate from the whole picture: mean, two 1×1 convolutions, hard sigmoid, product."""
    gate = m.op("GlobalAveragePool", x)
    gate = m.op("Relu", m.conv(gate, max(2, width // 4), 1))
    gate = m.op("HardSigmoid", m.conv(gate, width, 1), alpha=1 / 6, beta=0.5)
    return m.op("Mul", gate, x)


def mobilenet(batch="N"):
    m = started(seed=3)
    x = m.op("HardSwish", m.norm(m.conv("image", 8, 3, 2, bias=False)))
    for width, stride in ((8, 1), (12, 2), (12, 1)):
        inner = 2 * m.channels[x]
        y = m.op("Clip", m.norm(m.conv(x, inner, 1, bias=False)), np.float32(0), np.float32(6))
        y = m.norm(m.conv(y, inner, 3, stride, groups=inner, bias=False))
        y = m.op("Mul", y, m.op("Div", m.op("Clip", m.op("Add", y, np.float32(3)), np.float32(0), np.float32(6)), np.float32(6)))
        m.channels[y] = inner
        y = m.norm(m.conv(squeeze_excite(m, y, inner), width, 1, bias=False))
        x = m.op("Add", x, y) if stride == 1 and m.channels[x] == width else y
    x = m.op("ReduceMean", x, axes=[2, 3], keepdims=0)
    return m.model(m.dense(x, 12, 10, split=True), (3, 48, 48), batch)


def inception(batch="N"):
    m = started(seed=4)
    x = m.op("LRN", m.op("Relu", m.conv("image", 8, 5, 2, auto_pad="SAME_UPPER")), size=5)
    for _ in range(2):
        a = m.op("Relu", m.conv(x, 4, 1))
        b = m.op("Relu", m.conv(m.op("Relu", m.conv(x, 4, 1)), 6, 3))
        c = m.op("Relu", m.conv(m.op("Relu", m.conv(x, 2, 1)), 4, 5))
        d = m.op("MaxPool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
        d = m.op("Relu", m.conv(d, 4, 1))
        x = m.op("Concat", a, b, c, d, axis=1)
        m.channels[x] = 18
        x = m.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
        m.channels[x] = 18
    x = m.op("AveragePool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
    x = m.flat(m.op("GlobalAveragePool", x))
    return m.model(m.op("Softmax", m.dense(x, 18, 10), axis=-1), (3, 40, 40), batch)


def layer_norm(m, x, width):
    """(x − mean) / √(var + ε) · γ + β, taken apart."""
    centred = m.op("Sub", x, m.op("ReduceMean", x, axes=[-1], keepdims=1))
    variance = m.op("ReduceMean", m.op("Pow", centred, np.float32(2)), axes=[-1], keepdims=1)
    y = m.op("Div", centred, m.op("Sqrt", m.op("Add", variance, np.float32(1e-5))))
    return m.op("Add", m.op("Mul", y, m.floats(width)), m.floats(width))


def gelu(m, x):
    """x · ½ · (1 + erf(x / √2)), taken apart."""
    y = m.op("Add", m.op("Erf", m.op("Div", x, np.float32(2**0.5))), np.float32(1))
    return m.op("Mul", m.op("Mul", x, y), np.float32(0.5))


def mixer(batch="N"):
    """Dense layers on patches, layer norms, GELU, and a class token that is the same for all samples."""
    m = started(seed=5)
    x = m.conv("image", 8, 4, 4, pads=[0] * 4)
    x = m.op("Transpose", m.op("Reshape", x, np.array([0, 8, -1])), perm=[0, 2, 1])
    token = m.op(
        "Expand",
        m.floats(1, 1, 8),
        m.op("Concat", m.op("Slice", m.op("Shape", x), np.array([0]), np.array([1])), np.array([1, 8]), axis=0),
    )
    x = m.op("Add", m.op("Concat", token, x, axis=1), m.floats(1, 26, 8))
    for _ in range(2):
        y = gelu(m, m.dense(layer_norm(m, x, 8), 8, 16, split=True))
        x = m.op("Add", x, m.dense(y, 16, 8, split=True))
    x = m.op("Gather", layer_norm(m, x, 8), np.array(0), axis=1)
    return m.model(m.dense(x, 8, 10), (3, 20, 20), batch)


NETWORKS = {f.__name__: f for f in (vgg, resnet, densenet, mobilenet, inception, mixer)}
