#!/usr/bin/env bash
# Create .venv in this repository and install missing packages in it. The other scripts source this file; it
# sets $python. PYTHON=python3.12 selects the interpreter (3.10 or later).
set -euo pipefail
: "${TORCH_VERSION:=2.13.0}"
[[ $TORCH_VERSION =~ ^[0-9][0-9A-Za-z.+]*$ ]] || {
  echo "error: TORCH_VERSION must be a version such as 2.13.0, got '${TORCH_VERSION//[[:cntrl:]]/?}'" >&2
  exit 2
}
root=$(CDPATH= cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
python="$root/.venv/bin/python"
if [ ! -x "$python" ]; then
  base=${PYTHON:-python3}
  "$base" -c 'import sys; sys.exit(sys.version_info[:2] < (3, 10))' || {
    echo "error: Python 3.10 or later is required, $base is $("$base" --version 2>&1);" \
      "set PYTHON=/path/to/python3.12" >&2
    exit 2
  }
  "$base" -m venv "$root/.venv"
fi
# install_requirements FILE: install a file of requirements, unless this was done before
install_requirements() {
  local stamp="$root/.venv/${1%.txt}.installed"
  cmp -s "$root/$1" "$stamp" && return
  # a fixed version, so that torch and torchvision match
  "$python" -m pip install --quiet --disable-pip-version-check "torch==$TORCH_VERSION"
  "$python" -m pip install --quiet --disable-pip-version-check -r "$root/$1"
  cp "$root/$1" "$stamp"
}
install_requirements requirements.txt
