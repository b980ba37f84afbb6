"""A user's own pairs: read as documented, refused in one line."""

import pytest

from audit.errors import UnusableInput
from audit.probes.pair_files import holds_pairs, read_pairs

HEADER = "group,term,template\n"
ROW = "{},{},{{person}} is *kind*.\n"


def pairs_file(tmp_path, *rows, header=HEADER, name="pairs.csv"):
    path = tmp_path / name
    path.write_text(header + "".join(rows), encoding="utf-8")
    return str(path)


def test_rows_become_an_axis(tmp_path):
    """Groups in order of appearance; each term in the templates it is listed with."""
    spec = pairs_file(
        tmp_path, ROW.format("a", "Ann"), ROW.format("b", "Bob"), "a,Amy,The *boss* was {person}.\n"
    )
    assert holds_pairs(spec)
    (axis,) = read_pairs(spec).axes()
    assert axis.groups == ("a", "b")
    assert axis.terms == (("Ann", "Amy"), ("Bob",))
    assert axis.rows == {(0, 0), (0, 2), (1, 1)}


def test_a_file_of_texts_is_no_file_of_pairs(tmp_path):
    """It is told by its columns."""
    assert not holds_pairs(pairs_file(tmp_path, "a text\n", header="text\n"))


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ((ROW.format("a", "Ann"),), "an axis needs two groups, and one of its axes has 1"),
        ((ROW.format("a", "Ann"), ROW.format("b", "Ann")), "a term stands in both groups"),
        (("a,Ann,No place here.\n",), r"row 1, column 'template': \{person\} must stand in it once"),
        (("a,Ann,{person} ran.\n", "b,,{person} ran.\n"), "row 2, column 'term': empty"),
        ((), "holds no rows"),
        (
            ("a,Ann,{person} was *kind.\n",),
            r"row 1, column 'template': one \*attribute\* between two asterisks",
        ),
    ],
)
def test_what_cannot_be_fed_is_refused(tmp_path, rows, line):
    """With file and row."""
    with pytest.raises(UnusableInput, match=line):
        read_pairs(pairs_file(tmp_path, *rows))


@pytest.mark.parametrize("missing", ["group", "term", "template"])
def test_a_missing_column_is_named(tmp_path, missing):
    """Two of the three say what the file is meant to be."""
    columns = [name for name in ("group", "term", "template") if name != missing]
    spec = pairs_file(tmp_path, "a,Ann\n", header=",".join(columns) + "\n")
    assert holds_pairs(spec)
    with pytest.raises(UnusableInput, match=f"no column '{missing}'; pairs need group, term and template"):
        read_pairs(spec)


@pytest.mark.parametrize("axis", ["line1\x1b[31mred", "a" * 61])
def test_the_name_of_an_axis_is_one_short_line(tmp_path, axis):
    """It names findings, and stands in pictures."""
    header, row = "axis,group,term,template\n", f'"{axis}",a,Ann,{{person}} ran.\n'
    with pytest.raises(UnusableInput, match="row 1, column 'axis': a name is one line"):
        read_pairs(pairs_file(tmp_path, row, header=header))
