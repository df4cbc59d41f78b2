#!/usr/bin/env bash
# Pix2Pix with a U-Net-128 generator on photos of clothes (outline drawing to photo, 128x128), compressed from
# 4.5 G to 0.3 G MACs. Photos: github.com/alexeygrigorev/clothing-dataset-small (CC0), or any folder of photos
# of single objects.
#     [LABEL_RATIO=0.25] [DATAROOT=...] bash scripts/clothes/pix2pix_unet.sh [stages]
# scripts/pipeline.sh explains stages and variables.
set -euo pipefail
model=pix2pix netG=unet_128 dataset_mode=aligned
: "${DATAROOT:=datasets/clothes}" "${NAME:=clothes_unet}" "${MACS:=0.3G}" "${TEACHER_MACS:=1.2G}"
: "${N_EPOCHS:=5}" "${N_EPOCHS_DECAY:=15}"
prepare="create it: python datasets/make_edges.py --source PHOTOS --out $DATAROOT --size 128"
data="--batch_size 4 --load_size 128 --crop_size 128"
flags_original="" flags_supernet=""
source "$(dirname -- "${BASH_SOURCE[0]}")/../pipeline.sh"
run_stages "$@"
