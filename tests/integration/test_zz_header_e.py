import sys; sys.path.insert(0, "/work/main/tests/integration")
from test_worker import *
from test_worker import _NotUtf8
from portalbus.streams.rebuilding.lane_reader import LaneReader

def test_h(bus):
    builder = _DefaultRecordBatchBuilderPy(2, 0, False, -1, -1, -1, 100_000)
    key, value = case(bus, "H26", 1)
    assert builder.append(0, 0, key, value, [(_NotUtf8("x"), b"v"), ("nul", None)])
    send_raw(bus, "lane.H26", bytes(builder.build()))
    bus.publish("H26", [case(bus, "H26", 2)])
    with LaneReader(bus.endpoints.bootstrap) as lanes:
        for r in lanes.take("H26", 0, 2): print(r, r.headers)
