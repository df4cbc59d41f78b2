"""A segmentation network for the mIoU of a data set that has no published one: photos in, class ids out."""
from pathlib import Path

import torch
from torch.nn import functional as F

from compression.elastic.registry import FAMILIES
from compression.metrics import SegmentationScores
from compression.metrics.segmentation import CITYSCAPES_NAMES, VOID, train_ids
from compression.metrics.segmenter import Segmenter, save_segmenter
from compression.runtime.modes import eval_mode
from options import original_options

from .base_model import BaseModel

PALETTE = torch.linspace(-1, 1, 4)  # class ids are shown as base-4 digits of red, green and blue


class SegmenterModel(BaseModel):
    """Trained once on real photos and label maps of ``--dataset_mode label``, then frozen to score generated photos.

    The loss is cross-entropy plus 1 - Dice, a mean over classes, so that rare classes count. ``latest_segmenter.pth`` is
    the file for ``--segmenter``; it holds the mIoU on real photos of ``--eval_phase``, the ceiling of generated ones.
    """

    ema_network = "S"

    @staticmethod
    def modify_commandline_options(parser, is_train=True):
        """Label maps with photos, no instance maps, and a schedule for a small network trained from scratch."""
        parser.set_defaults(dataset_mode="label", netG="spade")  # data sets ask the family whether to serve label maps
        original_options.add_input_options(parser, FAMILIES["spade"])
        parser.add_argument("--void_label", type=int, help="class id that does not count (255 never does)")
        parser.add_argument("--cityscapes_train_ids", action="store_true", help="turn Cityscapes' label ids into its 19 "
                            "train ids")
        parser.set_defaults(no_instance=True)
        if is_train:
            parser.set_defaults(lr=0.002, beta1=0.9, batch_size=8, n_epochs=20, n_epochs_decay=20, eval_every=5)
        return parser

    def __init__(self, opt):
        BaseModel.__init__(self, opt)
        self.classes = len(CITYSCAPES_NAMES) if opt.cityscapes_train_ids else opt.label_nc
        if opt.void_label is not None and opt.void_label == opt.label_nc - 1:
            self.classes -= 1  # ids up to the one before
        self.model_names, self.loss_names = ["S"], ["cross_entropy", "dice"]
        self.visual_names = ["real_B", "predicted", "labels"]
        self.netS = self.to_device(Segmenter(self.classes).train())
        self.netS.meta = {"void": opt.void_label, "cityscapes": opt.cityscapes_train_ids, "photos": str(opt.dataroot)}
        if self.isTrain:
            self.optimizers = [torch.optim.AdamW(self.netS.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999),
                                                 weight_decay=1e-4)]

    def set_input(self, input):
        """Take label maps A and photos B."""
        self.photo, self.target = self.to_device(input["B"]), self.to_device(self.targets(input["A"]))
        self.real_B, self.image_paths = self.photo, input["A_paths"]
        self.netS.meta.setdefault("size", list(self.photo.shape[-2:]))

    def targets(self, maps):
        """Label maps (N, 1 or 2, H, W) -> class ids (N, H, W), 255 for void."""
        ids = maps[:, 0].long()
        if self.opt.cityscapes_train_ids:
            return torch.from_numpy(train_ids(ids.numpy()))
        void = (ids == (VOID if self.opt.void_label is None else self.opt.void_label)) | (ids >= self.classes)
        return torch.where(void, VOID, ids)

    def forward(self):
        """Class scores of the photos."""
        with self.autocast():
            self.scores = self.netS((self.photo + 1) / 2).float()

    def optimize_parameters(self):
        """One step."""
        self.forward()
        losses = {"cross_entropy": F.cross_entropy(self.scores, self.target, ignore_index=VOID),
                  "dice": 1 - dice(self.scores.softmax(1), self.target)}
        self.set_losses(losses)
        self.backward(sum(losses.values()), self.optimizers[0])
        self.step(self.optimizers[0])

    @torch.no_grad()
    def validate(self, batches, metrics=None, labels=None):
        """mIoU and pixel accuracy on real photos."""
        scores = SegmentationScores(self.classes)
        with eval_mode(self.netS), self.autocast():
            for batch in batches:
                scores.update(self.netS((self.to_device(batch["B"]) + 1) / 2).float(), self.targets(batch["A"]))
        values = scores.compute()
        self.netS.meta |= {"mIoU": values["mIoU"], "phase": self.opt.eval_phase}
        return values

    def compute_visuals(self):
        """Predicted and true classes as colors."""
        self.predicted, self.labels = (colors(ids) for ids in (self.scores.argmax(1), self.target))

    def networks(self):
        """It is no generator: nothing to cost."""
        return {}

    def write_networks(self, tag):
        """The network, and ``<tag>_segmenter.pth``, which describes itself."""
        BaseModel.write_networks(self, tag)
        save_segmenter(Path(self.save_dir) / f"{tag}_segmenter.pth", self.netS)


def dice(probabilities, target):
    """Mean over the classes that occur of 2 |P T| / (|P| + |T|); void pixels are left out."""
    counts = (target != VOID)[:, None]
    classes = probabilities.shape[1]
    truth = F.one_hot(torch.where(target == VOID, 0, target), classes).permute(0, 3, 1, 2) * counts
    both = (probabilities * truth).sum((0, 2, 3))
    sizes = (probabilities * counts).sum((0, 2, 3)) + truth.sum((0, 2, 3))
    return (2 * both / sizes.clamp_min(1))[truth.sum((0, 2, 3)) > 0].mean()


def colors(ids):
    """(N, H, W) class ids -> (N, 3, H, W) in [-1, 1], a color for each id up to 63; void is black."""
    digits = torch.stack([(ids + 1) // base % 4 for base in (1, 4, 16)], 1)
    return torch.where((ids == VOID)[:, None], -1.0, PALETTE.to(ids.device)[digits])
