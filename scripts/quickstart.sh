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

training=(--lr 0.001 --channels_last)  # small networks learn faster than those for which 0.0002 is the default
"$python" train.py --model ugc_supernet --name "${name}_supernet" --macs 30M --teacher_macs 100M --no_dropout \
    --n_epochs 10 --n_epochs_decay 8 --ema 0.998 "${training[@]}" "$@"
"$python" search.py --name "${name}_supernet"
"$python" train.py --model ugc_distill --name "$name" --supernet "${name}_supernet" --ema 0.99 \
    --lambda_pixel 100 --lambda_style 1000 "${training[@]}" "$@"
"$python" test.py --model ugc_student --name "$name"

printf -v quoted '%q' "$name"
cat <<END

To paint label maps that this student turns into photos, in a browser and without a network:
    $python -m pip install -r requirements-export.txt
    $python export.py --name $quoted --format web
and open exports/$quoted/web_fp32/index.html (from a phone: $python exports/$quoted/web_fp32/serve.py).
END
