"""Networks of the first generation: made, moved, wrapped and initialised at once."""

import torch

from .shared_networks import (
    GANLoss,
    get_norm_layer,
    get_scheduler,
    init_weights,
    small_discriminator,  # noqa: F401
    small_generator,
)


def init_net(net, init_type="normal", init_gain=0.02, gpu_ids=[]):
    """Move a network to the GPUs, wrap it for them, and initialise it."""
    if gpu_ids:
        assert torch.cuda.is_available()
        net.to(gpu_ids[0])
        net = torch.nn.DataParallel(net, gpu_ids)
    init_weights(net, init_type, init_gain)
    return net


def define_G(
    input_nc,
    output_nc,
    ngf,
    netG,
    norm="batch",
    use_dropout=False,
    init_type="normal",
    init_gain=0.02,
    gpu_ids=[],
):
    """A generator, ready to train."""
    return init_net(
        small_generator(input_nc, output_nc, ngf, netG, norm, use_dropout), init_type, init_gain, gpu_ids
    )


def define_D(input_nc, ndf, netD, n_layers_D=3, norm="batch", init_type="normal", init_gain=0.02, gpu_ids=[]):
    """A discriminator, ready to train."""
    return init_net(small_discriminator(input_nc, ndf, netD, norm), init_type, init_gain, gpu_ids)
