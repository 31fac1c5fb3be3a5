"""Switching policies under traffic on two CPUs: the kernel's packet generator sends a flow through one, while the
other applies two policies in turn. Both allow the flow; they differ in the other rules. No packet may be lost, and
none may fall to another verdict.
"""
import json
import re
import subprocess
import time
from pathlib import Path

import modules
import policy
import state
from frames import udp
from net import mac
from suite import Settings, case
from wire import switch

ROUNDS = 260  # pairs of applies; lab/run --count changes it
A, B = "10.0.0.5", "198.51.100.9"
PAUSE = 20_000  # ns between packets: less would overrun the receiving side's queue, which is loss of another kind


class Flood:
    """pktgen: UDP from A port 9 to B port 9, out of p0, until stopped."""

    def __init__(self, net):
        self.net = net
        with net.wire:
            self.write("kpktgend_0", "rem_device_all")
            self.write("kpktgend_0", "add_device p0")
            for line in ("count 0", f"delay {PAUSE}", "pkt_size 60", f"dst {B}", f"src_min {A}", f"src_max {A}",
                         f"dst_mac {mac(1, 0)}", "udp_src_min 9", "udp_src_max 9", "udp_dst_min 9", "udp_dst_max 9"):
                self.write("p0", line)

    @staticmethod
    def write(file, line):
        # one write each, as the control files want it
        subprocess.run(["sh", "-c", 'echo "$1" > "/proc/net/pktgen/$2"', "sh", line, file], check=True)

    def __enter__(self):
        self.process = self.net.wire.start("sh", "-c", "echo start > /proc/net/pktgen/pgctrl")
        return self

    def __exit__(self, *_):
        with self.net.wire:
            self.write("pgctrl", "stop")
        self.process.wait(20)
        time.sleep(0.2)  # let what is on its way arrive
        report = self.net.wire.tool("cat", "/proc/net/pktgen/p0").stdout
        self.sent = int(re.search(r"pkts-sofar: (\d+)", report)[1])


def received(net, dev):
    """(packets that came in, packets that the queue before the policy dropped)"""
    links = json.loads(net.tool("ip", "-s", "-j", "link", "show", "dev", dev).stdout)
    return links[0]["stats64"]["rx"]["packets"]


def overruns():
    """Packets that the kernel's input queues dropped on any CPU, before any policy saw them."""
    return sum(int(line.split()[1], 16) for line in Path("/proc/net/softnet_stat").read_text().splitlines())


def tripwire(net):
    """Counts IPv4 packets that the policy on eth0 accepts to the stack instead of redirecting them."""
    net.fw.tool("nft", "add table netdev wire; add chain netdev wire in { type filter hook ingress device eth0 priority 0; }; "
                       "add rule netdev wire in ip daddr 198.51.100.9 counter")


def tripped(net):
    return int(re.search(r"counter packets (\d+)", net.fw.tool("nft", "list", "table", "netdev", "wire").stdout)[1])


def flood_through(net, policies, rounds):
    files = [policy.write(text) for text in policies]
    for file in files:
        policy.ctpolicy(net.fw, "apply", file)
    tripwire(net)
    before, lost_before = received(net.wire, "p1"), overruns()
    loop = 'n=0; while [ $n -lt "$4" ]; do "$1" apply "$2" && "$1" apply "$3" || exit 1; n=$((n+1)); done'
    with Flood(net) as flood:
        start = time.monotonic()
        # the generator's thread runs on CPU 0
        net.fw.run("taskset", "-c", "1", "sh", "-c", loop, "sh", policy.BINARY, files[0], files[1], rounds, timeout=1500)
        took = time.monotonic() - start
    arrived, overrun = received(net.wire, "p1") - before, overruns() - lost_before
    print(f"     {2 * rounds} applies in {took:.0f} s while {flood.sent} packets were sent, {arrived} arrived", flush=True)
    assert flood.sent > 20 * rounds, f"only {flood.sent} packets were sent, that tests nothing"
    assert tripped(net) == 0, f"{tripped(net)} of {flood.sent} packets fell through to the stack"
    lost = flood.sent - arrived - overrun
    assert lost == 0, f"{lost} of {flood.sent} packets were lost ({overrun} more before the policy)"
    assert len(state.generations(net.fw)) == 1, f"chains of several generations: {state.generations(net.fw)}"


@case("untracked policies of different rules", timeout=1800)
def untracked():
    modules.load_one("pktgen")
    others = ["allow tcp to port 80, redirect to eth1", "drop udp to port 7\n drop tcp\n allow icmp, redirect to eth1"]
    texts = [f"""
        policy in on eth0 ingress {{
            {rules}
            allow udp to port 9, redirect to eth1
            default drop
        }}
    """ for rules in others]
    with switch() as net:
        flood_through(net, texts, Settings.count or ROUNDS)


@case("tracked policies: an established flow, kept in its conntrack zone", timeout=1800)
def tracked():
    modules.load_one("pktgen")
    others = ["allow new tcp to port 80, redirect to eth1", "drop invalid\n drop tcp\n allow related, redirect to eth1"]
    texts = [f"""
        policy out on eth0 ingress zone 5 {{
            {rules}
            allow established, redirect to eth1
            allow new udp to port 9, redirect to eth1
            default drop
        }}
        policy back on eth1 ingress zone 5 {{
            allow established, redirect to eth0
            default drop
        }}
    """ for rules in others]
    with switch() as net:
        policy.enforce(net.fw, texts[0], "apply")
        net.passes("p0", "p1", udp(A, B, 9, 9))
        net.passes("p1", "p0", udp(B, A, 9, 9))
        flood_through(net, texts, Settings.count or ROUNDS)
