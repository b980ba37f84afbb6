"""How the model families build a block, where config.json does not say: norm placement, gates, embeddings."""

from dataclasses import dataclass, replace
from typing import Literal

from audit.errors import UnusableInput
from audit.theory.architecture import OutputScaling, Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What the code of a model type fixes beside its configuration, as transformers 5 writes it."""

    placement: Placement = "pre"
    norm: Literal["layer", "rms"] = "layer"
    causal: bool = True
    gated: bool = False
    activation: str = "gelu"
    positions: bool = False  # learned positions are added to the words
    types: bool = False  # a token-type vector, common to all tokens, is added too
    embedding_norm: bool = False
    scaled_embedding: bool = False  # words times sqrt(width)
    scaled_output: OutputScaling = "none"  # W_O (and W_2) drawn with sd / sqrt(2L)
    parallel: bool = False
    qk_norm: bool = False
    unscaled_scores: bool = False
    assumption: str | None = None  # why the theory only comes near

    def where(self, **changes: object) -> "Family":
        """This family but for `changes`."""
        return replace(self, **changes)  # type: ignore[arg-type]


_BERT = Family(placement="post", causal=False, positions=True, types=True, embedding_norm=True)
_BART = _BERT.where(types=False)
_GPT = Family(positions=True)
_ROTARY = Family()
_LLAMA = Family(norm="rms", gated=True, activation="silu")
_SHARED = "all layers share one set of weights; the theory takes independent ones"
_DISENTANGLED = "attention scores add relative-position terms the theory leaves out"
_SINKS = "learned attention sinks take a share of every row; the theory has none"

FAMILIES: dict[str, Family] = {
    "albert": _BERT.where(assumption=_SHARED),
    "bart": _BART,
    "bert": _BERT,
    "bert-generation": _BART,
    "bloom": _ROTARY.where(embedding_norm=True),
    "camembert": _BERT,
    "codegen": _ROTARY.where(parallel=True),
    "cohere": _LLAMA.where(norm="layer", parallel=True),
    "cohere2": _LLAMA.where(norm="layer", parallel=True),
    "data2vec-text": _BERT,
    "deberta": _BERT.where(assumption=_DISENTANGLED),
    "deberta-v2": _BERT.where(assumption=_DISENTANGLED),
    "deepseek_v2": _LLAMA,
    "deepseek_v3": _LLAMA,
    "distilbert": _BART,
    "electra": _BERT,
    "ernie": _BERT,
    "falcon": _ROTARY,
    "gemma": _LLAMA.where(scaled_embedding=True, activation="gelu"),
    "gemma2": _LLAMA.where(placement="sandwich", scaled_embedding=True, activation="gelu"),
    "gemma3_text": _LLAMA.where(placement="sandwich", scaled_embedding=True, activation="gelu", qk_norm=True),
    "glm4": _LLAMA.where(placement="sandwich"),
    "gpt2": _GPT.where(scaled_output="both"),
    "gpt_bigcode": _GPT.where(scaled_output="both"),
    "gpt_neo": _GPT.where(unscaled_scores=True),
    "gpt_neox": _ROTARY,
    "gpt_oss": _LLAMA.where(assumption=_SINKS),
    "gptj": _ROTARY.where(parallel=True),
    "granite": _LLAMA,
    "llama": _LLAMA,
    "mbart": _BART.where(placement="pre"),
    "megatron-bert": _BERT.where(placement="pre", embedding_norm=False),
    "mistral": _LLAMA,
    "mixtral": _LLAMA,
    "modernbert": _LLAMA.where(
        norm="layer", causal=False, activation="gelu", embedding_norm=True, scaled_output="both"
    ),
    "mpnet": _BART,
    "mpt": _ROTARY,
    "nanochat": _LLAMA.where(gated=False, activation="relu2", scaled_output="attention", qk_norm=True),
    "nemotron": _LLAMA.where(norm="layer", gated=False, activation="relu2"),
    "olmo": _LLAMA.where(norm="layer"),
    "olmo2": _LLAMA.where(placement="branch", qk_norm=True),
    "olmo3": _LLAMA.where(placement="branch", qk_norm=True),
    "olmoe": _LLAMA.where(qk_norm=True),
    "opt": _GPT.where(activation="relu"),
    "phi": _ROTARY.where(parallel=True),
    "phi3": _LLAMA,
    "qwen2": _LLAMA,
    "qwen2_moe": _LLAMA,
    "qwen3": _LLAMA.where(qk_norm=True),
    "qwen3_moe": _LLAMA.where(qk_norm=True),
    "roberta": _BERT,
    "roberta-prelayernorm": _BERT.where(placement="pre", embedding_norm=True),
    "smollm3": _LLAMA,
    "stablelm": _LLAMA.where(norm="layer"),
    "starcoder2": _ROTARY,
    "t5": Family(norm="rms", causal=False, activation="relu", unscaled_scores=True),
    "xlm-roberta": _BERT,
    "xlm-roberta-xl": _BERT.where(placement="pre", embedding_norm=False),
}


# state spaces, recurrences, Fourier mixing and hashing: nothing here that the theory could speak of
WITHOUT_SOFTMAX = frozenset({"falcon_mamba", "fnet", "mamba", "mamba2", "rwkv", "xlstm", "yoso"})


def family(model_type: str, *, rms: bool, gated: bool) -> Family:
    """The family of a model type; for an unknown one a pre-LN decoder, with that assumption named.

    Raises UnusableInput for types without softmax attention: there is no nearest answer for these.
    """
    if model_type in WITHOUT_SOFTMAX:
        raise UnusableInput(
            f"model type {model_type!r} has no softmax attention: the theory has no answer for it"
        )
    if model_type in FAMILIES:
        return FAMILIES[model_type]
    guessed = _LLAMA if rms or gated else _ROTARY
    kind = "RMSNorm and a gated MLP" if rms or gated else "LayerNorm and a plain MLP"
    reason = (
        f"model type {model_type!r} is not among the known families: read as a pre-LN decoder with {kind}"
    )
    return guessed.where(assumption=reason)
