# What the scripts of the data sets share: the stages given as arguments, or all of them, in this order:
#   original  train the original                           -> checkpoints/NAME_original
#   supernet  stage 1 from the original's weights          -> checkpoints/NAME_supernet
#   search    student and teachers under the budgets       -> checkpoints/NAME_supernet/search
#   distill   stage 2                                      -> checkpoints/NAME
#   test      the student as searched, and as distilled    -> results/NAME_supernet, results/NAME
# A script sets `model` (the original's --model), `netG`, `data` (flags of the data set), `flags_original` and
# `flags_supernet` (sizes and epochs of both), and `prepare` (how to make DATAROOT). The user's variables: DATAROOT
# (relative to the repository), NAME, LABEL_RATIO, BUDGET (small or large: the two rows of the paper's tables), MACS and
# TEACHER_MACS (over BUDGET), SPLIT_BY, TEST_PHASE, N_EPOCHS and N_EPOCHS_DECAY (of every training stage); EXTRA adds
# flags to the three training stages, EXTRA_ORIGINAL, EXTRA_SUPERNET, EXTRA_SEARCH, EXTRA_DISTILL and EXTRA_TEST to one
# stage. The original sees all labels unless ORIGINAL_LABEL_RATIO says otherwise; ORIGINAL names a folder that has its
# latest_net_G.pth and latest_net_D.pth already. PYTHON chooses the interpreter (default: .venv's, if there is one).
: "${LABEL_RATIO:=0.25}" "${ORIGINAL_LABEL_RATIO:=1}" "${SPLIT_BY:=random}" "${BUDGET:=large}" "${EXTRA:=}"
: "${N_EPOCHS:=100}" "${N_EPOCHS_DECAY:=100}" "${TEST_PHASE:=val}" "${EXTRA_ORIGINAL:=}" "${EXTRA_SUPERNET:=}"
: "${EXTRA_SEARCH:=}" "${EXTRA_DISTILL:=}" "${EXTRA_TEST:=}" "${data:=}" "${flags_original:=}" "${flags_supernet:=}"

fail() { echo "error: $*" >&2; exit 2; }

stages="original supernet search distill test"
for stage in "$@"; do
    [[ " $stages " == *" $stage "* ]] || fail "no stage '$stage', there are: $stages"
done

# budget SMALL LARGE: what BUDGET chooses, unless MACS is given
budget() {
    case $BUDGET in
        small) : "${MACS:=$1}" ;;
        large) : "${MACS:=$2}" ;;
        *) fail "BUDGET is small or large, got '$BUDGET'" ;;
    esac
}

# paper_budgets 10% 25% 50%: each "SMALL LARGE", the MACs of the paper's students with so many labels
paper_budgets() {
    case $LABEL_RATIO in
        0.1|0.10) budget $1 ;;
        0.25) budget $2 ;;
        0.5|0.50) budget $3 ;;
        *) [ -n "${MACS:-}" ] || fail "the paper has no row for LABEL_RATIO=$LABEL_RATIO (0.1, 0.25 or 0.5); set MACS" ;;
    esac
}

run() { echo "+ $*"; "$@"; }

# the variables hold several flags: they are split into words on purpose
original() {
    local labels="--dataset_mode $dataset_mode"
    if [ "$ORIGINAL_LABEL_RATIO" != 1 ]; then
        labels="--dataset_mode adf --unlabeled none --label_ratio $ORIGINAL_LABEL_RATIO --split_by $SPLIT_BY"
    fi
    run "$python" train.py --model "$model" --netG "$netG" --dataroot "$DATAROOT" $data $labels \
        --name "${NAME}_original" $epochs $flags_original $EXTRA $EXTRA_ORIGINAL
}

supernet() {
    run "$python" train.py --model ugc_supernet --netG "$netG" --dataroot "$DATAROOT" $data --label_ratio "$LABEL_RATIO" \
        --split_by "$SPLIT_BY" --name "${NAME}_supernet" --restore_G "$ORIGINAL/latest_net_G.pth" \
        --restore_D "$ORIGINAL/latest_net_D.pth" $epochs $flags_supernet $EXTRA $EXTRA_SUPERNET
}

search() {
    run "$python" search.py --name "${NAME}_supernet" --macs "$MACS" --teacher_macs "$TEACHER_MACS" \
        --phase "$TEST_PHASE" $EXTRA_SEARCH
}

distill() {
    run "$python" train.py --model ugc_distill --name "$NAME" --supernet "${NAME}_supernet" $epochs $EXTRA $EXTRA_DISTILL
}

test_students() {
    for name in "${NAME}_supernet" "$NAME"; do
        run "$python" test.py --model ugc_student --name "$name" --phase "$TEST_PHASE" --num_test 1000 $EXTRA_TEST
    done
}

# run_stages STAGES...: those stages, or all
run_stages() {
    cd "$(dirname "${BASH_SOURCE[0]}")/.."
    python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
    [ -d "$DATAROOT" ] || fail "no folder $DATAROOT; make it: $python $prepare"
    epochs="--n_epochs $N_EPOCHS --n_epochs_decay $N_EPOCHS_DECAY"
    : "${ORIGINAL:=checkpoints/${NAME}_original}" "${dataset_mode:=aligned}"
    : "${TEACHER_MACS:=$(awk "BEGIN {printf \"%.3fG\", 4 * ${MACS%G}}")}"
    for stage in $stages; do
        if [ $# -eq 0 ] || [[ " $* " == *" $stage "* ]]; then
            case $stage in test) test_students ;; *) "$stage" ;; esac
        fi
    done
}
