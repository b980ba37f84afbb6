"""The published benchmark in its short form, with loose bounds: a crowded machine must not fail it."""

import json
import subprocess
import sys

import pytest

from audit.benchmark import cases, comparison
from audit.benchmark.comparison import NAMES, Comparison, Timing, compare, installed
from audit.checkpoint.opening import open_checkpoint
from audit.cli.bench import bench
from audit.errors import MachineFault, UnusableInput
from audit.models import linear
from audit.models.loading import load_model


@pytest.fixture(scope="module")
def found(minilm):
    """Three cases on two lengths, run once each."""
    cases = ("plain", "everything", "eager_svd")
    return Comparison(tuple(compare(minilm, lengths=(512, 128), cases=cases, rounds=1)))


def test_every_case_is_run_at_every_length_on_the_same_tokens(found):
    """Shortest first; decomposing every pattern is tried on one batch."""
    assert [(t.case, t.tokens, t.samples) for t in found.timings] == [
        ("plain", 128, 32),
        ("plain", 512, 8),
        ("everything", 128, 32),
        ("everything", 512, 8),
        ("eager_svd", 128, 8),
        ("eager_svd", 512, 4),
    ]
    assert all(t.seconds > 0 for t in found.timings)


def test_an_audit_with_all_spectra_is_quicker_than_decomposing_every_pattern(found):
    """At 512 tokens by far."""
    audit, svd = found.ratio("everything", 512), found.ratio("eager_svd", 512)
    assert audit is not None
    assert svd is not None
    assert audit[0] < svd[0] / 2


def test_a_plain_pass_is_tried_with_the_maps_and_the_heap_of_an_audit(bert_tiny):
    """A process of its own like any other."""
    timings = list(compare(bert_tiny, lengths=(32,), cases=("plain", "plain_onednn"), rounds=1, count=3))

    assert [(t.case, t.samples) for t in timings] == [("plain", 3), ("plain_onednn", 3)]
    assert "GLIBC_TUNABLES" in comparison._environment("plain_onednn")
    assert "GLIBC_TUNABLES" not in comparison._environment("plain")


def test_the_maps_of_that_pass_are_those_of_an_audit(bert_tiny, monkeypatch):
    """Of two blocks with six products each, and the head's."""
    loaded, calls, real = load_model(open_checkpoint(bert_tiny)), [], linear._at_once
    monkeypatch.setattr(linear, "_at_once", lambda *args: calls.append(1) or real(*args))
    for look in (cases.plain, cases.plain_onednn):
        look(loaded)(cases.batches_of(loaded.model, 16, 8, 8))

    assert len(calls) >= 12


def test_both_ways_to_decompose_every_pattern_are_tried_once(bert_tiny):
    """However many rounds: the first batch of two samples in three."""
    cases = ("plain", "eager_svdvals", "eager_svd")
    timings = list(compare(bert_tiny, lengths=(32,), cases=cases, rounds=2, count=3))

    assert [(t.case, t.samples) for t in timings] == [
        ("plain", 3),
        ("eager_svdvals", 2),
        ("eager_svd", 2),
        ("plain", 3),
    ]


_LENS = """
import sys

class TransformerBridge:
    @classmethod
    def boot_transformers(cls, name, *, hf_model, tokenizer):
        bridge = cls()
        bridge.model = hf_model
        return bridge

    def run_with_cache(self, ids, *, names_filter):
        print("a library that talks", "x" * 100_000)
        print("and complains", "x" * 100_000, file=sys.stderr)
        output = self.model(input_ids=ids, output_attentions=True)
        found = {f"blocks.{i}.attn.hook_pattern": each for i, each in enumerate(output.attentions)}
        if names_filter("hook_embed"):
            raise ValueError("no room for everything")
        return output, {name: each for name, each in found.items() if names_filter(name)}
"""


@pytest.fixture
def lens(tmp_path, monkeypatch):
    """A TransformerLens that keeps patterns, and fails where it is to keep more."""
    (tmp_path / "transformer_lens").mkdir()
    (tmp_path / "transformer_lens/__init__.py").write_text("")
    (tmp_path / "transformer_lens/model_bridge.py").write_text(_LENS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("lens")
def test_what_others_run_may_fail_and_the_rest_is_still_compared(bert_tiny):
    """Once, with the reason; an audit that fails ends the comparison."""
    cases, reasons = ("plain", "lens", "lens_patterns"), []
    timings = compare(bert_tiny, lengths=(32,), cases=cases, rounds=2, count=2, failed=reasons.append)

    assert [timing.case for timing in timings] == ["plain", "lens_patterns"] * 2
    assert ["no room for everything" in str(reason) for reason in reasons] == [True]
    with pytest.raises(MachineFault, match="no room for everything"):
        list(compare(bert_tiny, lengths=(32,), cases=("lens",), count=2))


@pytest.mark.usefixtures("lens")
def test_transformerlens_is_compared_where_it_is_installed():
    """Both of its cases."""
    assert installed() == tuple(NAMES)


def test_transformerlens_is_left_out_where_it_is_not_and_named_where_it_is_asked_for(bert_tiny, monkeypatch):
    """Nothing of ours needs it."""
    monkeypatch.setattr(comparison, "find_spec", lambda _: None)
    assert set(NAMES) - set(installed()) == {"lens", "lens_patterns"}
    with pytest.raises(UnusableInput, match="pip install transformer-lens"):
        bench([str(bert_tiny), "--case", "lens"], standalone_mode=False)


@pytest.mark.parametrize(("named", "code"), [(["--case", "eager"], 5), ([], 0)])
def test_what_failed_is_told_and_the_rest_is_shown(bert_tiny, monkeypatch, capsys, named, code):
    """Who named it learns by the exit code too; what is not installed is told to who named nothing."""

    def compare(*_, failed, **__):
        yield Timing("plain", 32, 2, 1.0, 100)
        yield Timing("eager", 32, 2, 3.0, 700)
        failed(MachineFault("case 'eager' on 'x': it was killed"))

    monkeypatch.setattr("audit.cli.bench.compare", compare)
    monkeypatch.setattr(comparison, "find_spec", lambda _: None)
    assert bench([str(bert_tiny), "--length", "32", *named], standalone_mode=False) == code
    out, err = capsys.readouterr()
    assert "3.00 / 7.00" in out
    assert "it was killed: not tried again" in err
    assert ("pip install transformer-lens" in err) == (not named)


def test_growth_is_the_slope_of_logarithms_and_ratios_are_per_sample():
    """Time with the square, memory with the length itself; one length has no slope."""
    plain = [Timing("plain", t, 4, 1.0 * t, 100 * t) for t in (128, 256, 512)]
    ours = [Timing("everything", t, 2, 1.0 * t, 150 * t) for t in (128, 256)]
    found = Comparison((*plain, *ours))

    assert found.growth("plain") == pytest.approx((1.0, 1.0))
    assert found.ratio("everything", 128) == pytest.approx((2.0, 1.5))
    assert found.ratio("everything", 512) is None
    assert Comparison((plain[0],)).growth("plain") == (None, None)


_TAKING = """
from audit.benchmark.memory import peak_beyond
with peak_beyond() as peak:
    held = bytearray(60_000_000)
    held[::4096] = b"x" * len(held[::4096])
    del held
print(peak.bytes)
"""


def test_a_peak_is_what_was_held_at_once():
    """Sixty megabytes taken and given back count, in a process that holds none to spare."""
    done = subprocess.run([sys.executable, "-c", _TAKING], capture_output=True, text=True, check=True)
    assert 55_000_000 < int(done.stdout) < 120_000_000


def test_a_checkpoint_that_cannot_be_audited_is_one_line(tmp_path):
    """The child's refusal, with the case it was met in."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    with pytest.raises(UnusableInput) as refused:
        list(compare(tmp_path, lengths=(64,), cases=("plain",)))
    assert "\n" not in str(refused.value)
    assert "plain" in str(refused.value)
