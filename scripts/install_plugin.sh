#!/usr/bin/env bash
# Install UGC into a checkout of pytorch-CycleGAN-and-pix2pix:
#     bash scripts/install_plugin.sh TARGET [--dry-run | --uninstall]
# PYTHON=python3.12 selects the interpreter (3.10 or later).
set -euo pipefail
exec "${PYTHON:-python3}" "$(dirname -- "${BASH_SOURCE[0]}")/install_plugin.py" "$@"
