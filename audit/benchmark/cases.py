"""The ways to look at attention that are compared: each reads the same batch with the same weights.

Run as a program it is one of the parent's children: a case, a checkpoint and the lengths to feed; a line of JSON for
each length on standard output.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from audit import catalog
from audit.benchmark.comparison import AUDITS, HEAPED
from audit.benchmark.memory import peak_beyond
from audit.checkpoint.opening import open_checkpoint
from audit.errors import UnusableInput
from audit.measure import Recorder
from audit.models.allocator import keep_freed, trim
from audit.models.coverage import survey
from audit.models.inputs import model_inputs, ordinary_ids
from audit.models.linear import ByOneDnn
from audit.models.loading import LoadedModel, load_model
from audit.models.observing import observe
from audit.models.offline import offline, quiet
from audit.models.passes import attending
from audit.observations import Batch

Look = Callable[[Sequence[Batch]], None]
Decompose = Callable[[Tensor], object]


def plain(loaded: LoadedModel) -> Look:
    """A forward pass with scaled dot product attention that nobody watches: the limit."""
    model = loaded.model

    def look(batches: Sequence[Batch]) -> None:
        for batch in batches:
            with torch.inference_mode(), attending(model, "sdpa"):
                model(**model_inputs(model, batch).inputs)

    return look


def plain_onednn(loaded: LoadedModel) -> Look:
    """The same with the linear maps of an audit, and its heap: what an audit takes beyond it is what looking costs."""
    model = loaded.model

    def look(batches: Sequence[Batch]) -> None:
        for batch in batches:
            # inference mode would not take linear maps apart
            with torch.no_grad(), attending(model, "sdpa"), ByOneDnn():  # type: ignore[no-untyped-call] # in torch
                model(**model_inputs(model, batch).inputs)

    return look


def ours(loaded: LoadedModel, *, spectra: float) -> Look:
    """Everything that depth quick measures, with spectra of that share of the samples."""
    model, layers = loaded.model, survey(loaded.model)
    metrics = [metric for metric in catalog.metrics().values() if "quick" in metric.depths]

    def look(batches: Sequence[Batch]) -> None:
        count = batches[-1].samples[-1] + 1
        recorder = Recorder(metrics, layers, count, spectra=round(spectra * count))
        for batch in batches:
            recorder.begin(batch)
            observe(model, batch, recorder, layers=layers)

    return look


def eager(loaded: LoadedModel, decompose: Decompose | None = None) -> Look:
    """`output_attentions=True` and the entropy of every row; every pattern is decomposed as well, if so told."""
    model = loaded.model

    def look(batches: Sequence[Batch]) -> None:
        for batch in batches:
            with torch.inference_mode(), attending(model, "eager"), sdpa_kernel(SDPBackend.MATH):
                outputs = model(**model_inputs(model, batch).inputs, output_attentions=True)
            for pattern in outputs["attentions"]:
                torch.special.entr(pattern).sum(-1).mean(-1)
                if decompose is not None:
                    decompose(pattern)

    return look


def lens(loaded: LoadedModel, *, keeps: Callable[[str], bool]) -> Look:
    """TransformerLens' `run_with_cache` of the activations that `keeps` names, and the entropy of every row."""
    bridge = import_module("transformer_lens.model_bridge").TransformerBridge
    # it would look for the files of the model's own tokenizer; it is given ids, and needs none
    end = "<end>"
    words = Tokenizer(WordLevel({end: 0}, unk_token=end))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token=end)
    with offline(), quiet():
        model = bridge.boot_transformers("local", hf_model=loaded.model, tokenizer=tokenizer)

    def look(batches: Sequence[Batch]) -> None:
        for batch in batches:
            with torch.inference_mode():
                _, cache = model.run_with_cache(batch.input_ids, names_filter=keeps)
            patterns = [kept for name, kept in cache.items() if _is_pattern(name)]
            if not patterns:
                raise UnusableInput("TransformerLens kept no pattern of this model")
            for pattern in patterns:
                torch.special.entr(pattern).sum(-1).mean(-1)

    return look


def _is_pattern(name: str) -> bool:
    return name.endswith("hook_pattern")


CASES: Final[Mapping[str, Callable[[LoadedModel], Look]]] = {
    "plain": plain,
    "plain_onednn": plain_onednn,
    **{name: partial(ours, spectra=share) for name, share in AUDITS.items()},
    "eager": eager,
    "lens_patterns": partial(lens, keeps=_is_pattern),
    "lens": partial(lens, keeps=lambda _: True),
    "eager_svdvals": partial(eager, decompose=torch.linalg.svdvals),
    "eager_svd": partial(eager, decompose=torch.linalg.svd),
}


def batches_of(model: PreTrainedModel, tokens: int, rows: int, size: int) -> list[Batch]:
    """Random tokens of one length, the same for every case, so many samples at once."""
    ids = ordinary_ids(model)
    picked = torch.randint(len(ids), (rows, tokens), generator=torch.Generator().manual_seed(tokens))
    real: Tensor = torch.ones(rows, tokens, dtype=torch.bool)
    parts = [range(start, min(rows, start + size)) for start in range(0, rows, size)]
    return [
        Batch(ids[picked[at]], real[at], ~real[at], samples=tuple(at), documents=tuple(map(str, at)))
        for at in parts
    ]


def measured(look: Look, batches: Sequence[Batch]) -> dict[str, Any]:
    """The seconds it takes, and the most memory beyond what was held before, in bytes.

    After a batch to warm up, or a few tokens where there is but one: the slow cases, to which it is nothing.
    """
    look(batches[:1] if len(batches) > 1 else [batches[0].only(0, 32)])
    trim()  # what it left free would not count
    with peak_beyond() as peak:
        start = time.perf_counter()
        look(batches)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "bytes": peak.bytes}


def main() -> int:
    """Measure one case at each length; arguments: case, checkpoint, and LENGTHxSAMPLESxAT_ONCE of each."""
    case, checkpoint, *sizes = sys.argv[1:]
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no line of ours
    if case in HEAPED:
        keep_freed()  # as an audit does, before anything is loaded
    loaded = load_model(open_checkpoint(Path(checkpoint)))
    look = CASES[case](loaded)
    for size in sizes:
        tokens, rows, at_once = map(int, size.split("x"))
        found = measured(look, batches_of(loaded.model, tokens, rows, at_once))
        told.write(json.dumps({"case": case, "tokens": tokens, "samples": rows, **found}) + "\n")
        told.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
