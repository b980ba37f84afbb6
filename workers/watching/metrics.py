"""The service in Prometheus' words."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from workers.attempt import OUTCOMES, Ended
from workers.connections import TRANSIENT
from workers.jobs import FINAL
from workers.ledger.ledger import Ledger

_SECONDS: Final = (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3_600, 14_400)
_BYTES: Final = tuple(2**power for power in range(28, 40))  # 256 MiB to 512 GiB


class Metrics:
    """The ledger's figures, read at each scrape, and this process's attempts."""

    def __init__(self, ledger: Ledger) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_LedgerFigures(ledger))
        ProcessCollector(registry=self.registry)  # memory and processor time of this process
        self._attempts = Counter(
            "attnaudit_attempts", "Attempts that ended here, by outcome.", ["outcome"], registry=self.registry
        )
        for outcome in OUTCOMES:
            self._attempts.labels(
                outcome
            )  # a series that begins at its first event hides that event from `increase`
        self._seconds = Histogram(
            "attnaudit_attempt_seconds",
            "Duration of attempts that ended here.",
            ["outcome"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._memory = Histogram(
            "attnaudit_attempt_peak_bytes",
            "Most memory an attempt here held.",
            buckets=_BYTES,
            registry=self.registry,
        )

    def ended(self, ended: Ended) -> None:
        """Count an attempt."""
        self._attempts.labels(ended.outcome).inc()
        self._seconds.labels(ended.outcome).observe(ended.seconds)
        self._memory.observe(ended.peak_bytes)


class _LedgerFigures(Collector):
    """The same whichever process is asked: take the maximum over processes, not the sum."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing known before the ledger is asked; keeps the registry from asking at once."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Jobs by state, ended jobs by state, age of the oldest queued one; only `up` where Redis is away."""
        reachable = GaugeMetricFamily("attnaudit_ledger_up", "Whether the ledger could be read.")
        try:
            figures = self._ledger.figures()
        except TRANSIENT:
            reachable.add_metric([], 0)
            yield reachable
            return
        reachable.add_metric([], 1)
        jobs = GaugeMetricFamily("attnaudit_jobs", "Jobs the ledger holds, by state.", labels=["state"])
        for state, count in figures.states.items():
            jobs.add_metric([state], count)
        ended = CounterMetricFamily("attnaudit_jobs_ended", "Jobs that ended, by state.", labels=["state"])
        for state in FINAL:  # from zero on, or the first of each state would never count as an increase
            ended.add_metric([state], figures.totals.get(state, 0))
        oldest = GaugeMetricFamily(
            "attnaudit_oldest_queued_seconds", "How long the oldest queued job has waited."
        )
        oldest.add_metric([], figures.oldest)
        yield from (reachable, jobs, ended, oldest)
