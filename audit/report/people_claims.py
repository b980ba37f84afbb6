"""What the section on groups of people claims, how sure that is, and what it does not claim."""

from audit.report.blocks import Row

CLAIMS = (
    Row(
        label="What is compared",
        text="The same sentences with words for one group and for the other, matched in word pieces. First group minus "
        "second; the interval would hold for other words and other sentences of the same kind. g is the difference in "
        "units of the spread between words of one group.",
    ),
    Row(
        label="How sure",
        text="Dividing the words at random shows what chance does. Of all that is called found, about one in twenty may "
        "still be chance (q, the share up to and with a line, is at most 0.05). Of fewer than 14 words per group no "
        "such thing can be said: they are described.",
    ),
    Row(
        label="What is not claimed",
        text="That a group is treated worse. A difference in attention is a correlation with words; whether the model "
        "also predicts otherwise stands beside it, and neither is by itself a harm. English sentences and lists of words "
        "stand for people whom they describe badly; data sets of this kind have been criticised for that (Blodgett et "
        "al. 2021). Where nothing is found, smaller differences than the smallest that would show may be there.",
    ),
)
