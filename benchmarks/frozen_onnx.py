"""ONNX files of `frozen.py`, made in memory: a network of each kind that exporters write."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model(nodes: list[Any], weights: dict[str, Any], shape: tuple[int, ...], output: tuple[int | str, ...]) -> bytes:
    """The bytes of a model from one input "x" to one output "y"."""
    initializers = [
        numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items() if name[0] != "#"
    ]
    initializers += [
        numpy_helper.from_array(np.asarray(value, np.int64), name) for name, value in weights.items() if name[0] == "#"
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, list(output))],
        initializers,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def files() -> dict[str, tuple[bytes, tuple[int, ...]]]:
    """The bytes of each file and the shape of a sample, by name."""
    rng, node = np.random.default_rng(3), helper.make_node
    w = {
        "w": rng.standard_normal((4, 2, 3, 3)) / 4,
        "b": rng.standard_normal(4) / 4,
        "v": rng.standard_normal((4, 3)),
        "c": rng.standard_normal(3),
    }
    stats = {"s": rng.random(4) + 0.5, "t": rng.standard_normal(4), "m": rng.standard_normal(4), "d": rng.random(4) + 0.5}
    conv = node("Conv", ["x", "w", "b"], ["z"], pads=[1, 1, 1, 1])
    head = [node("GlobalAveragePool", ["a"], ["p"]), node("Flatten", ["p"], ["f"]), node("Gemm", ["f", "v", "c"], ["y"])]
    image = (2, 6, 6)
    return {
        "ReLU": (model([conv, node("Relu", ["z"], ["a"]), *head], w, image, ("N", 3)), image),
        "batch norm": (
            model(
                [conv, node("BatchNormalization", ["z", "s", "t", "m", "d"], ["n"]), node("Relu", ["n"], ["a"]), *head],
                w | stats,
                image,
                ("N", 3),
            ),
            image,
        ),
        "residual": (model([conv, node("Relu", ["z"], ["r"]), node("Add", ["r", "z"], ["a"]), *head], w, image, ("N", 3)), image),
        "SiLU": (model([conv, node("Sigmoid", ["z"], ["g"]), node("Mul", ["z", "g"], ["a"]), *head], w, image, ("N", 3)), image),
        "hard swish": (model([conv, node("HardSwish", ["z"], ["a"]), *head], w, image, ("N", 3)), image),
        "pool": (
            model([conv, node("MaxPool", ["z"], ["a"], kernel_shape=[2, 2], strides=[2, 2]), *head], w, image, ("N", 3)),
            image,
        ),
        "MatMul": (
            model(
                [node("MatMul", ["x", "v"], ["z"]), node("Add", ["z", "c"], ["y"])], {"v": w["v"], "c": w["c"]}, (4,), ("N", 3)
            ),
            (4,),
        ),
        "reshape": (
            model(
                [node("Reshape", ["x", "#to"], ["f"]), node("Gemm", ["f", "u", "c"], ["y"])],
                {"#to": [0, -1], "u": rng.standard_normal((72, 3)), "c": w["c"]},
                image,
                ("N", 3),
            ),
            image,
        ),
        "resize": (
            model(
                [conv, node("Resize", ["z", "", "scales"], ["a"], mode="nearest"), *head],
                w | {"scales": [1, 1, 2, 2]},
                image,
                ("N", 3),
            ),
            image,
        ),
        "LSTM": (
            model(
                [
                    node("Transpose", ["x"], ["s"], perm=[1, 0, 2]),
                    node("LSTM", ["s", "W", "R", "B"], ["", "h"], hidden_size=5),
                    node("Squeeze", ["h", "#axis"], ["q"]),
                    node("Gemm", ["q", "U", "c"], ["y"]),
                ],
                {
                    "W": rng.standard_normal((1, 20, 4)),
                    "R": rng.standard_normal((1, 20, 5)) / 2,
                    "B": rng.standard_normal((1, 40)) / 2,
                    "#axis": [0],
                    "U": rng.standard_normal((5, 3)),
                    "c": w["c"],
                },
                (6, 4),
                ("N", 3),
            ),
            (6, 4),
        ),
    }
