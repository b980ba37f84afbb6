"""A user's own file as a probe."""

import logging
import logging.handlers
import socket
import tempfile

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit.definitions import Document
from audit.errors import UnusableInput
from audit.probes import corpus
from audit.probes.files import looks_like_file, parse_spec, read_probe_file

pytestmark = pytest.mark.usefixtures("no_network")

ROWS = [("first text", "a"), ('with "quotes", commas\nand lines', "b"), ("Grüße", "c")]
EXPECTED = tuple(Document(id=name, text=text) for text, name in ROWS)


@pytest.fixture
def written(tmp_path):
    """Writes a file and returns its path as a word of the command line."""

    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(content, dict):
            pq.write_table(pa.table(content), path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def documents(spec):
    return read_probe_file(spec).documents()


def refusal(spec):
    """The one line a user reads."""
    with pytest.raises(UnusableInput) as caught:
        read_probe_file(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


JSONL = (
    '{"text": "first text", "id": "a"}\n'
    '{"text": "with \\"quotes\\", commas\\nand lines", "id": "b", "more": [1, {}]}\n'
    '{"id": "c", "text": "Grüße"}\n'
)
CSV = 'id,text,more\na,first text,1\nb,"with ""quotes"", commas\nand lines",x\nc,Grüße,\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("own.jsonl", JSONL),
        ("own.ndjson", JSONL.replace("\n", "\r\n")),
        ("own.jsonl", "\ufeff" + JSONL),
        ("own.csv", CSV),
        ("own.csv", "\ufeff" + CSV),
        (
            "own.parquet",
            {"text": [text for text, _ in ROWS], "id": [name for _, name in ROWS], "n": [1, 2, 3]},
        ),
    ],
)
def test_every_format_gives_the_same_documents_and_digest(written, name, content):
    """The digest is of the content as parsed, so the format does not matter."""
    probe = read_probe_file(written(name, content))

    assert probe.documents() == EXPECTED
    assert corpus.digest(probe.documents()) == corpus.digest(EXPECTED)


def test_a_probe_of_a_file_is_private_and_named_like_the_file(written):
    """The name cannot be that of a built-in probe; no depth feeds it unasked."""
    probe = read_probe_file(written("prose.txt", "Some text."))

    assert probe.private
    assert probe.name == "prose.txt"
    assert probe.depths == ()


def test_a_text_file_is_one_document(written):
    """Blank lines are part of it."""
    assert documents(written("own.txt", "one\n\ntwo\r\n  three\n")) == (
        Document(id="1", text="one\n\ntwo\n  three"),
    )


def test_lines_of_dashes_and_form_feeds_part_a_text_file(written):
    """Only where they stand alone; one at the end parts nothing."""
    content = "one --- one\n---\ntwo\n\n---- two\n\f\nthree\n--- \n"

    assert [(document.id, document.text) for document in documents(written("own.txt", content))] == [
        ("1", "one --- one"),
        ("2", "two\n\n---- two"),
        ("3", "three"),
    ]


def test_columns_of_other_names_are_mapped(written):
    """`FILE:text=COLUMN,id=COLUMN`, whatever else the file has."""
    path = written("own.csv", "body,key,text\none,k1,not this\ntwo,k2,nor this\n")

    assert documents(f"{path}:text=body,id=key") == (
        Document(id="k1", text="one"),
        Document(id="k2", text="two"),
    )


@pytest.mark.parametrize("role", ["document"])
def test_rows_of_one_document_carry_its_name(written, role):
    """They are one cluster, and an id beside it names rows, not clusters."""
    rows = [
        {"text": "one", role: "x", "id": 1},
        {"text": "two", role: "y", "id": 2},
        {"text": "three", role: "x", "id": 3},
    ]

    assert [
        document.id
        for document in documents(written("own.parquet", {k: [r[k] for r in rows] for k in rows[0]}))
    ] == ["x", "y", "x"]


def test_whole_numbers_are_names_too(written):
    """As databases export them."""
    assert [d.id for d in documents(written("own.parquet", {"text": ["a", "b"], "id": [7, 8]}))] == ["7", "8"]


def test_nothing_is_guessed_from_the_values(written):
    """A date, a number, NA and a date-like column stay the text they are."""
    values = ["2020-01-01", "007", "1e5", "NA", "null", "True"]
    as_csv = written("own.csv", "text,n\n" + "".join(f"{value},{value}\n" for value in values))
    as_jsonl = written("own.jsonl", "".join(f'{{"text": "{value}"}}\n' for value in values))

    assert values == [document.text for document in documents(as_csv)]
    assert values == [document.text for document in documents(as_jsonl)]
    assert [document.text for document in documents(written("own.csv", "text\n007\n010\n"))] == ["007", "010"]


@pytest.mark.parametrize(
    "name", ["a[1]*.jsonl", "a:b.jsonl", "a:text=b.jsonl", "a b.jsonl", "a?x=1.jsonl", "a::b.jsonl"]
)
def test_a_file_may_have_any_name(written, name):
    """No name is taken for a pattern, an address or a mapping while a file of that name exists."""
    assert documents(written(name, '{"text": "one"}')) == (Document(id="1", text="one"),)


def test_a_mapping_follows_a_path_with_colons(written):
    """The mapping begins at the colon before the first `role=`."""
    path = written("a:b/c:d.jsonl", '{"my:text": "one"}')

    assert documents(f"{path}:text=my:text") == (Document(id="1", text="one"),)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("own.jsonl", b"", "is empty"),
        ("own.jsonl", "\n \n", "holds no rows"),
        ("own.csv", "text,id\n", "holds no rows"),
        ("own.parquet", {"text": pa.array([], pa.string())}, "holds no rows"),
        ("own.txt", " \n\n", "holds no rows"),
        ("own.jsonl", '{"text": "a"}\n\n{"text": "b"\n', "row 3: broken JSON"),
        ("own.jsonl", '{"text": "a"}\n["b"]\n', "row 2: list in place of a JSON object"),
        ("own.jsonl", "[" * 100_000, "row 1: JSON beyond any sensible limit"),
        ("own.jsonl", '{"body": "a"}', "no column 'text', only 'body'"),
        ("own.csv", "body,id\na,1\n", "no column 'text', only 'body', 'id'"),
        ("own.parquet", {"body": ["a"]}, "no column 'text', only 'body'"),
        ("own.jsonl", '{"text": "a"}\n{"body": "b"}\n', "row 2, column 'text': absent"),
        ("own.parquet", {"text": ["a", None]}, "row 2, column 'text': absent"),
        ("own.jsonl", '{"text": "a"}\n{"text": " \\t"}\n', "row 2, column 'text': empty"),
        ("own.csv", "text,id\na,1\n  ,2\n", "row 2, column 'text': empty"),
        ("own.txt", "a\n---\n\n---\nb\n", "row 2, column 'text': empty"),
        ("own.jsonl", '{"text": "a"}\n{"text": 4}\n', "row 2, column 'text': of type int"),
        ("own.parquet", {"text": [1.5]}, "row 1, column 'text': of type float"),
        ("own.jsonl", '{"text": "a\\ud800"}', "row 1, column 'text': not valid Unicode"),
        ("own.jsonl", '{"text": "a", "id": "\\ud800"}', "row 1, column 'id': not valid Unicode"),
        ("own.jsonl", '{"text": "a", "id": "x"}\n{"text": "b"}\n', "row 2, column 'id': absent"),
        ("own.csv", "text,id\na,x\nb\n", "row 2, column 'id': empty"),
        ("own.jsonl", '{"text": "a", "document": true}', "row 1, column 'document': of type bool"),
        ("own.csv", "text,id\na,x\nb,y\nc,x\n", "row 3: 'id' repeats that of row 1"),
        ("own.csv", "text,text\na,b\n", "column 'text' stands twice"),
        ("own.csv", "text,id\na,1\nb, c,2\n", "Expected 2 fields in line 3, saw 3"),
        ("own.csv", "text,id\na,1,x\nb,2,y\n", "row 1: more values than the header has columns"),
        ("own.csv", 'text,id\na,1\n"b,2\n', "EOF inside string starting at row 2"),
        ("own.parquet", b"PAR1 and no more", "is not a readable .parquet file"),
        ("own.txt", "a\ncaf\xe9\n".encode("latin-1"), "line 2: not UTF-8"),
        ("own.jsonl", '{"text": "caf\xe9"}'.encode("latin-1"), "line 1: not UTF-8"),
        ("own.csv", "text\na\nb\ncaf\xe9\n".encode("latin-1"), "line 4: not UTF-8"),
        ("own.csv", "t\xe9xt\na\n".encode("latin-1"), "line 1: not UTF-8"),
        ("own.tsv", "text\na\n", "the name must end in one of .txt .jsonl"),
    ],
)
def test_an_unusable_file_is_refused_with_file_column_and_row(written, name, content, message):
    """Rows count from 1, the header of a CSV file apart."""
    line = refusal(written(name, content))

    assert line.startswith(f"probe file '{name}'")
    assert message in line


def test_a_refusal_quotes_no_text(written):
    """A user's text stays out of logs and terminals."""
    lines = [
        '{"text": "hush hush"',
        '["hush hush"]',
        '{"text": "hush hush\\ud800"}',
        '{"text": ["hush hush"]}',
    ]

    for line in lines:
        assert "hush" not in refusal(written("own.jsonl", line))


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("txt=body", "unknown column role 'txt': did you mean text?"),
        ("text=body,text=other", "write text=COLUMN once"),
        ("text=", "write text=COLUMN once"),
        ("text=body,id", "write id=COLUMN once"),
        ("text=nothing", "no column 'nothing', only 'body'"),
        ("text=body,id=nothing", "no column 'nothing', only 'body'"),
    ],
)
def test_an_unusable_mapping_is_refused(written, mapping, message):
    """A column that was named has to be there."""
    path = written("own.jsonl", '{"body": "a"}')

    assert message in refusal(f"{path}:{mapping}")


def test_a_file_that_does_not_exist_is_refused():
    """Also where it looks like an address: nothing is fetched."""
    for spec in (
        "nowhere.jsonl",
        "nowhere.csv:text=body",
        "https://example.org/a.jsonl",
        "hf://datasets/a/b.csv",
    ):
        assert "does not exist" in refusal(spec)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("prose", False),
        ("prsoe", False),
        ("a.txt", True),
        ("dir/a.JSONL", True),
        ("a.csv:text=b", True),
        ("/x", False),
    ],
)
def test_a_file_is_told_from_the_name_of_a_probe(spec, expected):
    """A mistyped name is answered with the nearest one, a mistyped path is not."""
    assert looks_like_file(spec) is expected


def test_a_mapping_is_taken_apart():
    """Path and columns."""
    path, columns = parse_spec("dir/a.csv:text=b=c,document=d e")

    assert str(path) == "dir/a.csv"
    assert columns == {"text": "b=c", "document": "d e"}


def test_nothing_is_left_behind_and_nothing_is_said(written, tmp_path, monkeypatch, capfd):
    """The cache is removed, on failure too; no progress bar, no log record; `datasets` is set as before."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    before = datasets.logging.get_verbosity(), datasets.are_progress_bars_disabled()
    listener = logging.handlers.BufferingHandler(capacity=1000)
    logging.getLogger("datasets").addHandler(listener)

    read_probe_file(written("own.csv", CSV))
    refusal(written("bad.csv", "text,id\na,1\nb,2,3\n"))
    logging.getLogger("datasets").removeHandler(listener)

    assert list(scratch.iterdir()) == []
    assert tuple(capfd.readouterr()) == ("", "")
    assert listener.buffer == []
    assert before == (datasets.logging.get_verbosity(), datasets.are_progress_bars_disabled())


def test_the_network_really_is_cut():
    """Else the tests of this file would prove nothing."""
    with pytest.raises(AssertionError, match="network"):
        socket.create_connection(("localhost", 9))
    with socket.socket() as plug, pytest.raises(AssertionError, match="network"):
        plug.connect(("127.0.0.1", 9))
