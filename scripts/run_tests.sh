#!/usr/bin/env bash
# Run ruff, mypy and the test suite; arguments are passed on to pytest. On a fresh machine it creates .venv and
# installs the requirements.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/setup_venv.sh"
install_requirements requirements-export.txt  # the tests export networks
CDPATH= cd -- "$root"
"$python" -m ruff check --quiet
"$python" -m mypy
export OMP_NUM_THREADS=1  # the networks of the tests are tiny: one process per core is faster than threads
exec "$python" -m pytest -q -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder "$@"
