"""Schedulers, initialisation, the adversarial loss and two small networks."""

import functools

import torch
from torch import nn
from torch.optim import lr_scheduler

GENERATORS = ("resnet_9blocks", "resnet_6blocks", "unet_256", "unet_128")
DISCRIMINATORS = ("basic", "n_layers", "pixel")


def get_norm_layer(norm_type="instance"):
    """The class of a normalisation."""
    layers = {
        "batch": functools.partial(nn.BatchNorm2d, affine=True, track_running_stats=True),
        "syncbatch": functools.partial(nn.SyncBatchNorm, affine=True, track_running_stats=True),
        "instance": functools.partial(nn.InstanceNorm2d, affine=False, track_running_stats=False),
        "none": lambda channels: nn.Identity(),
    }
    if norm_type not in layers:
        raise NotImplementedError(f"normalization layer [{norm_type}] is not found")
    return layers[norm_type]


def get_scheduler(optimizer, opt):
    """The schedule of ``--lr_policy``."""
    if opt.lr_policy == "linear":
        return lr_scheduler.LambdaLR(
            optimizer,
            lambda steps: (
                1.0 - max(0, steps + opt.epoch_count - opt.n_epochs) / float(opt.n_epochs_decay + 1)
            ),
        )
    if opt.lr_policy == "step":
        return lr_scheduler.StepLR(optimizer, step_size=opt.lr_decay_iters, gamma=0.1)
    if opt.lr_policy == "plateau":
        return lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", factor=0.2, threshold=0.01, patience=5)
    if opt.lr_policy == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=opt.n_epochs, eta_min=0)
    raise NotImplementedError(f"learning rate policy [{opt.lr_policy}] is not implemented")


def init_weights(net, init_type="normal", init_gain=0.02):
    """Fresh weights for convolutions, linear layers and batch norms."""
    how = {
        "normal": lambda w: nn.init.normal_(w, 0.0, init_gain),
        "xavier": lambda w: nn.init.xavier_normal_(w, init_gain),
        "kaiming": lambda w: nn.init.kaiming_normal_(w, a=0, mode="fan_in"),
        "orthogonal": lambda w: nn.init.orthogonal_(w, init_gain),
    }
    if init_type not in how:
        raise NotImplementedError(f"initialization method [{init_type}] is not implemented")

    def fresh(module):
        kind = type(module).__name__
        if hasattr(module, "weight") and ("Conv" in kind or "Linear" in kind):
            how[init_type](module.weight.data)
            if getattr(module, "bias", None) is not None:
                nn.init.constant_(module.bias.data, 0.0)
        elif "BatchNorm2d" in kind:
            nn.init.normal_(module.weight.data, 1.0, init_gain)
            nn.init.constant_(module.bias.data, 0.0)

    print(f"initialize network with {init_type}")
    net.apply(fresh)


class GANLoss(nn.Module):
    """Least squares or cross entropy towards real or fake."""

    def __init__(self, gan_mode):
        super().__init__()
        losses = {"lsgan": nn.MSELoss, "vanilla": nn.BCEWithLogitsLoss}
        if gan_mode not in losses:
            raise NotImplementedError(f"gan mode {gan_mode} not implemented")
        self.loss = losses[gan_mode]()

    def __call__(self, prediction, target_is_real):
        return self.loss(prediction, torch.full_like(prediction, float(target_is_real)))


def small_generator(input_nc, output_nc, ngf, netG, norm, use_dropout):
    """A generator of a few convolutions, whatever the name; an unknown name is an error."""
    if netG not in GENERATORS:
        raise NotImplementedError(f"Generator model name [{netG}] is not recognized")
    layer = get_norm_layer(norm)
    drop = [nn.Dropout(0.5)] if use_dropout else []
    return nn.Sequential(
        nn.Conv2d(input_nc, ngf, 3, padding=1),
        layer(ngf),
        nn.ReLU(True),
        nn.Conv2d(ngf, ngf, 3, padding=1),
        layer(ngf),
        nn.ReLU(True),
        *drop,
        nn.Conv2d(ngf, output_nc, 3, padding=1),
        nn.Tanh(),
    )


def small_discriminator(input_nc, ndf, netD, norm):
    """A PatchGAN of three convolutions; an unknown name is an error."""
    if netD not in DISCRIMINATORS:
        raise NotImplementedError(f"Discriminator model name [{netD}] is not recognized")
    return nn.Sequential(
        nn.Conv2d(input_nc, ndf, 4, 2, 1),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(ndf, 2 * ndf, 4, 2, 1),
        get_norm_layer(norm)(2 * ndf),
        nn.LeakyReLU(0.2, True),
        nn.Conv2d(2 * ndf, 1, 4, 1, 1),
    )
