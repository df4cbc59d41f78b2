"""Options of the data sets, without a command line."""
from types import SimpleNamespace


def data_options(root, **changes):
    """Return what the paired and single image data sets read of the options, with changes."""
    defaults = {"dataroot": str(root), "phase": "train", "dataset_mode": "aligned", "direction": "AtoB",
                "input_nc": 3, "output_nc": 3, "preprocess": "none", "load_size": 16, "crop_size": 16,
                "no_flip": True, "max_dataset_size": float("inf"), "seed": 0, "serial_batches": True,
                "batch_size": 2, "num_threads": 0, "isTrain": True, "search_split": 0.0, "split_seed": None}
    return SimpleNamespace(**{**defaults, **changes})
