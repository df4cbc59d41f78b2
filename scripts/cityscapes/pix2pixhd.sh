#!/usr/bin/env bash
# Pix2PixHD on Cityscapes as downloaded (gtFine, leftImg8bit), 256x512: the rows of Table 1 of the paper.
#     LABEL_RATIO=0.1|0.25|0.5 BUDGET=small|large bash scripts/cityscapes/pix2pixhd.sh [stages]
# scripts/pipeline.sh explains stages and variables.
set -euo pipefail
model=pix2pixhd netG=pix2pixhd dataset_mode=label
: "${DATAROOT:=datasets/cityscapes}" "${NAME:=cityscapes_pix2pixhd}"
prepare="unpack gtFine_trainvaltest.zip and leftImg8bit_trainvaltest.zip of Cityscapes there, or set DATAROOT"
data=""
flags_original="" flags_supernet=""
source "$(dirname -- "${BASH_SOURCE[0]}")/../pipeline.sh"
paper_budgets "9.735G 11.595G" "9.485G 13.348G" "9.855G 11.977G"
run_stages "$@"
