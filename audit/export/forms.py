"""The forms by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from audit.export import junit, markdown, model_card, sarif, table
from audit.results import Audit

FORMS: Final[Mapping[str, Callable[[Audit], bytes]]] = MappingProxyType(
    {
        "sarif": sarif.export,
        "junit": junit.export,
        "markdown": markdown.export,
        "model-card": model_card.export,
        "csv": table.csv,
        "parquet": table.parquet,
    }
)
BINARY: Final = frozenset({"parquet"})
