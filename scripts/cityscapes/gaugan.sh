#!/usr/bin/env bash
# GauGAN (SPADE) on Cityscapes as downloaded (gtFine, leftImg8bit), 256x512: the rows of Table 1 of the paper.
#     LABEL_RATIO=0.1|0.25|0.5 BUDGET=small|large bash scripts/cityscapes/gaugan.sh [stages]
# scripts/pipeline.sh explains stages and variables.
set -euo pipefail
model=spade netG=spade dataset_mode=label
: "${DATAROOT:=datasets/cityscapes}" "${NAME:=cityscapes_gaugan}"
prepare="unpack gtFine_trainvaltest.zip and leftImg8bit_trainvaltest.zip of Cityscapes there, or set DATAROOT"
data="--num_upsampling_layers more"
flags_original="--batch_size 4"
flags_supernet="--batch_size 4"
source "$(dirname -- "${BASH_SOURCE[0]}")/../pipeline.sh"
paper_budgets "8.823G 12.857G" "9.751G 11.775G" "9.507G 13.25G"
run_stages "$@"
