"""Options of the metrics, shared by train.py, search.py and evaluate.py."""
from compression.metrics.inception import INCEPTION_FILE

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
