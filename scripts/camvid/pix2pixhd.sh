#!/usr/bin/env bash
# Pix2PixHD on CamVid's label ids (256x256, a quarter of the width: NGF=16), compressed from
# 5.0 G to 0.45 G MACs.
#     [LABEL_RATIO=0.25] [DATAROOT=CamVid] bash scripts/camvid/pix2pixhd.sh [stages]
# DATAROOT is the CamVid folder with <phase> and <phase>annot.
# scripts/pipeline.sh explains stages and variables.
set -euo pipefail
model=pix2pixhd netG=pix2pixhd dataset_mode=label
: "${DATAROOT:=datasets/CamVid}" "${NAME:=camvid_pix2pixhd}" "${SPLIT_BY:=stretch}" "${NGF:=16}"
: "${MACS:=0.45G}" "${TEACHER_MACS:=1.8G}"
prepare="put CamVid there (its folders train, trainannot, val, and valannot), or set DATAROOT"
data="--label_nc 12 --no_instance --preprocess resize_and_crop --load_size 272 --crop_size 256 --ngf $NGF"
flags_original="" flags_supernet=""
source "$(dirname -- "${BASH_SOURCE[0]}")/../pipeline.sh"
check NGF "[1-9][0-9]{0,4}" "a number of filters, such as 16"
run_stages "$@"
