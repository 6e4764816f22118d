"""From the bytes of an ONNX file to a checked record of its graph."""
