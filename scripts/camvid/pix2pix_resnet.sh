#!/usr/bin/env bash
# Pix2Pix with a ResNet-9 generator on CamVid street scenes, compressed from 56.8 G to 1.4 G MACs.
#     [LABEL_RATIO=0.25] [DATAROOT=...] bash scripts/camvid/pix2pix_resnet.sh [stages]
# scripts/pipeline.sh explains stages and variables.
set -euo pipefail
model=pix2pix netG=resnet_9blocks dataset_mode=aligned
: "${DATAROOT:=datasets/camvid}" "${NAME:=camvid_resnet}"
: "${SPLIT_BY:=stretch}" "${MACS:=1.4G}" "${TEACHER_MACS:=6G}"
prepare="create it: python datasets/prepare_camvid.py --source CAMVID --out $DATAROOT"
data=""
flags_original="" flags_supernet=""
source "$(dirname -- "${BASH_SOURCE[0]}")/../pipeline.sh"
run_stages "$@"
