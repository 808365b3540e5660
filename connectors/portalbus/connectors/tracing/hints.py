"""What to look at when nothing is known of what was asked for, by what it looks like."""

from __future__ import annotations

from portalbus.schemas.models import Texts
from portalbus.streams.reading.tracing import PLACE, PUBLIC_CODE, event_id_in, is_address


def _texts(vi: str, en: str, zh: str) -> Texts:
    return Texts(vi=vi, en=en, zh=zh)


FEED = _texts(
    "Không có nguồn tin nào ở địa chỉ này: xem lại loại sự kiện và mã cơ quan.",
    "There is no feed at this address: look at its event type and its agency's code.",
    "此地址没有订阅源：请核对事件类型和机构代码。",
)
ADDRESS = _texts(
    "Chưa văn bản nào được công bố với địa chỉ này: chép nguyên địa chỉ trang văn bản, hoặc tìm theo mã văn bản.",
    "No document was published with this address: copy the whole address of the document's page, or ask by its id.",
    "没有以此地址发布的文件：请完整复制文件页面的地址，或按文件编号查询。",
)
RECORD = _texts(
    "Lane của cơ quan này chưa có bản ghi ở vị trí đó, hoặc đó là nhịp báo của nguồn, không phải sự kiện.",
    "The agency's lane has no record there yet, or it is a source's heartbeat and no event.",
    "该机构的通道在此位置尚无记录，或者那是来源的心跳，而不是事件。",
)
EVENT = _texts(
    "Sự kiện có thể còn ở cổng chưa gửi đi: chạy portalbus outbox status tại cổng.",
    "The event may still be at its portal: ask there with portalbus outbox status.",
    "事件可能仍在门户：请在门户运行 portalbus outbox status。",
)
CODE = _texts(
    "Mã tra cứu có 12 ký tự, không có I, L, O và U; phản ánh có thể còn ở cổng chưa gửi đi.",
    "A public code has 12 characters and no I, L, O or U; the feedback may still be at its portal.",
    "查询码有 12 个字符，不含 I、L、O、U；意见也可能仍在门户。",
)
NAME = _texts(
    "Có thể hỏi bằng: mã sự kiện, mã vết, mã phản ánh, mã tra cứu, mã văn bản (G22/ct-015-2026), địa chỉ trang hay"
    " nguồn tin, mã mục trong nguồn tin, mã webhook, vị trí trên lane (H26@17).",
    "What can be asked for: the id of an event, trace or case, a public code, a document (G22/ct-015-2026), the address"
    " of a page or feed, the id of a feed's entry or of a webhook, a place in a lane (H26@17).",
    "可查询：事件、跟踪或案件编号、查询码、文件（G22/ct-015-2026）、页面或订阅源地址、"
    "订阅条目或 webhook 编号、通道位置（H26@17）。",
)


def hint(asked: str) -> Texts:
    """What to look at."""
    if "/feed." in asked:
        return FEED
    if is_address(asked):
        return ADDRESS
    if PLACE.match(asked):
        return RECORD
    if event_id_in(asked) is not None:
        return EVENT
    return CODE if PUBLIC_CODE.match(asked.upper()) else NAME
