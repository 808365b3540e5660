"""Fetches the Java parts with jgo, once for a machine.

A file comes into the folder of downloads only whole and checked, by a rename, so a start that was broken off
in the middle goes on with the files that are missing.
"""

from __future__ import annotations

import fcntl
import shutil
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from portalbus.infra.stack.errors import StackError
from portalbus.infra.stack.jars import App, Lock, LockedFile, is_whole, refuse_unless_locked, verify
from portalbus.infra.stack.preflight import require_disk
from portalbus.infra.stack.progress import Progress
from portalbus.infra.stack.together import run_together

if TYPE_CHECKING:
    from jgo.maven import MavenContext

CONNECTIONS = 6
TIMEOUT_S = 30
TITLES: dict[App, str] = {"kafka": "fetching Apache Kafka", "registry": "fetching Apicurio Registry"}

Check = Callable[[], None]
"""Called again and again during a long job; raises when the job was called off."""


class Downloads:
    """The Java parts of one lock in the cache folder `cache`.

    `repository` is the address of a Maven mirror, by default the public one.
    """

    def __init__(self, lock: Lock, cache: Path, progress: Progress, repository: str | None = None) -> None:
        self._lock = lock
        self._repositories = {"mirror": repository.rstrip("/")} if repository else None
        self._cache = cache
        self._progress = progress
        self.folder = cache / f"jars-{lock.digest}"

    def missing(self, app: App) -> list[LockedFile]:
        """Return what has to be fetched before `app` can run."""
        if all(is_whole(entry, self.folder / entry.relative_path) for entry in self._lock.installed(app)):
            return []
        downloads = list(self._lock.downloads(app))
        return [e for e in downloads if e.kind == "archive" or not is_whole(e, self.folder / e.relative_path)]

    def ensure(self, app: App, check: Check = lambda: None) -> list[Path]:
        """Fetch what is missing of an app, check every file of it, and return the files.

        Touches no network when nothing is missing. Raises StackError when something cannot be fetched or is
        not the locked file.
        """
        if self.missing(app):
            self._prepare_folder(app)
            with self._alone(app, check):
                # Another process may have fetched it while we waited for our turn.
                wanted = self.missing(app)
                if wanted:
                    self._fetch(app, wanted, check)
        return verify(self._lock, app, self.folder, check)

    def _prepare_folder(self, app: App) -> None:
        try:
            (self.folder / app).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StackError(
                f"the folder of downloads {self._cache} cannot be written ({error.strerror})",
                "set PORTALBUS_CACHE to a folder that this user may write to",
            ) from error

    @contextmanager
    def _alone(self, app: App, check: Check) -> Iterator[None]:
        """Hold off other processes that fetch the same; the kernel ends the hold when a process dies."""
        with (self._cache / f"{app}.lock").open("w") as file:
            told = False
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if not told:
                        self._progress.note(f"waiting for another process that is {TITLES[app]}")
                        told = True
                    check()
                    time.sleep(0.1)
            for left in self._cache.glob(f"part-{app}-*"):
                shutil.rmtree(left, ignore_errors=True)
            yield

    def _fetch(self, app: App, wanted: list[LockedFile], check: Check) -> None:
        from jgo.maven import MavenContext, PythonResolver  # a command that fetches nothing has no need of it

        size = sum(entry.size for entry in wanted)
        unpacked = sum(entry.size for entry in self._lock.installed(app))
        require_disk(self._cache, size + unpacked, "the downloads of the Java parts")
        self._progress.step(TITLES[app])
        count = _Counter(TITLES[app], size, self._progress, check)
        prefix = f"part-{app}-"
        with tempfile.TemporaryDirectory(prefix=prefix, dir=self._cache, ignore_cleanup_errors=True) as part:
            resolver = PythonResolver(progress_callback=count.file)
            context = MavenContext(
                resolver=resolver,
                repo_cache=Path(part),
                remote_repos=self._repositories,
                timeout=TIMEOUT_S,
            )
            shares = [wanted[number::CONNECTIONS] for number in range(CONNECTIONS)]
            run_together(*(lambda s=share: self._fetch_share(context, s, check) for share in shares if share))
        self._progress.done(TITLES[app], f"{len(wanted)} files" if len(wanted) > 1 else "")

    def _fetch_share(self, context: MavenContext, share: list[LockedFile], check: Check) -> None:
        for entry in share:
            check()
            path = self._download(context, entry)
            refuse_unless_locked(entry, path)
            if entry.kind == "archive":
                self._unpack(entry, path, check)
            else:
                path.replace(self.folder / entry.relative_path)

    def _download(self, context: MavenContext, entry: LockedFile) -> Path:
        import requests

        group, artifact, version, classifier, packaging = entry.coordinate
        component = context.project(group, artifact).at_version(version)
        try:
            return component.artifact(classifier, packaging).resolve()
        except (requests.RequestException, RuntimeError) as error:
            raise StackError(
                f"{entry.name} could not be fetched ({type(error).__name__})",
                "connect this machine to the network, or name a proxy (HTTPS_PROXY) or a mirror "
                "(PORTALBUS_MAVEN_REPOSITORY), and start again: only the first start needs it, "
                "and it goes on where it stopped",
            ) from error

    def _unpack(self, archive: LockedFile, path: Path, check: Check) -> None:
        """Unpack the locked members of an archive, each by a rename; others are left out."""
        members = {entry.name: entry for entry in self._lock.installed(archive.app) if entry.kind == "member"}
        with tarfile.open(path) as tar:
            for info in tar:
                check()
                entry = members.get(info.name)
                source = tar.extractfile(info) if entry else None
                if entry is None or source is None:
                    continue
                target = self.folder / entry.relative_path
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(target.name + ".part")
                with part.open("wb") as out:
                    shutil.copyfileobj(source, out)
                part.replace(target)


class _Counter:
    """Adds up the bytes of several downloads."""

    def __init__(self, title: str, total: int, progress: Progress, check: Check) -> None:
        self._title, self._total, self._progress, self._check = title, total, progress, check
        self._done = 0
        self._lock = threading.Lock()

    def file(self, name: str, size: int) -> AbstractContextManager[Callable[[int], None]]:
        """jgo's progress callback: called for each file, gives back what is called for each chunk."""
        return self._counting()

    @contextmanager
    def _counting(self) -> Iterator[Callable[[int], None]]:
        yield self._add

    def _add(self, count: int) -> None:
        self._check()
        with self._lock:
            self._done += count
            self._progress.update(self._title, self._done, self._total, "bytes")
