"""Takes out of three wheels what a CPU program needs of libtorch.

usage: unpack.py DEST TORCH_WHEEL CUPTI_WHEEL CUDART_WHEEL

DEST gets `lib`, `include` and `licenses`. Python's zipfile checks the CRC of every file that it reads.
"""

import errno
import os
import shutil
import sys
import zipfile

LIBRARIES = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcupti.so.13", "libcudart.so.13"}
HEADER = "include/torch/csrc/api/include/torch/torch.h"


def destination(wheel, name):
    """Path under DEST for a member of a wheel; None for what is not needed."""
    folder, _, base = name.rpartition("/")
    if not base:
        return None
    if base in LIBRARIES and folder in ("torch/lib", "nvidia/cu13/lib"):
        return "lib/" + base
    if name.startswith("torch/include/"):
        return name[len("torch/") :]
    if ".dist-info/" in name and "icense" in name:
        package = name.split(".dist-info/")[0]
        if wheel == "torch":
            return "licenses/" + name.split("/licenses/", 1)[1] if "/licenses/" in name else None
        return "licenses/" + package + ".txt"
    return None


def unpack(dest, wheel, path):
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            relative = destination(wheel, name)
            if relative is None or ".." in relative.split("/"):
                continue
            target = os.path.join(dest, *relative.split("/"))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with archive.open(name) as source, open(target, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)


def main():
    dest, *paths = sys.argv[1:]
    for wheel, path in zip(("torch", "cupti", "cudart"), paths):
        unpack(dest, wheel, path)
    missing = sorted(n for n in LIBRARIES if not os.path.isfile(os.path.join(dest, "lib", n)))
    if not os.path.isfile(os.path.join(dest, HEADER)):
        missing.append(HEADER)
    if missing:
        sys.exit("not in the wheels: " + ", ".join(missing))
    for name in LIBRARIES:
        os.chmod(os.path.join(dest, "lib", name), 0o755)


try:
    main()
except OSError as error:
    if error.errno == errno.ENOSPC:
        sys.exit("No space left on device")
    raise
