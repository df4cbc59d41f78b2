"""What the models of UGC derive from: our BaseModel or, in an upstream checkout, that one's with what ours adds."""
from pathlib import Path

from options.earlier_runs import save_settings
from options.ugc_options import checkpoint_tag
from util.entry import seed_everything

from .base_model import BaseModel
from .training import Training

if issubclass(BaseModel, Training):
    UGCModel = BaseModel
else:
    class UGCModel(Training, BaseModel):
        """An upstream checkout's BaseModel whose networks are trained, saved and loaded by :class:`Training`.

        Of both generations of upstream (docs/plugin.md). Its own ``setup`` is not used: it would initialize networks anew
        that start from a checkpoint, and wrap them for several devices in ways that slices of networks do not allow.

        Raises:
            ValueError: for more than one of ``--gpu_ids``.
        """

        def __init__(self, opt):
            if len(getattr(opt, "gpu_ids", [])) > 1:
                raise ValueError(f"--gpu_ids {','.join(map(str, opt.gpu_ids))}: the models of UGC train on one GPU of a "
                                 "process, give one")
            if opt.isTrain:
                seed_everything(opt.seed)
            BaseModel.__init__(self, opt)

        def setup(self, opt):
            """Schedulers and the networks' weights as upstream's users expect them, and a word on what is missing here."""
            Training.setup(self, opt)
            if not self.isTrain:
                return
            print("in this checkout --continue_train loads the networks alone, at the epoch of --epoch_count; exact resume, "
                  "checks of the data, validation, --accumulate and --ema are what UGC's own train.py adds (docs/plugin.md)")
            if opt.continue_train:
                self.load_networks(checkpoint_tag(opt))
            save_settings(Path(self.save_dir), opt)
