# The pipeline that the scripts of the data sets share. Arguments select stages; without arguments all stages
# but `reference` run:
#   original  train the original, with the labels of LABEL_RATIO        -> checkpoints/NAME_original
#   supernet  stage 1, from the original's weights, for the budgets     -> checkpoints/NAME_supernet
#   search    search student and teachers under the budgets, on images held out of training
#                                                                       -> checkpoints/NAME_supernet/search
#   distill   stage 2                                                   -> checkpoints/NAME
#   test      test the student after search, and after distillation     -> results/NAME_supernet, results/NAME
#   reference train and test an original with all labels. It is only for comparison: no other stage reads it
#                                                  -> checkpoints/NAME_reference, results/NAME_reference
#
# A script sets these variables:
#   model           the original's --model
#   netG            the original's --netG
#   dataset_mode    aligned or label
#   data            flags of the data set
#   flags_original, flags_supernet    sizes and epochs of these stages
#   prepare         what to do if DATAROOT does not exist, for the error message
#
# A user can set these variables:
#   DATAROOT              the data, relative to the repository
#   NAME                  name of the runs
#   LABEL_RATIO           ratio of labeled pairs, above 0 and at most 1
#   SPLIT_BY, TEST_PHASE  how labels are split, and the phase of the test
#   BUDGET                small or large: the two rows of the paper's tables (Cityscapes and Edges2Shoes)
#   MACS, TEACHER_MACS    budgets, such as 1.3G or 300M; they override BUDGET (default of TEACHER_MACS: four
#                         times MACS)
#   N_EPOCHS, N_EPOCHS_DECAY          epochs of every training stage
#   EXTRA                 additional flags of the three training stages
#   EXTRA_ORIGINAL, EXTRA_SUPERNET, EXTRA_SEARCH, EXTRA_DISTILL, EXTRA_TEST    additional flags of one stage
#   ORIGINAL_LABEL_RATIO  ratio of labeled pairs for the original (default: LABEL_RATIO; with a larger one, the
#                         results are not few-label results)
#   ORIGINAL              folder with an existing latest_net_G.pth and latest_net_D.pth
#   PYTHON                interpreter (default: that of .venv, if it exists)
: "${LABEL_RATIO:=0.25}" "${ORIGINAL_LABEL_RATIO:=$LABEL_RATIO}" "${SPLIT_BY:=random}"
given_budget=${BUDGET:-} has_rows=
: "${BUDGET:=large}" "${EXTRA:=}" "${N_EPOCHS:=100}" "${N_EPOCHS_DECAY:=100}" "${TEST_PHASE:=val}" "${EXTRA_ORIGINAL:=}" "${EXTRA_SUPERNET:=}"
: "${EXTRA_SEARCH:=}" "${EXTRA_DISTILL:=}" "${EXTRA_TEST:=}"

# control characters of variables could change what a terminal shows
fail() { printf 'error: %s\n' "${*//[[:cntrl:]]/?}" >&2; exit 2; }

[ "${BASH_SOURCE[0]}" != "$0" ] ||
    fail "this file only holds the stages; run the script of a data set, such as scripts/camvid/pix2pix_unet.sh"

stages="original supernet search distill test"
for stage in "$@"; do
    [[ " $stages reference " == *" $stage "* ]] ||
        fail "unknown stage '$stage'; the stages are: $stages reference"
done

# budget SMALL LARGE: set MACS by BUDGET, unless MACS is given
budget() {
    case $BUDGET in
        small) : "${MACS:=$1}" ;;
        large) : "${MACS:=$2}" ;;
        *) fail "BUDGET must be small or large, got '$BUDGET'" ;;
    esac
}

# paper_budgets 10% 25% 50%: set MACS to that of the paper's student with LABEL_RATIO; each argument is "SMALL
# LARGE"
paper_budgets() {
    has_rows=yes
    case $LABEL_RATIO in
        0.1|0.10) budget $1 ;;
        0.25) budget $2 ;;
        0.5|0.50) budget $3 ;;
        *) [ -n "${MACS:-}" ] ||
            fail "the paper has only rows for LABEL_RATIO 0.1, 0.25 and 0.5, got $LABEL_RATIO; set MACS" ;;
    esac
}

# check VARIABLE PATTERN WHAT: stop now if a variable has another value, not after the training of two stages
check() {
    [[ ${!1} =~ ^($2)$ ]] || fail "$1 must be $3, got '${!1}'"
}

# check_budget VARIABLE: stop now if search.py would refuse the budget
check_budget() {
    local short='[0-9]{1,6}(\.[0-9]*)?[kKmMgGtT]?|\.[0-9]+[kKmMgGtT]?'
    local long='[0-9]{1,18}|[0-9]{1,3}(\.[0-9]*)?[eE]\+?(0?[0-9]|1[0-5])'
    [ -n "${!1:-}" ] || return 0
    check "$1" "$short|$long" "a number such as 1.3G or 300M"
    [[ ${!1%%[eE]*} == *[1-9]* ]] || fail "$1 must be above 0, got '${!1}'"
}

check_variables() {
    [ -z "$given_budget" ] || [ -n "$has_rows" ] ||
        fail "BUDGET selects a row of the paper's tables, which have none for this data set; set MACS (now $MACS)"
    local ratio='0?\.[0-9]*[1-9][0-9]*|1(\.0*)?'
    check NAME '[^-[:cntrl:]][^[:cntrl:]]*' "the name of a run, which does not begin with -"
    check DATAROOT '[^-].*' "a folder (one that begins with - as ./-)"
    check ORIGINAL '[^-].*' "a folder (one that begins with - as ./-)"
    check LABEL_RATIO "$ratio" "a number above 0 and at most 1"
    check ORIGINAL_LABEL_RATIO "$ratio" "a number above 0 and at most 1"
    check SPLIT_BY '[a-z_]+' "a value of --split_by"
    check TEST_PHASE '[^-./[:cntrl:]][^/[:cntrl:]]*' "the name of a phase, such as val"
    check N_EPOCHS '[0-9]{1,9}' "a number of epochs"
    check N_EPOCHS_DECAY '[0-9]{1,9}' "a number of epochs"
    check_budget MACS
    check_budget TEACHER_MACS
}

run() { printf '+ %s\n' "${*//[[:cntrl:]]/?}"; "$@"; }

# $data, $epochs, $flags_... and $EXTRA... are unquoted on purpose: each holds several flags, whose
# wildcards are not expanded
set -f

# train_original SUFFIX LABEL_FLAGS...
train_original() {
    run "$python" train.py --model "$model" --netG "$netG" --dataroot "$DATAROOT" $data "${@:2}" \
        --name "${NAME}_$1" $epochs $flags_original $EXTRA $EXTRA_ORIGINAL
}

original() {
    train_original original --dataset_mode adf --base_dataset_mode "$dataset_mode" --unlabeled none \
        --label_ratio "$ORIGINAL_LABEL_RATIO" --split_by "$SPLIT_BY"
}

reference() {
    train_original reference --dataset_mode "$dataset_mode"
    run "$python" test.py --model "$model" --name "${NAME}_reference" --phase "$TEST_PHASE" --num_test 1000 \
        $EXTRA_TEST
}

supernet() {
    run "$python" train.py --model ugc_supernet --netG "$netG" --dataroot "$DATAROOT" $data \
        --label_ratio "$LABEL_RATIO" --split_by "$SPLIT_BY" --name "${NAME}_supernet" \
        --restore_G "$ORIGINAL/latest_net_G.pth" --restore_D "$ORIGINAL/latest_net_D.pth" \
        --macs "$MACS" ${TEACHER_MACS:+--teacher_macs "$TEACHER_MACS"} $epochs \
        $flags_supernet $EXTRA $EXTRA_SUPERNET
}

search() {
    run "$python" search.py --name "${NAME}_supernet" --macs "$MACS" \
        ${TEACHER_MACS:+--teacher_macs "$TEACHER_MACS"} $EXTRA_SEARCH
}

distill() {
    run "$python" train.py --model ugc_distill --name "$NAME" --supernet "${NAME}_supernet" $epochs \
        $EXTRA $EXTRA_DISTILL
}

test_students() {
    for name in "${NAME}_supernet" "$NAME"; do
        run "$python" test.py --model ugc_student --name "$name" --phase "$TEST_PHASE" --num_test 1000 \
            $EXTRA_TEST
    done
}

# run_stages [STAGES...]: run these stages, or all
run_stages() {
    CDPATH= cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
    : "${ORIGINAL:=checkpoints/${NAME}_original}"
    check_variables
    python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
    [ -d "$DATAROOT" ] || fail "no such folder: $DATAROOT; $prepare"
    epochs="--n_epochs $N_EPOCHS --n_epochs_decay $N_EPOCHS_DECAY"
    for stage in $stages reference; do
        if [[ $# -eq 0 && $stage != reference || " $* " == *" $stage "* ]]; then
            case $stage in test) test_students ;; *) "$stage" ;; esac
        fi
    done
}
