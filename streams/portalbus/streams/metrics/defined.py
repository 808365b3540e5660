"""The metrics of the bus: one typed list. Endpoints, dashboards, alert rules and the documentation are made from it.

A label is bounded: an agency, a route, a status, never a case, an event or a person. See docs/adr/0025-metrics.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from portalbus.schemas.models import Texts

QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SLOW = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
SIZES = (1, 5, 10, 50, 100, 500, 1_000, 2_000, 5_000, 10_000)


class Kind(StrEnum):
    """Kinds of metrics, in Prometheus' words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Process(StrEnum):
    """Who measures. The relay speaks for the ledger: there is one that leads, and it reads the ledger anyway."""

    WORKER = "worker"
    RELAY = "relay"
    CASEWORK = "casework"
    WARNING = "warning"
    CENTRAL = "central"
    GATEWAY = "gateway"
    WEBHOOKS = "webhooks"
    PULL = "pull"
    ALERTING = "alerting"


class Severity(StrEnum):
    """How soon somebody has to look."""

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """When a metric calls somebody: a PromQL expression that has held for `hold`, such as `5m`."""

    name: str
    expression: str
    hold: str
    severity: Severity
    summary: Texts


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `unit` is empty for a count; a histogram has `buckets` in that unit."""

    name: str
    process: Process
    kind: Kind
    unit: str
    meaning: Texts
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    alert: AlertRule | None = None

    @property
    def series(self) -> str:
        """The name under which Prometheus stores its values; that of a counter ends in `_total`."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name


def _texts(vi: str, en: str, zh: str) -> Texts:
    return Texts(vi=vi, en=en, zh=zh)


RECORDS = Metric(
    "portalbus_worker_records",
    Process.WORKER,
    Kind.COUNTER,
    "",
    _texts("Bản ghi đã phân xử, theo kết quả", "Records judged, by verdict", "已裁定的记录，按裁定结果"),
    labels=("status",),
)
REPLAYED = Metric(
    "portalbus_worker_replayed",
    Process.WORKER,
    Kind.COUNTER,
    "",
    _texts(
        "Bản ghi đọc lại mà sổ cái đã có", "Records read again that the ledger had already", "重复读取而账本已有的记录"
    ),
)
BATCH_RECORDS = Metric(
    "portalbus_worker_batch_records",
    Process.WORKER,
    Kind.HISTOGRAM,
    "",
    _texts("Số bản ghi mỗi lô", "Records of a batch", "每批记录数"),
    buckets=SIZES,
)
COMMIT_SECONDS = Metric(
    "portalbus_worker_commit_seconds",
    Process.WORKER,
    Kind.HISTOGRAM,
    "seconds",
    _texts("Thời gian phân xử và ghi một lô", "Time to judge and commit a batch", "裁定并提交一批所用时间"),
    buckets=QUICK,
    alert=AlertRule(
        "PortalbusLedgerSlow",
        "histogram_quantile(0.99, sum by (le) (rate(portalbus_worker_commit_seconds_bucket[10m]))) > 5",
        "10m",
        Severity.TICKET,
        _texts(
            "Sổ cái ghi chậm: cứ 100 lô thì có 1 lô mất hơn 5 giây.",
            "The ledger is slow: one batch in a hundred takes more than 5 s.",
            "账本写入缓慢：每百批中有一批超过 5 秒。",
        ),
    ),
)
LANES = Metric(
    "portalbus_worker_lanes",
    Process.WORKER,
    Kind.GAUGE,
    "",
    _texts("Số lane tiến trình này đang đọc", "Lanes that this worker reads", "本进程读取的通道数"),
    alert=AlertRule(
        "PortalbusNoWorker",
        "(sum(portalbus_worker_lanes) or vector(0)) == 0",
        "2m",
        Severity.PAGE,
        _texts(
            "Không có tiến trình nào đọc lane; không sự kiện nào được tiếp nhận.",
            "Nobody reads the lanes: no event is taken in.",
            "没有进程读取通道，事件未被接收。",
        ),
    ),
)
LANE_LAG = Metric(
    "portalbus_worker_lane_lag",
    Process.WORKER,
    Kind.GAUGE,
    "records",
    _texts(
        "Bản ghi trên lane của cơ quan mà sổ cái chưa có",
        "Records of the agency's lane that the ledger has not",
        "该机构通道上账本尚未接收的记录",
    ),
    labels=("agency",),
    alert=AlertRule(
        "PortalbusLaneBehind",
        "max by (agency) (portalbus_worker_lane_lag) > 5000",
        "10m",
        Severity.TICKET,
        _texts(
            "Lane của {{ $labels.agency }} chậm {{ $value }} bản ghi đã 10 phút.",
            "The lane of {{ $labels.agency }} is {{ $value }} records behind, for ten minutes.",
            "{{ $labels.agency }} 的通道已落后 {{ $value }} 条记录达十分钟。",
        ),
    ),
)
LANE_OFFSET = Metric(
    "portalbus_worker_lane_offset",
    Process.WORKER,
    Kind.GAUGE,
    "",
    _texts(
        "Vị trí kế tiếp của lane trong sổ cái",
        "Next offset of the agency's lane in the ledger",
        "通道在账本中的下一偏移量",
    ),
    labels=("agency",),
)
SILENCE_LOOKS = Metric(
    "portalbus_worker_silence_looks",
    Process.WORKER,
    Kind.COUNTER,
    "",
    _texts("Số lần kiểm tra nguồn im lặng", "Looks for silent sources", "检查沉默来源的次数"),
    alert=AlertRule(
        "PortalbusSilenceUnwatched",
        "sum(increase(portalbus_worker_silence_looks_total[10m])) == 0",
        "5m",
        Severity.TICKET,
        _texts(
            "Không ai theo dõi nguồn im lặng từ 10 phút.",
            "Nobody has looked for silent sources for ten minutes.",
            "十分钟内无人检查沉默来源。",
        ),
    ),
)
RELAYED = Metric(
    "portalbus_relay_messages",
    Process.RELAY,
    Kind.COUNTER,
    "",
    _texts(
        "Thông điệp đã gửi ra; mọi topic phán quyết tính là verdict",
        "Messages sent out; all verdict topics count as verdict",
        "已发出的消息；所有裁定主题合计为 verdict",
    ),
    labels=("topic",),
)
RELAY_SECONDS = Metric(
    "portalbus_relay_send_seconds",
    Process.RELAY,
    Kind.HISTOGRAM,
    "seconds",
    _texts("Thời gian một giao dịch Kafka", "Time of one Kafka transaction", "单次 Kafka 事务所用时间"),
    buckets=QUICK,
)
RELAY_POSITION = Metric(
    "portalbus_relay_position",
    Process.RELAY,
    Kind.GAUGE,
    "",
    _texts("Vị trí sổ cái đã gửi ra", "Position of the ledger up to which all is sent", "已发送至的账本位置"),
    alert=AlertRule(
        "PortalbusRelayBehind",
        "max(portalbus_ledger_position) - max(portalbus_relay_position) > 5000",
        "5m",
        Severity.PAGE,
        _texts(
            "Phán quyết và sự kiện chậm {{ $value }} vị trí mới ra khỏi sổ cái.",
            "Verdicts and events leave the ledger {{ $value }} positions late.",
            "裁定与事件滞后 {{ $value }} 个位置才离开账本。",
        ),
    ),
)
LEDGER_POSITION = Metric(
    "portalbus_ledger_position",
    Process.RELAY,
    Kind.GAUGE,
    "",
    _texts("Vị trí cuối cùng của sổ cái", "Last position of the ledger", "账本的最后位置"),
)
WAITING = Metric(
    "portalbus_ledger_waiting_events",
    Process.RELAY,
    Kind.GAUGE,
    "events",
    _texts("Sự kiện đang chờ nguyên nhân của chúng", "Events that wait for what they refer to", "等待其前提的事件"),
    labels=("agency",),
)
PARKED = Metric(
    "portalbus_ledger_parked_records",
    Process.RELAY,
    Kind.GAUGE,
    "records",
    _texts(
        "Bản ghi để riêng, chưa ai quyết định", "Parked records that nobody has decided about", "搁置且未处理的记录"
    ),
    labels=("agency",),
    alert=AlertRule(
        "PortalbusParked",
        "max by (agency) (portalbus_ledger_parked_records) > 0",
        "30m",
        Severity.TICKET,
        _texts(
            "{{ $labels.agency }} có {{ $value }} bản ghi không đọc được: portalbus parked list.",
            "{{ $value }} records of {{ $labels.agency }} could not be read: portalbus parked list.",
            "{{ $labels.agency }} 有 {{ $value }} 条记录无法读取：portalbus parked list。",
        ),
    ),
)
GAPS = Metric(
    "portalbus_ledger_gaps",
    Process.RELAY,
    Kind.GAUGE,
    "",
    _texts("Khoảng trống trong chuỗi sự kiện", "Gaps in the order of the agency's sources", "来源序列中的缺口"),
    labels=("agency",),
)
ALERTS_OPEN = Metric(
    "portalbus_ledger_alerts_open",
    Process.RELAY,
    Kind.GAUGE,
    "alerts",
    _texts("Cảnh báo đang mở của bus", "Alerts of the bus that are open", "总线未关闭的告警"),
    labels=("kind", "agency"),
    alert=AlertRule(
        "PortalbusAlert",
        "max by (kind, agency) (portalbus_ledger_alerts_open) > 0",
        "0m",
        Severity.TICKET,
        _texts(
            "Cảnh báo {{ $labels.kind }} {{ $labels.agency }}: portalbus alerts.",
            "Alert {{ $labels.kind }} {{ $labels.agency }}: portalbus alerts.",
            "告警 {{ $labels.kind }} {{ $labels.agency }}：portalbus alerts。",
        ),
    ),
)
CASEWORK_POSITION = Metric(
    "portalbus_casework_position",
    Process.CASEWORK,
    Kind.GAUGE,
    "",
    _texts(
        "Vị trí sổ cái mà thời hạn đã được tính",
        "Position up to which deadlines are reckoned",
        "期限已计算至的账本位置",
    ),
)
WARNING_INCIDENTS = Metric(
    "portalbus_warning_incidents",
    Process.WARNING,
    Kind.GAUGE,
    "",
    _texts(
        "Số sự việc cảnh báo sớm đang mở",
        "Incidents of early warning that are open",
        "未关闭的预警事件数",
    ),
    labels=("kind",),
)
CENTRAL_REQUESTS = Metric(
    "portalbus_central_requests",
    Process.CENTRAL,
    Kind.COUNTER,
    "",
    _texts("Số trả lời của cổng trung tâm", "Answers of the central portal", "中央门户的应答数"),
    labels=("route", "status"),
    alert=AlertRule(
        "PortalbusCentralErrors",
        'sum(rate(portalbus_central_requests_total{status=~"5.."}[5m]))'
        " / sum(rate(portalbus_central_requests_total[5m])) > 0.02",
        "5m",
        Severity.PAGE,
        _texts(
            "Hơn 2 % trả lời của cổng trung tâm là lỗi.",
            "More than 2 % of the central portal's answers are errors.",
            "中央门户超过 2 % 的应答为错误。",
        ),
    ),
)
CENTRAL_SECONDS = Metric(
    "portalbus_central_request_seconds",
    Process.CENTRAL,
    Kind.HISTOGRAM,
    "seconds",
    _texts("Thời gian đến khi bắt đầu trả lời", "Time until an answer begins", "开始应答前的时间"),
    buckets=QUICK,
)
GATEWAY_REQUESTS = Metric(
    "portalbus_gateway_requests",
    Process.GATEWAY,
    Kind.COUNTER,
    "",
    _texts("Số trả lời của cổng nhận HTTP", "Answers of the gateway", "网关的应答数"),
    labels=("route", "status"),
)
GATEWAY_ACCEPTED = Metric(
    "portalbus_gateway_events_accepted",
    Process.GATEWAY,
    Kind.COUNTER,
    "",
    _texts("Sự kiện đã vào lane", "Events on their lane", "已进入通道的事件"),
    labels=("agency",),
)
GATEWAY_REFUSED = Metric(
    "portalbus_gateway_events_refused",
    Process.GATEWAY,
    Kind.COUNTER,
    "",
    _texts("Sự kiện bị từ chối", "Events refused", "被拒绝的事件"),
    labels=("agency", "rule"),
)
GATEWAY_SECONDS = Metric(
    "portalbus_gateway_acknowledged_seconds",
    Process.GATEWAY,
    Kind.HISTOGRAM,
    "seconds",
    _texts(
        "Từ lúc kiểm tra xong đến khi Kafka xác nhận",
        "From a checked request to the broker's acknowledgement",
        "从检查完毕到代理确认",
    ),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
GATEWAY_SOURCES = Metric(
    "portalbus_gateway_sources_open",
    Process.GATEWAY,
    Kind.GAUGE,
    "",
    _texts("Nguồn đang mở", "Sources that are open", "打开的来源"),
)
GATEWAY_UNDELIVERED = Metric(
    "portalbus_gateway_undelivered",
    Process.GATEWAY,
    Kind.GAUGE,
    "events",
    _texts("Sự kiện đang chờ Kafka", "Events that wait", "等待发送的事件"),
    alert=AlertRule(
        "PortalbusGatewayStuck",
        "max(portalbus_gateway_undelivered) > 1000",
        "5m",
        Severity.PAGE,
        _texts(
            "{{ $value }} sự kiện đã nhận chưa vào lane.",
            "{{ $value }} acknowledged events have not reached their lane.",
            "{{ $value }} 个已确认事件尚未进入通道。",
        ),
    ),
)
GATEWAY_READERS = Metric(
    "portalbus_gateway_readers",
    Process.GATEWAY,
    Kind.GAUGE,
    "",
    _texts("Chương trình đang chờ phán quyết", "Programs that wait for verdicts", "等待裁定的程序"),
)
WEBHOOK_DELIVERIES = Metric(
    "portalbus_webhooks_deliveries",
    Process.WEBHOOKS,
    Kind.COUNTER,
    "",
    _texts("Lần gửi webhook, theo kết quả", "Tries to deliver a webhook, by outcome", "webhook 投递尝试，按结果"),
    labels=("outcome",),
)
PULL_PASSES = Metric(
    "portalbus_pull_passes",
    Process.PULL,
    Kind.COUNTER,
    "",
    _texts("Lượt đọc cổng, theo kết quả", "Passes over a portal, by outcome", "读取门户的轮次，按结果"),
    labels=("outcome",),
)
PULL_PUBLISHED = Metric(
    "portalbus_pull_published",
    Process.PULL,
    Kind.COUNTER,
    "",
    _texts("Sự kiện trình kết nối đã công bố", "Events that connectors published", "连接器发布的事件"),
)
PULL_SECONDS = Metric(
    "portalbus_pull_pass_seconds",
    Process.PULL,
    Kind.HISTOGRAM,
    "seconds",
    _texts("Thời gian một lượt đọc", "Time of one pass", "单轮读取所用时间"),
    buckets=SLOW,
)
ALERTS_TOLD = Metric(
    "portalbus_alerting_told",
    Process.ALERTING,
    Kind.COUNTER,
    "",
    _texts(
        "Cảnh báo đã gửi, theo kênh và kết quả", "Alerts told, by channel and outcome", "已发送的告警，按渠道和结果"
    ),
    labels=("channel", "outcome"),
    alert=AlertRule(
        "PortalbusAlertsUntold",
        'sum(increase(portalbus_alerting_told_total{outcome="failed"}[30m])) > 5',
        "0m",
        Severity.TICKET,
        _texts(
            "Không gửi được cảnh báo: xem nhật ký của tiến trình alerting.",
            "Alerts cannot be told: see the log of the alerting process.",
            "告警无法送达：请查看 alerting 进程日志。",
        ),
    ),
)

METRICS: tuple[Metric, ...] = tuple(one for one in list(globals().values()) if isinstance(one, Metric))
"""All of them, in the order of this file."""


def metrics_of(process: Process) -> tuple[Metric, ...]:
    """What one process measures."""
    return tuple(metric for metric in METRICS if metric.process is process)
