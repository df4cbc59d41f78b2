"""Options of train.py."""
from compression.metrics import METRICS

from .base_options import BaseOptions
from .metric_options import add_metric_options


class TrainOptions(BaseOptions):
    """Upstream's training flags."""

    isTrain = True

    def initialize(self, parser):
        """Add the training flags to the base flags."""
        parser = BaseOptions.initialize(self, parser)
        add = parser.add_argument
        add("--display_freq", type=int, default=400, help="images between results shown")
        add("--display_ncols", type=int, default=4, help="columns of the visdom panel")
        add("--display_id", type=int, default=0, help="visdom window; 0 uses no visdom")
        add("--display_server", type=str, default="http://localhost", help="visdom server")
        add("--display_env", type=str, default="main", help="visdom environment")
        add("--display_port", type=int, default=8097, help="visdom port")
        add("--update_html_freq", type=int, default=1000, help="images between results saved to the HTML page")
        add("--print_freq", type=int, default=100, help="images between losses printed")
        add("--no_html", action="store_true", help="keep no HTML page of training results")
        add("--save_latest_freq", type=int, default=5000, help="images between saves of the latest model")
        add("--save_epoch_freq", type=int, default=5, help="epochs between saves under the epoch's number")
        add("--save_by_iter", action="store_true", help="save the latest model under its iteration number")
        add("--continue_train", action="store_true", help="continue this run where its last save left it, exactly")
        add("--epoch_count", type=int, default=1, help="number of the first epoch")
        add("--phase", type=str, default="train", help="folder of the split: train, val, test, ...")
        add("--n_epochs", "--niter", type=int, default=100, help="epochs at the initial learning rate")
        add("--n_epochs_decay", "--niter_decay", type=int, default=100, help="epochs of linear decay to zero")
        add("--beta1", type=float, default=0.5, help="momentum term of Adam")
        add("--lr", type=float, default=0.0002, help="initial learning rate of Adam")
        add("--gan_mode", type=str, default="lsgan", help="vanilla, lsgan, hinge or wgangp")
        add("--pool_size", type=int, default=50, help="size of the image buffer; the models here use none")
        add("--lr_policy", type=str, default="linear", choices=("linear", "step", "plateau", "cosine"),
            help="learning rate policy")
        add("--lr_decay_iters", type=int, default=50, help="epochs between decays of --lr_policy step")
        add("--eval_every", type=int, default=0, help="epochs between validations; 0: none. The networks that are best by the "
            "first of --eval_metrics are kept as best_net_*.pth (ours)")
        add("--eval_phase", type=str, default="val", help="split that is validated on (ours)")
        add("--eval_images", type=int, default=64, help="images of it (ours)")
        add("--eval_metrics", type=str, nargs="+", default=["L1", "PSNR", "SSIM"], help=f"out of {', '.join(METRICS)} (ours)")
        add("--accumulate", type=int, default=1, help="run each batch in so many parts whose gradients add up: the memory of "
            "a part for the step of a batch; batch norm sees parts (ours)")
        add("--ema", type=float, default=0.0, help="decay, such as 0.999, of a running average of the generator's weights, "
            "which is what is then saved and validated; 0: none (ours)")
        add("--compile", action="store_true", help="torch.compile the networks whose sizes stay as they are (ours)")
        return add_metric_options(parser)
