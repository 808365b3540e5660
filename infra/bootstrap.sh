#!/bin/sh
# Makes .venv what uv.lock says, and does nothing when it is that already. `make` calls it.
# Finds a Python that is new enough; the work itself is in bootstrap.py. PYTHON=... names one to use.
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

fits() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# Of those that are new enough, one that can make virtual environments comes first.
found=
for candidate in ${PYTHON:-} "$here/../.venv/bin/python" python3 python3.13 python3.12 python3.11 python3.14 \
    /usr/bin/python3 /usr/local/bin/python3; do
    fits "$candidate" || continue
    found=${found:-$candidate}
    if "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        exec "$candidate" "$here/bootstrap.py"
    fi
done
if [ -n "$found" ]; then
    exec "$found" "$here/bootstrap.py"
fi
old=$(python3 --version 2>/dev/null || echo "none")
echo "portalbus: Python 3.11 or newer was not found (python3 here: $old): install one, for example" \
    "\`apt-get install python3 python3-venv\`, or name it: make PYTHON=/path/to/python3.12" >&2
exit 1
