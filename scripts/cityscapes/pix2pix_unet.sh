#!/usr/bin/env bash
# Pix2Pix with a U-Net-256 generator on Cityscapes (label map to photo, 256x256): the rows of Table 1 of the
# paper.
#     LABEL_RATIO=0.1|0.25|0.5 BUDGET=small|large bash scripts/cityscapes/pix2pix_unet.sh [stages]
# scripts/pipeline.sh explains stages and variables.
set -euo pipefail
model=pix2pix netG=unet_256 dataset_mode=aligned
: "${DATAROOT:=datasets/cityscapes_pix2pix}" "${NAME:=cityscapes_unet}"
prepare="create it: python datasets/prepare_cityscapes.py --source CITYSCAPES --out $DATAROOT"
data="--direction BtoA"
flags_original="" flags_supernet=""
source "$(dirname -- "${BASH_SOURCE[0]}")/../pipeline.sh"
paper_budgets "0.849G 1.229G" "0.734G 1.235G" "0.893G 1.272G"
run_stages "$@"
