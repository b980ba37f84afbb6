"""What a diagram says, in sentences for somebody who has not read the papers."""

from audit.results.trainability import Change, Point, Profile
from audit.theory.architecture import Architecture

_LARGE = 1e5
_ALIKE = 1.1  # ratio of gradients that is not worth a number


def sentences(
    architecture: Architecture,
    here: Point,
    layers: Profile,
    changes: tuple[Change, ...],
    assumptions: tuple[str, ...],
) -> tuple[str, ...]:
    """Which side of the diagram a configuration is on, why, and what would move it."""
    parts = [
        _side(here, layers),
        _sharpness(here),
        _skip(architecture, here),
        _gradient(layers),
        _paper(here),
        _remedy(here),
    ]
    parts += [f"Would move it: {change.words}." for change in changes if change.phase != here.phase]
    parts.append(_idle([change.words for change in changes if change.phase == here.phase]))
    parts += [f"Nearest answer only: {assumption}." for assumption in assumptions]
    return tuple(part for part in parts if part)


def _idle(words: list[str]) -> str:
    return f"Would not move it: {'; '.join(words)}." if words else ""


def _side(here: Point, layers: Profile) -> str:
    first, last = layers.similarity[0], here.similarity
    path = f"two tokens have cosine {first:.2f} on entry and {_cosine(last)} after {here.depth} block{'s' if here.depth > 1 else ''}"
    if here.phase == "rank collapse":
        return (
            f"Rank collapse at initialisation: {path}, so hardly anything tells them apart and next to no gradient "
            "reaches W_Q and W_K."
        )
    if here.phase == "entropy collapse":
        return f"Entropy collapse at initialisation: attention freezes on few keys; {path}."
    return f"Trainable at initialisation: {path}, and attention is not frozen."


def _sharpness(here: Point) -> str:
    keys = (
        f"a row of the first block keeps {here.entropy_share:.0%} of the largest entropy and rests on about "
        f"{1 / here.own_overlap:.0f} of {here.tokens} keys"
    )
    if here.beta_critical is None:
        return f"The tokens that enter are all equal, so attention cannot tell them apart at any temperature; {keys}."
    side = "above" if here.beta > here.beta_critical else "below"
    return (
        f"The inverse temperature of attention, {_size(here.beta)}, lies {side} the {_size(here.beta_critical)} at which it "
        f"freezes on few keys (a gradual change at {here.tokens} tokens): {keys}."
    )


def _skip(architecture: Architecture, here: Point) -> str:
    if not architecture.skip_attention:
        return "There is no skip connection around attention."
    if here.phase_without_skip == here.phase:
        return ""
    return f"Without its skip connections the same stack would be in {here.phase_without_skip}."


def _gradient(layers: Profile) -> str:
    first, last = layers.per_token.query[0], layers.per_token.query[-1]
    if not first or not last:
        return ""
    kind = f"{first / last:.2g} times" if first >= last else f"1/{last / first:.2g} of"
    kind = "about" if _ALIKE > first / last > 1 / _ALIKE else kind
    return (
        "How strongly training moves the queries: under a loss on every token the expected squared gradient of W_Q in "
        f"the first block is {kind} that of the last."
    )


def _paper(here: Point) -> str:
    return (
        f"The published T -> infinity map says {here.phase_infinite}, cosine {_cosine(here.similarity_infinite)}; "
        f"all other numbers are for the real T = {here.tokens}."
    )


def _remedy(here: Point) -> str:
    return (
        "With even attention taken out of every pattern (A - 11^T/T), the published remedy against tokens that become one "
        "vector from text length alone (rank collapse in width), the "
        f"cosine would be {_cosine(here.similarity_centred)} instead of {_cosine(here.similarity)}."
    )


def _cosine(value: float) -> str:
    """Two digits, or how far it is from 1."""
    if value < 0.995:
        return f"{value:.2f}"
    return f"1 - {1 - value:.0e}" if value < 1 - 1e-9 else "1"


def _size(value: float) -> str:
    """Two decimals, but for what is too large to be read so."""
    return f"{value:.2f}" if value < _LARGE else f"{value:.1e}"
