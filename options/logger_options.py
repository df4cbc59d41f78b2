"""Flags of the opt-in loggers of util/loggers.py."""


def add_logger_options(parser):
    """Add the flags of Weights & Biases and TensorBoard."""
    add = parser.add_argument
    add("--use_wandb", action="store_true",
        help="log to Weights & Biases (pip install wandb); a failure does not stop the command")
    add("--wandb_project_name", type=str, default="CycleGAN-and-pix2pix", help="project of --use_wandb")
    add("--use_tensorboard", action="store_true",
        help="log to TensorBoard (pip install tensorboard), in the folder tensorboard of the run; a failure "
             "does not stop the command (UGC)")
