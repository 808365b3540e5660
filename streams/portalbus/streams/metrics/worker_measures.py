"""What a worker measures: a few updates a committed batch; its lanes are looked at when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from portalbus.schemas.topics import agency_of
from portalbus.streams.edge.progress import LaneProgress
from portalbus.streams.ledger.ledger import Taken
from portalbus.streams.metrics import defined
from portalbus.streams.metrics.defined import Process
from portalbus.streams.metrics.measuring import Measures


class WorkerMeasures:
    """The measures of one worker; `committed` may be called from any thread."""

    def __init__(self, progress: LaneProgress) -> None:
        self.measures = Measures(Process.WORKER, defined.LANES, defined.LANE_LAG, defined.LANE_OFFSET)
        self.measures.collect_from(_Lanes(progress))

    def committed(self, taken: Taken, seconds: float) -> None:
        """Counts one committed batch, which took so long."""
        for status, count in taken.by_status.items():
            self.measures.count(defined.RECORDS, count, status.value.lower())
        if taken.replayed:
            self.measures.count(defined.REPLAYED, taken.replayed)
        self.measures.observe(defined.BATCH_RECORDS, taken.judged + taken.replayed)
        self.measures.observe(defined.COMMIT_SECONDS, seconds)

    def looked(self) -> None:
        """Counts one look for silent sources."""
        self.measures.count(defined.SILENCE_LOOKS)


class _Lanes(Collector):
    def __init__(self, progress: LaneProgress) -> None:
        self._progress = progress

    def collect(self) -> Iterable[Family]:
        """The lanes as they are now."""
        lanes = self._progress.snapshot().lanes
        offsets, lags = (
            GaugeMetricFamily(metric.name, metric.meaning.en, labels=metric.labels)
            for metric in (defined.LANE_OFFSET, defined.LANE_LAG)
        )
        for lane, position in lanes.items():
            offsets.add_metric([agency_of(lane)], position.next_offset)
            lags.add_metric([agency_of(lane)], position.lag)
        yield GaugeMetricFamily(defined.LANES.name, defined.LANES.meaning.en, value=len(lanes))
        yield offsets
        yield lags
