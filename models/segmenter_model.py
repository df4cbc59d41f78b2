"""Train a segmentation network for the mIoU of a data set for which there is no published one."""
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional as F

from compression.checkpoints.records import read_record
from compression.elastic.registry import FAMILIES
from compression.metrics import SegmentationScores
from compression.metrics.segmentation import CITYSCAPES_NAMES, VOID, train_ids
from compression.metrics.segmenter import Segmenter, SegmenterMeta, load_segmenter, save_segmenter
from compression.runtime.modes import eval_mode
from compression.runtime.numbers import integer
from options import original_options

from .base_model import BaseModel

PALETTE = torch.linspace(-1, 1, 4)  # class ids are shown as base-4 digits of red, green and blue


@dataclass
class SegmenterState:
    """The result of :meth:`SegmenterModel.extra_state`; files of earlier versions have none."""

    meta: SegmenterMeta | None = None


class SegmenterModel(BaseModel):
    """Trains on real photos and label maps (``--dataset_mode label``); the result scores generated photos.

    The loss is cross-entropy plus 1 - Dice. Dice is a mean over classes, so rare classes have the same
    weight as others. The file for ``--segmenter`` is ``latest_segmenter.pth``. It also holds the mIoU on
    the real photos of ``--eval_phase``, an upper bound for generated photos.
    """

    ema_network = "S"

    @staticmethod
    def modify_commandline_options(parser, is_train=True):
        """Add the flags of label maps, and use defaults for a small network trained from scratch."""
        parser.set_defaults(dataset_mode="label", netG="spade")  # --netG makes the data set load label maps
        original_options.add_input_options(parser, FAMILIES["spade"])
        parser.add_argument("--void_label", type=integer(0, 65535),
                            help="class id that is ignored (255 is always ignored) (default: none)")
        parser.add_argument("--cityscapes_train_ids", action="store_true",
                            help="convert the label ids of Cityscapes to its 19 train ids")
        parser.set_defaults(no_instance=True)
        if is_train:
            parser.set_defaults(lr=0.002, beta1=0.9, batch_size=8, n_epochs=20, n_epochs_decay=20,
                                eval_every=5)
        return parser

    def __init__(self, opt):
        BaseModel.__init__(self, opt)
        self.classes = len(CITYSCAPES_NAMES) if opt.cityscapes_train_ids else opt.label_nc
        if opt.void_label is not None and opt.void_label == opt.label_nc - 1:
            self.classes -= 1
        self.model_names = ["S"]
        self.loss_names = ["cross_entropy", "dice"]
        self.visual_names = ["real_B", "predicted", "labels"]
        self.netS = self.to_device(Segmenter(self.classes).train())
        self.netS.meta = {"void": opt.void_label, "cityscapes": opt.cityscapes_train_ids,
                          "photos": str(opt.dataroot)}
        if self.isTrain:
            self.optimizers = [torch.optim.AdamW(self.netS.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999),
                                                 weight_decay=1e-4)]

    def set_input(self, input):
        """Set a batch of label maps A and photos B."""
        self.photo = self.to_device(input["B"])
        self.target = self.to_device(self.targets(input["A"]))
        self.real_B = self.photo
        self.image_paths = input["A_paths"]
        self.netS.meta.setdefault("size", list(self.photo.shape[-2:]))

    def targets(self, maps):
        """Convert label maps (N, 1 or 2, H, W) to class ids (N, H, W), with 255 for void."""
        ids = maps[:, 0].long()
        if self.opt.cityscapes_train_ids:
            return torch.from_numpy(train_ids(ids.numpy()))
        void_label = VOID if self.opt.void_label is None else self.opt.void_label
        return torch.where((ids == void_label) | (ids >= self.classes), VOID, ids)

    def predict(self, photo):
        """Compute class scores (N, classes, H, W) of photos (N, 3, H, W) in [-1, 1]."""
        with self.autocast():
            return self.netS((photo + 1) / 2).float()

    def forward(self):
        """Compute the class scores of the photos."""
        self.scores = self.predict(self.photo)

    def optimize_parameters(self):
        """Take one training step."""
        self.forward()
        losses = {"cross_entropy": F.cross_entropy(self.scores, self.target, ignore_index=VOID),
                  "dice": 1 - dice(self.scores.softmax(1), self.target)}
        self.set_losses(losses)
        self.backward(sum(losses.values()), self.optimizers[0])
        self.step(self.optimizers[0])

    def decisive_metric(self):
        """Return the mIoU, whatever ``--eval_metrics`` says."""
        return "mIoU" if self.opt.eval_every else None

    @torch.no_grad()
    def validate(self, batches, metrics=None, labels=None):
        """Compute mIoU and pixel accuracy on real photos; the arguments are those of Measuring.validate."""
        scores = SegmentationScores(self.classes)
        with eval_mode(self.netS):
            for batch in batches:
                scores.update(self.predict(self.to_device(batch["B"])), self.targets(batch["A"]))
        values = scores.compute()
        self.netS.meta |= {"mIoU": values["mIoU"], "phase": self.opt.eval_phase}
        return values

    def compute_visuals(self):
        """Convert predicted and true classes to colors."""
        self.predicted = colors(self.scores.argmax(1))
        self.labels = colors(self.target)

    def networks(self):
        """Return no generators: there is no cost to report."""
        return {}

    def extra_state(self):
        """Return the settings and the mIoU that are saved with the network."""
        return {"meta": dict(self.netS.meta)}

    def load_extra_state(self, state, source):
        """Restore the result of :meth:`extra_state`; states of earlier versions lack it."""
        path = Path(self.save_dir) / "latest_segmenter.pth"
        read_record(SegmenterState, state, source, "model.extra")
        saved = state.get("meta")
        if saved is None and path.is_file():
            saved = load_segmenter(path).meta
        self.netS.meta = {**(saved or {}), **self.netS.meta}

    def write_networks(self, tag):
        """Write the network, and ``<tag>_segmenter.pth`` with the settings for ``--segmenter``."""
        BaseModel.write_networks(self, tag)
        save_segmenter(Path(self.save_dir) / f"{tag}_segmenter.pth", self.netS, self.run)


def dice(probabilities, target):
    """Compute the Dice coefficient, a mean over the classes c that occur in the target.

        2 |P_c T_c| / (|P_c| + |T_c|), summed over the pixels that are not void

    Args:
        probabilities: P, (N, classes, H, W).
        target: class ids (N, H, W), 255 for void; T_c is 1 where the id is c.

    Returns:
        A scalar in [0, 1].
    """
    counts = (target != VOID)[:, None]
    classes = probabilities.shape[1]
    truth = F.one_hot(torch.where(target == VOID, 0, target), classes).permute(0, 3, 1, 2) * counts
    intersection = (probabilities * truth).sum((0, 2, 3))
    true_pixels = truth.sum((0, 2, 3))
    sizes = (probabilities * counts).sum((0, 2, 3)) + true_pixels
    return (2 * intersection / sizes.clamp_min(1))[true_pixels > 0].mean()


def colors(ids):
    """Convert class ids (N, H, W) to colors (N, 3, H, W) in [-1, 1].

    Each id up to 63 has its own color; void is black.
    """
    digits = torch.stack([(ids + 1) // base % 4 for base in (1, 4, 16)], 1)
    return torch.where((ids == VOID)[:, None], -1.0, PALETTE.to(ids.device)[digits])
