"""Windows of the long probe are as long as the model and the cost allow, and it is said."""

import pytest

from audit.probes import long, prose, sampling
from audit.probes.stretching import Cut, stretched
from audit.results import Plan


def cut(*, heads=72, positions=None, probe=long.PROBE, **options):
    return stretched(probe, Plan(**options), heads=heads, max_positions=positions)


@pytest.mark.parametrize(
    ("heads", "positions", "length"),
    [(72, 512, 512), (270, 8192, 512), (72, 8192, 512), (4, None, 2048), (1024, 32768, 256), (270, 300, 300)],
)
def test_windows_grow_until_positions_or_cost_end_them(heads, positions, length):
    """Small models are read at length, large ones at what some minutes of spectra allow."""
    found = cut(heads=heads, positions=positions)
    assert found.length == length
    assert f"windows of {length} tokens, not 128" in found.remark


def test_the_remark_says_what_ended_them():
    """A reader must know whether the model or the clock was the limit."""
    assert "no more positions" in cut(positions=512).remark
    assert "too long" in cut(heads=270, positions=8192).remark


def test_batches_shrink_so_that_patterns_take_no_more_memory():
    """What a batch holds grows with rows and with the square of the tokens."""
    assert cut(positions=256, batch_size=8).batch_size == 2
    assert cut(heads=4, batch_size=8).batch_size == 1


def test_a_longer_length_that_was_asked_for_stays():
    """--max-length is a floor here."""
    assert cut(heads=1024, max_length=900, positions=2048).length == 900
    assert cut(max_length=512, positions=512) == Cut(512, 8, None)


def test_other_probes_keep_the_length_of_the_plan():
    """Only a probe that is there for length is stretched."""
    assert cut(probe=prose.PROBE) == Cut(128, 8, None)
    assert cut(heads=None) == Cut(128, 8, None)


def test_a_real_tokenizer_fills_the_long_windows(encoder_tokenizer):
    """Every window of novels is full, and the feed carries the remark."""
    fed = sampling.feed(
        long.PROBE,
        tokenizer=encoder_tokenizer,
        vocab_size=len(encoder_tokenizer),
        special_ids=encoder_tokenizer.all_special_ids,
        plan=Plan(samples=4),
        max_positions=512,
        pad_id=encoder_tokenizer.pad_token_id,
        heads=72,
    )
    assert (fed.tokens, [len(batch.samples) for batch in fed.batches]) == (4 * 512, [1, 1, 1, 1])
    assert "windows of 512 tokens, not 128" in fed.remark
