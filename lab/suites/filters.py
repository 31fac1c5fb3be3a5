"""The two printers agree: for every policy, `compile | tc -batch` and `apply` make the kernel hold the same filters.

Compared are the kernel's own dumps: chains, prios, handles, keys, masks, actions and cookies.
"""
import re
import shlex

import policy
import state
from net import namespaces
from suite import Settings, case


def arguments(path):
    """A policy that needs arguments names them in its first line: `# args: --on eth0 --hook ingress`.
    Returns them, and apart from them the addresses that `compile` has to be told and `apply` finds on the devices."""
    first = path.read_text().partition("\n")[0]
    words = iter(shlex.split(first.partition("args:")[2]) if first.startswith("# args:") else [])
    args, addresses = [], []
    for word in words:
        if word == "--address":
            addresses.append(next(words).split("=", 1))
        elif word == "--iproute2":
            next(words)
        else:
            args.append(word)
    return args, addresses


def devices(script):
    """All devices that a script names, to attach to or to send to."""
    # comments may hold a rule's words, which name devices too
    lines = [line for line in script.splitlines() if not line.lstrip().startswith("#")]
    return sorted(set(re.findall(r"\b(?:dev|indev) (\S+)", "\n".join(lines))))


def make_devices(ns, names):
    lines = []
    for name in names:
        if name != "lo":
            lines += [f"link add {name} type dummy", f"link set {name} up"]
    ns.ip(*lines)


def compare(path):
    args, addresses = arguments(path)
    with namespaces("script", "apply", ipv6=True) as (by_script, by_apply):
        told = [f"--address={device}={address}" for device, address in addresses]
        script = policy.ctpolicy(by_script, "compile", path, *args, *told).stdout
        names = devices(script)
        assert names, "the script names no device"
        for ns in (by_script, by_apply):
            make_devices(ns, names)
        by_script.tc(script)
        for device, address in addresses:
            by_apply.ip(f"addr add {address} dev {device} nodad" if ":" in address else f"addr add {address} dev {device}")
        policy.ctpolicy(by_apply, "apply", path, *args)
        left, right = state.filters(by_script), state.filters(by_apply)
        assert any(left.values()), "the script left no filter"
        found = state.difference("script", "\n".join(f"{k}\n{v}" for k, v in left.items()),
                                 "apply", "\n".join(f"{k}\n{v}" for k, v in right.items()))
        assert not found, f"the dumps differ in {found}"
        assert state.qdiscs(by_script) == state.qdiscs(by_apply), (state.qdiscs(by_script), state.qdiscs(by_apply))


def all_policies():
    """Examples, and the compiler's test policies that have a golden script."""
    found = sorted((Settings.repo / "examples/policies").glob("*.pol"))
    found += [path for path in sorted((Settings.repo / "tests/compile").rglob("*.pol")) if path.with_suffix(".tc").exists()]
    # scripts for a newer tc than the machine's are compared as text only
    return [path for path in found if "--iproute2" not in arguments(path)[0]]


def applied(path):
    """A policy whose script is for a newer tc than the guest's, which `compile` says unless told: it is applied only."""
    args, _ = arguments(path)
    with namespaces("apply") as (ns,):
        make_devices(ns, devices(path.with_suffix(".tc").read_text()))
        refused = policy.ctpolicy(ns, "compile", path, *args, check=False)
        assert refused.returncode == 1 and "--iproute2" in refused.stderr, refused
        policy.ctpolicy(ns, "apply", path, *args)
        assert any(state.filters(ns).values()), "apply left no filter"


def run(path):
    first = path.read_text().partition("\n")[0]
    (applied if "--iproute2" in first else compare)(path)


for _path in all_policies():
    case(f"{_path.relative_to(Settings.repo)}")(lambda path=_path: run(path))
