"""`python -m lrp_ref.cli` is `lrp-ref`."""

from . import main

main()
