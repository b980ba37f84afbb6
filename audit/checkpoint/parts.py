"""What a checkpoint is made of, found by looking: a folder in transformers' layout, or one GGUF file."""

from pathlib import Path
from typing import Any, NamedTuple

from audit.checkpoint import adapter, gguf_files, pickle_files, safetensors_files
from audit.checkpoint.configuration import checked
from audit.checkpoint.json_files import read_json
from audit.checkpoint.links import Place, real_file
from audit.checkpoint.records import Form, TensorHeader
from audit.checkpoint.training_record import NAMES, read_training
from audit.checkpoint.wording import listed, quoted
from audit.errors import RefusedCheckpoint
from audit.results.training import Training

CONFIG = "config.json"
# what a tokenizer class may read: whatever stands beside the weights in one of these forms counts as a part
_TEXT = frozenset({".json", ".txt", ".model", ".spm", ".tiktoken", ".jinja", ".vocab", ".codes", ".bpe"})
_TOKENIZERS = frozenset(
    {
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
        "spiece.model",
        "sentencepiece.bpe.model",
        "vocab.json",
        "vocab.txt",
        "tekken.json",
    }
)
_TEMPLATES = "additional_chat_templates"
_WEIGHTS = frozenset({".safetensors", ".h5", ".msgpack", ".onnx", ".npz"}) | pickle_files.SUFFIXES
_READ = frozenset(
    {safetensors_files.SINGLE, safetensors_files.INDEX, pickle_files.SINGLE, pickle_files.INDEX}
)


class Weights(NamedTuple):
    """The weights of a folder."""

    form: Form
    tensors: dict[str, TensorHeader]
    files: dict[str, Path]  # name -> real path


class Parts(NamedTuple):
    """All that a checkpoint is made of."""

    config: dict[str, Any]
    model_type: str
    weights: Weights
    files: dict[str, Path]  # name -> real path, the weights among them
    has_tokenizer: bool
    remarks: tuple[str, ...]
    training: Training | None


def only_gguf(directory: Path) -> str | None:
    """Name of the GGUF file that is the checkpoint in a folder; None where transformers' layout is.

    Raises RefusedCheckpoint where there are several to choose from.
    """
    names = _names(directory)
    found = [name for name in names if name.lower().endswith(gguf_files.SUFFIX)]
    if not found or (CONFIG in names and _READ.intersection(names)):
        return None
    if len(found) > 1:
        raise RefusedCheckpoint(
            f"{quoted(directory)} holds {len(found)} GGUF files ({', '.join(map(repr, found))}): give one of them"
        )
    return found[0]


def gguf_parts(where: Place, name: str, *, available_memory: int | None) -> Parts:
    """A GGUF file, which carries configuration and tokenizer itself."""
    path = real_file(name, where)
    read = gguf_files.read_gguf(path, name, available_memory=available_memory)
    understood = checked(read.config, where.directory)
    weights = Weights("gguf", read.tensors, {name: path})
    names = _names(where.directory)
    beside = {each: real_file(each, where) for each in names if each in NAMES}
    return Parts(
        read.config,
        understood.model_type,
        weights,
        weights.files | beside,
        read.has_tokenizer,
        understood.remarks,
        read_training(beside, names, {}),
    )


def folder_parts(where: Place, *, allow_pickle: bool) -> Parts:
    """A folder in transformers' layout. Raises RefusedCheckpoint, and before any weights are opened if it can."""
    names = _names(where.directory)
    if CONFIG not in names:
        raise _incomplete(where.directory, names, f"neither {CONFIG} nor a GGUF file is in it")
    files = {name: real_file(name, where) for name in _texts(where.directory, names)}
    config = read_json(files[CONFIG], CONFIG)
    understood = checked(config, where.directory)
    weights = _weights(where, names, allow_pickle=allow_pickle)
    has_tokenizer = any(name in _TOKENIZERS or name.endswith((".spm", ".tiktoken")) for name in files)
    remarks = understood.remarks + _remarks(names, weights.form)
    training = read_training(files, names, config)
    return Parts(
        config, understood.model_type, weights, files | weights.files, has_tokenizer, remarks, training
    )


def _weights(where: Place, names: list[str], *, allow_pickle: bool) -> Weights:
    """The weights, in the order in which transformers looks for them."""
    if safetensors_files.SINGLE in names:
        path = real_file(safetensors_files.SINGLE, where)
        headers = safetensors_files.read_headers(path, safetensors_files.SINGLE)
        return Weights("safetensors", headers, {safetensors_files.SINGLE: path})
    if safetensors_files.INDEX in names:
        return Weights("safetensors", *safetensors_files.read_shards(where))
    pickles = [name for name in names if Path(name).suffix in pickle_files.SUFFIXES]
    if pickles and not allow_pickle:
        pickle_files.refuse_pickle(pickles)
    if pickle_files.SINGLE in names:
        return Weights("pickle", *pickle_files.read_single(where))
    if pickle_files.INDEX in names:
        return Weights("pickle", *pickle_files.read_shards(where))
    raise _incomplete(where.directory, names, _other_weights(names))


def _other_weights(names: list[str]) -> str:
    other = [name for name in names if Path(name).suffix in _WEIGHTS]
    wanted = f"{safetensors_files.SINGLE!r} or {safetensors_files.INDEX!r}"
    return f"no weights named {wanted} are in it (found {listed(other) or 'none'})"


def _incomplete(directory: Path, names: list[str], lack: str) -> RefusedCheckpoint:
    if adapter.CONFIG in names:
        return RefusedCheckpoint(
            f"{quoted(directory)} is an adapter without its base: give the base, and this folder with --adapter"
        )
    if "snapshots" in names:
        lack = "it is a hub-cache repository, so give the folder of one of its snapshots"
    return RefusedCheckpoint(f"{quoted(directory)} holds no checkpoint: {lack}")


def _remarks(names: list[str], form: Form) -> tuple[str, ...]:
    pickled = [name for name in names if name in {pickle_files.SINGLE, pickle_files.INDEX}]
    remarks = []
    if form == "safetensors" and pickled:
        remarks.append(f"{listed(pickled)} ignored: the weights are read from safetensors")
    if adapter.CONFIG in names:
        remarks.append(f"{adapter.CONFIG} ignored: an adapter is merged only when given with --adapter")
    return tuple(remarks)


def _texts(directory: Path, names: list[str]) -> list[str]:
    """Names of the configuration, of whatever a tokenizer may read, and of its further chat templates."""
    here = [name for name in names if Path(name).suffix in _TEXT and not (directory / name).is_dir()]
    return here + [f"{_TEMPLATES}/{path.name}" for path in sorted((directory / _TEMPLATES).glob("*.jinja"))]


def _names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())
