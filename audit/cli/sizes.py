"""Sizes as people write them."""

import re
from typing import Any, Final

import click

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([KMGT])(I?)B?|B)?", re.IGNORECASE)
_PREFIXES: Final = " KMGT"


class Size(click.ParamType[int]):
    """A number of bytes, or one with a unit such as 2GiB or 500MB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """In bytes."""
        found = _SIZE.fullmatch(str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no size; write it like 2GiB, 500MB or 1073741824", param, ctx)
        number, prefix, binary = found.groups()
        base = 1024 if binary else 1000
        return int(float(number) * base ** _PREFIXES.index((prefix or " ").upper()))
