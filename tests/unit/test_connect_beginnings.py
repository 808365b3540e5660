"""What `portalbus connect init` writes is right as it stands: a configuration that is read, code that compiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from portalbus.connectors.pull.config_file import read_config
from portalbus.infra.cli.app import run
from portalbus.infra.connecting.beginnings import BEGINNINGS, CLIENTS, Way, first_text


@pytest.mark.parametrize("way", [way for way in Way if way.is_pulled])
def test_a_configuration_is_one(way: Way, tmp_path: Path) -> None:
    file = tmp_path / "pull.yaml"
    file.write_text(first_text(way, "H26", "www", BEGINNINGS[way].example), encoding="utf-8")
    (portal,) = read_config(file).portals
    assert (portal.source, portal.kind, portal.address) == ("H26/www", way.value, BEGINNINGS[way].example)


@pytest.mark.parametrize("way", [Way.SDK, Way.DJANGO])
def test_starter_code_compiles_and_names_the_source(way: Way) -> None:
    text = first_text(way, "H26", "so-yt", "/var/lib/outbox")
    compile(text, way.value, "exec")
    assert "H26" in text
    assert "so-yt" in text
    assert "/var/lib/outbox" in text
    assert "$" not in text.replace("$(", "")


@pytest.mark.parametrize("language", CLIENTS)
def test_there_is_a_client_of_the_gateway_in_each_language(language: str) -> None:
    text = first_text(Way.GATEWAY, "H26", "www", language)
    assert "GATEWAY_KEY" in text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--agency", "Z99"), "Z99"),
        (("--agency", "H26", "--portal", "Sở Y tế"), "1 to 64 of a-z"),
        (("--agency", "H26", "--portal", "www", "--kind", "fax"), "there is no way fax"),
        (("--agency", "H26", "--portal", "www", "--kind", "gateway", "--address", "cobol"), "no client in cobol"),
    ],
)
def test_a_wrong_answer_is_named_and_nothing_is_written(
    flags: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.yaml"
    assert run(["connect", "init", *flags, "--file", str(file)]) == 2
    assert said in capsys.readouterr().err
    assert not file.exists()


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pull.yaml"
    file.write_text("mine")
    flags = ["--agency", "H26", "--portal", "www", "--kind", "feed", "--address", "https://x.gov.vn/rss"]
    assert run(["connect", "init", *flags, "--no-test", "--file", str(file)]) == 2
    assert file.read_text() == "mine"
    assert run(["connect", "init", *flags, "--no-test", "--file", str(file), "--force"]) == 0
    assert "next: portalbus connect try" in capsys.readouterr().out
