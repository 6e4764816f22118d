"""What exporters take apart, put together again: patterns in the graph of a file, or of the model that was made of it."""
