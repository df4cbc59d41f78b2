#!/usr/bin/env bash
# Pix2Pix with a ResNet-9 generator on edges2shoes (256x256): the rows of Table 2 of the paper.
#     LABEL_RATIO=0.1|0.25|0.5 BUDGET=small|large bash scripts/edges2shoes/pix2pix_resnet.sh [stages]
# scripts/pipeline.sh explains stages and variables.
set -euo pipefail
model=pix2pix netG=resnet_9blocks dataset_mode=aligned
: "${DATAROOT:=datasets/edges2shoes}" "${NAME:=edges2shoes_resnet}" "${N_EPOCHS:=5}" "${N_EPOCHS_DECAY:=15}"
prepare="create it: python datasets/download_pix2pix.py edges2shoes"
data="--batch_size 4 --load_size 256 --norm instance"
flags_original="" flags_supernet=""
source "$(dirname -- "${BASH_SOURCE[0]}")/../pipeline.sh"
paper_budgets "0.866G 1.398G" "0.845G 1.378G" "0.855G 1.447G"
run_stages "$@"
