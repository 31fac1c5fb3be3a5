"""When something is in the way, `apply` says so (exit code 4 for kernel and devices), what was enforced still is,
and nothing of the new policy is left behind: tc holds exactly what it held.
"""
import contextlib
import random
import shutil
import signal
import time

import modules
import policy
import state
from frames import tcp, udp
from net import namespaces
from suite import Settings, case
from wire import switch

A, B = "10.0.0.5", "198.51.100.9"

OLD = """
    policy in on eth0 ingress zone 5 {
        allow new udp to port 1, redirect to eth1
        default drop
    }
"""
NEW = """
    policy in on eth0 ingress zone 5 {
        allow new udp to port 2, redirect to eth1
        default drop
    }
"""


def old_enforced(net):
    net.passes("p0", "p1", udp(A, B, 4000, 1))
    net.drops("p0", [udp(A, B, 4000, 2), tcp(A, B, 4000, 1)])


@contextlib.contextmanager
def unchanged(net):
    """The old policy is live, and nothing that happens inside may change what tc holds."""
    policy.enforce(net.fw, OLD, "apply")
    old_enforced(net)
    before = state.snapshot(net.fw)
    yield
    found = state.difference("before", before, "after", state.snapshot(net.fw))
    assert not found, f"tc does not hold what it held: {found}"
    old_enforced(net)


def refuse(ns, *argv, code, says=None):
    """Run a command that must end with this exit code and say why on stderr, without a panic."""
    done = ns.run(*argv, check=False)
    policy.journal.append(f"$ {' '.join(map(str, argv))}: exit {done.returncode}\n{done.stderr}")
    assert done.returncode == code, f"exit {done.returncode}, not {code}\n{done.stderr}{done.stdout}"
    assert done.stderr.strip() and "panicked" not in done.stderr, f"says nothing useful: {done.stderr!r}"
    if says:
        assert says in done.stderr, f"does not mention {says}: {done.stderr}"
    return done


def apply(ns, text, code, says=None):
    return refuse(ns, policy.BINARY, "apply", policy.write(text), code=code, says=says)


# ---- kernels without flower or act_ct (before the lab loads them) -------------------------------


UNTRACKED = """
    policy in on d0 ingress {
        drop udp to port 1
        default allow
    }
"""
TRACKED = UNTRACKED.replace("d0 ingress", "d0 ingress zone 5")


@contextlib.contextmanager
def dummy():
    with namespaces("bare") as (ns,):
        ns.ip("link add d0 type dummy", "link set d0 up")
        yield ns


# What is loaded stays, so each case leaves out what the later ones must not find.
HELPER = {"nf_conntrack_ftp", "nf_nat_ftp"}


@case("a kernel without flower: exit 4, and no qdisc is left", before_modules=True)
def no_flower():
    modules.load(without={"cls_flower", "act_ct", "sch_ingress"} | HELPER)
    with dummy() as ns:
        before = state.snapshot(ns)
        apply(ns, UNTRACKED, 4)
        assert state.snapshot(ns) == before, state.snapshot(ns)
        modules.load(without={"cls_flower", "act_ct"} | HELPER)
        apply(ns, UNTRACKED, 4, "flower")
        assert state.snapshot(ns) == before, state.snapshot(ns)


@case("a kernel without act_ct: exit 4 for a tracked policy; the untracked one stays", before_modules=True)
def no_act_ct():
    modules.load(without={"act_ct"} | HELPER)
    with dummy() as ns:
        before = state.snapshot(ns)
        apply(ns, TRACKED, 4, "act_ct")
        assert state.snapshot(ns) == before, state.snapshot(ns)
        policy.enforce(ns, UNTRACKED, "apply")
        live = state.snapshot(ns)
        apply(ns, TRACKED, 4, "act_ct")
        assert not state.difference("before", live, "after", state.snapshot(ns))


@case("a kernel without the FTP helper: refused in the middle of loading, the old policy stays", before_modules=True)
def no_helper():
    modules.load(without=HELPER)
    with switch() as net, unchanged(net):
        apply(net.fw, NEW.replace("allow new udp to port 2,", "allow new tcp to port 21, helper ftp,"), 4)


# ---- with all modules --------------------------------------------------------------------------


@case("no privileges: exit 4")
def no_privileges():
    # a copy that anybody may execute, wherever the repository is
    copy = shutil.copy(policy.BINARY, "/run/lab-ctpolicy")
    with switch() as net, unchanged(net):
        refuse(net.fw, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all",
               copy, "apply", policy.write(NEW), code=4)


@case("a device that does not exist: exit 4")
def missing_device():
    with switch() as net, unchanged(net):
        apply(net.fw, NEW.replace("on eth0", "on eth7"), 4, "eth7")
        apply(net.fw, NEW.replace("to eth1", "to eth8"), 4, "eth8")
        # a good policy beside a bad one: none of it
        apply(net.fw, NEW + NEW.replace("policy in on eth0", "policy other on eth7"), 4, "eth7")


@case("a policy with errors: exit 1; a file that is not there: exit 3")
def bad_policy():
    with switch() as net, unchanged(net):
        apply(net.fw, NEW.replace("port 2", "port 70000"), 1)
        apply(net.fw, NEW.replace("zone 5", "zone nowhere"), 1)
        refuse(net.fw, policy.BINARY, "apply", "/run/lab/no-such.pol", code=3)


@case("a device whose qdisc is someone else's: exit 4, and their filters stay")
def foreign_qdisc():
    theirs = "protocol ip prio 7 handle 5 flower dst_ip 192.0.2.1 action drop"
    for qdisc, place in (("clsact", "ingress"), ("clsact", "egress"), ("ingress", "ingress"), ("ingress_block 77 clsact", None)):
        with switch(3) as net:
            net.fw.tc(f"qdisc add dev eth2 {qdisc}\n"
                      + (f"filter add dev eth2 {place} {theirs}\n" if place else f"filter add block 77 {theirs}\n"))
            with unchanged(net):
                apply(net.fw, NEW + NEW.replace("policy in on eth0", "policy other on eth2"), 4, "eth2")


@case("`remove` takes out what is ours and nothing else")
def remove():
    with switch(3) as net:
        net.fw.tc("qdisc add dev eth2 clsact\nfilter add dev eth2 ingress protocol ip prio 7 flower dst_ip 192.0.2.1 action drop\n")
        before = state.snapshot(net.fw)
        policy.enforce(net.fw, OLD, "apply")
        assert state.snapshot(net.fw) != before
        policy.ctpolicy(net.fw, "remove")
        found = state.difference("before", before, "after", state.snapshot(net.fw))
        assert not found, found


def large(port, rules):
    """A policy of many rules, so that loading it takes a while."""
    lines = "".join(f"        allow new udp from 10.{n // 250}.{n % 250}.0/24 to port {1000 + n}, redirect to eth1\n"
                    for n in range(rules))
    return (f"    policy in on eth0 ingress zone 5 {{\n        allow new udp from {A} to port {port}, redirect to eth1\n"
            f"{lines}        default drop\n    }}\n")


@case("kill -9 at any moment of an apply: old or new, never a mixture; the next apply leaves nothing behind", timeout=900)
def killed():
    rounds = Settings.count or 15
    random.seed(1)
    with switch() as net:
        old, new = policy.write(large(1, 300)), policy.write(large(2, 300))
        policy.ctpolicy(net.fw, "apply", old)
        start = time.monotonic()
        policy.ctpolicy(net.fw, "apply", new)
        takes = time.monotonic() - start
        clean = {}
        for number in range(rounds):
            policy.ctpolicy(net.fw, "apply", old)
            net.passes("p0", "p1", udp(A, B, 4000, 1))
            process = net.fw.start(policy.BINARY, "apply", new)
            time.sleep(random.uniform(0, takes))
            process.send_signal(signal.SIGKILL)
            process.wait()
            entries = {port: bool(fate(net, port)) for port in (1, 2)}
            assert sum(entries.values()) == 1, f"round {number}: ports allowed by old and new policy: {entries}"
            net.drops("p0", udp(A, B, 4000, 3))
            policy.ctpolicy(net.fw, "apply", old)
            net.passes("p0", "p1", udp(A, B, 4000, 1))
            net.drops("p0", udp(A, B, 4000, 2))
            assert len(state.generations(net.fw)) == 1, f"round {number}: chains of several generations: {state.generations(net.fw)}"
            clean[state.filters(net.fw).__str__().count("handle")] = number
        assert len(clean) == 1, f"the number of filters of the same policy differs: {clean}"


def fate(net, port):
    """Where a packet to this port comes out: p1 or nowhere; anything else is wrong."""
    net.drain()
    sent = net.inject("p0", udp(A, B, 4000, port))
    ends = [end for end, packet in net.arrivals(0.15) if packet.key == sent.key]
    assert ends in ([], ["p1"]), f"came out at {ends}"
    return ends
