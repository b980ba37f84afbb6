"""Synthetic audits that look like real ones, with their exhibits; everything is seeded."""

import hashlib
import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from audit.results import (
    Audit,
    Check,
    Confirmation,
    Evidence,
    Exhibit,
    Finding,
    Measurement,
    MethodRecord,
    PolicyRecord,
    Provenance,
    RuleRecord,
)
from audit.results.subject import Coverage, FileDigest, LayerCoverage, ProbeCoverage, Skipped, Subject
from audit.store import write_audit


class Kind(NamedTuple):
    """A metric of the example: its record and the band its values are drawn from."""

    title: str
    axes: str
    unit: str
    span: tuple[float, float | None]
    band: tuple[float, float]
    direction: str


METRICS = {
    "attention_entropy": Kind(
        "Attention entropy", "head", "fraction", (0.0, 1.0), (0.2, 0.95), "larger = more spread"
    ),
    "attention_entropy_without_sinks": Kind(
        "Entropy without sinks", "head", "fraction", (0.0, 1.0), (0.3, 0.97), "larger = more spread"
    ),
    "effective_keys": Kind(
        "Effective keys", "head", "keys", (1.0, None), (1.2, 60.0), "larger = more keys share"
    ),
    "top_key_share": Kind("Top key share", "head", "fraction", (0.0, 1.0), (0.05, 0.9), "larger = sharper"),
    "sink_mass": Kind(
        "Sink mass", "head", "fraction", (0.0, 1.0), (0.0, 0.9), "larger = more rests on sinks"
    ),
    "self_mass": Kind("Self mass", "head", "fraction", (0.0, 1.0), (0.0, 0.2), "larger = looks at itself"),
    "previous_token_mass": Kind(
        "Previous-token mass", "head", "fraction", (0.0, 1.0), (0.0, 0.4), "larger = looks back by one"
    ),
    "attention_distance": Kind(
        "Attention distance", "head", "tokens", (0.0, None), (1.0, 50.0), "larger = farther"
    ),
    "sigma_1": Kind(
        "First singular value", "head", "1", (0.0, None), (0.9, 6.0), "larger = more of one direction"
    ),
    "sigma_2": Kind(
        "Second singular value", "head", "1", (0.0, None), (0.05, 1.1), "larger = more structure"
    ),
    "spectral_gap": Kind("Spectral gap", "head", "1", (0.0, None), (0.2, 5.0), "larger = nearer to rank one"),
    "stable_rank": Kind("Stable rank", "head", "1", (1.0, None), (1.0, 30.0), "larger = more directions"),
    "attention_rank": Kind(
        "Attention rank", "head", "directions", (1.0, None), (1.0, 48.0), "larger = richer"
    ),
    "rank_one_residual": Kind(
        "Rank-one residual", "head", "fraction", (0.0, 1.0), (0.05, 0.9), "larger = farther from rank one"
    ),
    "head_output_norm": Kind(
        "Head output norm", "head", "1", (0.0, None), (0.3, 2.2), "larger = writes more"
    ),
    "attention_share": Kind(
        "Attention share", "layer", "fraction", (0.0, 1.0), (0.2, 0.6), "larger = attention adds more"
    ),
    "mlp_share": Kind("MLP share", "layer", "fraction", (0.0, 1.0), (0.4, 0.8), "larger = the MLP adds more"),
    "block_influence": Kind("Block influence", "layer", "1", (0.0, 2.0), (0.1, 0.5), "larger = changes more"),
    "attention_influence": Kind(
        "Attention influence", "layer", "1", (0.0, 2.0), (0.02, 0.3), "larger = changes more"
    ),
    "token_similarity": Kind(
        "Token similarity", "layer", "1", (-1.0, 1.0), (0.1, 0.8), "larger = tokens more alike"
    ),
    "token_effective_rank": Kind(
        "Effective rank of the tokens", "layer", "fraction", (0.0, 1.0), (0.2, 0.8), "larger = richer"
    ),
    "massive_activation": Kind(
        "Massive activation", "layer", "1", (0.0, None), (5.0, 2500.0), "larger = one outlier"
    ),
}
RULES = {
    "nonfinite_weights": "Non-finite weights",
    "unobserved_layers": "Unobserved layers",
    "entropy_collapse": "Entropy collapse",
    "rank_collapse_depth": "Rank collapse in depth",
    "dead_head": "Dead heads",
    "uniform_head": "Uniform heads",
}


def example_audit(*, layers: int = 6, heads: int = 12, probes: tuple[str, ...] = ("prose",)) -> Audit:
    """A watch verdict with two findings, one unobserved layer and one skipped metric."""
    chance = random.Random(layers * 1000 + heads)
    unobserved = layers - 2 if layers > 2 else None
    findings = (_collapse(min(3, layers - 1), min(7, heads - 1)), _missing(layers, unobserved))
    return Audit(
        schema_version="1.0",
        audit_id=digest(b"audit"),
        measurement_id=digest(b"measurement"),
        subject=_subject(layers, heads),
        plan={
            "depth": "quick",
            "samples": 32,
            "max_length": 128,
            "seed": 0,
            "metrics": [],
            "probes": list(probes),
        },
        policy=PolicyRecord(name="default", digest=digest(b"policy")),
        provenance=_provenance(),
        coverage=_coverage(layers, heads, unobserved, probes),
        measurements={
            name: {probe: _measurement(kind, layers, heads, unobserved, chance) for probe in probes}
            for name, kind in METRICS.items()
        },
        methods={name: _method(name, kind) for name, kind in METRICS.items()},
        rules={name: _rule(title) for name, title in RULES.items()},
        checks=_checks(),
        findings=findings,
        exhibits=(_exhibit(findings[0], pattern_bytes(findings[0])),),
        verdict="watch",
    )


def healthy_audit() -> Audit:
    """The example without a finding: everything observed, verdict pass."""
    audit = example_audit(layers=2, heads=2)
    checks = tuple(Check(rule=name, outcome="passed", reason="nothing near its threshold") for name in RULES)
    coverage = replace(
        audit.coverage,
        skipped=(),
        probes=tuple(replace(probe, remark=None) for probe in audit.coverage.probes),
    )
    subject = replace(audit.subject, remarks=())
    return replace(
        audit, checks=checks, coverage=coverage, subject=subject, findings=(), exhibits=(), verdict="pass"
    )


def write_exhibits(audit: Audit, folder: Path) -> None:
    """The example's audit.json and the files of its exhibits, as the run writes them."""
    (folder / "exhibits").mkdir(parents=True, exist_ok=True)
    write_audit(audit, folder)
    by_id = {finding.id: finding for finding in audit.findings}
    for exhibit in audit.exhibits:
        (folder / exhibit.file).write_bytes(pattern_bytes(by_id[exhibit.finding or ""]))


def with_pattern(audit: Audit, folder: Path, **changes: Any) -> Audit:
    """The audit with the content of its one exhibit changed, file and digest alike."""
    content = json.loads(pattern_bytes(audit.findings[0])) | changes
    data = json.dumps(content).encode()
    (folder / "exhibits").mkdir(parents=True, exist_ok=True)
    exhibit = _exhibit(audit.findings[0], data)
    (folder / exhibit.file).write_bytes(data)
    changed = replace(audit, exhibits=(exhibit,))
    write_audit(changed, folder)
    return changed


def pattern_bytes(finding: Finding, *, size: int = 24) -> bytes:
    """A causal pattern that collapsed onto its fifth key."""
    rows = [[_weight(query, key) for key in range(size)] for query in range(size)]
    pattern = [[round(value / sum(row), 4) for value in row] for row in rows]
    content = {"layer": finding.layer, "head": finding.head, "probe": "prose"}
    return json.dumps({**content, "tokens": _tokens(size), "pattern": pattern}).encode()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _exhibit(finding: Finding, data: bytes) -> Exhibit:
    file = f"exhibits/{finding.id}.json"
    return Exhibit(id=finding.id, kind="pattern", finding=finding.id, file=file, sha256=digest(data))


def _weight(query: int, key: int) -> float:
    if key > query:
        return 0.0
    return 40.0 if key == 4 else math.exp(-(query - key) / 3)


def _tokens(size: int) -> list[str]:
    words = "[CLS] the house ##hold stood at the end of the lane , and nobody had lived in it since spring . [SEP]"
    return (words.split() * 3)[:size]


def _measurement(
    kind: Kind, layers: int, heads: int, unobserved: int | None, chance: random.Random
) -> Measurement:
    low, high = kind.band

    def value(layer: int) -> float:
        depth = layer / max(layers - 1, 1)
        wave = 0.5 + 0.35 * math.sin(3 * depth + low) + 0.3 * (chance.random() - 0.5)
        return float(f"{low + (high - low) * min(1.0, max(0.0, wave)) ** 1.5:.6g}")

    def row(layer: int) -> Any:
        if layer == unobserved:
            return [None] * heads if kind.axes == "head" else None
        return [value(layer) for _ in range(heads)] if kind.axes == "head" else value(layer)

    values = [row(layer) for layer in range(layers)]
    return Measurement(value=values, low=_scaled(values, 0.94), high=_scaled(values, 1.05), n=32)


def _scaled(values: Any, factor: float) -> Any:
    if isinstance(values, list):
        return [_scaled(item, factor) for item in values]
    return None if values is None else float(f"{values * factor:.6g}")


def _collapse(layer: int, head: int) -> Finding:
    return Finding(
        id=f"entropy_collapse-l{layer:03d}-h{head:03d}",
        rule="entropy_collapse",
        severity="watch",
        layer=layer,
        head=head,
        cause="scores that grew without bound: W_Q W_K^T too large for the layer's input",
        statement=f"Attention of head {head} in layer {layer} has collapsed onto about one token, and neither a sink "
        "nor a fixed position explains it.",
        evidence=(
            Evidence(
                metric="attention_entropy",
                probe="prose",
                value=0.0312,
                low=0.0281,
                high=0.0347,
                n=32,
                null=0.998,
                threshold=0.1,
                direction="below",
            ),
            Evidence(
                metric="attention_entropy_without_sinks",
                probe="prose",
                value=0.0415,
                low=0.0362,
                high=0.0479,
                n=32,
                threshold=0.1,
                direction="below",
            ),
        ),
        confirmation=Confirmation(
            status="confirmed", reason="without this head the pooled outputs move by 0.21 sd (margin 0.05)"
        ),
        mitigation="In training: a lower learning rate, longer warm-up, or QK-norm. On the checkpoint: cap the score "
        "scale of the head",
        remedy=None,
        references=("Zhai et al. 2023, arXiv 2303.06296 (attention entropy collapse)",),
        limits="A sharp head can be a useful one; collapse during training shows in a series of checkpoints, not in one",
        reproduce="attnaudit run models/all-MiniLM-L6-v2 --depth quick --seed 0 --metric attention_entropy",
    )


def _missing(layers: int, unobserved: int | None) -> Finding:
    return Finding(
        id="unobserved_layers",
        rule="unobserved_layers",
        severity="watch",
        layer=unobserved,
        head=None,
        cause="the family's code takes a path that this audit cannot watch",
        statement=f"1 of {layers} softmax attention layers was not observed.",
        evidence=(
            Evidence(
                metric="share of unobserved layers",
                probe=None,
                value=1 / layers,
                threshold=0.0,
                direction="above",
            ),
        ),
        confirmation=Confirmation(status="absolute", reason="counted in the pass"),
        mitigation="Read the verdict as one on the observed layers only",
        remedy=None,
        references=(),
        limits="Layers of another kind are listed in the coverage and not counted here",
        reproduce="attnaudit run models/all-MiniLM-L6-v2 --depth quick --seed 0",
    )


def _coverage(layers: int, heads: int, unobserved: int | None, probes: tuple[str, ...]) -> Coverage:
    return Coverage(
        layers=tuple(
            LayerCoverage(
                index=index,
                name=f"encoder.layer.{index}.attention.self",
                block=index,
                stack="encoder",
                kind="self",
                heads=heads,
                kv_heads=heads,
                observed=index != unobserved,
                path=None if index == unobserved else "eager",
                reason="its module calls a kernel that returns no pattern" if index == unobserved else None,
            )
            for index in range(layers)
        ),
        skipped=(
            Skipped(metric="gradient_norm", reason="the model has no loss: it is an encoder without a head"),
        ),
        probes=tuple(
            ProbeCoverage(
                name=name,
                digest=digest(name.encode()),
                samples=32,
                documents=32,
                tokens=4096,
                remark="2 of 34 documents were shorter than 16 tokens and left out"
                if name == "prose"
                else None,
            )
            for name in probes
        ),
    )


def _subject(layers: int, heads: int) -> Subject:
    return Subject(
        digest=digest(b"checkpoint"),
        model_type="bert",
        architecture="BertModel",
        task="encoder",
        parameters=22_713_216,
        blocks=layers,
        heads=heads,
        kv_heads=heads,
        files=(
            FileDigest(name="config.json", sha256=digest(b"config"), bytes=612),
            FileDigest(name="model.safetensors", sha256=digest(b"model"), bytes=90_868_376),
        ),
        remarks=("pooler.dense.weight lies outside the observed path",),
    )


def _provenance() -> Provenance:
    return Provenance(
        path="models/all-MiniLM-L6-v2",
        versions={"attention-audit": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
        device="cpu",
        dtype="float32",
        threads=2,
        started="2026-11-22T07:30:00Z",
        seconds=14.2,
        command="attnaudit run models/all-MiniLM-L6-v2 --depth quick --samples 32 --max-length 128 --seed 0",
    )


def _method(name: str, kind: Kind) -> MethodRecord:
    return MethodRecord(
        title=kind.title,
        summary=f"what a reader should know of {name.replace('_', ' ')} in one line",
        unit=kind.unit,
        axes=kind.axes,  # type: ignore[arg-type]
        span=kind.span,
        direction=kind.direction,
        healthy="no published band",
        formula="mean_i ( -sum_j p_ij log p_ij / log n_i )",
        reference="Zhai et al. 2023, arXiv 2303.06296",
    )


def _rule(title: str) -> RuleRecord:
    return RuleRecord(
        title=title,
        summary=f"what {title.lower()} look like",
        criterion="95% upper bound of attention_entropy <= `entropy` on every text probe",
        thresholds={"entropy": 0.1, "off_sink_mass": 0.1},
        mitigation="train at a lower rate",
        limits="a sharp head can be a useful one",
        references=("Zhai et al. 2023, arXiv 2303.06296",),
    )


def _checks() -> tuple[Check, ...]:
    return (
        Check(rule="nonfinite_weights", outcome="passed", reason="all 101 tensors are finite"),
        Check(rule="unobserved_layers", outcome="flagged", reason="1 finding"),
        Check(rule="entropy_collapse", outcome="flagged", reason="1 finding"),
        Check(
            rule="rank_collapse_depth", outcome="passed", reason="token similarity 0.61 in the last layers"
        ),
        Check(rule="dead_head", outcome="not_measured", reason="no slice of W_O was seen in layer 4"),
        Check(rule="uniform_head", outcome="passed", reason="highest entropy 0.951, threshold 0.99"),
    )
