"""Finds the tokens that stand around a window: what the tokenizer adds, or what its chat template does."""

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from audit.errors import UnusableInput, is_panic

# Two words that share no first and no last letter: what two renderings have in common is the template's.
PROBE_WORDS = ("quixotry", "zephyrean")
FIXED_DAY = "2025-01-01"
# A macro of the template shadows transformers' clock, which would make tomorrow's audit differ from today's.
FIXED_CLOCK = "{%- macro strftime_now(format) %}" + FIXED_DAY + "{%- endmacro %}"


class Frame(NamedTuple):
    """Token ids to put before and after the text of every window."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of tokens the frame adds to a window."""
        return len(self.before) + len(self.after)


def encode(tokenizer: PreTrainedTokenizerBase, text: str, *, add_special_tokens: bool = False) -> list[int]:
    """Token ids of `text`, never truncated whatever limit the tokenizer carries.

    Raises:
        UnusableInput: the tokenizer's library panics, as it does on rules of the checkpoint that it cannot carry out.
    """
    try:
        encoded = tokenizer(text, add_special_tokens=add_special_tokens, truncation=False, verbose=False)
    except BaseException as error:
        if not is_panic(error):
            raise
        raise UnusableInput(
            f"the checkpoint's tokenizer cannot encode text: {error}; use --probe random"
        ) from None
    return [int(token) for token in encoded["input_ids"]]


def plain_frame(tokenizer: PreTrainedTokenizerBase) -> Frame:
    """What the tokenizer adds around one sequence, e.g. [CLS] and [SEP], or a beginning-of-sequence token.

    Found by comparing an encoding with and without special tokens, which holds for every kind of tokenizer.

    Raises:
        UnusableInput: what the tokenizer adds cannot be told from the text, or stands inside it.
    """
    bare = encode(tokenizer, PROBE_WORDS[0])
    whole = encode(tokenizer, PROBE_WORDS[0], add_special_tokens=True)
    for start in range(len(whole) - len(bare) + 1) if bare else ():
        stop = start + len(bare)
        if whole[start:stop] == bare:
            return Frame(tuple(whole[:start]), tuple(whole[stop:]))
    raise UnusableInput(
        f"tokenizer {type(tokenizer).__name__!r}: what it adds to a text cannot be told from the text, so windows "
        "cannot be cut; use --probe random"
    )


def chat_frame(tokenizer: PreTrainedTokenizerBase) -> Frame:
    """What the chat template puts around one user message, its default system prompt included.

    The tokens where frame and text meet are those of the template alone: a text that begins with several spaces can
    be joined to it differently than by `apply_chat_template`.

    Raises:
        UnusableInput: there is no template, or it does not render a single user message word for word.
    """
    first, second = (_render(tokenizer, word) for word in PROBE_WORDS)
    before = _common_prefix(first, second)
    after = _common_prefix(first[::-1], second[::-1])[::-1]
    if len(before) + len(after) >= min(len(first), len(second)):
        raise _unusable_template("it does not show the message word for word, once")
    return Frame(before, after)


def template_reads_clock(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the chat template writes the date, which is then held at `FIXED_DAY`."""
    return "strftime_now" in str(tokenizer.chat_template)


def _common_prefix(first: Sequence[int], second: Sequence[int]) -> tuple[int, ...]:
    pairs = zip(first, second, strict=False)
    return tuple(token for token, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _render(tokenizer: PreTrainedTokenizerBase, word: str) -> list[int]:
    if not tokenizer.chat_template:
        raise UnusableInput(
            "--chat: this checkpoint's tokenizer has no chat template; run without --chat, or put the template in "
            "its tokenizer_config.json"
        )
    message = [{"role": "user", "content": word}]
    try:
        template = tokenizer.get_chat_template()
        if template_reads_clock(tokenizer):
            template = FIXED_CLOCK + template
        text = tokenizer.apply_chat_template(message, chat_template=template, tokenize=False)
    except (TemplateError, TypeError, ValueError) as error:
        raise _unusable_template((str(error).splitlines() or [type(error).__name__])[0]) from error
    if text.count(word) != 1:
        raise _unusable_template("it does not show the message word for word, once")
    return encode(tokenizer, text)


def _unusable_template(reason: str) -> UnusableInput:
    return UnusableInput(f"--chat: the chat template cannot carry a document ({reason}); run without --chat")
