"""What happens at the edges: rates that are no whole number of ticks, packets larger than a frame, connections that end or time out,
files that hold nothing, pipes that close, folders that cannot be written, and policies whose devices change between two applies.
"""
import contextlib
import subprocess
import time

import policy
import state
from frames import fragments, tcp, udp, unreachable
from suite import case
from traffic import A, B, P, count, handshake, policed, two_way
from wire import switch


# ---- limits -------------------------------------------------------------------------------------


@case("limit: rates that are no whole number of ticks let a packet pass, with a burst of 1 too")
def odd_rates(way):
    with policed(way, """
        policy in on eth0 ingress {
            allow udp to port 1, limit 3pps, redirect to eth1
            allow udp to port 2, limit 7pps burst 1, redirect to eth1
            allow udp to port 3, limit 1pps burst 1, redirect to eth1
            default drop
        }
    """) as net:
        time.sleep(1.5)  # a budget of packets starts empty
        for port in (1, 2, 3):
            passed = count(net, "p1", [udp(A, B, 1000 + n, port) for n in range(10)])
            assert 1 <= passed <= 4, f"{passed} of 10 packets to port {port} passed"


@case("limit in bytes: the largest packet that a device puts together fits into the burst that nobody wrote")
def large_packets(way):
    with switch() as net:
        net.fw.ip(*[f"link set eth{n} mtu 65535" for n in range(2)])
        net.wire.ip(*[f"link set p{n} mtu 65535" for n in range(2)])
        policy.enforce(net.fw, """
            policy in on eth0 ingress {
                allow udp to port 1, limit 100kbit, redirect to eth1
                default drop
            }
        """, way)
        passed = count(net, "p1", [udp(A, B, 4000 + n, 1, bytes(60_000)) for n in range(3)])
        assert passed == 1, f"{passed} of three datagrams passed, the budget is 65 kB and 12.5 kB a second"


# ---- connections that end -----------------------------------------------------------------------


@case("TCP: a reset ends the connection; what comes after it is not established, and a new one may begin")
def reset(way):
    with policed(way, two_way("drop invalid\n allow new tcp to port 80 tcp flags syn/syn,ack, redirect to eth1")) as net:
        handshake(net, A, B, 4000, 80)
        net.passes("p0", "p1", tcp(A, B, 4000, 80, "PA", 1001, 5001, b"hello"))
        net.passes("p1", "p0", tcp(B, A, 80, 4000, "R", 5001))
        # the server has hung up, so the client begins anew from the same port
        handshake(net, A, B, 4000, 80)
        net.passes("p1", "p0", tcp(B, A, 80, 4000, "PA", 5001, 1001, b"again"))
        net.drops("p1", tcp(B, A, 80, 4001, "R", 5001))


@case("UDP: an answer after the timeout is dropped")
def timeouts(way):
    with policed(way, two_way("allow new udp to port 53, redirect to eth1")) as net:
        for name, seconds in (("nf_conntrack_udp_timeout", 2), ("nf_conntrack_udp_timeout_stream", 2), ("nf_flowtable_udp_timeout", 2)):
            with contextlib.suppress(FileNotFoundError):
                net.fw.sysctl(f"net.netfilter.{name}", seconds)
        net.passes("p0", "p1", udp(A, B, 4000, 53))
        net.passes("p1", "p0", udp(B, A, 53, 4000))
        net.passes("p0", "p1", udp(A, B, 4000, 53))
        time.sleep(8)
        net.drops("p1", udp(B, A, 53, 4000))
        net.passes("p0", "p1", udp(A, B, 4000, 53))


@case("path MTU: `fragmentation needed` about a translated connection reaches the sender, translated")
def path_mtu(way):
    text = two_way(f"drop invalid\n allow related, redirect to eth1\n allow new udp, snat {P}, redirect to eth1",
                   back="allow related, redirect to eth0")
    with policed(way, text) as net:
        out = net.passes("p0", "p1", udp(A, B, 4000, 9, bytes(1400)))
        assert out.src == P, out
        error = net.passes("p1", "p0", unreachable("198.51.100.1", P, udp(P, B, out.sport, 9, bytes(1400)), code=4))
        assert error.dst == A, error
        # pieces of a datagram of that connection are put together, translated and cut again
        whole, _ = net.fragments_pass("p0", "p1", fragments(udp(A, B, 4000, 9, bytes(2800)), 1400))
        assert whole.src == P, whole


@case("FTP over two zones: the data connection is related in the zone that has the helper (apply only: iproute2 6.1 cannot write helpers)",
      ways=("apply",))
def ftp_two_zones(way):
    with policed(way, """
        policy out on eth0 ingress zone 1 then 2 {
            allow established, redirect to eth1
            allow related, redirect to eth1
            allow new tcp to port 21, helper ftp, redirect to eth1
            default drop
        }
        policy back on eth1 ingress zone 2 then 1 {
            allow established from zone 2, redirect to eth0
            allow related from zone 2, redirect to eth0
            default drop
        }
    """) as net:
        handshake(net, A, B, 4000, 21)
        net.passes("p0", "p1", tcp(A, B, 4000, 21, "PA", 1001, 5001, b"USER x\r\n"))
        net.drops("p1", tcp(B, A, 20, 5001))
        net.passes("p0", "p1", tcp(A, B, 4000, 21, "PA", 1009, 5001, b"PORT 10,0,0,5,19,137\r\n"))
        net.drops("p1", tcp(B, A, 20, 5002))
        net.passes("p1", "p0", tcp(B, A, 20, 5001, "S", 9000))
        net.passes("p0", "p1", tcp(A, B, 5001, 20, "SA", 100, 9001))
        net.passes("p1", "p0", tcp(B, A, 20, 5001, "A", 9001, 101))


# ---- applying -----------------------------------------------------------------------------------


FIRST = """
    policy in on eth0 ingress zone 5 {
        allow new udp to port 1, redirect to eth2
        default drop
    }
    policy other on eth1 ingress {
        allow udp to port 1, redirect to eth2
        default drop
    }
"""


@case("a live policy whose devices change: one stays, one goes, one comes")
def other_devices():
    with switch(3) as net:
        policy.enforce(net.fw, FIRST, "apply")
        net.drops("p1", udp(A, B, 1, 2))
        done = policy.ctpolicy(net.fw, "apply", policy.write(
            FIRST.replace("on eth1 ingress", "on eth2 ingress").replace("policy other", "policy third").replace(
                "port 1, redirect to eth2\n        default drop\n    }\n\n", "port 1")))
        assert "eth1" in done.stdout, done.stdout
        net.passes("p0", "p2", udp(A, B, 1, 1))
        net.passes("p1", "h1", udp(A, B, 2, 2))  # open now
        net.drops("p2", udp(A, B, 3, 2))
        assert "eth1" not in policy.ctpolicy(net.fw, "status").stdout.replace("redirect to eth1", "")


@case("a script: its devices must have no clsact yet; nothing of it is loaded then; `apply` takes over what a script left, `remove` removes it")
def scripts():
    with switch(3) as net:
        before = state.snapshot(net.fw)
        path = policy.write(FIRST)
        script = policy.ctpolicy(net.fw, "compile", path).stdout
        net.fw.tc("qdisc add dev eth1 clsact\n")
        done = net.fw.run("tc", "-batch", "-", input=script, check=False)
        assert done.returncode != 0, done
        net.passes("p1", "h1", udp(A, B, 1, 2))
        net.passes("p0", "h0", udp(A, B, 1, 2))
        for dev in ("eth0", "eth1"):
            net.fw.run("tc", "qdisc", "del", "dev", dev, "clsact", check=False)
        net.fw.tc(script)
        net.drops("p1", udp(A, B, 1, 2))
        policy.ctpolicy(net.fw, "apply", path)
        net.drops("p1", udp(A, B, 1, 2))
        net.passes("p1", "p2", udp(A, B, 1, 1))
        policy.ctpolicy(net.fw, "remove")
        assert not state.difference("before", before, "after", state.snapshot(net.fw))
        net.fw.tc(script)
        policy.ctpolicy(net.fw, "remove")
        assert not state.difference("before", before, "after", state.snapshot(net.fw))


@case("an empty clsact that somebody made: refused with the command that takes it away")
def empty_clsact():
    with switch() as net:
        net.fw.tc("qdisc add dev eth0 clsact\n")
        done = policy.ctpolicy(net.fw, "apply", policy.write(two_way("allow new, redirect to eth1")), check=False)
        if done.returncode == 0:
            net.drops("p1", udp(A, B, 1, 2))
        else:
            assert done.returncode == 4 and "tc qdisc del dev eth0 clsact" in done.stderr, done
            net.fw.tc("qdisc del dev eth0 clsact\n")
            policy.enforce(net.fw, two_way("allow new, redirect to eth1"), "apply")


@case("an empty file is not applied: what is live stays")
def empty_file():
    with switch(3) as net:
        policy.enforce(net.fw, FIRST, "apply")
        before = state.snapshot(net.fw)
        for text in ("", "# only a comment\n", "net a = 10.0.0.1\n"):
            done = net.fw.run(policy.BINARY, "apply", "-", input=text, check=False)
            assert done.returncode == 3 and "ctpolicy remove" in done.stderr, done
        assert not state.difference("before", before, "after", state.snapshot(net.fw))


BIG = 20_000


@case(f"a policy of {BIG} rules: applied, looked at while it is applied, changed; pipes that close early", timeout=900)
def big():
    rules = "".join(f"        allow new udp from 10.{n // 250}.{n % 250}.0/24 to port {1000 + n}, redirect to eth1\n" for n in range(BIG))
    text = f"    policy in on eth0 ingress zone 5 {{\n{rules}        default drop\n    }}\n"
    with switch() as net:
        path = policy.write(text)
        start = time.monotonic()
        process = net.fw.start(policy.BINARY, "apply", path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None:
            for command in (("status",), ("plan", policy.write(FIRST.replace("redirect to eth2", "redirect to eth1")))):
                done = policy.ctpolicy(net.fw, *command, check=False)
                assert done.returncode in (0, 4) and "panicked" not in done.stderr, done
            time.sleep(0.5)
        out, err = process.communicate()
        assert process.returncode == 0, err
        print(f"    {BIG} rules applied in {time.monotonic() - start:.1f} s: {out.strip()}")
        net.passes("p0", "p1", udp("10.0.7.1", B, 1, 1007))
        net.drops("p0", udp("10.0.7.1", B, 1, 1008))
        for command in (f"compile {path}", "status", f"plan {path}", f"lint {path}", f"compile --format json {path}", "explain"):
            done = net.fw.run("sh", "-c", f"{policy.BINARY} {command} | head -1 >/dev/null", check=False)
            assert "panicked" not in done.stderr and "roken pipe" not in done.stderr, done
        start = time.monotonic()
        changed = policy.write(text.replace("to port 1007,", "to port 999,"))
        done = policy.ctpolicy(net.fw, "apply", changed)
        print(f"    one rule of them changed in {time.monotonic() - start:.1f} s: {done.stdout.strip()}")
        net.passes("p0", "p1", udp("10.0.7.1", B, 1, 999))
        net.drops("p0", udp("10.0.7.1", B, 1, 1007))


@case("two applies at once: one after the other, or one is refused; never a mixture")
def at_once():
    with switch(3) as net:
        one, two = policy.write(FIRST), policy.write(FIRST.replace("to port 1,", "to port 2,"))
        for _ in range(3):
            both = [net.fw.start(policy.BINARY, "apply", path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for path in (one, two)]
            ends = [process.communicate() + (process.returncode,) for process in both]
            assert all(code in (0, 4) for *_, code in ends) and any(code == 0 for *_, code in ends), ends
            assert all("panicked" not in err for _, err, _ in ends), ends
            assert len(state.generations(net.fw)) == 1, state.generations(net.fw)
            seen = [port for port in (1, 2) for _ in range(count(net, "p2", [udp(A, B, 1, port)]))]
            assert len(seen) == 1, seen


@case("a folder for records that cannot be written: applied all the same, and said")
def no_folder():
    with switch(3) as net:
        done = net.fw.run("unshare", "-m", "sh", "-c", f"mount -t tmpfs -o ro none /run/ctpolicy 2>/dev/null || "
                          f"{{ mkdir -p /run/ctpolicy; mount -t tmpfs -o ro none /run/ctpolicy; }}; {policy.BINARY} apply {policy.write(FIRST)}",
                          check=False)
        policy.journal.append(done.stderr + done.stdout)
        assert done.returncode == 0 and "panicked" not in done.stderr and "/run/ctpolicy" in done.stderr, done
        net.drops("p1", udp(A, B, 1, 2))
        policy.ctpolicy(net.fw, "status")
