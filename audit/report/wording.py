"""Numbers, counts and foreign strings as a reader should meet them; nothing here knows what an audit is."""

import math
import re
from collections.abc import Iterable, Sequence

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# Control characters, bidirectional overrides and isolates, zero-width marks, lone surrogates, tags, noncharacters:
# they change how their neighbours look without being seen. Tab, newline and the joiners of emoji are harmless.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
_LONGEST = 4000  # characters; a longer text is clipped and says so
_LONG_WORD = re.compile(r"\S{401,}")  # no path or command is made of these, and setting them costs minutes


def number(value: float, digits: int = 3) -> str:
    """`value` at `digits` significant digits: thousands separated, small ones as a power of ten."""
    if not math.isfinite(value):
        return "beyond any number"
    rounded = float(f"{value:.{digits}g}")
    size = abs(rounded)
    if size >= 1e6 or 0 < size < 1e-3:
        mantissa, exponent = f"{rounded:.{digits - 1}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}×10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    if size >= 1000:
        return f"{rounded:,.0f}"
    return f"{rounded:.{digits}g}"


def estimate(value: float, low: float | None, high: float | None, digits: int = 3) -> str:
    """A number with its interval, `0.61 [0.58, 0.64]`, or alone where it has none."""
    if low is None or high is None:
        return number(value, digits)
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 head`, `2 heads`, `1,024 heads`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def ranges(indices: Iterable[int]) -> str:
    """`0–2, 5` for 0, 1, 2, 5: what keeps a list of 126 layers on one line."""
    runs: list[list[int]] = []
    for index in sorted(set(indices)):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in runs)


def sentence(text: str) -> str:
    """`text` with a capital at its start and a full stop at its end."""
    text = text.strip()
    if re.match(r"[a-z]+[\s,;:]", text):  # names of tensors and files keep their letters
        text = text[0].upper() + text[1:]
    return text + ("" if text.endswith((".", "!", "?")) else ".")


def size(count: int) -> str:
    """Bytes in the unit that keeps them short: `88.3 MB`."""
    amount = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"


def anchor(*parts: str) -> str:
    """An id for the page made of `parts`: letters, digits, dots, hyphens and underscores only."""
    return "-".join(re.sub(r"[^A-Za-z0-9._]+", "-", part).strip("-") for part in parts)


def legible(value: object) -> object:
    """`value` with invisible characters spelled out and over-long text clipped; anything but text passes."""
    if not isinstance(value, str) or hasattr(value, "__html__"):  # markup of ours is legible already
        return value
    plain = _HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", value)
    return shortened(_LONG_WORD.sub(lambda found: shortened(found[0], 300), plain), _LONGEST)


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, with a note of what was left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit:,} characters more)"


def gist(text: str, limit: int) -> str:
    """The first sentence or clause of `text` where it is longer than `limit`, else whole words and an ellipsis."""
    if len(text) <= limit:
        return text
    ends = [found.start() for found in re.finditer(r"(?<=\w)(?: \(|[;:.,] )", text[:limit])]
    if ends and ends[-1] > limit // 2:
        return f"{text[: ends[-1]]} …"
    return f"{text[:limit].rpartition(' ')[0] or text[:limit]} …"
