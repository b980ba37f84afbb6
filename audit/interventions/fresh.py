"""The texts that findings are confirmed on: none of them was looked at when the findings were detected."""

from audit.interventions.halves import Half, regrouped
from audit.interventions.readings import Fed


def fresh(whole: Fed, used: Fed) -> Half:
    """The samples of `whole` from documents that `used` has not, in batches as large as those of `whole`."""
    known = {name for batch in used.batches for name in batch.documents}
    return regrouped(whole, lambda document: document not in known)
