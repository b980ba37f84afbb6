"""From a config.json to the architecture and initialisation the theory speaks of, with every assumption named."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from audit.errors import UnusableInput
from audit.theory.activations import ACTIVATIONS
from audit.theory.architecture import WIDEST_SD, Architecture, Initialisation, OutputScaling
from audit.theory.families import FAMILIES, Family, family
from audit.theory.fields import Fields
from audit.theory.nearest import coming_near

TOKENS = 512
_SD = 0.02  # transformers' own, where a configuration names none


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A configuration in the words of the theory, and how far to trust it."""

    model_type: str
    known: bool  # whether the family is; else its norms and gates are guessed
    architecture: Architecture
    initialisation: Initialisation
    assumptions: tuple[str, ...]  # of the theory that fail here; empty = it covers this model
    missing: tuple[str, ...]  # fields the configuration lacks, and what was taken instead
    remarks: tuple[str, ...]


class _Tokens(NamedTuple):
    """What enters the first block."""

    q0: float
    p0: float


def from_config(
    config: Mapping[str, Any],
    *,
    tokens: int = TOKENS,
    residual_scaling: bool | None = None,
    similarity: float | None = None,
) -> Reading:
    """The architecture and initialisation of a configuration in the form of config.json.

    Args:
        config: its content; the field names are those of Hugging Face.
        tokens: sequence length T, cut to the positions the model has.
        residual_scaling: draw W_O and the second MLP matrix with sd / sqrt(2L); None = as the family does (GPT-2).
        similarity: rho_0 = p0/q0 of the embedded tokens where it has been measured; else that of tokens all
            different, whose embeddings share nothing but the token type.

    Raises:
        UnusableInput: a field the theory cannot do without is missing, or a value is absurd.
    """
    config, remarks = _text_part(config)
    fields = Fields(config)
    kind = str(config.get("model_type") or "")
    known = _family(fields, kind)
    length = min(tokens, fields.count("max_position_embeddings") or tokens)
    if length < tokens:
        remarks += (f"the model has {length} positions: T = {length} instead of {tokens}",)
    architecture = _architecture(fields, known, length)
    scaled = _scaled(known, residual_scaling)
    initialisation = (
        _t5(fields, architecture) if kind == "t5" else _normal(fields, known, architecture, scaled)
    )
    if fields.raw("is_encoder_decoder") is True:
        remarks += ("only the encoder of the model is looked at",)
    if similarity is None:
        remarks += (
            "the tokens that enter are taken to be all different; repeated words raise their likeness",
        )
    initialisation = _entering(initialisation, similarity)
    near = coming_near(fields, architecture, initialisation)
    assumptions = tuple(filter(None, (known.assumption, *near.assumptions)))
    return Reading(
        model_type=kind or "unknown",
        known=kind in FAMILIES,
        architecture=near.architecture,
        initialisation=near.initialisation,
        assumptions=assumptions,
        missing=tuple(fields.missing),
        remarks=remarks,
    )


def _text_part(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    inner = config.get("text_config")
    if isinstance(inner, Mapping):
        return inner, ("only the text part of the model is looked at (text_config)",)
    return config, ()


def _family(fields: Fields, kind: str) -> Family:
    """The family, corrected by what the configuration itself says."""
    act = str(fields.raw("hidden_act"))
    known = family(kind, rms=fields.raw("rms_norm_eps") is not None, gated=act in {"silu", "swish"})
    if kind == "t5" and str(fields.raw("feed_forward_proj") or "").startswith("gated-"):
        known = known.where(gated=True, activation="gelu")
    if kind == "opt" and not fields.flag("do_layer_norm_before", default=True):
        known = known.where(placement="post")
    if kind in {"falcon", "gpt_neox"}:
        key = "parallel_attn" if kind == "falcon" else "use_parallel_residual"
        known = known.where(parallel=fields.flag(key, default=True))
    return known.where(causal=known.causal or fields.flag("is_decoder", default=False))


def _architecture(fields: Fields, known: Family, tokens: int) -> Architecture:
    width, heads = fields.needed("hidden_size"), fields.needed("num_attention_heads")
    _check_shared_heads(fields, heads)
    return Architecture(
        depth=fields.needed("num_hidden_layers"),
        width=width,
        heads=heads,
        head_dim=_head_dim(fields, width, heads),
        tokens=tokens,
        mlp_width=_mlp_width(fields, width),
        placement=known.placement,
        norm=known.norm,
        norm_eps=fields.number("norm_eps", 1e-5, "the usual value"),
        activation=_activation(fields, known),
        gated=known.gated,
        causal=known.causal,
        parallel=known.parallel,
        qk_norm=known.qk_norm or fields.flag("use_qk_norm", default=False),
        score_scale=_score_scale(fields, known),
    )


def _check_shared_heads(fields: Fields, heads: int) -> None:
    """Keys and values that groups of heads share change nothing here, but the groups have to be whole."""
    name = "num_key_value_heads"
    shared = heads if fields.raw(name) is None else fields.needed(name)
    if heads % shared:
        raise UnusableInput(f"num_attention_heads {heads} is no multiple of {name} {shared}: which is wrong?")


def _head_dim(fields: Fields, width: int, heads: int) -> int:
    given = fields.count("head_dim")
    if not given and width % heads:
        raise UnusableInput(
            f"hidden_size {width} is no multiple of num_attention_heads {heads}: which is wrong?"
        )
    return given or width // heads


def _mlp_width(fields: Fields, width: int) -> int:
    ratio = fields.raw("expansion_ratio")
    why = "four times hidden_size"
    return fields.whole("intermediate_size", width * ratio if isinstance(ratio, int) else 4 * width, why)


def _activation(fields: Fields, known: Family) -> str:
    name = fields.raw("hidden_act")
    if name is None:
        return known.activation
    if str(name) not in ACTIVATIONS:
        fields.missing.append(f"activation {name!r} is not known to the theory: gelu assumed")
        return "gelu"
    return str(name)


def _score_scale(fields: Fields, known: Family) -> float | None:
    if known.unscaled_scores or not fields.flag("scale_attn_weights", default=True):
        return 1.0
    if fields.raw("attention_multiplier") is not None:
        return fields.factor("attention_multiplier")
    scalar = fields.raw("query_pre_attn_scalar")
    return None if scalar is None else fields.factor("query_pre_attn_scalar") ** -0.5


def _scaled(known: Family, asked: bool | None) -> OutputScaling:
    if asked is None:
        return known.scaled_output
    return "both" if asked else "none"


def _normal(fields: Fields, known: Family, a: Architecture, scaled: OutputScaling) -> Initialisation:
    """Every matrix drawn with `initializer_range`, as transformers does."""
    sd = fields.number("initializer_range", _SD, "the default of transformers", most=WIDEST_SD)
    small = sd / math.sqrt(2 * a.depth)
    branch = fields.factor("residual_multiplier")
    entering = _embedded(fields, known, a, sd)
    return Initialisation(
        sd_query=sd,
        sd_key=sd,
        sd_value=sd,
        sd_output=branch * (sd if scaled == "none" else small),
        sd_mlp_in=sd,
        sd_mlp_gate=sd if a.gated else 0.0,
        sd_mlp_out=branch * (small if scaled == "both" else sd),
        output_by_depth=scaled,
        q0=entering.q0,
        p0=entering.p0,
        embedding_norm=known.embedding_norm,
    )


def _embedded(fields: Fields, known: Family, a: Architecture, sd: float) -> _Tokens:
    """Words, positions and token types are drawn with the same sd; only the type is common to all tokens."""
    words = fields.factor("embedding_multiplier") ** 2 * (a.width if known.scaled_embedding else 1)
    common = 1.0 if known.types and fields.raw("type_vocab_size") != 0 else 0.0
    q, p = sd**2 * (words + known.positions + common), sd**2 * common
    return _Tokens(q / (q + a.norm_eps), p / (q + a.norm_eps)) if known.embedding_norm else _Tokens(q, p)


def _t5(fields: Fields, a: Architecture) -> Initialisation:
    """T5 scales each matrix by its fan-in, and W_Q by 1/sqrt(d_kv) in place of the scores."""
    factor = fields.factor("initializer_factor")
    fan_in = factor * a.width**-0.5
    return Initialisation(
        sd_query=fan_in * a.head_dim**-0.5,
        sd_key=fan_in,
        sd_value=fan_in,
        sd_output=factor * (a.heads * a.head_dim) ** -0.5,
        sd_mlp_in=fan_in,
        sd_mlp_gate=fan_in if a.gated else 0.0,
        sd_mlp_out=factor * a.mlp_width**-0.5,
        q0=factor**2,
    )


def _entering(initialisation: Initialisation, similarity: float | None) -> Initialisation:
    if similarity is None:
        return initialisation
    if not 0.0 <= similarity <= 1.0:
        raise UnusableInput(
            f"similarity is {similarity!r}: the token cosine at the embeddings lies from 0 to 1"
        )
    return replace(initialisation, p0=similarity * initialisation.q0)
