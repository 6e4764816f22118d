"""Layers that exporters take apart, put together again: patterns in the graph of a file, or of its model."""
