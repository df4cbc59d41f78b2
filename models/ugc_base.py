"""The base class of the models of UGC, in this repository and in an upstream checkout."""
import uuid
from pathlib import Path

from compression.runtime import distributed
from options.earlier_runs import save_settings
from options.precision_options import resolve_precision
from options.ugc_options import checkpoint_tag, resolve_features
from util.entry import seed_everything
from util.host_errors import report_own_errors
from util.run_folder import remove_networks
from util.size_check import require_trainable

from .base_model import BaseModel
from .training import Training

if issubclass(BaseModel, Training):
    UGCModel = BaseModel
else:
    report_own_errors(Path(__file__).resolve().parents[1])

    class UGCModel(Training, BaseModel):
        """The BaseModel of an upstream checkout, whose networks :class:`Training` trains, saves and loads.

        It works with upstream since December 2019 (docs/plugin.md). Upstream's ``setup`` is not used,
        because it initializes networks again that start from a checkpoint, and wraps networks for several
        devices, which does not allow to run slices of them.

        Raises:
            ValueError: ``--gpu_ids`` lists several GPUs.
        """

        def __init__(self, opt):
            if len(getattr(opt, "gpu_ids", [])) > 1:
                raise ValueError(f"--gpu_ids {','.join(map(str, opt.gpu_ids))}: the models of UGC use one "
                                 "GPU per process, give only one")
            if opt.isTrain:
                seed_everything(opt.seed)
            BaseModel.__init__(self, opt)
            if opt.isTrain:
                resolve_precision(opt, self.device)
                resolve_features(opt)
            self.checked_shapes = set()

        def check_batch(self):
            """Check that the networks can be trained with the first batch of every shape."""
            shapes = tuple(shape for _, shape in self.trained_shapes())
            if shapes not in self.checked_shapes:
                require_trainable(self.opt, self)
                self.checked_shapes.add(shapes)

        def setup(self, opt):
            """Build the schedulers, or load the checkpoints; print what a checkout lacks."""
            Training.setup(self, opt)
            self.is_replacing = self.isTrain and opt.overwrite  # until the first save
            if not self.isTrain:
                return
            print("in this checkout --continue_train loads only the networks, and starts at --epoch_count; "
                  "exact resume, checks of the data, validation, --accumulate and --ema need UGC's own "
                  "train.py (docs/plugin.md)")
            if opt.continue_train:
                self.load_networks(checkpoint_tag(opt))
            self.run = self.run or uuid.uuid4().hex
            if not self.is_replacing:
                save_settings(Path(self.save_dir), opt, self.run)

        def save_networks(self, tag):
            """Save the networks; with ``--overwrite`` the first save deletes those of the earlier run."""
            if self.is_replacing and distributed.rank() == 0:
                remove_networks(Path(self.save_dir))
                save_settings(Path(self.save_dir), self.opt, self.run)
            self.is_replacing = False
            Training.save_networks(self, tag)
