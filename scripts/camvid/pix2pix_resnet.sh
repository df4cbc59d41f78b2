#!/usr/bin/env bash
# Pix2Pix with a ResNet-9 generator on CamVid, compressed from 56.8 G to 1.4 G MACs.
# pix2pix.sh explains stages and variables.
#     DATAROOT=datasets/camvid bash scripts/camvid/pix2pix_resnet.sh [original supernet search distill test]
set -euo pipefail
netG=resnet_9blocks
: "${NAME:=camvid_resnet}" "${MACS:=1.4G}" "${TEACHER_MACS:=6G}"
source "$(dirname "${BASH_SOURCE[0]}")/pix2pix.sh"
