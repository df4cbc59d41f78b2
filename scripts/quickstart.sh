#!/usr/bin/env bash
# The whole journey on the built-in toy data set, a few minutes on two CPU cores: supernet, search, distillation, test.
# NAME=quickstart sets the name of the run; further arguments go to both training stages.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_venv.sh"
cd "$root"
name=${NAME:-quickstart}

"$python" train.py --model ugc_supernet --name "${name}_supernet" "$@"
"$python" search.py --name "${name}_supernet" --macs 30M --teacher_macs 100M
"$python" train.py --model ugc_distill --name "$name" --supernet "${name}_supernet" "$@"
"$python" test.py --model ugc_student --name "$name"
