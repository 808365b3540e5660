"""Makes `.venv` what `uv.lock` says, with uv in an environment of its own; does nothing when it is that already.

Run by `bootstrap.sh` with a bare Python 3.11 or newer: standard library only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

UV = "0.13.9"
NEED_BYTES = 1_500_000_000  # the environment takes 750 MB, uv's own cache as much again
PROJECT = Path(__file__).resolve().parent.parent
VENV = PROJECT / ".venv"
TOOLS = PROJECT / ".portalbus" / "tools"
STAMP = VENV / ".complete"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class BootstrapError(Exception):
    """What is wrong, and what to do about it, in one sentence."""


def wanted() -> str:
    """Return what the stamp of a complete environment says."""
    digest = hashlib.sha256()
    for name in ("uv.lock", "pyproject.toml"):
        digest.update((PROJECT / name).read_bytes())
    return digest.hexdigest()


def is_complete() -> bool:
    """Tell whether the environment is there, whole, and of this lock file."""
    return (VENV / "bin" / "python").exists() and STAMP.exists() and STAMP.read_text() == wanted()


def require_parts() -> None:
    """Raise BootstrapError when this machine lacks something that can be known beforehand."""
    if any(importlib.util.find_spec(module) is None for module in ("ensurepip", "venv")):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise BootstrapError(
            f"this Python ({sys.executable}) cannot make virtual environments: "
            f"install its missing part, on Debian with `apt-get install python{version}-venv`"
        )
    free = shutil.disk_usage(PROJECT).free
    if not VENV.exists() and free < NEED_BYTES:
        raise BootstrapError(
            f"there is not enough disk space in {PROJECT} (needed: {NEED_BYTES // 10**6} MB, "
            f"free: {free // 10**6} MB): free some, or move the project to another disk"
        )


def run(command: list[str], what: str, environment: dict[str, str] | None = None) -> None:
    """Run a command in sight of the user, or raise BootstrapError that tells `what` failed."""
    if subprocess.run(command, env={**os.environ, **(environment or {})}, check=False).returncode == 0:
        return
    if shutil.disk_usage(PROJECT).free < 100_000_000:
        raise BootstrapError(f"{what} failed because the disk is full: free some space and run the same again")
    raise BootstrapError(
        f"{what} failed, see above: most often there is no network, which only the first run needs: "
        "connect this machine (or set HTTPS_PROXY) and run the same again, it goes on where it stopped"
    )


def uv() -> Path:
    """Return the pinned uv, installed into an environment of its own when it is not there yet."""
    program = TOOLS / f"uv-{UV}" / "bin" / "uv"
    if not program.exists():
        print(f"  … installing uv {UV}", flush=True)
        folder = program.parent.parent
        shutil.rmtree(folder, ignore_errors=True)
        TOOLS.mkdir(parents=True, exist_ok=True)
        run([sys.executable, "-m", "venv", str(folder)], "making a virtual environment")
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        run([*pip, "--retries", "1", f"uv=={UV}"], "installing uv")
    return program


def sync() -> None:
    """Install exactly what the lock file says."""
    environment = {"UV_PROJECT_ENVIRONMENT": str(VENV), "UV_PYTHON_DOWNLOADS": "never"}
    if CERTIFICATES.exists() and "SSL_CERT_FILE" not in os.environ:
        # As pip does: a proxy's own certificate is trusted when the system trusts it.
        environment["SSL_CERT_FILE"] = str(CERTIFICATES)
    command = [str(uv()), "sync", "--frozen", "--all-extras", "--project", str(PROJECT)]
    if not (VENV / "bin" / "python").exists():
        command += ["--python", sys.executable]
    print("  … installing the Python packages into .venv", flush=True)
    STAMP.unlink(missing_ok=True)
    run(command, "installing the Python packages", environment)
    STAMP.write_text(wanted())
    print("  ✓ the Python packages are there", flush=True)


def main() -> int:
    if is_complete():
        return 0
    try:
        require_parts()
        sync()
    except BootstrapError as error:
        print(f"portalbus: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nportalbus: stopped; the next run goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
