"""Checkpoints of originals for ``test.py --input``: unusual, broken and malicious ones."""
import io
import pickle
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from functools import partial

import numpy as np
import torch

from .archives import ARCHIVES, BOMBS
from .harness import EITHER, HANDLED, Case
from .images import encoded
from .writing import CODE, UNREADABLE, complete, legacy, rewritten, saved, weights, with_pickle

NO_STATE = "holds no state dict"


def quantized():
    """A quantized tensor, which PyTorch deprecates with a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.quantize_per_tensor(torch.zeros(2), 1.0, 0, torch.qint8)


def state(**changes):
    """A file of the weights with some entries changed, or removed where the value is None."""
    entries = {**weights(), **{key.replace("__", "."): value for key, value in changes.items()}}
    return saved({key: value for key, value in entries.items() if value is not None})


class Payload:
    """An object whose pickle calls `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def touch(folder):
    """Return source code that creates the file ``ran``."""
    return f"open({str(folder / 'ran')!r}, 'w')"


def touch_command(folder):
    """A shell command that creates the file ``ran``."""
    return b"touch " + str(folder / "ran").encode()


def attribute_of_a_module():
    """A pickle that gets ``os.system`` by ``getattr``."""
    return pickle.dumps({"a": Payload(getattr, Payload(__import__, "os"), "system")}, 4)


def claiming(size, stride=None, items=4, key="0"):
    """Write a state dict of one tensor with the given shape, strides, and number of stored values."""
    class Claim:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (Stored(), 0, size, stride or (1,) * len(size), False,
                                                     OrderedDict())

    class Stored:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return ("storage", torch.FloatStorage, key, "cpu", items) if isinstance(value, Stored) else None

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump({"model.1.weight": Claim()})
    return with_pickle(buffer.getvalue())


def tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("storages", "tensors", "pickle"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
    return buffer.getvalue()


def script():
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(torch.nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 4, 4)), buffer)
    return buffer.getvalue()


def npz():
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.zeros(3))
    return buffer.getvalue()


def flipped(data, share):
    position = int(len(data) * share)
    return data[:position] + bytes([data[position] ^ 0x04]) + data[position + 1:]


def shrunk(dtype):
    return saved({key: value.to(dtype) for key, value in weights().items()})


def first_share(share):
    """The beginning of a file of the old format."""
    data = legacy(weights())
    return data[:int(len(data) * share)]


def zip_bomb():
    """A file with a compressed entry of 50 MB of zeros."""
    bomb = ("archive/data/bomb", bytes(50_000_000))
    return rewritten(complete(), lambda entries: [*entries, bomb], zipfile.ZIP_DEFLATED)


def block_number(digits):
    """A file with a residual block of that number."""
    return state(**{f"model__{digits}__conv_block__1__weight": torch.zeros(1)})


FIRST = "model.1.weight"
PAYLOADS = {  # how foreign code would run -> a function (folder) -> bytes of the file
    "exec in a zip file": lambda f: saved(Payload(exec, touch(f))),
    "exec in an old file": lambda f: legacy(Payload(exec, touch(f))),
    "exec next to weights": lambda f: saved({**weights(), "model.2.weight": Payload(exec, touch(f))}),
    "eval": lambda f: saved({"a": Payload(eval, touch(f))}),
    "exec in a bare pickle": lambda f: pickle.dumps(Payload(exec, touch(f))),
    "os.system by name": lambda f: with_pickle(b"cos\nsystem\n(S'" + touch_command(f) + b"'\ntR."),
    "an instance (INST)": lambda f: with_pickle(b"(S'" + touch_command(f) + b"'\nios\nsystem\n."),
    "an object (OBJ)": lambda f: with_pickle(b"(cos\nsystem\nS'" + touch_command(f) + b"'\no."),
    "in old Python's builtins":
        lambda f: with_pickle(b"c__builtin__\nexec\n(V" + touch(f).encode() + b"\ntR."),
    "a protocol 4 name": lambda f: with_pickle(pickle.dumps(Payload(exec, touch(f)), 4)),
    "through an attribute": lambda f: with_pickle(attribute_of_a_module()),
    "a whole module": lambda f: saved(torch.nn.Conv2d(3, 3, 1)), "a function": lambda f: saved({"a": print}),
    "numpy arrays": lambda f: saved({"a": np.zeros(3)}),
    "behind the magic number": lambda f: legacy({})[:14] + pickle.dumps(Payload(exec, touch(f)))}
FILES = {  # what is wrong -> a function () -> bytes of the file, the error message
    "half precision": (partial(shrunk, torch.float16), HANDLED),
    "bfloat16": (partial(shrunk, torch.bfloat16), HANDLED),
    "double precision": (partial(shrunk, torch.float64), HANDLED),
    "old format": (lambda: legacy(weights()), HANDLED),
    "module. prefix": (lambda: saved({f"module.{key}": value for key, value in weights().items()}), HANDLED),
    "parameters": (lambda: saved({k: torch.nn.Parameter(v) for k, v in weights().items()}), HANDLED),
    "views of larger tensors":
        (lambda: state(model__1__weight=torch.stack([weights()[FIRST]] * 2)[1]), HANDLED),
    "empty": (lambda: b"", "is empty"), "text": (lambda: b"weights", UNREADABLE),
    "a page of a failed download": (lambda: b"<!DOCTYPE html>", UNREADABLE),
    "an image": (encoded, UNREADABLE), "npz": (npz, UNREADABLE), "tar (torch before 0.2)": (tar, UNREADABLE),
    "TorchScript": (script, UNREADABLE),
    "safetensors": (lambda: (16).to_bytes(8, "little") + b'{"a":{"dtype":1}}', UNREADABLE),
    "zeros": (lambda: bytes(1000), UNREADABLE),
    "only a zip header": (lambda: b"PK\x03\x04", UNREADABLE),
    "zip without a pickle": (lambda: rewritten(complete(), lambda e: e[1:]), "0 entries data.pkl"),
    **{f"first {share:.0%}": (partial(lambda s: complete()[:int(len(complete()) * s)], share), UNREADABLE)
       for share in (0.01, 0.1, 0.5, 0.9, 0.99)},
    "last byte missing": (lambda: complete()[:-1], UNREADABLE),
    **{f"first {share:.0%} of the old format": (partial(first_share, share), UNREADABLE)
       for share in (0.001, 0.1, 0.9)},
    **{f"bit flipped at {share:.0%}": (partial(lambda s: flipped(complete(), s), share), EITHER)
       for share in np.arange(0.03, 1, 0.08)},
    **{f"bit flipped at {share:.0%} of the old format":
       (partial(lambda s: flipped(legacy(weights()), s), share), EITHER)
       for share in np.arange(0.02, 1, 0.14)},
    "compressed (zip bomb)": (zip_bomb, "its entries are compressed"),
    "double entries": (lambda: rewritten(complete(), lambda e: [*e, e[0]]), "1 duplicate"),
    "zip comment": (lambda: rewritten(complete(), lambda e: e, comment=b"PK"), "with a comment"),
    **ARCHIVES, **BOMBS,
    "record shorter than its tensor": (
        lambda: rewritten(complete(), lambda e: [(n, c[:8] if "/data/" in n else c) for n, c in e]),
        "a tensor declares"),
    "record missing": (
        lambda: rewritten(complete(), lambda e: [(n, c) for n, c in e if not n.endswith("/data/0")]),
        "the file has 0 for it"),
    "a tensor of a terabyte": (lambda: claiming((2 ** 38,), items=2 ** 38),
                               "a tensor declares 1099511627776 bytes"),
    "expanded strides": (lambda: claiming((10 ** 6, 10 ** 6), (0, 0)),
                         "declares more values than the 4 stored"),
    "strides outside": (lambda: claiming((2, 2), (100, 1)), "declares more values than the 4 stored"),
    "negative size": (lambda: claiming((-1, 4)), "an impossible tensor"),
    "negative stride": (lambda: claiming((4,), (-1,)), "an impossible tensor"),
    "size beyond 64 bits": (lambda: claiming((2 ** 70,)), "an impossible tensor"),
    "no values in huge rows": (lambda: claiming((0, 2 ** 59, 2 ** 59)), "an impossible tensor"),
    "size of text": (lambda: claiming(("4",)), "an impossible tensor"),
    "negative number of values": (lambda: claiming((1,), items=-1), "not a tensor"),
    "key outside the archive": (lambda: claiming((4,), key="../x"), "the file has 0"),
    "array of 100 GB by a call": (lambda: with_pickle(b"cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR."), CODE),
    "memo of four billion": (lambda: with_pickle(b"\x80\x02}r\xff\xff\xff\xff."), NO_STATE),
    "text of 2**60 bytes": (
        lambda: with_pickle(b"\x80\x04\x8d" + (2 ** 60).to_bytes(8, "little") + b"a."), UNREADABLE),
    "nested 10,000 deep": (lambda: with_pickle(b"\x80\x02" + b"]" * 10_000 + b"a" * 9_999 + b"."),
                            "nested in more than 50 levels"),
    "sparse": (lambda: state(**{"model__1__weight": torch.zeros(2, 2).to_sparse()}), "sparse tensors"),
    "meta": (lambda: state(**{"model__1__weight": torch.zeros(2, device="meta")}), "empty meta tensors"),
    "complex": (lambda: state(model__1__weight=torch.zeros(2, dtype=torch.complex64)), "ComplexFloatStorage"),
    "quantized": (lambda: state(**{"model__1__weight": quantized()}), "QInt8Storage"),
    "whole numbers": (lambda: state(**{"model__1__weight": weights()[FIRST].to(torch.int32)}),
                      f"not floating-point numbers: {FIRST}"),
    "truth values": (lambda: state(**{"model__1__weight": weights()[FIRST] > 0}),
                     "not floating-point numbers"),
    "NaN": (lambda: state(model__1__weight=weights()[FIRST] * float("nan")), f"NaN or infinite: {FIRST}"),
    "infinite": (lambda: state(model__1__bias=weights()["model.1.bias"] + float("inf")), "NaN or infinite"),
    "a list": (lambda: saved([1, 2]), NO_STATE), "a tensor": (lambda: saved(torch.zeros(3)), NO_STATE),
    "nothing": (lambda: saved(None), NO_STATE),
    "no entries": (lambda: saved({}), NO_STATE), "numbers as names": (lambda: saved({1: torch.zeros(3)}),
                   NO_STATE),
    "names of tuples": (lambda: saved({(1, "a"): torch.zeros(3)}), "neither text nor an integer"),
    "text as weights": (lambda: saved({"a": "b"}), NO_STATE),
    "training state of another project": (lambda: saved({"epoch": 3, "state_dict": dict(weights())}),
                                          NO_STATE),
    "another network": (lambda: saved({"fc.weight": torch.zeros(3, 3)}),
                        "holds no generator of a known family"),
    "entry missing": (lambda: state(model__1__bias=None), "model"),
    "entry more": (lambda: state(model__99__weight=torch.zeros(3)), "entries unknown"),
    "other shape": (lambda: state(model__4__weight=torch.zeros(4, 2, 5, 5)), "of another shape"),
    "widths that multiply to terabytes": (lambda: state(model__1__weight=torch.zeros(10 ** 6, 1, 1, 1),
                                                        model__7__weight=torch.zeros(10 ** 6, 1, 1, 1)),
                                          "of another shape"),
    "scalar weights": (lambda: state(model__1__weight=torch.tensor(1.0)), "holds no generator"),
    "block number of twelve digits": (partial(block_number, "9" * 12), "holds no generator"),
    "first block after billions of strided convolutions": (
        lambda: saved({"model.1.weight": torch.zeros(2, 3, 7, 7),
                       f"model.{10 ** 12}.conv_block.1.weight": torch.zeros(1, 1, 1, 1)}),
        "holds no generator"),
    "block number of 5,000 digits": (partial(block_number, "9" * 5000), "holds no generator"),
    "spectral norm that does not fit": (
        lambda: state(a__weight_orig=torch.zeros(3, 4), a__weight_u=torch.zeros(5)), "spectral norm")}


def _input(data):
    """Write a run whose generator is the file, and an image to translate."""
    def make(folder):
        (folder / "ck" / "net").mkdir(parents=True)
        (folder / "ck" / "net" / "latest_net_G.pth").write_bytes(data(folder))
        (folder / "x.png").write_bytes(encoded())
        return ["--model", "test", "--name", "net", "--checkpoints_dir", folder / "ck", "--gpu_ids", "-1",
                "--input", folder / "x.png", "--output", folder / "out.png"]
    return make


CHECKPOINTS = [*(Case("checkpoint with code", name, "test", _input(data), UNREADABLE)
                 for name, data in PAYLOADS.items()),
               *(Case("checkpoint", name, "test", _input(lambda folder, data=data: data()), expected)
                 for name, (data, expected) in FILES.items())]
