#!/usr/bin/env bash
# Run the complete pipeline on the built-in toy data set: supernet, search, distillation, test. It takes a few
# minutes on two CPU cores. NAME=quickstart sets the name of the run; arguments are passed on to both training
# stages.
set -euo pipefail
name=${NAME:-quickstart}
[[ $name =~ ^[^-[:cntrl:]][^[:cntrl:]]*$ ]] || {
  echo "error: NAME must be the name of a run, which does not begin with -, got '${name//[[:cntrl:]]/?}'" >&2
  exit 2
}
source "$(dirname -- "${BASH_SOURCE[0]}")/setup_venv.sh"
CDPATH= cd -- "$root"

"$python" train.py --model ugc_supernet --name "${name}_supernet" --macs 30M --teacher_macs 100M "$@"
"$python" search.py --name "${name}_supernet"
"$python" train.py --model ugc_distill --name "$name" --supernet "${name}_supernet" "$@"
"$python" test.py --model ugc_student --name "$name"
