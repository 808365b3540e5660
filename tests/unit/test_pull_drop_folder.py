"""The drop folder reads tables as offices write them, files them away with a report, and survives hostile ones."""

from __future__ import annotations

import csv
import subprocess
import sys
import unicodedata
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from drop_files import COLUMNS, csv_text, document, drop, in_tcvn3, in_windows_1258, later, with_part, workbook
from portalbus.connectors.pull.comparing import Deciding, Outcome, compare
from portalbus.connectors.pull.drop_folder.kind import DROP_FOLDER
from portalbus.connectors.pull.drop_folder.settings import DropFolderConfig
from portalbus.connectors.pull.found import Before, Listing, Reading
from portalbus.connectors.pull.judging import Judge
from portalbus.connectors.pull.kind import ReadFailed
from portalbus.connectors.pull.remembered import Memory
from portalbus.schemas.identifiers import new_public_code
from pull_readings import Pass, Remembering, surroundings

BODY = "Các sở, ban, ngành kiểm tra hệ thống chiếu sáng."


def folder_of(path: Path, **settings: Any) -> Remembering:
    """Passes over a folder, an hour after everything was put there."""
    config = DropFolderConfig.model_validate({"agency": "H26", "kind": "files", "address": str(path), **settings})
    return Remembering(lambda: DROP_FOLDER.open(config, surroundings(clock=later)))


def report_of(path: Path) -> list[dict[str, str]]:
    """The lines of a file's report."""
    with path.with_name(f"{path.name}.report.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_a_csv_file_becomes_directives_and_goes_to_done(tmp_path: Path) -> None:
    drop(tmp_path, "van-ban.csv", csv_text([document(1), document(2)]))
    passes = folder_of(tmp_path)
    found = passes.read()
    assert [item.id for item in found.items] == ["1", "2"]
    assert found.items[0].data == {
        "number": "1/CT-UBND",
        "document_type": "CT",
        "title": "Về việc chiếu sáng công cộng",
        "body": BODY,
        "body_format": "TEXT",
        "language": "vi",
        "issued_on": "2026-11-20",
        "classification": "PUBLIC",
        "canonical_url": "https://hanoi.gov.vn/van-ban/1",
    }
    assert sorted(path.name for path in tmp_path.rglob("*.csv*")) == ["van-ban.csv", "van-ban.csv.report.csv"]
    assert report_of(tmp_path / "done" / "van-ban.csv")[-1]["what"] == "done: 2 unchanged"
    assert passes.read().listing is Listing.UNCHANGED


TABLE = csv_text([document(1)])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("utf-8", TABLE.encode()),
        ("utf-8 with a byte order mark", TABLE.encode("utf-8-sig")),
        ("utf-16", TABLE.encode("utf-16")),
        ("windows-1258", in_windows_1258(TABLE)),
        ("TCVN3", in_tcvn3(TABLE)),
        ("TCVN3 taken for Latin-1", in_tcvn3(TABLE).decode("latin-1").encode()),
        ("semicolons", csv_text([document(1)], ";").encode()),
        ("tabs", csv_text([document(1)], "\t").encode()),
        ("Excel's own line", b"sep=;\r\n" + csv_text([document(1)], ";").encode()),
        ("decomposed letters", unicodedata.normalize("NFD", TABLE).encode()),
        ("line ends of Unix", TABLE.replace("\r\n", "\n").encode()),
    ],
)
def test_every_way_in_which_offices_write_csv_is_read_the_same(tmp_path: Path, name: str, content: bytes) -> None:
    drop(tmp_path, "a.csv", content)
    (item,) = folder_of(tmp_path).read().items
    assert (item.id, item.data["title"], item.data["body"]) == ("1", "Về việc chiếu sáng công cộng", BODY), name
    assert item.data["document_type"] == "CT"


def test_a_workbook_is_read_like_a_csv_file(tmp_path: Path) -> None:
    rows: list[list[Any]] = [[1.0, *document(1)[1:]], [2, *document(2)[1:]]]
    rows[0][5] = datetime(2026, 11, 20)
    drop(tmp_path, "a.xlsx", workbook(rows))
    found = folder_of(tmp_path).read()
    assert [(item.id, item.data["issued_on"]) for item in found.items] == [("1", "2026-11-20"), ("2", "2026-11-20")]
    assert (tmp_path / "done" / "a.xlsx").exists()


def test_formulas_are_never_evaluated(tmp_path: Path) -> None:
    rows = [["1", '=HYPERLINK("http://x")', "Chỉ thị", "=1+1", "=CMD|'/C calc'!A0", "20/11/2026", "@SUM(1)"]]
    drop(tmp_path, "a.xlsx", workbook(rows))
    (item,) = folder_of(tmp_path).read().items
    assert "title" not in item.data  # a formula that was never calculated shows nothing
    drop(tmp_path, "b.csv", csv_text([["=1+1", *document(1)[1:]]]))
    (item,) = folder_of(tmp_path).read().items
    assert item.id == "=1+1"


def test_a_file_that_is_still_written_to_is_left_until_it_is_stable(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv_text([document(1)])[:100])
    config = DropFolderConfig(agency="H26", kind="files", address=str(tmp_path), settle=30)
    moment = [datetime.now(UTC)]
    passes = Remembering(lambda: DROP_FOLDER.open(config, surroundings(clock=lambda: moment[0])))
    assert passes.read().listing is Listing.UNCHANGED
    path.write_text(csv_text([document(1)]))
    moment[0] += timedelta(seconds=20)
    assert passes.read().listing is Listing.UNCHANGED
    moment[0] += timedelta(seconds=20)
    assert [item.id for item in passes.read().items] == ["1"]


@pytest.mark.parametrize("name", [".a.csv", "~$a.xlsx", "a.csv.part", "a.tmp", "a.xlsx.crdownload"])
def test_names_of_unfinished_files_are_left_alone(tmp_path: Path, name: str) -> None:
    drop(tmp_path, name, csv_text([document(1)]))
    found = folder_of(tmp_path).read()
    assert (found.items, found.remarks) == ([], [])
    assert (tmp_path / name).exists()


def test_links_and_other_files_are_left_alone_with_a_remark(tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text(csv_text([document(1)]))
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "link.csv").symlink_to(outside)
    drop(folder, "old.doc", b"x")
    found = folder_of(folder).read()
    assert found.items == []
    assert [remark.place for remark in found.remarks] == ["link.csv", "old.doc"]


def test_a_folder_that_is_gone_is_a_failure_and_decides_nothing(tmp_path: Path) -> None:
    with pytest.raises(ReadFailed, match="the folder cannot be read"):
        folder_of(tmp_path / "gone").read()


def test_a_crash_before_filing_reads_the_file_again(tmp_path: Path) -> None:
    drop(tmp_path, "a.csv", csv_text([document(1)]))
    passes = folder_of(tmp_path)
    assert [item.id for item in passes.read(settle=False).items] == ["1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]  # looking alone changes nothing
    assert [item.id for item in passes.read().items] == ["1"]
    assert not (tmp_path / "a.csv").exists()


def test_the_same_name_twice_is_kept_twice(tmp_path: Path) -> None:
    for number in (1, 2):
        drop(tmp_path, "a.csv", csv_text([document(number)]))
        folder_of(tmp_path).read()
    assert len([path for path in (tmp_path / "done").iterdir() if not path.name.endswith(".report.csv")]) == 2


def decided(path: Path) -> Callable[[Reading], Outcome]:
    """What the comparer decides on a reading of the folder, by the rules of the bus."""
    config = DropFolderConfig(agency="H26", kind="files", address=str(path))
    deciding = Deciding(config, datetime.now(UTC), Judge("H26", "www"), new_public_code)
    return lambda reading: compare(Memory(), reading, deciding)


def test_the_report_names_row_rule_place_and_how_to_mend_it_in_three_languages(tmp_path: Path) -> None:
    classified = document(3)
    columns = [*COLUMNS, "Độ mật"]
    rows = [[*document(1), ""], [*classified, "Mật"], [*document(4), ""]]
    rows[2][2] = "Thơ"
    text = csv_text(rows, columns=columns) + '"5","ngắn"\r\n"",,,,,,,\r\n,"x",,,,,,\r\n"1","lại",,,,,,\r\n'
    drop(tmp_path, "a.csv", text)
    config = DropFolderConfig(agency="H26", kind="files", address=str(tmp_path))
    source = DROP_FOLDER.open(config, surroundings(clock=later))
    reading = source.read(Before())
    source.settled(reading, decided(tmp_path)(reading))
    source.close()
    lines = report_of(tmp_path / "done" / "a.csv")
    told = {(line["row"], line["rule"], line["field"]) for line in lines[:-1]}
    assert told == {
        ("3", "directive.classified", "/classification"),
        ("4", "directive.type-unknown", "/document_type"),
        ("5", "row.cells", ""),
        ("7", "row.no-key", ""),
        ("8", "row.key-twice", ""),
    }
    assert all(line[language] for line in lines[:-1] for language in ("vi", "en", "zh"))
    assert lines[-1]["what"] == "done: 3 left out, 1 publication, 2 refused"


def test_a_file_in_which_nothing_is_right_goes_to_refused(tmp_path: Path) -> None:
    row = document(1)
    row[2] = "Thơ"
    drop(tmp_path, "a.csv", csv_text([row]))
    config = DropFolderConfig(agency="H26", kind="files", address=str(tmp_path))
    source = DROP_FOLDER.open(config, surroundings(clock=later))
    reading = source.read(Before())
    source.settled(reading, decided(tmp_path)(reading))
    assert (tmp_path / "refused" / "a.csv").exists()


def huge_sheet() -> bytes:
    """Some kilobytes that unpack to hundreds of megabytes."""
    return with_part(workbook([document(1)]), "xl/worksheets/sheet1.xml", b"<x>" + b" " * 300_000_000)


def entity_bomb() -> bytes:
    """A sheet whose entities unfold without end."""
    entities = "".join(f'<!ENTITY a{number} "{f"&a{number - 1};" * 10}">' for number in range(1, 12))
    sheet = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">{entities}]><worksheet>&a11;</worksheet>'
    return with_part(workbook([document(1)]), "xl/worksheets/sheet1.xml", sheet.encode())


def bomb_in_the_names() -> bytes:
    """The same in the part that names the sheets."""
    entities = "".join(f'<!ENTITY a{number} "{f"&a{number - 1};" * 10}">' for number in range(1, 12))
    part = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">{entities}]><workbook>&a11;</workbook>'
    return with_part(workbook([document(1)]), "xl/workbook.xml", part.encode())


def foreign_file() -> bytes:
    """A sheet that names a file of this machine."""
    sheet = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><worksheet>&a;</worksheet>'
    return with_part(workbook([document(1)]), "xl/worksheets/sheet1.xml", sheet)


def cut_short() -> bytes:
    """A workbook whose copy ended halfway."""
    whole = workbook([document(number) for number in range(100)])
    return whole[: len(whole) // 2]


def no_table() -> bytes:
    """A ZIP file that is no workbook."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("a.txt", "x")
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "make", "rule"),
    [
        ("zip-bomb.xlsx", huge_sheet, "file.unpacks-too-large"),
        ("entities.xlsx", entity_bomb, "file.part-broken"),
        ("entities-in-names.xlsx", bomb_in_the_names, "file.part-broken"),
        ("file-entity.xlsx", foreign_file, "file.part-broken"),
        ("cut.xlsx", cut_short, "file.no-workbook"),
        ("zip.xlsx", no_table, "file.part-broken"),
        ("old.xlsx", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 2_000, "file.old-or-locked"),
        ("text.xlsx", lambda: b"so, this is text", "file.no-workbook"),
        ("empty.xlsx", lambda: workbook([], ()), "file.empty"),
        ("empty.csv", lambda: b"", "file.empty"),
        ("blank.csv", lambda: b"\r\n\r\n \r\n", "file.empty"),
        ("quote.csv", lambda: csv_text([]).encode() + b'2,"' + b"x,y\r\n" * 400_000, "file.cell-too-long"),
        ("line.csv", lambda: b"id,title\r\n1," + b"x" * 5_000_000, "file.line-too-long"),
        ("binary.csv", lambda: bytes(range(256)) * 40, "file.encoding-unclear"),
        ("half-character.csv", lambda: TABLE.encode()[:-2] + "ệ".encode()[:2], "file.encoding-broken"),
        ("russian.csv", lambda: "ид,имя\r\n1,Москва столица\r\n".encode("cp1251"), "file.encoding-unclear"),
        ("no-key.csv", lambda: b"a,b\r\n1,2\r\n", "file.columns"),
        ("twice.csv", lambda: b"id,title,Title\r\n1,2,3\r\n", "file.columns"),
        ("columns.csv", lambda: b"id," + b"a," * 2_000 + b"\r\n", "file.too-large"),
    ],
)
def test_a_hostile_or_broken_file_is_refused_with_its_reason(
    tmp_path: Path, name: str, make: Callable[[], bytes], rule: str
) -> None:
    drop(tmp_path, name, make())
    drop(tmp_path, "z-good.csv", csv_text([document(1)]))
    found = folder_of(tmp_path).read()
    assert [item.id for item in found.items] == ["1"]  # the others go on
    lines = report_of(tmp_path / "refused" / name)
    assert [line["rule"] for line in lines if line["rule"]] == [rule]
    assert any(rule in str(remark) for remark in found.remarks)


def test_zero_bytes_are_the_rules_to_refuse(tmp_path: Path) -> None:
    drop(tmp_path, "a.csv", csv_text([document(1, "a\0b")]))
    (item,) = folder_of(tmp_path).read().items
    assert item.data["title"] == "a\0b"
    judged = Judge("H26", "www")
    data = {**item.data, "action": "PUBLISH", "version": 1, "directive_id": "a"}
    findings = judged("DirectivePublished", data, "0199b2c4-7a1e-7c44-9d3e-5f0e8a1b2c3d", datetime.now(UTC)).findings
    assert [finding.rule for finding in findings] == ["text.control-character"]


def test_a_sheet_that_says_it_is_a_million_columns_wide_is_read_at_once(tmp_path: Path) -> None:
    sheet = (
        b'<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        b'<dimension ref="A1:XFD1048576"/><sheetData>'
        b'<row r="1"><c r="A1" t="inlineStr"><is><t>id</t></is></c></row>'
        b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData></worksheet>'
    )
    drop(tmp_path, "a.xlsx", with_part(workbook([]), "xl/worksheets/sheet1.xml", sheet))
    assert folder_of(tmp_path).read().items == []


def rows_written(path: Path, count: int) -> None:
    """A CSV file with many rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(csv_text([]))
        for number in range(count):
            file.write(",".join(document(number)[:4]) + f',"{BODY}",2026-11-20,https://hanoi.gov.vn/{number}\r\n')


@pytest.mark.parametrize("count", [20_000, pytest.param(1_000_000, marks=pytest.mark.chaos)])
def test_many_rows_are_read_in_bounded_memory(tmp_path: Path, count: int) -> None:
    script = Path(__file__).parent.parent / "support" / "drop_reading_process.py"
    peaks = []
    for number in (1, count):
        folder = tmp_path / str(number)
        folder.mkdir()
        rows_written(folder / "a.csv", number)
        done = subprocess.run([sys.executable, str(script), str(folder)], capture_output=True, check=True, timeout=250)
        read, peak = map(int, done.stdout.split())
        assert read == number
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 30_000_000 + count * 150  # a batch of rows, and the id of every row


def test_a_complete_list_lists_what_stands(tmp_path: Path) -> None:
    drop(tmp_path, "a.csv", csv_text([document(1), document(2)]))
    found: Pass = folder_of(tmp_path, complete=True).read()
    assert found.listing is Listing.COMPLETE
    assert found.ids == {"1", "2"}
