"""From the nodes of a file to the nodes of a model: operators, constants, batch axes, names."""
