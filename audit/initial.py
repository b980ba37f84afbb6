"""Where the configuration of a checkpoint stood before training, for its audit."""

from audit.checkpoint.records import Checkpoint
from audit.errors import UnusableInput
from audit.results.subject import Skipped
from audit.results.trainability import Diagram
from audit.theory.configuration import from_config
from audit.theory.diagram import diagram


def initial(checkpoint: Checkpoint) -> Diagram | Skipped:
    """The trainability diagram of its configuration, or the reason why the theory has no answer."""
    try:
        return diagram(from_config(checkpoint.config))
    except UnusableInput as error:
        return Skipped(metric="trainability", reason=str(error))
