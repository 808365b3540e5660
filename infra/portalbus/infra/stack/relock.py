"""Writes `jars.lock` anew after a version was changed here: `python -m portalbus.infra.stack.relock`.

Needs the network. Look at the difference before you commit it.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from hashlib import sha256
from pathlib import Path

from jgo.maven import Artifact, MavenContext

from portalbus.infra.stack.jars import App, Kind, Lock, LockedFile, sha256_of

KAFKA = "org.apache.kafka:kafka_2.13:4.4.0"
# Kafka is compiled against SLF4J 1.7 and leaves the choice of a logger to the installation.
KAFKA_LOGGING = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.5"
# The distribution, not the app's dependencies: the classes that Quarkus generates are only in it.
REGISTRY = ("io.apicurio", "apicurio-registry-app", "3.3.3", "all", "tar.gz")
HEADER = """\
# The Java parts of the local stack: APP KIND NAME SIZE SHA256.
# Written by `python -m portalbus.infra.stack.relock`.
"""


def locked(app: App, artifact: Artifact) -> LockedFile:
    path = artifact.resolve()
    tail = f":{artifact.classifier}:{artifact.packaging}" if artifact.classifier else ""
    name = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}{tail}"
    kind: Kind = "archive" if artifact.packaging == "tar.gz" else "jar"
    return LockedFile(app, kind, name, path.stat().st_size, sha256_of(path))


def lock_kafka(context: MavenContext) -> list[LockedFile]:
    found = []
    # One after the other: jgo takes each input for a list of managed versions, and the logger's would win.
    for coordinate, transitive in ((KAFKA, True), (KAFKA_LOGGING, False)):
        dependency = context.create_dependency(coordinate)
        inputs, others = context.resolver.resolve([dependency], transitive=transitive)
        found += [item.artifact for item in (inputs + others if transitive else inputs)]
    unique = {artifact.key: artifact for artifact in found}
    return sorted((locked("kafka", artifact) for artifact in unique.values()), key=lambda entry: entry.name)


def lock_registry(context: MavenContext) -> list[LockedFile]:
    group, name, version, classifier, packaging = REGISTRY
    artifact = context.project(group, name).at_version(version).artifact(classifier, packaging)
    archive = locked("registry", artifact)
    members = []
    with tarfile.open(fileobj=io.BytesIO(artifact.resolve().read_bytes())) as tar:
        for info in tar:
            file = tar.extractfile(info)
            if file is not None:
                digest = sha256(file.read()).hexdigest()
                members.append(LockedFile("registry", "member", info.name, info.size, digest))
    return [archive, *sorted(members, key=lambda entry: entry.name)]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        context = MavenContext(repo_cache=Path(folder), timeout=60)
        lock = Lock((*lock_kafka(context), *lock_registry(context)))
    target = Path(__file__).with_name("jars.lock")
    target.write_text(HEADER + "".join(f"{entry}\n" for entry in lock.entries))
    size = sum(entry.size for entry in lock.entries if entry.kind != "member")
    print(f"{target}: {len(lock.entries)} files, {size / 1e6:.0f} MB to fetch")


if __name__ == "__main__":
    main()
