"""What the audit says of a model in which nothing was planted, and whether further texts contradict it."""

from audit.models.loading import LoadedModel
from tests.faults.auditing import confirmed, judged
from tests.faults.planting import texts
from tests.faults.scoring import Alarms

SAMPLES = 32  # documents of each probe in each of three parts


def alarms(name: str, loaded: LoadedModel, *, seed: int) -> Alarms:
    """Findings of watch or worse once confirmed, and those of them that an ablation on further texts refutes."""
    fed = texts(loaded, seed=seed, samples=SAMPLES)
    findings = judged(loaded, fed.detection, seed=seed)
    known = confirmed(loaded, findings, fed.detection, fed.confirmation, seed=seed)
    raised = [finding for finding in known if finding.severity != "info"]
    again = confirmed(loaded, raised, fed.detection, fed.further, seed=seed + 1)
    false = [finding.id for finding in again if finding.confirmation.status == "not_confirmed"]
    return Alarms(name, tuple(finding.id for finding in raised), tuple(false))
