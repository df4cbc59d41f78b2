#!/usr/bin/env bash
# Run the test suite; further arguments go to pytest. Creates .venv and installs what it needs on a fresh
# machine.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_venv.sh"
cd "$root"
export OMP_NUM_THREADS=1  # the networks of the tests are tiny: a process for each core is faster than threads
exec "$python" -m pytest -q -n auto --maxprocesses 4 --dist loadfile "$@"
