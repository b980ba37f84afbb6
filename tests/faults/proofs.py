"""How a plain pass, on texts that were not aimed by, shows that a fault is there."""

import torch

from tests.faults.looking import Site
from tests.faults.plants import Heads
from tests.faults.sizes import contributions, explained
from tests.faults.wiring import wires

SCATTER = 1e-5  # relative: what float32 rounding may move
COSTLESS = 0.002, 0.02  # nats per token; share of the spread of an encoder's outputs


def adds_nothing(site: Site, heads: Heads, dose: float) -> bool:
    """Each head's part is below rounding."""
    sizes = contributions(site, site.check())
    return bool((sizes[list(heads)] <= SCATTER * sizes.mean()).all())


def adds_little(site: Site, heads: Heads, dose: float) -> bool:
    """Each head adds at most a third of what the mean head adds, and no less than rounding."""
    sizes = contributions(site, site.check())
    mine = sizes[list(heads)] / sizes.mean()
    return bool((mine <= 1 / 3).all() and (mine > 10 * SCATTER).all())


def rests_and_adds_little(site: Site, heads: Heads, dose: float) -> bool:
    """Four fifths of the attention on the first token, and little comes of it."""
    first = site.check().pattern[:, list(heads), 8:, 0].mean()
    return bool(first >= 0.8) and adds_little(site, heads, dose)


def stares(site: Site, heads: Heads, dose: float) -> bool:
    """In every text four fifths of the attention lie on one and the same place, which is not the first."""
    pattern = site.check().pattern[:, heads[0]]
    columns = pattern[:, 16:].mean(1)
    place = int(columns.mean(0).argmax())
    return place > 0 and bool((columns[:, place] >= 0.8).all())


def same_everywhere(site: Site, heads: Heads, dose: float) -> bool:
    """The rows of two texts correlate by 0.85 beside the ends of the text, and are not even."""
    pattern = site.check().pattern[:, heads[0], 24:, 1:-1]
    away, count = pattern - pattern.mean(-1, keepdim=True), len(pattern)
    own = away.square().sum()
    alike = (away.sum(0).square().sum() - own) / (count - 1) / own
    uneven = own / pattern.square().sum()
    return bool(alike >= 0.85) and bool(uneven >= 0.2)


def is_even(site: Site, heads: Heads, dose: float) -> bool:
    """A tenth of the mass at most lies elsewhere than in even attention."""
    pattern = site.check().pattern[:, heads[0]]
    seen = (pattern > 0).double()
    off = (pattern - seen / seen.sum(-1, keepdim=True)).abs().sum(-1) / 2
    return bool(off.mean() <= 0.1)


def is_a_copy(site: Site, heads: Heads, dose: float) -> bool:
    """Outputs and patterns have a cosine of 0.95 with those of another head."""
    seen = site.check()
    outputs = seen.heads - seen.heads.mean((0, 1))
    cosines = []
    for other in set(range(site.wires.heads)) - set(heads):
        pair = [
            torch.nn.functional.cosine_similarity(part[0].flatten(), part[1].flatten(), dim=0)
            for part in (
                (outputs[:, :, heads[0]], outputs[:, :, other]),
                (seen.pattern[:, heads[0], 8:], seen.pattern[:, other, 8:]),
            )
        ]
        cosines.append(min(float(cosine) for cosine in pair))
    return max(cosines) >= 0.95


def is_collapsed(site: Site, heads: Heads, dose: float) -> bool:
    """Four rows in five give nine tenths to one key; no place, no distance and no end of the text explains it."""
    pattern = site.check().pattern[:, heads[0], 8:]
    sharp = (pattern.amax(-1) >= 0.9).float().mean()
    return bool(sharp >= 0.8) and explained(pattern) <= 0.3


def costs_nothing(site: Site, *, block: bool) -> bool:
    """The outputs hardly know whether the part is there."""
    return site.cost_of(block=block) <= COSTLESS[site.model.config.model_type == "bert"]


def block_is_idle(site: Site, heads: Heads, dose: float) -> bool:
    """Skipping it costs nothing."""
    return costs_nothing(site, block=True)


def layer_is_lazy(site: Site, heads: Heads, dose: float) -> bool:
    """In every text every head rests on the first token, and silencing the attention costs nothing."""
    resting = site.check().pattern[:, :, 8:, 0].mean(2)
    return bool((resting >= 0.9).all()) and costs_nothing(site, block=False)


def attention_is_local(site: Site, heads: Heads, dose: float) -> bool:
    """Every head looks at the own token, and silencing the attention costs nothing."""
    own = site.check().pattern.diagonal(dim1=-2, dim2=-1)
    return bool((own.mean((0, 2)) >= 0.9).all()) and costs_nothing(site, block=False)


def attention_is_silent(site: Site, heads: Heads, dose: float) -> bool:
    """Silencing the attention costs nothing."""
    return costs_nothing(site, block=False)


def tokens_are_alike(site: Site, heads: Heads, dose: float) -> bool:
    """From here to the end all tokens but the first have a cosine of 0.95."""
    stream = site.walk.stream
    for layer in range(site.layer, site.model.config.num_hidden_layers):
        stream = site.walk.through(layer, stream)
        units = torch.nn.functional.normalize(stream[:, 1:], dim=-1)
        if float(units.mean(1).square().sum(-1).mean()) < 0.95:
            return False
    return True


def is_not_finite(site: Site, heads: Heads, dose: float) -> bool:
    """So many weights, or a few less where one was hit twice."""
    count = int((~torch.isfinite(wires(site.model, site.layer).mlp_output)).sum())
    return 0 < count <= dose
