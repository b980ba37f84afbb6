"""Opens a checkpoint: every check that needs no weights, then the digest of every file."""

from pathlib import Path

from audit.checkpoint.adapter import open_adapter
from audit.checkpoint.digests import digest_of_files, file_digests
from audit.checkpoint.gguf_files import SUFFIX
from audit.checkpoint.links import Place, place
from audit.checkpoint.parts import folder_parts, gguf_parts, only_gguf
from audit.checkpoint.quantised import refuse_quantised_tensors
from audit.checkpoint.records import Checkpoint
from audit.checkpoint.wording import quoted
from audit.errors import MachineFault, RefusedCheckpoint

__all__ = ["Checkpoint", "open_checkpoint"]


def open_checkpoint(
    path: Path,
    *,
    adapter: Path | None = None,
    allow_pickle: bool = False,
    model_root: Path | None = None,
    available_memory: int | None = None,
) -> Checkpoint:
    """The checkpoint at `path`: a folder with config.json, a hub-cache snapshot, a GGUF file or a folder of one.

    No weights are loaded. `model_root` is a folder that the checkpoint must stand in and its links may lead to;
    `available_memory` (bytes) replaces what the machine says. Raises RefusedCheckpoint for each reason of the
    contract, MachineFault where the disk or a permission gives out.
    """
    try:
        where, gguf_file = _located(path, model_root)
        parts = (
            gguf_parts(where, gguf_file, available_memory=available_memory)
            if gguf_file
            else folder_parts(where, allow_pickle=allow_pickle)
        )
        refuse_quantised_tensors(parts.weights.tensors)
        merged = open_adapter(adapter, parts.weights.tensors, model_root=model_root) if adapter else None
        files = file_digests(parts.files)
    except OSError as error:
        raise MachineFault(f"{quoted(path)} cannot be read: {error.strerror or error}") from error
    return Checkpoint(
        directory=where.directory,
        form=parts.weights.form,
        gguf_file=gguf_file,
        config=parts.config,
        model_type=parts.model_type,
        files=files,
        digest=digest_of_files(files),
        adapter=merged,
        has_tokenizer=parts.has_tokenizer,
        remarks=parts.remarks,
        tensors=parts.weights.tensors,
        training=parts.training,
    )


def _located(path: Path, model_root: Path | None) -> tuple[Place, str | None]:
    """The real folder, and the name of the GGUF file in it where that is the checkpoint."""
    if "\0" in str(path) or not path.exists():
        raise RefusedCheckpoint(f"no checkpoint at {quoted(path)}: the path does not exist")
    if path.is_dir():
        where = place(path, model_root)
        return where, only_gguf(where.directory)
    if path.suffix.lower() != SUFFIX:
        raise RefusedCheckpoint(
            f"{quoted(path)} is no checkpoint: give the folder that holds config.json, or a GGUF file"
        )
    return place(path.parent, model_root), path.name
