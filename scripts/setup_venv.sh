#!/usr/bin/env bash
# Create .venv beside this repository and install what is missing in it. Sourced by the other scripts; sets $python.
# PYTHON=python3.12 chooses the interpreter (3.10 to 3.13).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python="$root/.venv/bin/python"
if [ ! -x "$python" ]; then
  base=${PYTHON:-python3}
  "$base" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || {
    echo "error: Python 3.10 to 3.13 is needed, $base is $("$base" --version 2>&1); set PYTHON=/path/to/python3.12" >&2
    exit 2
  }
  "$base" -m venv "$root/.venv"
fi
stamp="$root/.venv/requirements.installed"
if ! cmp -s "$root/requirements.txt" "$stamp"; then
  # one version for all, so that torch and torchvision fit each other
  "$python" -m pip install --quiet --disable-pip-version-check "torch==${TORCH_VERSION:-2.13.0}"
  "$python" -m pip install --quiet --disable-pip-version-check -r "$root/requirements.txt"
  cp "$root/requirements.txt" "$stamp"
fi
