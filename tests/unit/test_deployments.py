"""What is deployed is valid by the published schemas, and as closed as it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from howto_page import blocks_of
from portalbus.connectors.web.proxies import proxies_of
from portalbus.infra.bus.processes import NAMES
from portalbus.infra.generate.strimzi import strimzi_resources
from portalbus.schemas.kafka_settings import PREFIX

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "tests" / "data" / "published"
COMPOSE = yaml.safe_load((ROOT / "infra" / "compose" / "compose.yaml").read_text(encoding="utf-8"))
OURS = ("topics", "worker", "relay", "casework", "warning", "central", "webhooks", "gateway", "alerting")
KUBERNETES = "1.33"


def resources(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]


def files() -> list[dict[str, Any]]:
    return [
        document
        for path in sorted((ROOT / "infra" / "kubernetes").glob("*.yaml"))
        for document in resources(path.read_text(encoding="utf-8"))
    ]


def check_custom(document: Mapping[str, Any], prefix: str) -> None:
    """By the custom resource's schema, with nothing in it that the schema does not know, as a strict server has it."""
    schema = closed(json.loads((PUBLISHED / f"{prefix}-{document['kind']}.json").read_text(encoding="utf-8")))
    jsonschema.Draft202012Validator(schema).validate(document)


def closed(schema: Any, *, top: bool = True) -> Any:
    if isinstance(schema, dict):
        found = {name: closed(part, top=False) for name, part in schema.items()}
        keeps = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
        if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not keeps:
            found["additionalProperties"] = False
        if top:
            found["properties"]["metadata"] = {"type": "object"}
        if schema.get("x-kubernetes-int-or-string"):
            found.pop("type", None)
        return found
    return [closed(part, top=False) for part in schema] if isinstance(schema, list) else schema


def test_the_compose_file_is_valid_by_the_compose_specification() -> None:
    schema = json.loads((PUBLISHED / "compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(COMPOSE)


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_every_service_is_pinned_bounded_and_without_new_privileges(name: str) -> None:
    service = COMPOSE["services"][name]
    tag = service["image"].rpartition(":")[2]
    assert tag[0].isdigit() or tag[0] == "v", f"{service['image']} is not pinned"
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert "no-new-privileges:true" in service["security_opt"]
    assert name == "topics" or "healthcheck" in service
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", ()))


@pytest.mark.parametrize("name", OURS)
def test_a_process_of_the_bus_is_read_only_and_nobody(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] and service["user"] == "10001:10001" and service["cap_drop"] == ["ALL"]


def test_the_files_that_the_compose_file_mounts_are_there_or_generated() -> None:
    for service in COMPOSE["services"].values():
        for volume in service.get("volumes", ()):
            place = volume.split(":")[0]
            if place.startswith("./") and "generated" not in place and "alerting.toml" not in place:
                assert (ROOT / "infra" / "compose" / place).exists(), place


@pytest.mark.parametrize("document", files(), ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_every_kubernetes_resource_is_valid(document: dict[str, Any]) -> None:
    api = document["apiVersion"].partition("/")[0]
    if api == "kafka.strimzi.io":
        check_custom(document, "strimzi")
    elif api == "keda.sh":
        check_custom(document, "keda")
    else:
        validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
        validate.validate(document, KUBERNETES, strict=True)


def test_a_closed_schema_refuses_what_it_does_not_know() -> None:
    kafka = next(one for one in files() if one["kind"] == "Kafka")
    with pytest.raises(jsonschema.ValidationError):
        check_custom({**kafka, "spec": {**kafka["spec"], "zookeeper": {"replicas": 3}}}, "strimzi")


def test_every_deployment_is_non_root_read_only_and_has_a_disruption_budget() -> None:
    found = files()
    budgets = {
        one["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"]
        for one in found
        if one["kind"] == "PodDisruptionBudget"
    }
    for one in (one for one in found if one["kind"] == "Deployment"):
        pod = one["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] and one["metadata"]["name"] in budgets
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_kubernetes_adds_nothing_to_the_environment_of_a_pod() -> None:
    """A service of Strimzi's is called portalbus-kafka-bootstrap, and its variables look like properties of Kafka."""
    for one in (one for one in files() if one["kind"] in ("Deployment", "Job")):
        assert one["spec"]["template"]["spec"]["enableServiceLinks"] is False, one["metadata"]["name"]


def test_every_image_on_kubernetes_is_the_one_of_the_compose_file() -> None:
    pinned = {service["image"] for service in COMPOSE["services"].values()}
    for one in (one for one in files() if one["kind"] == "Deployment"):
        for container in one["spec"]["template"]["spec"]["containers"]:
            assert container["image"] in pinned
            assert {"requests", "limits"} <= set(container["resources"])
            assert {"readinessProbe", "livenessProbe"} <= set(container)


def test_every_process_on_kubernetes_shows_the_certificate_of_its_own_kafka_user() -> None:
    users = {one["metadata"]["name"] for one in resources(strimzi_resources(["H17"])) if one["kind"] == "KafkaUser"}
    settings = next(one["data"] for one in files() if one["kind"] == "ConfigMap")
    named = [Path(value) for name, value in settings.items() if name.startswith(PREFIX) and name.endswith("LOCATION")]
    assert len(named) == 3
    without = ("registry", "alerting")  # they speak to PostgreSQL alone
    for one in (one for one in files() if one["kind"] == "Deployment" and one["metadata"]["name"] not in without):
        pod = one["spec"]["template"]["spec"]
        secrets = {volume["name"]: volume["secret"] for volume in pod["volumes"] if "secret" in volume}
        mounts = {
            Path(mount["mountPath"]): secrets.get(mount["name"]) for mount in pod["containers"][0]["volumeMounts"]
        }
        assert all(mounts.get(place.parent) for place in named), one["metadata"]["name"]
        assert secrets["kafka-user"]["secretName"] == f"centre-{one['metadata']['name']}"
        assert secrets["kafka-user"]["secretName"] in users


def test_nobody_but_the_bus_and_who_is_labelled_for_it_comes_near_the_registry() -> None:
    policies = [one["spec"] for one in files() if one["kind"] == "NetworkPolicy"]
    registry = next(one for one in files() if one["kind"] == "Deployment" and one["metadata"]["name"] == "registry")
    labels = registry["spec"]["template"]["metadata"]["labels"].items()
    about = [policy for policy in policies if policy["podSelector"]["matchLabels"].items() <= labels]
    assert [entry.get("from") for policy in about for entry in policy["ingress"]] == [
        [
            {"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "portalbus"}}},
            {"namespaceSelector": {"matchLabels": {"portalbus/reads-registry": "true"}}},
        ]
    ]


def test_the_generated_resources_are_valid_and_an_agency_writes_to_its_own_lane_alone() -> None:
    made = resources(strimzi_resources(["H17", "H18"]))
    for document in made:
        check_custom(document, "strimzi")
    names = [(one["kind"], one["metadata"]["name"]) for one in made]
    assert len(set(names)) == len(names)
    user = next(one for one in made if one["metadata"]["name"] == "agency-h17")
    acls = user["spec"]["authorization"]["acls"]
    writable = [acl["resource"]["name"] for acl in acls if "Write" in acl["operations"]]
    assert writable == ["lane.H17"]
    readable = {acl["resource"]["name"] for acl in acls if "Read" in acl["operations"]}
    assert "verdict.H17" in readable and not any(name.endswith("H18") for name in readable)


def test_the_generated_resources_lie_where_strimzi_looks_for_them() -> None:
    assert {one["metadata"]["namespace"] for one in resources(strimzi_resources(["H17"], namespace="bus"))} == {"bus"}


def test_processes_behind_a_proxy_are_told_whose_word_counts() -> None:
    """In containers the proxy comes in by the network's gateway; on Kubernetes by an ingress, and by nothing else."""
    (subnet,) = (one["subnet"] for one in COMPOSE["networks"]["bus"]["ipam"]["config"])
    for name in ("central", "gateway"):
        assert COMPOSE["services"][name]["environment"]["PORTALBUS_TRUSTED_PROXIES"] == subnet
    settings = next(one["data"] for one in files() if one["kind"] == "ConfigMap")
    assert proxies_of(settings["PORTALBUS_TRUSTED_PROXIES"])
    policies = {one["metadata"]["name"]: one["spec"] for one in files() if one["kind"] == "NetworkPolicy"}
    doors = [rule for rule in policies["entrances"]["ingress"] if {"port": 8080} in rule["ports"]]
    assert [rule["from"] for rule in doors] == [[{"namespaceSelector": {"matchLabels": {"portalbus/ingress": "true"}}}]]


def test_a_case_that_only_a_person_may_move_on_can_be_assigned_wherever_the_bus_is_deployed() -> None:
    """What the console says for the centre lies in an outbox on a disk until Kafka has it."""
    pods = {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in files() if one["kind"] == "Deployment"}
    (container,) = pods["console"]["containers"]
    claims = [place["name"] for place in pods["console"]["volumes"] if "persistentVolumeClaim" in place]
    disks = [Path(mount["mountPath"]) for mount in container["volumeMounts"] if mount["name"] in claims]
    unit = (ROOT / "infra" / "systemd" / "portalbus-central.service").read_text(encoding="utf-8")
    for words in (container["args"], COMPOSE["services"]["central"]["command"], unit.split()):
        assert any(word.startswith("--outbox") for word in words)
    (outbox,) = (Path(word.partition("=")[2]) for word in container["args"] if word.startswith("--outbox"))
    assert any(outbox.is_relative_to(disk) for disk in disks)
    paths = next(one["spec"]["rules"][0]["http"]["paths"] for one in files() if one["kind"] == "Ingress")
    assert [(path["path"], path["backend"]["service"]["name"]) for path in paths] == [
        ("/office", "console"),
        ("/", "central"),
    ]


def test_prometheus_reads_every_process_of_the_compose_file() -> None:
    config = yaml.safe_load((ROOT / "infra" / "compose" / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = config["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) == set(OURS) - {"topics"}
    assert str(found["port"]) == COMPOSE["services"]["gateway"]["environment"]["PORTALBUS_METRICS_PORT"]


def test_webhooks_may_read_the_verdicts_that_receivers_want() -> None:
    user = next(one for one in resources(strimzi_resources(["H17"])) if one["metadata"]["name"] == "centre-webhooks")
    readable = [acl["resource"]["name"] for acl in user["spec"]["authorization"]["acls"] if "Read" in acl["operations"]]
    assert {"central.", "verdict."} <= set(readable)


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    units = []
    for unit in sorted((ROOT / "infra" / "systemd").glob("*.service")):
        text = unit.read_text(encoding="utf-8").replace("/opt/portalbus/bin/python", "/usr/bin/env")
        copy = tmp_path / unit.name.replace("@.", "@10.")
        copy.write_text(text, encoding="utf-8")
        units.append(copy)
    done = subprocess.run(
        [program, "verify", "--recursive-errors=no", *units], capture_output=True, text=True, timeout=60, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "portalbus" in line and "RestartSteps" not in line]
    # RestartSteps and RestartMaxDelaySec are of systemd 254; an older one says that it passes them over.
    assert [line for line in ours if "RestartMaxDelaySec" not in line] == []


def test_every_worker_of_a_machine_has_a_port_of_its_own_for_its_metrics(tmp_path: Path) -> None:
    units = {path.stem: path.read_text(encoding="utf-8") for path in (ROOT / "infra" / "systemd").glob("*.service")}
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    taken = re.findall(r"^Environment=PORTALBUS_METRICS_PORT=(\d+)$", "\n".join(units.values()), re.MULTILINE)
    for number in (1, 2, 9, 10, 11, 64, 99, 100, 1000):
        command = re.search(r"^ExecStart=(.+)$", units["portalbus-worker@"], re.MULTILINE)
        assert command is not None
        line = (
            command[1].replace("%i", str(number)).replace("$$", "$").replace("/opt/portalbus/bin/python", str(python))
        )
        said = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True).stdout.split()
        assert said[:2] == ["-m", "portalbus.streams.worker"]
        taken.append(said[said.index("--metrics-port") + 1])
    assert len(set(taken)) == len(taken) > 9
    assert all(1024 < int(port) < 65536 for port in taken)


def test_the_units_that_the_page_enables_can_be(tmp_path: Path) -> None:
    """In a root of their own, where no systemd runs: links are made, and `--now` would have nothing to start."""
    program = shutil.which("systemctl")
    if program is None:
        pytest.skip("systemctl is not installed")
    units = tmp_path / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    for unit in (ROOT / "infra" / "systemd").glob("*.service"):
        shutil.copy(unit, units)
    (commands,) = (text for _, text in blocks_of("operations.md") if text.startswith("systemctl "))
    for line in commands.splitlines():
        command = [
            program,
            f"--root={tmp_path}",
            *(word for word in shlex.split(line, comments=True)[1:] if word != "--now"),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    enabled = {path.name.partition(".")[0].partition("@")[0] for path in (units / "multi-user.target.wants").iterdir()}
    assert enabled == {path.name.partition(".")[0].partition("@")[0] for path in units.glob("*.service")}


def test_what_the_page_generates_for_the_containers_is_what_they_mount(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "infra" / "compose", tmp_path / "infra" / "compose")
    (text,) = (text for _, text in blocks_of("operations.md") if text.startswith("cd infra/compose"))
    first, *engines = text.partition("docker ")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["/bin/sh", "-ec", first], cwd=tmp_path, env={**os.environ, "PATH": path}, check=True, timeout=120)
    mounted = [one.split(":")[0] for service in COMPOSE["services"].values() for one in service.get("volumes", ())]
    for place in (place for place in mounted if place.startswith("./") and "alerting.toml" not in place):
        found = tmp_path / "infra" / "compose" / place
        assert found.is_file() or any(found.iterdir()), place
    (profile,) = re.findall(r"--profile (\w+)", "".join(engines))
    assert any(profile in service.get("profiles", ()) for service in COMPOSE["services"].values())
    told = (tmp_path / "infra" / "compose" / ".env").read_text(encoding="utf-8")
    wanted = set(re.findall(r"\$\{(\w+):\?", (ROOT / "infra" / "compose" / "compose.yaml").read_text(encoding="utf-8")))
    assert wanted <= set(re.findall(r"^(\w+)=", told, re.MULTILINE))


def test_keys_are_made_where_the_gateways_unit_looks_for_them() -> None:
    unit = (ROOT / "infra" / "systemd" / "portalbus-gateway.service").read_text(encoding="utf-8")
    folder = re.search(r"^StateDirectory=(.+)$", unit, re.MULTILINE)
    state = re.search(r"--state \$\{STATE_DIRECTORY\}/(\S+)$", unit, re.MULTILINE)
    assert folder and state
    told = (ROOT / "infra" / "systemd" / "portalbus.env.example").read_text(encoding="utf-8").splitlines()
    assert f"PORTALBUS_GATEWAY_STATE=/var/lib/{folder[1]}/{state[1]}" in told


def test_systemd_finds_a_unit_that_is_wrong(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    wrong = tmp_path / "portalbus-wrong.service"
    wrong.write_text("[Service]\nExecStart=/usr/bin/env true\nRestart=perhaps\n", encoding="utf-8")
    done = subprocess.run([program, "verify", wrong], capture_output=True, text=True, timeout=60, check=False)
    assert "perhaps" in done.stderr


@pytest.mark.parametrize("name", ["worker", *NAMES, "alerting"])
def test_every_process_of_the_bus_is_deployed_everywhere(name: str) -> None:
    deployed = {one["metadata"]["name"] for one in files() if one["kind"] == "Deployment"}
    units = {
        path.stem.removeprefix("portalbus-").removesuffix("@") for path in (ROOT / "infra/systemd").glob("*.service")
    }
    assert name in COMPOSE["services"]
    assert name in deployed
    assert name in units
