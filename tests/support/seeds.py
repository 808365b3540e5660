"""Where chance in tests comes from: printed, and given again by PORTALBUS_TEST_SEED."""

from __future__ import annotations

import os
from random import SystemRandom

VARIABLE = "PORTALBUS_TEST_SEED"


def fresh_seed(of: str, bits: int = 32) -> int:
    """A new seed, or the one that the environment names; says which, so that it can be named.

    It repeats every choice of a test that runs in one process. Where real processes are killed it repeats the plan:
    what is killed and after how long a pause, not the instant at which the machine gets there.
    """
    given = os.environ.get(VARIABLE)
    seed = int(given) if given else SystemRandom().randrange(2**bits)
    print(f"{of}: {VARIABLE}={seed}")
    return seed
