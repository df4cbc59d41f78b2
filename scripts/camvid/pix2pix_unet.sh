#!/usr/bin/env bash
# Pix2Pix with a U-Net-256 generator on CamVid, compressed from 18.1 G to 1.2 G MACs.
# pix2pix.sh explains stages and variables.
#     DATAROOT=datasets/camvid bash scripts/camvid/pix2pix_unet.sh [original supernet search distill test]
set -euo pipefail
netG=unet_256
: "${NAME:=camvid_unet}" "${MACS:=1.2G}" "${TEACHER_MACS:=5G}"
source "$(dirname "${BASH_SOURCE[0]}")/pix2pix.sh"
