"""Starts one service so that it cannot outlive its parent. Run as a script by `process.py`, never imported.

    python -I -S launcher.py '{"parent": PID, "signal": N, "uid": N?, "gid": N?, "reach": BOOL?}' COMMAND…

A script of its own, not a `preexec_fn`, which would run Python between fork and exec in a process with
threads. Standard library only.
"""

import ctypes
import json
import os
import resource
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _Data(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


def drop_to(libc: ctypes.CDLL, uid: int, gid: int, reach: bool) -> None:
    """Become another user; with `reach`, keep the right to enter folders that only root may enter."""
    if reach:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
        # Else access(2), by which initdb looks for its own programs, answers as if the right were not there.
        libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if reach:
        bit = 1 << CAP_DAC_OVERRIDE
        header = _Header(CAPABILITY_VERSION_3, 0)
        data = (_Data * 2)(_Data(bit, bit, bit), _Data(0, 0, 0))
        kept = libc.capset(ctypes.byref(header), data) == 0
        if not kept or libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0) != 0:
            sys.exit("the kernel does not let root's processes keep CAP_DAC_OVERRIDE")


def main() -> None:
    spec, command = json.loads(sys.argv[1]), sys.argv[2:]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    libc = ctypes.CDLL(None, use_errno=True)
    if "uid" in spec:
        drop_to(libc, spec["uid"], spec["gid"], spec["reach"])
    if sys.platform == "linux":
        # After the change of user, which clears it.
        libc.prctl(PR_SET_PDEATHSIG, spec["signal"], 0, 0, 0)
        if os.getppid() != spec["parent"]:
            sys.exit("the parent has ended already")
    os.execv(command[0], command)  # noqa: S606 - to become the service is what this script is for


if __name__ == "__main__":
    main()
