"""Feeds some samples backward through a model that has a loss, each by itself, and records what that leaves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from audit.definitions import Quantity
from audit.errors import UnusableInput
from audit.interventions.effects import Loss, objective
from audit.measure import Recorder
from audit.models.gradients import Backward
from audit.models.inputs import padded_behind
from audit.models.loading import LoadedModel
from audit.observations import Batch
from audit.probes.sampling import Feed
from audit.results import Measurement, Plan
from audit.results.subject import LayerCoverage

DOCUMENTS = (
    16  # as few as an interval needs: a backward pass costs two forward ones, and each sample has its own
)


class Gradients:
    """The backward passes of one audit, or the reason why there are none."""

    def __init__(
        self, loaded: LoadedModel, layers: Sequence[LayerCoverage], metrics: Sequence[Quantity], plan: Plan
    ) -> None:
        self._longest = plan.max_length
        self._names = {metric.name for metric in metrics if metric.observes == "gradient"}
        self.reason: str | None = "not asked for"
        if self._names:
            self._prepare(loaded, layers, plan.seed)

    def samples(self, fed: Feed) -> tuple[Batch, ...]:
        """What goes backward of a probe: the first window of each of its first documents, each by itself."""
        return () if self._reason(fed) else tuple(_first_windows(fed))

    def record(self, sample: Batch, recorder: Recorder) -> set[int]:
        """A backward pass for one sample; no layer counts as observed by that."""
        recorder.begin(sample)
        asked = self._loss.differentiable(sample)
        for observation in self._backward.observe(*asked) if asked else ():
            recorder.on_gradient(observation)
        return set()

    def explained(self, fed: Feed, measurements: Mapping[str, Measurement]) -> dict[str, Measurement]:
        """The measurements of a probe, those of gradients with the reason why there are none."""
        reason = self._reason(fed)
        return {
            name: replace(found, absent=reason)
            if reason and name in self._names and found.value is None
            else found
            for name, found in measurements.items()
        }

    def _reason(self, fed: Feed) -> str | None:
        """Why nothing of this probe goes backward."""
        longest = max((batch.input_ids.shape[1] for batch in fed.batches), default=0)
        if self.reason is None and longest > self._longest:
            return f"gradients are measured on at most {self._longest} tokens (--max-length), windows have {longest}"
        return self.reason

    def _prepare(self, loaded: LoadedModel, layers: Sequence[LayerCoverage], seed: int) -> None:
        asked = objective(loaded, seed=seed)
        if isinstance(asked, str):
            self.reason = f"without a loss there is no gradient: {asked}"
        elif not isinstance(asked, Loss):
            self.reason = "without a loss there is no gradient: an encoder without a head predicts nothing"
        else:
            try:
                self._loss, self._backward = asked, Backward(loaded.model, layers)
                self.reason = None
            except UnusableInput as error:
                self.reason = f"the model cannot be differentiated: {error}"


def _first_windows(fed: Feed) -> Iterator[Batch]:
    """The first window of each of the first documents, alone and without padding."""
    seen: set[str] = set()
    for batch in map(padded_behind, fed.batches):
        for row, document in enumerate(batch.documents):
            if document not in seen and len(seen) < DOCUMENTS:
                seen.add(document)
                yield batch.only(row, int(batch.tokens[row].sum()))
