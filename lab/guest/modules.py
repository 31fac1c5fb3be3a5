"""Kernel modules: all of the lab's, or fewer for the cases that need a poorer kernel.

The guest's kernel may load none by itself (kernel.modprobe is /bin/false), so what is loaded here is what there is.
"""
import ctypes
import errno
import os
from pathlib import Path

MODULES = Path("/lab-modules")
SYS_FINIT_MODULE = 313  # x86-64

libc = ctypes.CDLL(None, use_errno=True)


def load_one(name):
    with open(MODULES / f"{name}.ko", "rb") as module:
        if libc.syscall(SYS_FINIT_MODULE, module.fileno(), b"", 0) != 0 and ctypes.get_errno() != errno.EEXIST:
            raise OSError(ctypes.get_errno(), f"cannot load {name}: {os.strerror(ctypes.get_errno())}")


def load(without=()):
    """Load the lab's modules in their order, leaving some out. Those that are loaded already stay."""
    for name in (MODULES / "lab.order").read_text().split():
        if name not in without:
            load_one(name)
