#!/usr/bin/env bash
# Pix2Pix with a ResNet-9 generator on photos of clothes (outline drawing to photo, 128x128), compressed from
# 14.2 G to 0.35 G MACs. scripts/clothes/pix2pix_unet.sh names a source of photos.
#     [LABEL_RATIO=0.25] [DATAROOT=...] bash scripts/clothes/pix2pix_resnet.sh [stages]
# scripts/pipeline.sh explains stages and variables.
set -euo pipefail
model=pix2pix netG=resnet_9blocks dataset_mode=aligned
: "${DATAROOT:=datasets/clothes}" "${NAME:=clothes_resnet}" "${MACS:=0.35G}" "${TEACHER_MACS:=1.5G}"
: "${N_EPOCHS:=5}" "${N_EPOCHS_DECAY:=15}"
prepare="create it: python datasets/make_edges.py --source PHOTOS --out $DATAROOT --size 128"
data="--batch_size 4 --load_size 128 --crop_size 128 --norm instance"
flags_original="" flags_supernet=""
source "$(dirname -- "${BASH_SOURCE[0]}")/../pipeline.sh"
run_stages "$@"
