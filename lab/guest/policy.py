"""Ways to enforce a policy in a namespace.

apply   ctpolicy apply FILE
script  ctpolicy compile FILE | tc -batch -      (the machine's own tc)
"""
import itertools
import textwrap
from pathlib import Path

BINARY = "ctpolicy"
journal = []  # commands and policies of the running case, shown when it fails
files = itertools.count(1)


def write(text, name=None):
    """The policy in a file of its own."""
    folder = Path("/run/lab")
    folder.mkdir(exist_ok=True)
    path = folder / (name or f"policy-{next(files)}.pol")
    path.write_text(textwrap.dedent(text).strip() + "\n")
    journal.append(f"# {path}\n{path.read_text()}")
    return path


def ctpolicy(ns, *argv, check=True, input=None):
    done = ns.run(BINARY, *argv, check=check, input=input)
    journal.append(f"$ ctpolicy {' '.join(map(str, argv))}: exit {done.returncode}\n{done.stderr}")
    return done


def enforce(ns, text, way, compile_args=()):
    """Make the namespace hold this policy. compile_args: what only `compile` has to be told (--address DEV=ADDR)."""
    path = write(text)
    if way == "apply":
        ctpolicy(ns, "apply", path)
    elif way == "script":
        script = ctpolicy(ns, "compile", path, *compile_args).stdout
        journal.append(f"# script\n{script}")
        ns.tc(script)
    else:
        raise ValueError(way)
