"""The library of Stripe is there only where something is sold."""

import subprocess
import sys


def test_a_gateway_that_sells_nothing_does_not_load_stripes_library() -> None:
    program = "import sys, gateway.app; print('stripe' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "False"
