#!/usr/bin/env bash
# Pix2Pix with a U-Net-256 generator on edges2shoes (256x256): the rows of Table 2 of the paper.
#     LABEL_RATIO=0.1|0.25|0.5 BUDGET=small|large bash scripts/edges2shoes/pix2pix_unet.sh [stages]
# scripts/pipeline.sh explains stages and variables.
set -euo pipefail
model=pix2pix netG=unet_256 dataset_mode=aligned
: "${DATAROOT:=datasets/edges2shoes}" "${NAME:=edges2shoes_unet}" "${N_EPOCHS:=5}" "${N_EPOCHS_DECAY:=15}"
prepare="create it: python datasets/download_pix2pix.py edges2shoes"
data="--batch_size 4 --load_size 256"
flags_original="" flags_supernet=""
source "$(dirname -- "${BASH_SOURCE[0]}")/../pipeline.sh"
paper_budgets "0.849G 1.229G" "0.734G 1.235G" "0.893G 1.206G"
run_stages "$@"
