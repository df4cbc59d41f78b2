#!/usr/bin/env bash
# Pix2Pix with a U-Net-256 generator on CamVid street scenes, compressed from 18.1 G to 1.2 G MACs.
#     [LABEL_RATIO=0.25] [DATAROOT=...] bash scripts/camvid/pix2pix_unet.sh [stages]
# scripts/pipeline.sh explains stages and variables.
set -euo pipefail
model=pix2pix netG=unet_256 dataset_mode=aligned
: "${DATAROOT:=datasets/camvid}" "${NAME:=camvid_unet}"
: "${SPLIT_BY:=stretch}" "${MACS:=1.2G}" "${TEACHER_MACS:=5G}"
prepare="create it: python datasets/prepare_camvid.py --source CAMVID --out $DATAROOT"
data=""
flags_original="" flags_supernet=""
source "$(dirname -- "${BASH_SOURCE[0]}")/../pipeline.sh"
run_stages "$@"
