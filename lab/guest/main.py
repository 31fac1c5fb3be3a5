"""Guest side of the lab: run what job.json asks for, and leave the exit code."""
import json
import os
import subprocess
import sys
import traceback
from pathlib import Path

import modules

RESULTS = Path("/lab-results")


def run(job):
    Path("/proc/sys/kernel/modprobe").write_text("/bin/false\n")
    lab = Path(job["repo"]) / "lab"
    sys.path.append(str(lab / "suites"))
    if job["shell"] or job["script"]:
        modules.load()
        cwd = job["cwd"] if os.path.isdir(job["cwd"]) else "/"
        argv = ["sh", "-c", job["shell"]] if job["shell"] else [sys.executable, "-B", job["script"]]
        env = {**os.environ, "PYTHONPATH": str(lab / "guest")}
        return subprocess.run(argv, cwd=cwd, env=env).returncode
    import suite
    return suite.run_all(job)


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
