"""`python -m lrp_ref`, the same as `lrp-ref`."""

from .cli import main

if __name__ == "__main__":
    main()
