"""Walks the header of a GGUF file within its bounds, whatever its counts and lengths claim.

The reader of the `gguf` package believes every count it meets, so a hostile file can keep it busy for hours;
this walk stops at the end of the file or of a sane header, whichever comes first.
"""

import mmap
import struct
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from gguf import GGML_QUANT_SIZES, GGUF_DEFAULT_ALIGNMENT, GGMLQuantizationType, GGUFValueType

_LONGEST = 100_000_000  # bytes of header; a vocabulary of a million tokens takes a tenth of it
_VERSIONS = (2, 3)  # version 1 counted in 32 bits and is extinct
_DIMENSIONS = 4  # GGML_MAX_DIMS
_NUMBERS = {
    GGUFValueType.UINT8: "B",
    GGUFValueType.INT8: "b",
    GGUFValueType.UINT16: "H",
    GGUFValueType.INT16: "h",
    GGUFValueType.UINT32: "I",
    GGUFValueType.INT32: "i",
    GGUFValueType.FLOAT32: "f",
    GGUFValueType.BOOL: "?",
    GGUFValueType.UINT64: "Q",
    GGUFValueType.INT64: "q",
    GGUFValueType.FLOAT64: "d",
}


_Entry = TypeVar("_Entry")


class BadHeader(ValueError):
    """The header contradicts the format; the message says how, in a few words."""


class Value(NamedTuple):
    """One entry of the metadata."""

    content: Any
    type: GGUFValueType
    items: GGUFValueType | None  # type of an array's items


class StoredTensor(NamedTuple):
    """Where a tensor's blocks lie."""

    shape: tuple[int, ...]  # in torch's order
    type: GGMLQuantizationType
    start: int  # from the beginning of the file
    bytes: int


class Header(NamedTuple):
    """All that stands before the data."""

    metadata: Mapping[str, Value]
    tensors: Mapping[str, StoredTensor]


def read_header(path: Path) -> Header:
    """The header of a GGUF file; raises BadHeader where it is none or runs out of the file."""
    if path.stat().st_size == 0:
        raise BadHeader("empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        cursor = _Cursor(data)
        try:
            return _header(cursor)
        except (struct.error, UnicodeDecodeError, OverflowError) as error:
            raise BadHeader(f"truncated or damaged in its header near byte {cursor.position}") from error


class _Cursor:
    """Reads little-endian values one after the other, never past the end or the longest sane header."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.size = len(data)
        self.position = 0

    def numbers(self, form: str) -> tuple[Any, ...]:
        start = self.position
        self._advance(struct.calcsize(f"<{form}"))
        return struct.unpack_from(f"<{form}", self._data, start)

    def text(self) -> str:
        (length,) = self.numbers("Q")
        start = self.position
        self._advance(length)
        return self._data[start : self.position].decode("utf-8")

    def _advance(self, length: int) -> None:
        self.position += length
        if self.position > min(self.size, _LONGEST):
            raise BadHeader(
                f"truncated, or with an absurd header: it claims to reach beyond byte {self.position}"
            )


def _header(cursor: _Cursor) -> Header:
    if cursor.numbers("4s") != (b"GGUF",):
        raise BadHeader("not GGUF: it does not begin with the GGUF magic bytes")
    version, tensors, entries = cursor.numbers("IQQ")
    if version not in _VERSIONS:
        raise BadHeader(f"of GGUF version {version}; versions 2 and 3 are read")
    metadata = _collected(cursor, entries, _value, "metadata key")
    places = _collected(cursor, tensors, _tensor, "tensor")
    alignment = _alignment(metadata)
    start = -(-cursor.position // alignment) * alignment  # the data begins at the next multiple
    placed = {name: found._replace(start=start + found.start) for name, found in places.items()}
    _check_layout(placed, alignment, cursor.size)
    return Header(metadata, placed)


def _collected(
    cursor: _Cursor, count: int, read: Callable[[_Cursor], _Entry], what: str
) -> dict[str, _Entry]:
    found: dict[str, _Entry] = {}
    for _ in range(count):
        name = cursor.text()
        if name in found:
            raise BadHeader(f"damaged: {what} {name!r} appears twice")
        found[name] = read(cursor)
    return found


def _value(cursor: _Cursor) -> Value:
    kind = _kind(cursor)
    if kind is not GGUFValueType.ARRAY:
        return Value(_scalar(cursor, kind), kind, None)
    items = _kind(cursor)
    (count,) = cursor.numbers("Q")
    if items in _NUMBERS:
        return Value(list(cursor.numbers(f"{count}{_NUMBERS[items]}")), kind, items)
    return Value([_scalar(cursor, items) for _ in range(count)], kind, items)


def _kind(cursor: _Cursor) -> GGUFValueType:
    (number,) = cursor.numbers("I")
    try:
        return GGUFValueType(number)
    except ValueError as error:
        raise BadHeader(f"damaged: metadata of unknown type {number}") from error


def _scalar(cursor: _Cursor, kind: GGUFValueType) -> Any:
    if kind is GGUFValueType.STRING:
        return cursor.text()
    if kind is GGUFValueType.ARRAY:
        raise BadHeader("damaged: metadata holds an array of arrays")
    return cursor.numbers(_NUMBERS[kind])[0]


def _tensor(cursor: _Cursor) -> StoredTensor:
    (dimensions,) = cursor.numbers("I")
    if dimensions > _DIMENSIONS:
        raise BadHeader(f"damaged: a tensor of {dimensions} dimensions")
    shape = tuple(reversed(cursor.numbers(f"{dimensions}Q")))
    number, offset = cursor.numbers("IQ")
    try:
        kind = GGMLQuantizationType(number)
    except ValueError as error:
        raise BadHeader(f"stored in tensor type {number}, which the gguf package does not know") from error
    elements, size = GGML_QUANT_SIZES[kind]
    if shape and shape[-1] % elements:
        raise BadHeader(f"damaged: rows of {shape[-1]} do not divide into {kind.name} blocks of {elements}")
    return StoredTensor(shape, kind, offset, prod(shape) // elements * size)


def _alignment(metadata: Mapping[str, Value]) -> int:
    alignment = metadata["general.alignment"].content if "general.alignment" in metadata else None
    if alignment is None:
        return int(GGUF_DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
        raise BadHeader(f"damaged: alignment {alignment!r} is no power of two")
    return alignment


def _check_layout(tensors: Mapping[str, StoredTensor], alignment: int, size: int) -> None:
    end, before = 0, ""
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].start):
        if tensor.start < end:
            raise BadHeader(f"damaged: tensors {before!r} and {name!r} overlap")
        if tensor.start % alignment:
            raise BadHeader(f"damaged: tensor {name!r} is not aligned to {alignment} bytes")
        end, before = tensor.start + tensor.bytes, name
        if end > size:
            raise BadHeader(f"truncated: tensor {name!r} reaches byte {end} of {size}")
