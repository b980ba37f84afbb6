"""Manifests: three ways to name checkpoints, one clear line for each way to be wrong."""

import pytest

from audit.errors import UnusableInput
from audit.manifest import read
from audit.results import Plan


def written(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


def test_a_toml_manifest_has_options_for_all_and_for_each(tmp_path):
    """What a table says goes before the top level, and that before the command line; paths are the manifest's."""
    (tmp_path / "own.txt").write_text("a text")
    path = written(
        tmp_path,
        "release.toml",
        """
        name = "release 7"
        depth = "quick"
        samples = 4
        [[checkpoint]]
        path = "models/a"
        [[checkpoint]]
        path = "/models/b"
        depth = "full"
        probes = ["prose", "own.txt"]
        policy = "strict.toml"
        adapter = "adapters/b"
        """,
    )
    manifest = read(path, {"samples": 9, "seed": 3, "policy": "default"})
    first, second = manifest.items
    assert manifest.name == "release 7"
    assert (first.name, first.checkpoint) == ("models/a", str(tmp_path / "models/a"))
    assert first.plan == Plan(depth="quick", samples=4, seed=3)
    assert (first.policy, first.adapter) == ("default", None)
    assert (second.checkpoint, second.plan.depth) == ("/models/b", "full")
    assert second.plan.probes == ("prose", str(tmp_path / "own.txt"))
    assert (second.policy, second.adapter) == (str(tmp_path / "strict.toml"), str(tmp_path / "adapters/b"))


def test_a_csv_manifest_says_the_same(tmp_path):
    """A column an option; an empty cell is not given, a list is parted by semicolons."""
    path = written(tmp_path, "m.csv", "path,samples,metrics,confirm\na,4,sink_mass; self_mass,false\nb,,,\n")
    first, second = read(path, {"samples": 16}).items
    assert first.plan == Plan(samples=4, metrics=("sink_mass", "self_mass"), confirm=False)
    assert second.plan == Plan(samples=16)


def test_rows_of_the_same_checkpoint_are_told_apart(tmp_path):
    """By what differs between them, and only that."""
    path = written(tmp_path, "m.csv", "path,seed,depth,samples\na,1,quick,4\na,2,quick,4\nb,1,full,4\n")
    assert [item.name for item in read(path).items] == ["a (seed 1)", "a (seed 2)", "b"]
    path = written(tmp_path, "n.csv", "path,adapter,probes\na,x/one,prose\na,x/two,prose;code\n")
    first, second = (item.name for item in read(path).items)
    assert (first, second) == ("a (probes prose, adapter one)", "a (probes prose code, adapter two)")


def test_a_folder_is_its_checkpoints_in_the_order_a_reader_counts(tmp_path):
    """Configurations and GGUF files right below; whatever else lies there is no checkpoint."""
    for name in ("step-10", "step-9", "logs", ".hidden"):
        (tmp_path / name).mkdir()
    for name in ("step-10", "step-9", ".hidden"):
        (tmp_path / name / "config.json").touch()
    (tmp_path / "small.gguf").touch()
    (tmp_path / "notes.txt").touch()
    manifest = read(tmp_path)
    assert [item.name for item in manifest.items] == ["small.gguf", "step-9", "step-10"]
    assert manifest.name == tmp_path.name


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("m.toml", "x = [", "cannot be read"),
        ("m.toml", "depth = 'quick'", r"has no \[\[checkpoint\]\] tables"),
        ("m.toml", "checkpoint = []", "names 0 checkpoints"),
        ("m.toml", "[[checkpoint]]\npath = 'a'\n[[checkpoint]]\ndepth = 'quick'", "checkpoint 2: no path"),
        ("m.toml", "[[checkpoint]]\npath = 7", "checkpoint 1: path = 7 is no text"),
        ("m.toml", "[[checkpoint]]\npath = 'a'\ndept = 'quick'", "checkpoint 1: 'dept': did you mean depth"),
        ("m.toml", "smaples = 1\n[[checkpoint]]\npath = 'a'", "did you mean samples"),
        ("m.toml", "[[checkpoint]]\npath = 'a'\nsamples = 0", "checkpoint 1: samples 0 is outside"),
        ("m.toml", "[[checkpoint]]\npath = 'a'\nsamples = 'x'", r"checkpoint 1: .*samples"),
        ("m.toml", "[[checkpoint]]\npath = 'a'\n" * 2, "checkpoint 2 repeats checkpoint 1"),
        ("m.toml", "name = 3\n[[checkpoint]]\npath = 'a'", "name = 3 is no text"),
        ("m.csv", "checkpoint\na\n", "has no column 'path'"),
        ("m.csv", "path,depth\na,quick\nb,deep\n", "line 3: .*depth"),
        ("m.csv", "path,depth\na,quick,more\n", "line 2: another number of cells"),
        ("m.csv", "path,depth\na\n", "line 2: another number of cells"),
        ("m.csv", "path,batch_size\na,0\n", "line 2: batch-size 0 is outside"),
        ("m.csv", "path\n", "names 0 checkpoints"),
        ("m.yaml", "a", r"neither a .toml nor a .csv file nor a folder"),
    ],
)
def test_a_wrong_manifest_is_refused_by_one_line(tmp_path, name, text, reason):
    """It names the file, the row and the key."""
    with pytest.raises(UnusableInput, match=reason) as refused:
        read(written(tmp_path, name, text))
    assert name in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_without_checkpoints_is_refused(tmp_path):
    """Nothing to audit is no batch."""
    with pytest.raises(UnusableInput, match="holds no checkpoint: give the folder that holds several"):
        read(tmp_path)


def test_a_trainers_folder_that_lacks_its_configuration_counts(tmp_path):
    """So that it is refused by name, not passed over."""
    for name in ("checkpoint-10", "checkpoint-20"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoint-10" / "config.json").write_text("{}")
    (tmp_path / "runs").mkdir()
    assert [item.name for item in read(tmp_path).items] == ["checkpoint-10", "checkpoint-20"]


def test_a_checkpoint_is_no_folder_of_checkpoints(tmp_path):
    """Which is said of the folder, not of a manifest."""
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UnusableInput, match="is one checkpoint: give the folder that holds several"):
        read(tmp_path)
