"""Layer-wise Relevance Propagation: the reference implementation."""

__version__ = "0.1.0"
