"""Which quarter of the matrix a run of the suite takes: FAULTS_QUARTER (0 to 3), else the day's.

So the same day gives the same cells wherever it runs, and four days give all.
"""

import os
import time

QUARTERS = 4
_DAY_S = 86_400


def quarter_of_today() -> int:
    """As the module says."""
    text = os.environ.get("FAULTS_QUARTER", "")
    return int(text) % QUARTERS if text else int(time.time() // _DAY_S) % QUARTERS
