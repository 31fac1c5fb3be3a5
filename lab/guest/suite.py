"""Cases and their runner. A suite is a module of lab/suites with functions marked by @case.

A case that takes `way` runs once for each way to enforce a policy (see policy.py). A case that raises has
failed; the suite goes on. Nothing is skipped: what runs one way only says so in its title.
"""
import importlib
import inspect
import re
import signal
import time
import traceback
from pathlib import Path

import modules
import net
import policy

CASE_TIMEOUT = 180  # s

cases = []


class Settings:
    """What lab/run was asked for, for the suites to read."""
    repo = binary = results = None
    count = None
    verbose = False


class Timeout(Exception):
    pass


def case(title, ways=("apply", "script"), before_modules=False, timeout=CASE_TIMEOUT):
    """Register a case. before_modules: run it before any module is loaded; it loads what it needs by modules.load."""
    def register(function):
        takes_way = "way" in inspect.signature(function).parameters
        for way in (ways if takes_way else (None,)):
            cases.append((function.__module__, title, way, function, before_modules, timeout))
        return function
    return register


def ring(*_):
    raise Timeout("timed out")


def describe(namespaces):
    """What the kernel holds in these namespaces, for the engineer who reads about a failed case."""
    out = []
    for ns in namespaces:
        links = ns.tool("ip", "-o", "link", check=False).stdout
        for dev in [line.split(":")[1].split("@")[0].strip() for line in links.splitlines()]:
            for hook in ("ingress", "egress"):
                dump = ns.tool("tc", "-s", "-d", "filter", "show", "dev", dev, hook, check=False).stdout
                if dump.strip():
                    out.append(f"# {ns.name} {dev} {hook}\n{dump}")
        for command in (["tc", "qdisc"], ["ip", "-s", "link"], ["conntrack", "-L", "-o", "extended,labels"]):
            out.append(f"# {ns.name}: {' '.join(command)}\n{ns.tool(*command, check=False).stdout}")
    return "\n".join(out)


def explain(error):
    """The message, and the suite's own line where it happened."""
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        if "/suites/" in frame.filename:
            place = f"{Path(frame.filename).name}:{frame.lineno}: {frame.line}\n"
    return place + (f"{type(error).__name__}: " if not isinstance(error, AssertionError) else "") + str(error)


def run_case(entry):
    module, title, way, function, _, timeout = entry
    name = f"{module}: {title}" + (f" [{way}]" if way else "")
    policy.journal.clear()
    signal.signal(signal.SIGALRM, ring)
    signal.alarm(timeout)
    start = time.monotonic()
    try:
        function(way) if way else function()
        signal.alarm(0)
        print(f"ok   {name} ({time.monotonic() - start:.1f} s)", flush=True)
        return True
    except Exception as error:
        signal.alarm(0)
        took = time.monotonic() - start
        file = Settings.results / (re.sub(r"\W+", "-", name) + ".txt")
        detail = explain(error).rstrip()
        # error.state: what describe() found while the namespaces were still there
        file.write_text(f"{name}\n\n{traceback.format_exc()}\n{getattr(error, 'state', '')}\n" + "\n\n".join(policy.journal))
        print(f"FAIL {name} ({took:.1f} s)\n" + "\n".join(f"     {line}" for line in detail.splitlines())
              + f"\n     more: {file.name}", flush=True)
        if Settings.verbose:
            print(file.read_text())
        return False
    finally:
        signal.alarm(0)
        for ns in list(net.Namespace.living.values()):
            ns.close()


def run_all(job):
    Settings.repo, Settings.binary, Settings.results = Path(job["repo"]), job["bin"], Path("/lab-results")
    Settings.count, Settings.verbose = job["count"], job["verbose"]
    policy.BINARY = job["bin"]
    net.describe = describe
    net.name_labels()
    for name in job["suites"]:
        importlib.import_module(name)
    # A suite may import from another one; its cases run only if it was asked for.
    chosen = [entry for entry in cases if entry[0] in job["suites"] and job["match"] in entry[1]]
    if job["ways"]:
        chosen = [entry for entry in chosen if entry[2] in (*job["ways"], None)]
    chosen = [entry for entry in chosen for _ in range(job["repeat"])]
    passed = dict.fromkeys(job["suites"], 0)
    failed = dict.fromkeys(job["suites"], 0)
    for early in (True, False):
        if not early:
            modules.load()
        for entry in chosen:
            if entry[4] == early:
                (passed if run_case(entry) else failed)[entry[0]] += 1
    for suite in job["suites"]:
        if passed[suite] + failed[suite] == 0:
            print(f"FAIL {suite}: no case ran")
            failed[suite] += 1
        print(f"{'ok  ' if not failed[suite] else 'FAIL'} suite {suite}: {passed[suite]} passed, {failed[suite]} failed")
    total, bad = sum(passed.values()) + sum(failed.values()), sum(failed.values())
    print(f"{total} cases, {total - bad} passed, {bad} failed")
    return 1 if bad else 0
