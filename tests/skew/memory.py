"""Prints by how many bytes reading and testing 200 sentences, and 2,000, raise the peak memory of this process."""

import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from audit.checkpoint.opening import open_checkpoint
from audit.definitions import PairProbe
from audit.models.loading import LoadedModel, load_model
from audit.probes.demographics import axes
from audit.progress import Silent
from audit.results import Plan
from audit.skew.survey import survey_skew
from tests.models.backward_memory import forget, peak
from tests.skew.planting import ground_of


def many_heads(tokenizer: Path, folder: Path) -> LoadedModel:
    """A small encoder whose patterns would be seen if they were kept: 144 heads."""
    torch.manual_seed(0)
    words = AutoTokenizer.from_pretrained(tokenizer)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=96,
        intermediate_size=96,
        num_hidden_layers=6,
        num_attention_heads=24,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return load_model(open_checkpoint(folder))


def probe_of(templates: int) -> PairProbe:
    """14 pairs in so many templates."""
    (gender,) = (axis for axis in axes() if axis.name == "gender")
    written = tuple(f"{gender.templates[i % 60][:-1]} {i}." for i in range(templates))
    cut = replace(gender, templates=written, terms=(gender.terms[0][:14], gender.terms[1][:14]))
    return PairProbe(name="some", title="", summary="", licence="", axes=partial(tuple, [cut]))


def main(tokenizer: str) -> list[int]:
    """Bytes; the few are read twice, so that what libraries keep is not counted."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        loaded, found = many_heads(Path(tokenizer), Path(folder)), []
        layers, plan = ground_of(loaded).layers, Plan(depth="full")
        for templates in (7, 7, 71):
            forget()
            before = peak()
            survey_skew(loaded, probe_of(templates), layers=layers, plan=plan, progress=Silent())
            found.append(peak() - before)
    return found[1:]


if __name__ == "__main__":
    print(*main(sys.argv[1]))
