"""What the plots of a search and of a report share."""
import io


def draw(paint):
    """A matplotlib plot as SVG text; `paint` gets the axes."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams["svg.hashsalt"] = "report"  # the same page of the same figures
    shown, axes = pyplot.subplots(figsize=(5, 3.4), constrained_layout=True)
    paint(axes)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    text = io.StringIO()
    shown.savefig(text, format="svg", metadata={"Date": None})
    pyplot.close(shown)
    return text.getvalue()


def macs_axis(axes):
    """Make the x axis of a finished plot one of giga-MACs: logarithmic, in plain numbers that do not overlap."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    axes.set(xlabel="MACs (G)", xscale="log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(MaxNLocator(5) if high < 5 * low else LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
