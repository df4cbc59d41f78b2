#!/usr/bin/env bash
# Pix2Pix with a ResNet-9 generator on Cityscapes (label map to photo, 256x256): the rows of Table 1 of the
# paper.
#     LABEL_RATIO=0.1|0.25|0.5 BUDGET=small|large bash scripts/cityscapes/pix2pix_resnet.sh [stages]
# scripts/pipeline.sh explains stages and variables.
set -euo pipefail
model=pix2pix netG=resnet_9blocks dataset_mode=aligned
: "${DATAROOT:=datasets/cityscapes_pix2pix}" "${NAME:=cityscapes_resnet}"
prepare="create it: python datasets/prepare_cityscapes.py --source CITYSCAPES --out $DATAROOT"
data="--direction BtoA --norm instance"
flags_original="" flags_supernet=""
source "$(dirname -- "${BASH_SOURCE[0]}")/../pipeline.sh"
paper_budgets "0.866G 1.398G" "0.845G 1.378G" "0.855G 1.447G"
run_stages "$@"
