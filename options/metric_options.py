"""Options of the metrics, shared by train.py, search.py, and evaluate.py."""
from compression.metrics.inception import INCEPTION_FILE

from .ugc_options import add_once


def add_metric_options(parser):
    """Add the flags that name the networks of the metrics and the folder of label maps."""
    group = parser.add_argument_group("metrics")
    add_once(group, "--inception_weights", type=str,
             help=f"weights of the Inception network of FID and KID (default: {INCEPTION_FILE} in torch "
                  "hub's folder; never downloaded). Without them, the features are those of --segmenter or "
                  "of HED (scripts/fetch_hed.py), and the distances are named FD and KD with the network")
    add_once(group, "--feature_network", type=str,
             help="network for the features of FD and KD: a TorchScript file that maps images (N, 3, H, W) "
                  "in [0, 1] to features (N, D), a segmentation network from --model segmenter, or hed for "
                  "the network of scripts/fetch_hed.py")
    add_once(group, "--segmenter", type=str,
             help="segmentation network from train.py --model segmenter, for the mIoU; also for the features "
                  "of FD and KD if there are no Inception weights")
    add_once(group, "--drn_weights", type=str,
             help="weights of DRN-D-105 for the mIoU of Cityscapes: the state dict of its authors, 19 "
                  "classes")
    add_once(group, "--labels", type=str,
             help="folder of label maps for the mIoU, with the names of the images (default: the label maps "
                  "of the data set, if its inputs are label maps)")
    return parser
