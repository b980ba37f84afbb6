"""What a model is fed: probes cut into windows, other texts to experiment on, and what of it the coverage says."""

import dataclasses
from collections.abc import Sequence

from audit import catalog
from audit.definitions import Probe
from audit.errors import UnusableInput
from audit.interventions.experiments import Texts
from audit.interventions.fresh import fresh
from audit.models.loading import LoadedModel
from audit.models.positions import usable_positions
from audit.probes.sampling import Feed, feed, needs_tokenizer
from audit.request import Request
from audit.results import Plan
from audit.results.subject import ProbeCoverage, Skipped


def feeds_of(asked: Request, loaded: LoadedModel) -> tuple[tuple[Feed, ...], tuple[Skipped, ...]]:
    """The probes cut into batches; without a tokenizer those of the depth give way to random tokens, and it is said."""
    probes: tuple[Probe, ...] = asked.probes
    unfed: tuple[Skipped, ...] = ()
    if loaded.tokenizer is None and not asked.plan.probes:
        left_out = ", ".join(probe.name for probe in probes if needs_tokenizer(probe))
        reason = f"not fed, for the checkpoint has no tokenizer: {left_out}; random tokens stand in"
        probes, unfed = (catalog.probes()["random"],), (Skipped(metric="all", reason=reason),)
    if asked.plan.chat and not any(needs_tokenizer(probe) for probe in probes):
        lack = "" if loaded.tokenizer else " (the checkpoint has no tokenizer)"
        raise UnusableInput(
            f"--chat: only random token ids are fed{lack}, which are no message; run without --chat"
        )
    return tuple(cut(probe, loaded, asked.plan) for probe in probes), unfed


def cut(probe: Probe, loaded: LoadedModel, plan: Plan) -> Feed:
    """The windows of `probe` that `plan` feeds to this model."""
    tokenizer, config = loaded.tokenizer, loaded.config.get_text_config()
    reserved = [getattr(config, f"{name}_token_id", None) for name in ("bos", "eos", "pad")]
    known = [token for token in reserved if isinstance(token, int)]
    pad = getattr(tokenizer, "pad_token_id", None)
    return feed(
        probe,
        tokenizer=tokenizer,
        vocab_size=loaded.model.get_input_embeddings().num_embeddings,
        special_ids=tuple(tokenizer.all_special_ids) if tokenizer else tuple(known),
        plan=plan,
        max_positions=usable_positions(loaded.model),
        pad_id=pad if pad is not None else next(iter(known), 0),
        heads=loaded.subject.blocks * loaded.subject.heads or None,
    )


def most_like_prose(asked: Request, feeds: Sequence[Feed]) -> Probe | None:
    """The text probe that published figures are compared on."""
    fed = {feed.name for feed in feeds}
    texts = [probe for probe in asked.probes if probe.name in fed and needs_tokenizer(probe)]
    return next((probe for probe in texts if probe.name == "prose"), next(iter(texts), None))


def longest_text(asked: Request, feeds: Sequence[Feed]) -> Feed | None:
    """Of the text probes the one with the longest windows; None where no text is fed."""
    texts = [
        fed
        for probe, fed in zip(asked.probes, feeds, strict=False)
        if probe.name == fed.name and needs_tokenizer(probe)
    ]
    return max(texts, key=lambda fed: (fed.batches[0].input_ids.shape[1], fed.documents), default=None)


def texts_of(asked: Request, loaded: LoadedModel, feeds: Sequence[Feed]) -> Texts:
    """Those fed, and as many of other documents to experiment on."""
    more = dataclasses.replace(asked.plan, samples=2 * asked.plan.samples)
    others = [
        fresh(cut(probe, loaded, more), fed)
        for probe, fed in zip(asked.probes, feeds, strict=False)
        if probe.name == fed.name and needs_tokenizer(probe)
    ]
    return Texts(feeds, [text for text in others if text.batches])


def probe_coverage(fed: Feed) -> ProbeCoverage:
    """What the coverage says of a probe."""
    return ProbeCoverage(
        name=fed.name,
        digest=fed.digest,
        samples=fed.samples,
        documents=fed.documents,
        tokens=fed.tokens,
        remark=fed.remark,
    )
