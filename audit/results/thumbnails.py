"""Small pictures of every head's attention: the exhibit `thumbnails` that an audit keeps and a page shows."""

from dataclasses import dataclass

SIDE = 32  # pixels, at most
UNSEEN = 255  # the shade of what no query of the block sees


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The heads of one layer.

    `shades` are bytes [head, row, column] (base64 in JSON): 254 times the square root of the mean weight of a block of
    queries and keys, so that a weight of 1/64 is still seen beside one of 1; `UNSEEN` where the mask hides all of it.
    """

    layer: int
    heads: int
    rows: int
    columns: int
    shades: bytes

    def __post_init__(self) -> None:
        """Refuse what does not fit its own sizes."""
        if not (0 < self.rows <= SIDE and 0 < self.columns <= SIDE):
            raise ValueError(f"a thumbnail has at most {SIDE} by {SIDE} pixels")
        if len(self.shades) != self.heads * self.rows * self.columns:
            raise ValueError("its shades do not fill its heads")

    def of(self, head: int) -> bytes:
        """The shades of one head, [row, column]."""
        size = self.rows * self.columns
        return self.shades[head * size : (head + 1) * size]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnails:
    """One text, all layers that were observed."""

    probe: str
    tokens: int
    sheets: tuple[Sheet, ...]
