"""A manifest: which checkpoints a batch audits and how, from a TOML or CSV file or the names in a folder."""

import csv
import dataclasses
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from audit import policy as policies
from audit.errors import UnusableInput, unknown_name
from audit.limits import checked
from audit.results import Plan

_MOST: Final = 10_000  # checkpoints
_PLAN: Final = frozenset(field.name for field in dataclasses.fields(Plan))
_LISTS: Final = frozenset({"probes", "metrics"})
_OPTIONS: Final = _PLAN | {"policy", "adapter"}
_KEYS: Final = _OPTIONS | {"path"}


_STEP: Final = re.compile(r"checkpoint-\d+")  # as trainers call them


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One checkpoint to audit; paths are seen from the working folder."""

    name: str  # the path as the manifest has it, and what tells it from others of the same path
    checkpoint: str
    plan: Plan
    policy: str | None = None
    adapter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a batch is asked for."""

    name: str
    items: tuple[Item, ...]


def read(path: Path, options: Mapping[str, Any] | None = None) -> Manifest:
    """The manifest at `path`; UnusableInput names the row and the key that are wrong.

    TOML: `[[checkpoint]]` tables with a `path` and, where they differ from those of the top level, options of `run`.
    CSV: a column `path` and one for each option; lists are parted by `;`, an empty cell is not given. A folder: every
    checkpoint right below it. `options` hold where the manifest says nothing. Paths are relative to the manifest.
    """
    given = {key: value for key, value in (options or {}).items() if value is not None}
    if path.is_dir():
        name, rows = path.resolve().name, [(found.name, {"path": found.name}) for found in _checkpoints(path)]
        base = path
    else:
        name, rows = _rows(path)
        base = path.parent
    if not rows and path.is_dir():
        alone = _is_checkpoint(path)
        raise UnusableInput(
            f"{str(path)!r} {'is one checkpoint' if alone else 'holds no checkpoint'}: give the folder that holds several"
        )
    if not rows or len(rows) > _MOST:
        raise UnusableInput(f"{_called(path)} names {len(rows)} checkpoints; a batch has 1 to {_MOST:,}")
    items = [_item(base, given | row, where=f"{_called(path)}, {where}") for where, row in rows]
    _refuse_twins(path, items, [where for where, _ in rows])
    return Manifest(name=name, items=tuple(_told_apart(items)))


def _rows(path: Path) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    """The batch's name, and where each row stands with what it says."""
    try:
        if path.suffix == ".csv":
            return path.stem, list(_csv_rows(path))
        if path.suffix == ".toml":
            return _toml_rows(path, tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, csv.Error) as error:
        raise UnusableInput(f"{_called(path)} cannot be read: {error}") from None
    raise UnusableInput(f"{_called(path)} is neither a .toml nor a .csv file nor a folder of checkpoints")


def _toml_rows(path: Path, content: dict[str, Any]) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    tables = content.pop("checkpoint", None)
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UnusableInput(f"{_called(path)} has no [[checkpoint]] tables")
    name = content.pop("name", path.stem)
    if not isinstance(name, str):
        raise UnusableInput(f"{_called(path)}: name = {name!r} is no text")
    _known(content, _OPTIONS, _called(path))
    return name, [(f"checkpoint {n}", content | table) for n, table in enumerate(tables, 1)]


def _csv_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        if "path" not in (reader.fieldnames or ()):
            raise UnusableInput(f"{_called(path)} has no column 'path'")
        for row in reader:
            if None in row or None in row.values():
                raise UnusableInput(
                    f"{_called(path)}, line {reader.line_num}: another number of cells than columns"
                )
            yield (
                f"line {reader.line_num}",
                {k.strip(): _cell(k.strip(), v) for k, v in row.items() if v.strip()},
            )


def _cell(key: str, text: str) -> Any:
    return [part.strip() for part in text.split(";")] if key in _LISTS else text.strip()


def _item(base: Path, row: Mapping[str, Any], *, where: str) -> Item:
    _known(row, _KEYS, where)
    path = _word(row, "path", where)
    if path is None:
        raise UnusableInput(f"{where}: no path")
    try:
        plan = checked(msgspec.convert({k: row[k] for k in row if k in _PLAN}, Plan, strict=False))
    except msgspec.ValidationError as error:
        raise UnusableInput(f"{where}: {error}") from None
    except UnusableInput as error:
        raise UnusableInput(f"{where}: {str(error).removeprefix('--')}") from None
    policy, adapter = _word(row, "policy", where), _word(row, "adapter", where)
    probes = tuple(_beside(base, probe) for probe in plan.probes)
    return Item(
        name=path,
        checkpoint=str(base / path),
        plan=dataclasses.replace(plan, probes=probes),
        policy=policy if policy is None or policy in policies.shipped() else str(base / policy),
        adapter=str(base / adapter) if adapter else None,
    )


def _word(row: Mapping[str, Any], key: str, where: str) -> str | None:
    value = row.get(key)
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise UnusableInput(f"{where}: {key} = {value!r} is no text")
    return value


def _beside(base: Path, probe: str) -> str:
    """A probe's file as seen from here; the name of a shipped probe as it is."""
    return str(base / probe) if (base / probe.partition(":")[0]).is_file() else probe


def _checkpoints(folder: Path) -> list[Path]:
    """GGUF files and folders with a configuration, in the order a reader counts."""
    found = [entry for entry in folder.iterdir() if entry.name[0] != "." and _is_checkpoint(entry)]
    return sorted(
        found, key=lambda entry: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", entry.name)]
    )


def _is_checkpoint(entry: Path) -> bool:
    if entry.is_dir():  # a trainer's folder counts even where it lacks what it should hold: that is then said
        known = (entry / "config.json").is_file() or any(entry.glob("*.gguf"))
        return known or any(entry.glob("*.safetensors")) or bool(_STEP.fullmatch(entry.name))
    return entry.suffix == ".gguf"


def _refuse_twins(path: Path, items: Sequence[Item], places: Sequence[str]) -> None:
    first: dict[Item, str] = {}
    for item, place in zip(items, places, strict=True):
        if (other := first.setdefault(item, place)) != place:
            raise UnusableInput(f"{_called(path)}: {place} repeats {other}")


def _told_apart(items: Sequence[Item]) -> Iterator[Item]:
    """The items, those of one checkpoint named with the options in which they differ."""
    groups: dict[str, list[dict[str, str]]] = {}
    for item in items:
        groups.setdefault(item.name, []).append(_options(item))
    differing = {
        name: [key for key in alike[0] if len({options[key] for options in alike}) > 1]
        for name, alike in groups.items()
    }
    for item in items:
        own = _options(item)
        told = ", ".join(f"{key} {own[key]}" for key in differing[item.name])
        yield dataclasses.replace(item, name=f"{item.name} ({told})") if told else item


def _options(item: Item) -> dict[str, str]:
    """Each option as a word or two; files by their last name."""
    options = {**dataclasses.asdict(item.plan), "policy": item.policy, "adapter": item.adapter}
    lists = {key: value if isinstance(value, tuple) else (value,) for key, value in options.items()}
    return {key: " ".join(Path(str(part)).name for part in parts) for key, parts in lists.items()}


def _known(row: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    for key in row:
        if key not in known:
            raise unknown_name(f"key in {where}:", key, sorted(known))


def _called(path: Path) -> str:
    return f"manifest {str(path)!r}"
