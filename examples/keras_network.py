"""A Keras network explained from the ONNX file that Keras writes.

    pip install keras torch onnx
    python examples/keras_network.py

Keras runs on PyTorch here; on TensorFlow and JAX the file is written by the same line. The network has random weights: what
matters is the way, not the answer.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
from keras import layers

import lrp_ref


def network() -> keras.Model:
    """Convolutions with batch norms, a gate, a sum, and a softmax: channels last, as Keras has them."""
    image = keras.Input((32, 32, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    y = layers.Activation("relu")(layers.DepthwiseConv2D(3, padding="same")(x))
    gate = layers.Conv2D(8, 1, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(y))
    x = layers.Add()([x, layers.Multiply()([y, gate])])
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D(2)(x))
    return keras.Model(image, layers.Dense(5, activation="softmax")(layers.Dropout(0.3)(x)))


def main() -> None:
    keras.utils.set_random_seed(0)
    module = network()
    images = np.random.default_rng(0).random((2, 32, 32, 3), dtype=np.float32)
    expected = keras.ops.convert_to_numpy(module(images, training=False))  # Keras exports what was called once
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        module.export(path, format="onnx", verbose=False)
        model = lrp_ref.load(path)
    folded = lrp_ref.canonize(model)
    print(folded)
    print(f"largest difference of the probabilities: {np.abs(folded(images) - expected).max():.1e}")
    composite = lrp_ref.composites.epsilon_gamma_box(low=0.0, high=1.0)
    e = lrp_ref.explain(model, images, composite=composite, head="logit", ledger=True)
    print(f"explained classes {e.target}, relevance {e.relevance.shape}, of each pixel {e.relevance.sum(axis=-1).shape}")


if __name__ == "__main__":
    main()
