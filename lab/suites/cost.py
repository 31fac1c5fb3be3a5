"""What filters cost a packet, counted in instructions: ours beside nft and tc as people write them, in one boot.

Not among the default suites; `lab/run cost` boots the guest with one CPU whose clock counts instructions (host.py): a nanosecond is one
instruction, so time is a count, and the same run gives the same figures within 0.1 %. Cache misses are not counted.

The kernel's packet generator hands packets to a device of ours as if they had arrived. A packet's cost is what it takes beside the generator's
own work and what becomes of it behind the filters: accepted packets are for another machine and end right behind the hook, and what that
takes is measured with a filter that accepts everything. Each run checks that all packets met the verdict they were to meet.

The figures go to target/lab/results/*/cost.json; benches/report makes the README's table of them.
"""
import json
import re
import socket
import struct
import subprocess
import time
from pathlib import Path

import modules
import policy
from suite import Settings, case

SIZES = (10, 100, 1_000, 10_000)
DEVICE = "d0"
RULED, UNKNOWN = "10.0.0.0", "192.0.2.1"
TARGET = "198.51.100.9"
FOREVER = 10**7  # s of the emulated clock, which leaps; lab/run --timeout is real
WORK = 40_000_000  # instructions per measurement: enough that the clock's microseconds and a timer tick do not show

figures = {}  # (packet, rules, layout): instructions


def run(*argv, input=None):
    done = subprocess.run(argv, input=input, text=True, capture_output=True)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr[-2000:]}"
    return done.stdout


# ---- rules: `udp from HOST to port P`, three of ten drop, and so do the first and the last --------------------------------


def rules(count):
    drops = lambda at: at in (0, count - 1) or at % 10 in (3, 6, 8)
    return [(f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}", 1 + at * 7 % 65_000, not drops(at)) for at in range(count)]


def ours(count, zone=""):
    lines = [f"{'allow' if allow or zone else 'drop'} udp from {host} to port {port}" for host, port, allow in rules(count)]
    states = ["allow established", "drop invalid", "allow related"] if zone else []
    text = "\n".join([f"policy p on {DEVICE} ingress {zone} {{", *states, *lines, "default drop", "}"])
    path = Path("/run/cost.pol")
    path.write_text(text)
    run("tc", "-batch", "-", input=run(policy.BINARY, "compile", str(path)))


def tc(lines):
    add = f"filter add dev {DEVICE} ingress"
    run("tc", "-batch", "-", input="\n".join([f"qdisc add dev {DEVICE} clsact", *(f"{add} {line}" for line in lines)]) + "\n")


def flower(rule):
    host, port, _ = rule
    return f"flower ip_proto udp src_ip {host} dst_port {port}"


def tc_naive(count):
    """A prio for each rule, as scripts that add rules one after the other have it."""
    tc([f"prio {prio} protocol ip {flower(rule)} action {'pass' if rule[2] else 'drop'}" for prio, rule in enumerate(rules(count), 1)]
       + [f"prio {count + 1} protocol all matchall action drop"])


def tc_stateful(count):
    """A stateful firewall as people write it in tc: a filter for each state, and the state asked again by each rule."""
    states = [("inv", "drop"), ("rel", "pass"), ("est", "pass")]
    tc(["prio 1 protocol ip flower action ct zone 1 pipe action goto chain 1"]
       + [f"chain 1 prio {prio} protocol ip flower ct_state +trk+{state} action {verdict}" for prio, (state, verdict) in enumerate(states, 1)]
       + [f"chain 1 prio {prio} protocol ip flower ct_state +trk+new {flower(rule).removeprefix('flower')} action ct commit zone 1"
          for prio, rule in enumerate(rules(count), 4)]
       + [f"chain 1 prio {count + 4} protocol all matchall action drop"])


def tc_nothing(verdict):
    tc([f"prio 1 protocol all matchall action {verdict}"])


def nft(body):
    run("nft", "-f", "-", input="table netdev t {\n" + body + "}\n")


def chain(lines):
    return f" chain c {{\n type filter hook ingress device {DEVICE} priority 0; policy drop;\n" + "\n".join(lines) + "\n }\n"


def word(rule):
    return "accept" if rule[2] else "drop"


def nft_linear(count):
    nft(chain([f"ip saddr {rule[0]} udp dport {rule[1]} {word(rule)}" for rule in rules(count)]))


def nft_best(count):
    """One lookup in a hash of address and port: the best that nft can do with these rules."""
    elements = ", ".join(f"{rule[0]} . {rule[1]} : {word(rule)}" for rule in rules(count))
    nft(f" map m {{ type ipv4_addr . inet_service : verdict; elements = {{ {elements} }} }}\n"
        + chain(["ip saddr . udp dport vmap @m"]))


def clear():
    subprocess.run(["tc", "qdisc", "del", "dev", DEVICE, "clsact"], capture_output=True)
    subprocess.run(["nft", "flush", "ruleset"], capture_output=True)
    time.sleep(1)  # what is freed by workers is freed now, not while something is measured


# ---- packets ---------------------------------------------------------------------------------------------------------


def set_up():
    modules.load_one("pktgen")
    if not Path(f"/sys/class/net/{DEVICE}").exists():
        run("ip", "link", "add", DEVICE, "type", "dummy")
        run("ip", "link", "set", DEVICE, "up")
        write("kpktgend_0", f"add_device {DEVICE}")
        # While the guest waits for a file the emulated clock leaps: no connection may time out for that.
        for name in ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream", "nf_flowtable_udp_timeout"):
            Path("/proc/sys/net/netfilter", name).write_text("1000000")


def write(file, line):
    Path("/proc/net/pktgen", file).write_text(line + "\n")


def accepted():
    """Packets that went past the filters: the stack drops them, as they are for another machine. (`ip -j` does not tell.)"""
    index = int(Path(f"/sys/class/net/{DEVICE}/ifindex").read_text())
    request = struct.pack("=LHHLLBBHiLL", 32, 18, 1, 1, 0, 0, 0, 0, index, 0, 0)  # RTM_GETLINK, NLM_F_REQUEST
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.send(request)
        answer = sock.recv(1 << 16)
    at = 32
    while at < len(answer):
        length, kind = struct.unpack_from("=HH", answer, at)
        if kind == 23:  # IFLA_STATS64; the last of its counters is rx_otherhost_dropped
            return struct.unpack_from("=25Q", answer, at + 4)[24]
        at += (length + 3) & ~3
    raise AssertionError("the kernel told no counters")


port = 1024  # next source port of a connection that is to be new


def send(count, src, dport, sport=(9, 9), dst=TARGET, fresh=False, new=False):
    """Instructions per packet, the generator's included, and what share of the packets was accepted."""
    global port
    if new:
        # The generator counts up, from the first port again each time it is started.
        port = 1024 if port + count > 65_000 else port
        sport, port = (port, 65_000), port + count
    lines = ["xmit_mode netif_receive", "clone_skb 0", f"burst {1 if fresh else min(count, 1000)}", f"count {count}", "delay 0",
             "pkt_size 60", "dst_mac 02:00:00:00:00:99", f"src_min {src}", f"src_max {src}", f"dst {dst}",
             f"udp_src_min {sport[0]}", f"udp_src_max {sport[1]}", f"udp_dst_min {dport}", f"udp_dst_max {dport}"]
    for line in lines:
        write(DEVICE, line)
    before = accepted()
    write("pgctrl", "start")
    report = Path(f"/proc/net/pktgen/{DEVICE}").read_text()
    took, sent = re.search(r"Result: OK: (\d+)\(.*\) usec, (\d+) ", report).groups()
    return int(took) * 1000 / int(sent), (accepted() - before) / int(sent)


def measure(allowed, src, dport, fresh=False, most=20_000, **kw):
    """Instructions per packet, after a first look that also warms up."""
    first, _ = send(5, src, dport, fresh=fresh, **kw)
    count = max(10, min(most, int(WORK / max(first, 1))))
    costs = []
    # Twice, and the lesser: now and then work of the kernel's own falls into the time.
    for _ in range(2):
        cost, share = send(count, src, dport, fresh=fresh, **kw)
        assert share == allowed, f"{share:.3f} of {count} packets from {src} to port {dport} were accepted, not {allowed}"
        costs.append(cost)
    return min(costs)


own = {}  # (fresh, accepted): what a packet costs behind a filter that treats all packets so


def baselines():
    if own:
        return
    for verdict, allowed in (("pass", 1), ("drop", 0)):
        clear()
        tc_nothing(verdict)
        for fresh in (False, True):
            own[fresh, allowed] = measure(allowed, UNKNOWN, 1, fresh=fresh)
    clear()
    print(f"     a filter that drops everything: {own[False, 0]:.0f} instructions", flush=True)


def cost(allowed, src, dport, fresh=False, **kw):
    """What the filters cost, from the hook to the verdict, as for a packet that is dropped."""
    return measure(allowed, src, dport, fresh=fresh, **kw) - own[fresh, allowed] + own[False, 0]


def note(packet, count, layout, value):
    figures[packet, count, layout] = value
    ours = figures.get((packet, count, "ctpolicy"), value)
    print(f"     {packet:12} {count:>6} rules  {layout:14} {value:>12,.0f}  {value / ours:>9.2f}x", flush=True)
    rows = [{"packet": p, "rules": n, "layout": l, "instructions": round(v)} for (p, n, l), v in figures.items()]
    Path(Settings.results, "cost.json").write_text(json.dumps({"kernel": run("uname", "-r").strip(), "rows": rows}, indent=1))


# ---- cases -----------------------------------------------------------------------------------------------------------


def untracked(count, layout, load):
    clear()
    load(count)
    first, last = rules(count)[0], rules(count)[-1]
    for packet, src, dport in (("first rule", *first[:2]), ("last rule", *last[:2]), ("no rule", UNKNOWN, 1)):
        note(packet, count, layout, cost(0, src, dport))


@case("untracked: a flat policy, every packet dropped by a rule or the default", timeout=FOREVER)
def flat():
    set_up()
    baselines()
    for count in SIZES:
        for layout, load in (("ctpolicy", ours), ("nft best", nft_best), ("nft linear", nft_linear), ("tc naive", tc_naive)):
            untracked(count, layout, load)
    clear()
    ten, most = (figures["last rule", count, "ctpolicy"] for count in (SIZES[0], SIZES[-1]))
    assert most <= ten * 1.05, f"the last of {SIZES[-1]} rules of one shape costs {most:.0f}, of {SIZES[0]} {ten:.0f}"


def stateful(count, layout, load):
    clear()
    run("conntrack", "-F")
    load(count)
    (host, dport, _), last = rules(count)[0], rules(count)[-1]
    # A connection is assured when packets have gone both ways for more than two seconds.
    for _ in range(2):
        send(2, host, dport, fresh=True)
        send(2, TARGET, 9, sport=(dport, dport), dst=host, fresh=True)
        time.sleep(2.5)
    send(2, host, dport, fresh=True)
    table = run("conntrack", "-L", "-w", "1")
    assert "ASSURED" in table or "OFFLOAD" in table, f"the connection is not assured:\n{table}"
    note("established", count, layout, cost(1, host, dport, fresh=True))
    for packet, src, dport in (("new, first", host, dport), ("new, last", *last[:2])):
        note(packet, count, layout, cost(1, src, dport, fresh=True, new=True, most=2_000))
    note("new, no rule", count, layout, cost(0, UNKNOWN, 1, fresh=True))


@case("tracked: established, new and dropped packets of a stateful policy", timeout=FOREVER)
def tracked():
    set_up()
    baselines()
    for count in SIZES:
        for layout, load in (("ctpolicy", lambda count: ours(count, "zone 1")), ("tc by hand", tc_stateful)):
            stateful(count, layout, load)
    clear()
