# What pix2pix_resnet.sh and pix2pix_unet.sh share: the stages given as arguments, or all of them, in this order:
#   original  train Pix2Pix                                -> checkpoints/NAME_original
#   supernet  stage 1 from the original's weights          -> checkpoints/NAME_supernet
#   search    student and teachers under the budgets       -> checkpoints/NAME_supernet/search
#   distill   stage 2                                      -> checkpoints/NAME
#   test      the student as searched, and as distilled    -> results/NAME_supernet, results/NAME
# Variables: DATAROOT (relative to the repository), NAME, LABEL_RATIO, SPLIT_BY, MACS, TEACHER_MACS, TEST_PHASE, and for
# every training stage N_EPOCHS and N_EPOCHS_DECAY. EXTRA adds flags to the three training stages, EXTRA_ORIGINAL,
# EXTRA_SUPERNET, EXTRA_SEARCH, EXTRA_DISTILL and EXTRA_TEST to one stage. The original sees all labels unless
# ORIGINAL_LABEL_RATIO says otherwise. PYTHON chooses the interpreter (default: .venv's, where there is one).
: "${DATAROOT:=datasets/camvid}" "${LABEL_RATIO:=0.25}" "${ORIGINAL_LABEL_RATIO:=1}" "${SPLIT_BY:=stretch}"
: "${N_EPOCHS:=100}" "${N_EPOCHS_DECAY:=100}" "${TEST_PHASE:=val}" "${EXTRA:=}" "${EXTRA_ORIGINAL:=}"
: "${EXTRA_SUPERNET:=}" "${EXTRA_SEARCH:=}" "${EXTRA_DISTILL:=}" "${EXTRA_TEST:=}"

stages="original supernet search distill test"
for stage in "$@"; do
    [[ " $stages " == *" $stage "* ]] || { echo "error: no stage '$stage', there are: $stages" >&2; exit 2; }
done

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
if [ ! -d "$DATAROOT" ]; then
    echo "error: no folder $DATAROOT; make it: $python datasets/prepare_camvid.py --source CAMVID --out $DATAROOT" >&2
    exit 2
fi
checkpoints=checkpoints
epochs="--n_epochs $N_EPOCHS --n_epochs_decay $N_EPOCHS_DECAY"
labels="--label_ratio $LABEL_RATIO --split_by $SPLIT_BY"

run() { echo "+ $*"; "$@"; }

# the EXTRA variables hold several flags: they are split into words on purpose
original() {
    local data="--dataset_mode aligned"
    if [ "$ORIGINAL_LABEL_RATIO" != 1 ]; then
        data="--dataset_mode adf --unlabeled none --label_ratio $ORIGINAL_LABEL_RATIO --split_by $SPLIT_BY"
    fi
    run "$python" train.py --model pix2pix --netG "$netG" --dataroot "$DATAROOT" $data --name "${NAME}_original" \
        $epochs $EXTRA $EXTRA_ORIGINAL
}

supernet() {
    run "$python" train.py --model ugc_supernet --netG "$netG" --dataroot "$DATAROOT" $labels \
        --name "${NAME}_supernet" --restore_G "$checkpoints/${NAME}_original/latest_net_G.pth" \
        --restore_D "$checkpoints/${NAME}_original/latest_net_D.pth" $epochs $EXTRA $EXTRA_SUPERNET
}

search() {
    run "$python" search.py --name "${NAME}_supernet" --macs "$MACS" --teacher_macs "$TEACHER_MACS" $EXTRA_SEARCH
}

distill() {
    run "$python" train.py --model ugc_distill --name "$NAME" --supernet "${NAME}_supernet" \
        $epochs $EXTRA $EXTRA_DISTILL
}

test_students() {
    for name in "${NAME}_supernet" "$NAME"; do
        run "$python" test.py --model ugc_student --name "$name" --dataroot "$DATAROOT" --phase "$TEST_PHASE" \
            --num_test 1000 $EXTRA_TEST
    done
}

for stage in $stages; do
    if [ $# -eq 0 ] || [[ " $* " == *" $stage "* ]]; then
        case $stage in test) test_students ;; *) "$stage" ;; esac
    fi
done
