"""Files that two readers could understand differently, and small files that take much memory or time."""
import pickle

import numpy as np
import torch

from .writing import CODE, UNREADABLE, complete, legacy, rewritten, saved, torch_zip, with_pickle


def second_directory():
    """A file whose first directory leads to other weights than its last one."""
    first = torch_zip([("data.pkl", pickle.dumps({}, 2))])
    return first + complete()


def moved_directory():
    """A file whose end declares the directory 100 bytes too far, so that readers look in different places."""
    data = bytearray(torch_zip([("data.pkl", pickle.dumps({}, 2))]))
    data[-6:-2] = (int.from_bytes(data[-6:-2], "little") + 100).to_bytes(4, "little")
    return bytes(data)


def hidden_between():
    """A file with bytes between its last entry and its directory, and an end that accounts for them."""
    data = bytearray(torch_zip([("data.pkl", pickle.dumps({}, 2))]))
    start = int.from_bytes(data[-6:-2], "little")
    data[-6:-2] = (start + 1000).to_bytes(4, "little")
    return bytes(data[:start] + bytes(1000) + data[start:])


def other_local_name():
    data = torch_zip([("data.pkl", pickle.dumps({}, 2)), ("data/0", b"")])
    return data.replace(b"data.pkl", b"DATA.PKL", 1)  # the header of the entry, not the directory


def old_parts(keys, items=4, end=b""):
    """A file of the old format with one tensor of four values, but these keys and numbers of values."""
    data = legacy({"model.1.weight": torch.ones(4)})
    start = data.rindex(b".\x80\x02]") + 1
    (name,) = pickle.loads(data[start:])
    keys = [name if key == "own" else key for key in keys]
    values = b"".join(items.to_bytes(8, "little") + np.ones(4, np.float32).tobytes() for _ in keys)
    return data[:start] + pickle.dumps(keys, 2) + values + end


def nested(opcodes, levels):
    """A pickle that contains the part before it twice on each level."""
    pickled = b"\x80\x02" + opcodes[0] + b"q\x00"
    for _ in range(levels):
        pickled += b"0h\x00h\x00" + opcodes[1] + b"q\x00"
    return pickled


def codecs_bomb():
    """A pickle of 300 bytes that encodes a text in hexadecimal digits again and again."""
    call = b"c_codecs\nencode\nq\x01X\x04\x00\x00\x00abcdX\x03\x00\x00\x00hex\x86R"
    return b"\x80\x02" + b"c_codecs\nencode\n" * 20 + call + b"X\x03\x00\x00\x00hex\x86R" * 20 + b"."


def flood(opcode, count, before=b"", after=b""):
    """A pickle of many equal instructions."""
    return with_pickle(b"\x80\x02" + before + opcode * count + after + b".")


def tensor_in_place_of(arguments):
    """A pickle that has a large tensor where a tuple of `arguments` belongs, and would split it."""
    storage = (b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
               b"X\x03\x00\x00\x00cpuJ\x00\x00\x02\x00tQ")
    tensor = (b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage
              + b"K\x00J\x00\x00\x02\x00\x85K\x01\x85\x89NtR")
    pickled = b"\x80\x02" + arguments.replace(b"TENSOR", tensor) + b"."
    return torch_zip([("data.pkl", pickled), ("data/0", bytes(4 * 2 ** 17))])


def many_entries():
    """A file with a directory of 3 MB."""
    return torch_zip([("data.pkl", pickle.dumps({}, 2)),
                      *((f"{i}".ljust(4000, "x"), b"") for i in range(800))])


def shared(count):
    """A state dict of tensors with the same values."""
    values = torch.zeros(100_000)
    return saved({f"a{i}": values for i in range(count)})


ARCHIVES = {
    "names that differ in case": (lambda: rewritten(complete(), lambda e: [
        *e, (e[0][0].upper(), pickle.dumps({}, 2))]), "1 duplicate"),
    "two directories": (second_directory, "not where it should be"),
    "directory moved": (moved_directory, UNREADABLE),
    "bytes in front": (lambda: b"PK\x03\x04" + bytes(60) + complete(), UNREADABLE),
    "bytes before the directory": (hidden_between, "other data behind its entries"),
    "bytes at the end": (lambda: complete() + bytes(30), "other data at its end"),
    "other name in front of an entry": (other_local_name, "differ from those in its directory"),
    "old format, values missing": (lambda: old_parts([]), "missing or occur twice"),
    "old format, values of another tensor": (lambda: old_parts(["x"]), "missing or occur twice"),
    "old format, values twice": (lambda: old_parts(["own", "own"]), "missing or occur twice"),
    "old format, fewer values": (lambda: old_parts(["own"], items=3), "the file has 3 for it"),
    "old format, bytes at the end": (lambda: old_parts(["own"], end=b"x"), "other data at its end"),
}
BOMBS = {
    "texts in hexadecimal digits": (lambda: with_pickle(codecs_bomb()), CODE),
    "tuples of tuples": (lambda: with_pickle(nested((b")", b"\x86"), 45) + b"."), "repeats its values"),
    "tuples of tuples as a name": (
        lambda: with_pickle(b"\x80\x02}" + nested((b")", b"\x86"), 60)[2:] + b"Ns."), "neither text"),
    "a list that contains itself": (lambda: with_pickle(b"\x80\x02]q\x00h\x00a."), "more than 50 levels"),
    "values shared by 1,000 tensors": (lambda: shared(1000), "share their values"),
    "integer of 10,000 bytes": (
        lambda: with_pickle(b"\x80\x02\x8a" + bytes([200]) + bytes(200) + b"."), "an integer of 200 bytes"),
    "marks in marks": (lambda: flood(b"(", 2_000_000), "more than 50 levels"),
    "a list of two million lists": (lambda: flood(b"]", 2_000_000, b"](", b"e"), "more than 131072 lists"),
    "a text of 1 MB, 1,000 times": (
        lambda: flood(b"h\x01", 1000, b"X" + (2 ** 20).to_bytes(4, "little") + b"a" * 2 ** 20 + b"q\x010](",
                      b"e"), "repeats its values"),
    "a tensor in place of a storage": (lambda: tensor_in_place_of(b"TENSORQ"), "in the place of a tuple"),
    "a tensor in place of a pair": (lambda: tensor_in_place_of(b"ccollections\nOrderedDict\n](TENSORe\x85R"),
                                    "in the place of a pair"),
    "a directory of 3 MB": (many_entries, "its directory has"),
    "pickle of 5 MB": (lambda: with_pickle(b"\x80\x02" + b"]" * 5_000_000 + b"."), "more than 2097152"),
}
