"""Where the theory does not reach: which assumption fails, and the nearest model it does cover."""

from dataclasses import replace
from typing import NamedTuple

from audit.theory.architecture import Architecture, Initialisation
from audit.theory.fields import Fields

_COVERED = {"full_attention", "sliding_attention", "chunked_attention", "attention", "moe", "mlp"}
_LAYERS = ("layer_types", "layers_block_type", "block_types")
CHECKED = 256  # tokens and channels from which the map has been held against simulation


class Near(NamedTuple):
    """The model the theory answers for, and what sets it apart from the real one."""

    architecture: Architecture
    initialisation: Initialisation
    assumptions: tuple[str, ...]


def coming_near(fields: Fields, architecture: Architecture, initialisation: Initialisation) -> Near:
    """The nearest covered model to a configuration: one expert for a mixture, full keys for latent ones."""
    near = Near(architecture, initialisation, ())
    if fields.count("num_experts", "num_local_experts", "n_routed_experts") > 1:
        near = _one_expert(fields, near)
    if fields.count("kv_lora_rank"):
        near = _full_keys(fields, near)
    if fields.flag("scale_attn_by_inverse_layer_idx", default=False):
        near = _noting(near, "scores are divided by the layer number; taken here as in the first layer")
    near = _noting(near, *_other_mixers(fields), *_windows(fields, architecture.tokens))
    return near._replace(assumptions=near.assumptions + failing_assumptions(near.architecture))


def failing_assumptions(architecture: Architecture) -> tuple[str, ...]:
    """What of the theory's ground this architecture lacks, in words; empty = covered and checked."""
    a = architecture
    found = (
        (not a.skip_attention, "no residual around attention: above freezing the map errs by up to .09"),
        (
            a.parallel,
            "attention and MLP in parallel: the published map takes them one after the other; summed here",
        ),
        (
            a.qk_norm,
            "normalised queries and keys: the published map has none; their scores have unit spread here",
        ),
        (a.placement == "none", "no norm: the energy of the tokens is free, and with it the score spread"),
        (
            min(a.tokens, a.width) < CHECKED,
            f"T = {a.tokens}, d = {a.width}: checked against simulation from {CHECKED} of both",
        ),
    )
    return tuple(words for fails, words in found if fails)


def _one_expert(fields: Fields, near: Near) -> Near:
    width = fields.count("moe_intermediate_size") or near.architecture.mlp_width
    near = near._replace(architecture=replace(near.architecture, mlp_width=width))
    return _noting(near, f"mixture of experts: one dense MLP as wide as one expert ({width}) stands for it")


def _full_keys(fields: Fields, near: Near) -> Near:
    """Latent attention (MLA): keys and values come from a normalised vector of rank r, so r stands for the width."""
    a, i = near.architecture, near.initialisation
    latent, queries = fields.count("kv_lora_rank"), fields.count("q_lora_rank") or a.width
    plain = fields.count("qk_nope_head_dim") or a.head_dim
    rotary = fields.count("qk_rope_head_dim")
    keys = (plain * latent + rotary * a.width) / (plain + rotary)
    changed = replace(
        i,
        sd_query=i.sd_query * (queries / a.width) ** 0.5,
        sd_key=i.sd_key * (keys / a.width) ** 0.5,
        sd_value=i.sd_value * (latent / a.width) ** 0.5,
    )
    shape = replace(a, head_dim=fields.count("v_head_dim") or a.head_dim, score_scale=None)
    near = near._replace(architecture=shape, initialisation=changed)
    return _noting(
        near, f"latent attention (rank {latent}): taken as full keys and values of the same spread"
    )


def _other_mixers(fields: Fields) -> tuple[str, ...]:
    """Layers without softmax attention, in a hybrid."""
    kinds = [str(kind) for name in _LAYERS for kind in fields.raw(name) or ()]
    others = [kind for kind in kinds if kind not in _COVERED]
    if others:
        return (
            f"{len(others)} of {len(kinds)} layers are {others[0]}: taken as if they were softmax attention",
        )
    period = fields.count("attn_layer_period")
    return (f"one layer in {period} is softmax attention: taken as if all were",) if period > 1 else ()


def _windows(fields: Fields, tokens: int) -> tuple[str, ...]:
    """Rows that see fewer keys than the sequence has."""
    window = fields.count("sliding_window")
    if not 0 < window < tokens or fields.raw("use_sliding_window") is False:
        return ()
    return (f"some rows see a window of {window} keys: taken as if they saw all {tokens}",)


def _noting(near: Near, *assumptions: str) -> Near:
    return near._replace(assumptions=near.assumptions + assumptions)
