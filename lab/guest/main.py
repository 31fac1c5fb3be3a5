"""Guest side of the lab: load the kernel modules, then run what job.json asks for, and leave the exit code."""
import ctypes
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

RESULTS = Path("/lab-results")
MODULES = Path("/lab-modules")
SYS_FINIT_MODULE = 313  # x86-64

libc = ctypes.CDLL(None, use_errno=True)


def load_modules():
    """Load all modules of the lab. The kernel may load none by itself (kernel.modprobe), so this alone decides."""
    for name in (MODULES / "lab.order").read_text().split():
        with open(MODULES / name, "rb") as module:
            if libc.syscall(SYS_FINIT_MODULE, module.fileno(), b"", 0) != 0:
                print(f"lab: cannot load {name}: {os.strerror(ctypes.get_errno())}", flush=True)


def run(job):
    Path("/proc/sys/kernel/modprobe").write_text("/bin/false\n")
    if job["shell"]:
        load_modules()
        cwd = job["cwd"] if os.path.isdir(job["cwd"]) else "/"
        return subprocess.run(["sh", "-c", job["shell"]], cwd=cwd).returncode
    sys.path[:0] = [str(Path(job["repo"]) / "lab" / "guest"), str(Path(job["repo"]) / "lab" / "suites")]
    if job["script"]:
        load_modules()
        return subprocess.run([sys.executable, "-B", job["script"]], cwd="/",
                              env={**os.environ, "PYTHONPATH": sys.path[0]}).returncode
    import suite
    return suite.run_all(job, load_modules)


def main():
    sys.stdout.reconfigure(line_buffering=True)
    try:
        code = run(json.loads((RESULTS / "job.json").read_text()))
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    (RESULTS / "exit").write_text(str(code))


main()
