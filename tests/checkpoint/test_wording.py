"""What a library's error becomes in a message of one line."""

import pytest

from audit.checkpoint.wording import first_line


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("bad shape\nmore", "bad shape"),
        (
            "Validation error for field 'heads':\n    TypeError: expected int",
            "Validation error for field 'heads': TypeError: expected int",
        ),
        ("heading alone:", "heading alone:"),
        ("", "ValueError"),
    ],
)
def test_one_line_says_what_is_wrong(raised: str, said: str) -> None:
    """The first line, with the one below it where it only announces that one."""
    assert first_line(ValueError(raised)) == said
