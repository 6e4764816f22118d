"""What every test shares: how hard Hypothesis tries, and that no test reaches the network."""

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

try:
    from hypothesis.internal.conjecture import providers
except ImportError:  # Hypothesis 6.100, the oldest that is allowed
    providers = None

# "fast" draws the same examples on every machine and in every run (derandomize): whether a commit is good must not
# depend on luck, and two people who look at the same failure must see the same one. What that gives up, new examples
# each time, is the work of "thorough", which is random, draws many more, and prints what brings a failure back.
# No deadline in either: the machines that run this are shared, and a slow example is not a wrong one.
settings.register_profile("fast", max_examples=40, deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "thorough", max_examples=1000, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))
# Hypothesis also draws constants that it finds in the modules imported so far. Which those are depends on the tests that ran
# before, so "derandomize" alone does not give everyone the same examples. There is no public switch; without this one private
# name, which newer versions may not have, examples merely depend on the order of the tests again.
if settings.default.derandomize and hasattr(providers, "_get_local_constants"):
    providers._get_local_constants = providers.Constants


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Refuse every connection that is not local inter-process plumbing."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            raise RuntimeError(f"a test tried to reach the network: {address!r}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield
