"""What stands around a window."""

import pytest
from tokenizers import processors
from transformers import AutoTokenizer, CanineTokenizer

from audit.errors import UnusableInput
from audit.probes.framing import FIXED_DAY, chat_frame, encode, plain_frame, template_reads_clock

TEMPLATE = "{% for m in messages %}<s> user {{ m['content'] }} </s>{% endfor %}"


def test_an_encoders_frame_is_cls_and_sep(encoder_tokenizer):
    """Exactly what the tokenizer itself puts around a sequence."""
    frame = plain_frame(encoder_tokenizer)

    assert frame == ((encoder_tokenizer.cls_token_id,), (encoder_tokenizer.sep_token_id,))
    assert frame.size == 2


def test_a_tokenizer_that_adds_nothing_has_an_empty_frame(chat_tokenizer):
    """SmolLM2 neither begins nor ends a text."""
    assert plain_frame(chat_tokenizer).size == 0


def test_a_tokenizer_written_in_python_has_its_frame_found_too():
    """The slow tokenizers of transformers have no backend to ask."""
    tokenizer = CanineTokenizer()

    assert plain_frame(tokenizer) == ((tokenizer.cls_token_id,), (tokenizer.sep_token_id,))


def test_frame_and_text_together_are_what_the_tokenizer_makes_of_the_text(encoder_tokenizer):
    """A window of a whole text is the ordinary encoding of that text."""
    text = "Snow fell on the pass for three days."
    frame = plain_frame(encoder_tokenizer)

    expected = encoder_tokenizer(text)["input_ids"]

    assert expected == [*frame.before, *encode(encoder_tokenizer, text), *frame.after]


def test_the_truncation_a_tokenizer_was_saved_with_is_not_applied(minilm):
    """Sentence encoders are saved with a limit of 128 tokens in tokenizer.json."""
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    tokenizer.backend_tokenizer.enable_truncation(8)

    assert len(encode(tokenizer, "snow " * 600)) == 600


def test_a_tokenizer_that_swallows_the_text_is_refused(word_tokenizer):
    """Nothing says where in its output a window would stand."""
    word_tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )

    with pytest.raises(UnusableInput, match="cannot be told from the text"):
        plain_frame(word_tokenizer)


@pytest.mark.parametrize("text", ["Why is the sea salt?", "def f(x):\n    return x + 1"])
def test_a_framed_text_is_what_the_chat_template_makes_of_it(chat_tokenizer, text):
    """SmolLM2's template with its default system prompt, token by token."""
    frame = chat_frame(chat_tokenizer)
    message = [{"role": "user", "content": text}]

    expected = chat_tokenizer.apply_chat_template(message, tokenize=True)["input_ids"]

    assert expected == [*frame.before, *encode(chat_tokenizer, text), *frame.after]


def test_without_a_chat_template_chat_is_refused(encoder_tokenizer):
    """An encoder has none."""
    with pytest.raises(UnusableInput, match="--chat: this checkpoint's tokenizer has no chat template"):
        chat_frame(encoder_tokenizer)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('a system prompt is required') }}", "a system prompt is required"),
        ("<s> no message </s>", "word for word, once"),
        ("{{ messages[0]['content'] }} {{ messages[0]['content'] }}", "word for word, once"),
        ("{{ messages[0]['content'] | upper }}", "word for word, once"),
        ("{{ messages[1]['content'] }}", "undefined|no element"),
        ("{% if %}", "Expected an expression"),
    ],
)
def test_a_template_that_cannot_carry_a_document_is_refused_with_its_reason(word_tokenizer, template, reason):
    """One line, without a traceback of the template engine."""
    word_tokenizer.chat_template = template

    with pytest.raises(UnusableInput, match=f"cannot carry a document.*({reason})") as caught:
        chat_frame(word_tokenizer)
    assert "\n" not in str(caught.value)


def test_the_templates_words_are_found_around_the_message(word_tokenizer):
    """Before: the beginning of the sequence and 'user'; after: its end."""
    word_tokenizer.chat_template = TEMPLATE

    assert chat_frame(word_tokenizer) == tuple(
        tuple(word_tokenizer.convert_tokens_to_ids(words)) for words in (["<s>", "user"], ["</s>"])
    )


def test_a_template_that_writes_the_date_gives_the_same_tokens_on_any_day(chat_tokenizer, monkeypatch):
    """Else the same command would not give the same bytes tomorrow."""
    template = "Today is {{ strftime_now('%d %B %Y') }}. <|im_start|>{{ messages[0]['content'] }}<|im_end|>"
    monkeypatch.setattr(chat_tokenizer, "chat_template", template)

    frame = chat_frame(chat_tokenizer)

    assert template_reads_clock(chat_tokenizer)
    assert chat_tokenizer.decode(frame.before) == f"Today is {FIXED_DAY}. <|im_start|>"
