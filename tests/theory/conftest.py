"""Tables of overlaps, made once."""

import pytest

from audit.theory.rows import EveryKey
from audit.theory.table import finite_length


@pytest.fixture(scope="session")
def overlaps_256() -> EveryKey:
    """Rows of 256 keys."""
    return EveryKey(finite_length(256))


@pytest.fixture(scope="session")
def overlaps_512() -> EveryKey:
    """Rows of 512 keys."""
    return EveryKey(finite_length(512))
