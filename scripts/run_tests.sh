#!/usr/bin/env bash
# Run the test suite; further arguments go to pytest. Creates .venv and installs what it needs on a fresh machine.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_venv.sh"
cd "$root"
exec "$python" -m pytest -q "$@"
