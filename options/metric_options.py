"""Options of what images are scored by, shared by evaluate.py, search.py and train.py; and what they become."""
from compression.metrics import METRICS, MetricNetworks, SegmentationNetwork
from compression.metrics.drn import DRN
from compression.metrics.features import (checksum, find_inception, inception_features, load_feature_network,
                                          segmenter_features)
from compression.metrics.inception import INCEPTION_FILE, INCEPTION_URL
from compression.metrics.perceptual_distance import PerceptualDistance
from compression.metrics.segmenter import load_segmenter

from .ugc_options import add_once


def add_metric_options(parser):
    """The networks of the metrics, and where labels are."""
    group = parser.add_argument_group("metrics")
    add_once(group, "--inception_weights", type=str, help=f"FID's Inception ({INCEPTION_FILE}; default: torch hub's "
             "folder; never downloaded). Without it the distance is on other features and called FD and KD")
    add_once(group, "--feature_network", type=str, help="features for FD and KD instead: TorchScript from (N, 3, H, W) in "
             "[0, 1] to (N, D), or a segmenter")
    add_once(group, "--segmenter", type=str, help="file of a segmenter (train.py --model segmenter): mIoU, and features "
             "where there is no Inception")
    add_once(group, "--drn_weights", type=str, help="DRN-D-105 for the mIoU of Cityscapes: the authors' state dict, 19 "
             "train ids")
    add_once(group, "--labels", type=str, help="folder of label maps for the mIoU, named like the images (default: those "
             "of the data set, if its inputs are label maps)")
    return parser


def check_metrics(names, flag="--metrics"):
    """The metrics as `METRICS` spells them; ValueError for an unknown one."""
    known = {name.lower(): name for name in METRICS}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise ValueError(f"{flag} {' '.join(unknown)}: unknown, known: {', '.join(METRICS)}")
    return [known[name.lower()] for name in names]


def networks_from(opt, device):
    """Parsed options -> MetricNetworks; of what is not there it says why.

    Raises:
        ValueError: for a file that is named but missing or wrong.
    """
    networks = MetricNetworks()
    segmenter = load_segmenter(opt.segmenter).to(device) if opt.segmenter else None
    inception = None if opt.feature_network else find_inception(opt.inception_weights)
    if opt.feature_network:
        networks.features = load_feature_network(opt.feature_network, device)
    elif inception:
        networks.features = inception_features(inception, device)
    elif segmenter:
        networks.features = segmenter_features(segmenter, opt.segmenter, device)
    else:
        networks.missing |= dict.fromkeys(("FID", "KID"), f"no feature network: put {INCEPTION_URL} into torch hub's "
                                          "folder or name it with --inception_weights; or give --segmenter or "
                                          "--feature_network")
    if opt.drn_weights:
        network, digest = DRN(opt.drn_weights).to(device), checksum(opt.drn_weights)
        networks.segmentation = SegmentationNetwork(f"drn-d-105-{digest[:8]}", digest, network, 19, cityscapes=True, stride=8)
    elif segmenter:
        digest, meta = checksum(opt.segmenter), segmenter.meta
        networks.segmentation = SegmentationNetwork(f"segmenter-{digest[:8]}", digest, segmenter, segmenter.classes,
                                                    meta.get("void"), bool(meta.get("cityscapes")))
    else:
        networks.missing["mIoU"] = "no segmentation network: give --drn_weights (Cityscapes) or --segmenter"
    try:
        networks.lpips = PerceptualDistance(device)
    except ValueError as error:
        networks.missing["LPIPS"] = str(error)
    return networks
