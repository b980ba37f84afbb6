"""Weights in several files: an index says which file holds which tensor, and is held to it."""

from collections.abc import Callable
from pathlib import Path

from audit.checkpoint.json_files import read_json
from audit.checkpoint.links import Place, real_file
from audit.checkpoint.records import TensorHeader
from audit.checkpoint.wording import listed, quoted
from audit.errors import RefusedCheckpoint


def indexed(
    where: Place, index: str, read: Callable[[Path, str], dict[str, TensorHeader]]
) -> tuple[dict[str, TensorHeader], dict[str, Path]]:
    """Tensors that the file `index` names, each from the shard it names, and the shards (name -> real path).

    Raises RefusedCheckpoint for an index that is none, a shard that is missing, a tensor that its shard lacks.
    """
    shard_of = _weight_map(real_file(index, where), index)
    shards = {name: real_file(name, where) for name in _present(set(shard_of.values()), index, where)}
    headers = {name: read(path, name) for name, path in shards.items()}
    lacking = [tensor for tensor, shard in shard_of.items() if tensor not in headers[shard]]
    if lacking:
        raise RefusedCheckpoint(
            f"{index!r} places {listed(lacking)} in shards that lack them (the first in "
            f"{shard_of[min(lacking)]!r}): download the checkpoint again"
        )
    return {tensor: headers[shard][tensor] for tensor, shard in shard_of.items()}, shards


def _weight_map(path: Path, name: str) -> dict[str, str]:
    shard_of = read_json(path, name).get("weight_map")
    if not isinstance(shard_of, dict) or not all(isinstance(shard, str) for shard in shard_of.values()):
        raise RefusedCheckpoint(f"{name!r} has no weight_map from tensors to shards: restore the file")
    return shard_of


def _present(shards: set[str], index: str, where: Place) -> list[str]:
    missing = [name for name in shards if "\0" in name or not (where.directory / name).exists()]
    if missing:
        raise RefusedCheckpoint(
            f"{index!r} names {len(missing)} of {len(shards)} shards that {quoted(where.directory)} lacks: "
            f"{listed(missing)}; download them"
        )
    return sorted(shards)
