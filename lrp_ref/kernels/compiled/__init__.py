"""The `compiled` backend: steps over the C core `_core`, whose sources are in `_ext/`. Only `native` imports the core."""
