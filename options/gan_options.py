"""Options of the discriminator and of the GAN losses that go beyond the objectives of the originals.

Like ``ugc_options``, this module only needs an argparse parser of the host.
"""
from compression.originals.diffaugment import AUGMENTATIONS
from compression.runtime.numbers import integer, number

from .ugc_options import add_once

LAST_EPOCH = 10 ** 6  # no training has more epochs


def add_discriminator_options(parser):
    """Add the flags of augmentation and regularization, for discriminators with few labels."""
    group = parser.add_argument_group("discriminator with few labels")
    group.add_argument("--diffaugment", type=str, nargs="+", default=["none"],
                       choices=("none", *AUGMENTATIONS),
                       help="random changes of all pairs that the discriminator sees, real and generated "
                            "(DiffAugment): color of the image, translation by up to an eighth, and cutout "
                            "of half the height and width, which change input and image alike; none: no "
                            "changes")
    group.add_argument("--lambda_r1", type=number(0), default=0.0,
                       help="weight of the R1 penalty: half the squared gradient of the discriminator on "
                            "real images, for one patch")
    group.add_argument("--r1_every", type=integer(1, 10 ** 6), default=16,
                       help="steps from one R1 penalty to the next, which is weighted by this number")
    group.add_argument("--lambda_lecam", type=number(0), default=0.0,
                       help="weight of LeCam's loss: squared distance of the discriminator's logits of real "
                            "images from the average of those of generated ones, and the reverse")


def add_unlabeled_gan_option(parser):
    """Add the flag of the GAN loss on unlabeled inputs, for stages 1 and 2."""
    add_once(parser, "--lambda_gan_unlabeled", type=number(0), default=0.0,
             help="weight of the GAN loss on unlabeled inputs, which needs no targets, of the largest "
                  "network in stage 1 and of the teachers in stage 2; 0: the discriminator only sees images "
                  "of labeled inputs")
    return parser


def check_unlabeled(weight, has_unlabeled):
    """Check that there are unlabeled inputs for ``--lambda_gan_unlabeled``.

    Raises:
        ValueError: if there are none.
    """
    if weight and not has_unlabeled:
        raise ValueError(f"--lambda_gan_unlabeled {weight:g} needs unlabeled inputs, but there are none; "
                         "give --label_ratio below 1 or --unlabeled_dir, and not --unlabeled none")


def add_student_gan_options(parser):
    """Add the flags of the losses of the student in which the discriminator takes part."""
    group = parser.add_argument_group("UGC losses of the discriminator")
    group.add_argument("--lambda_dcd", type=number(0), default=0.0,
                       help="weight of the loss of DCD: L1 loss between features of the discriminator for "
                            "intermediate activations of the student and of the wide teacher")
    group.add_argument("--lambda_student_gan", type=number(0), default=0.0,
                       help="weight of the student's own GAN loss, for which the discriminator gets a head "
                            "of the student; 0: the student only learns from the teachers")
    group.add_argument("--student_gan_start", type=integer(1, LAST_EPOCH), default=1,
                       help="first epoch of the student's GAN loss; the head of the student also trains "
                            "before it")
    group.add_argument("--student_gan_end", type=integer(1, LAST_EPOCH), default=LAST_EPOCH,
                       help="last epoch of the student's GAN loss (default: that of the training)")
    return parser


def check_student_gan(opt):
    """Check the epochs of the student's GAN loss.

    Raises:
        ValueError: if the last epoch is before the first one, or if ``--lr_policy plateau`` does not count
            epochs.
    """
    first, last = opt.student_gan_start, opt.student_gan_end
    if last < first:
        raise ValueError(f"--student_gan_end {last} must be at least --student_gan_start {first}")
    if opt.lr_policy == "plateau" and opt.lambda_student_gan and (first, last) != (1, LAST_EPOCH):
        raise ValueError("--student_gan_start and --student_gan_end need a schedule that counts epochs, "
                         "which --lr_policy plateau does not; use linear, step, or cosine")
