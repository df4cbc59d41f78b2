"""Older spellings of flags and values, from earlier versions of upstream, Pix2PixHD, and SPADE."""

# older flag -> today's flag
FLAGS = {"--batchSize": "--batch_size", "--fineSize": "--crop_size", "--how_many": "--num_test",
         "--loadSize": "--load_size", "--nThreads": "--num_threads", "--niter": "--n_epochs",
         "--niter_decay": "--n_epochs_decay", "--preprocess_mode": "--preprocess",
         "--resize_or_crop": "--preprocess", "--which_direction": "--direction",
         "--which_epoch": "--epoch", "--which_model_netD": "--netD", "--which_model_netG": "--netG"}
# older flag without a value -> today's arguments
SWITCHES = {"--no_lsgan": ("--gan_mode", "vanilla")}
# older flag whose value had no effect in upstream
WITHOUT_EFFECT = {"--ntest": "--num_test"}
# (flag, older value) -> today's value
VALUES = {("--norm", "sync_batch"): "syncbatch"}


def modernize(arguments):
    """Replace older spellings in the arguments of a command line.

    Args:
        arguments: the arguments, as ``--flag value`` or ``--flag=value``.

    Returns:
        The arguments in today's spelling, and one line for every replacement.
    """
    modern, notes = [], []
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if flag in WITHOUT_EFFECT:
            if not equals:
                next(rest, None)
            notes.append(f"{flag} has no effect, as in upstream; {WITHOUT_EFFECT[flag]} limits the images")
            continue
        if argument in SWITCHES:
            modern += SWITCHES[argument]
            notes.append(f"{argument} is an older spelling of {' '.join(SWITCHES[argument])}")
            continue
        if flag in FLAGS:
            notes.append(f"{flag} is an older spelling of {FLAGS[flag]}")
            flag = FLAGS[flag]
            argument = f"{flag}{equals}{value}"
        previous = modern[-1] if modern else ""
        owner, given = (flag, value) if equals else (previous, argument)
        if (owner, given) in VALUES:
            notes.append(f"{owner} {given} is an older spelling of {owner} {VALUES[owner, given]}")
            argument = f"{owner}={VALUES[owner, given]}" if equals else VALUES[owner, given]
        modern.append(argument)
    return modern, notes
