"""Writes files as ``torch.save`` does, and similar ones."""
import io
import warnings
import zipfile
from functools import lru_cache

import torch

from compression import build_generator

UNREADABLE = "not a readable checkpoint of tensors and plain data"
CODE = "holds Python objects, which are never run"


@lru_cache
def weights():
    """Return the state dict of a small generator."""
    return build_generator("resnet_6blocks", ngf=2).state_dict()


def saved(value, **settings):
    """Return the bytes that ``torch.save`` writes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about quantized tensors
        torch.save(value, buffer, **settings)
    return buffer.getvalue()


def legacy(value):
    return saved(value, _use_new_zipfile_serialization=False)


@lru_cache
def complete():
    return saved(weights())


def rewritten(data, change, compression=zipfile.ZIP_STORED, comment=b""):
    """Rewrite the zip archive `data`; `change` is applied to its list of (name, bytes)."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = change([(name, archive.read(name)) for name in archive.namelist()])
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as archive:
        warnings.simplefilter("ignore")  # about duplicate names
        for name, content in entries:
            archive.writestr(name, content)
        archive.comment = comment
    return buffer.getvalue()


def torch_zip(entries):
    """A zip archive as ``torch.save`` writes it."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")  # about duplicate names
        for name, content in entries:
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def with_pickle(pickled):
    """A file of ``torch.save`` whose pickle is replaced, with one storage of four values."""
    return torch_zip([("data.pkl", pickled), ("data/0", bytes(16))])
