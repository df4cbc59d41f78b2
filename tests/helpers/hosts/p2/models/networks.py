"""Networks of the second generation: made only; the model's setup initialises and moves them."""

from .shared_networks import (
    GANLoss,
    get_norm_layer,
    get_scheduler,
    init_weights,
    small_discriminator,  # noqa: F401
    small_generator,
)


def init_net(net, init_type="normal", init_gain=0.02):
    """Initialise a network."""
    init_weights(net, init_type, init_gain)
    return net


def define_G(
    input_nc, output_nc, ngf, netG, norm="batch", use_dropout=False, init_type="normal", init_gain=0.02
):
    """A generator, not yet initialised."""
    return small_generator(input_nc, output_nc, ngf, netG, norm, use_dropout)


def define_D(input_nc, ndf, netD, n_layers_D=3, norm="batch", init_type="normal", init_gain=0.02):
    """A discriminator, not yet initialised."""
    return small_discriminator(input_nc, ndf, netD, norm)
