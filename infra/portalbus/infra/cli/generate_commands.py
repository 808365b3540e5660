"""`portalbus generate alerts|grafana|strimzi`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from portalbus.infra.cli.exits import EPILOG
from portalbus.infra.cli.options import Lang, Language, agency_codes, console

app = typer.Typer(
    help="Write files for other systems from the bus's own lists: Prometheus, Grafana, Strimzi.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)
Out = Annotated[Path | None, typer.Option("--out", help="Where to write; standard output without it.")]


@app.command("alerts", epilog=EPILOG)
def alerts(out: Out = None, lang: Lang = Language.EN) -> None:
    """Write Prometheus' alert rules, made from the list of metrics."""
    from portalbus.infra.generate.alert_rules import alert_rules

    _write(alert_rules(lang), out)


@app.command("grafana", epilog=EPILOG)
def grafana(
    out: Annotated[Path, typer.Option("--out", help="Folder for the dashboards, one file a process.")],
    lang: Lang = Language.EN,
) -> None:
    """Write Grafana's dashboards, made from the list of metrics."""
    from portalbus.infra.generate.dashboards import dashboards

    out.mkdir(parents=True, exist_ok=True)
    for name, dashboard in dashboards(lang).items():
        (out / name).write_text(json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        console(stderr=True).print(f"{out / name}")


@app.command("strimzi", epilog=EPILOG)
def strimzi(
    agency: Annotated[list[str] | None, typer.Option(help="Only these agencies; without it, all of today.")] = None,
    cluster: Annotated[str, typer.Option(help="Name of the Kafka resource.")] = "portalbus",
    replicas: Annotated[int, typer.Option(min=1, help="Copies of every topic.")] = 3,
    namespace: Annotated[str, typer.Option(help="Where Strimzi looks for them: the cluster's own.")] = "portalbus",
    out: Out = None,
) -> None:
    """Write a KafkaTopic for every topic and a KafkaUser for every agency, from the directory and the contracts."""
    from portalbus.infra.generate.strimzi import strimzi_resources
    from portalbus.schemas.directory import directory

    codes = agency_codes(agency) if agency else [one.code for one in directory().current(datetime.now(UTC).date())]
    _write(strimzi_resources(codes, cluster, replicas, namespace), out)


def _write(text: str, out: Path | None) -> None:
    if out is None:
        typer.echo(text, nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    console(stderr=True).print(str(out))
