"""A day with `apply`, `plan`, `status` and `remove`: what they say while devices come and go, others change tc, and policies grow."""
import json
import shlex
import socket
import time

import policy
import state
from frames import tcp, udp
from net import namespaces
from suite import case
from wire import switch

A, B = "10.0.0.5", "198.51.100.9"

TWO = """
    policy in on eth0 ingress zone 5 {
        drop invalid
        @id web
        allow new udp to port 1, redirect to eth1
        drop udp to port 9
        allow udp to port 3, limit 1pps burst 2, redirect to eth1
        default drop
    }
    policy back on { eth1, eth2 } ingress {
        drop tcp to port 25
        default drop
    }
"""


def run(ns, *argv, check=True):
    return policy.ctpolicy(ns, *argv, check=check)


def status(ns, *argv):
    return json.loads(run(ns, "status", "--json", *argv).stdout)


def kinds(ns):
    return [problem["kind"] for problem in status(ns)["problems"]]


def counts(ns):
    """{(policy, rule's @id or position or role): packets}"""
    found = {}
    for rule in status(ns)["rules"]:
        words = rule["rule"]
        name = words["id"] or (words["position"] if rule["role"] == "rule" else rule["role"])
        found[words["policy"], name] = rule["packets"]
    return found


def tagged(net, dev, number):
    """Frames of VLAN 100 that no rule speaks of."""
    with net.wire, socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((dev, 0))
        for _ in range(number):
            sock.send(bytes.fromhex("020000000100" "020000000000" "8100" "0064" "0800") + b"\x45" + bytes(60))


@case("`status`: counters of entry filters, limits, policies with alike rules; each generation counts from 0")
def counters():
    with switch(3) as net:
        first = policy.write(TWO)
        done = run(net.fw, "apply", first)
        assert "7 rules added" in done.stdout, done.stdout
        for n in range(3):
            net.passes("p0", "p1", udp(A, B, 4000 + n, 1))
        net.drops("p0", [udp(A, B, 1, 9), udp(A, B, 1, 7)])
        net.drops("p1", tcp(B, A, 1, 25))
        tagged(net, "p0", 4)
        for n in range(6):
            net.inject("p0", udp(A, B, 6000 + n, 3))
        time.sleep(0.5)
        seen = counts(net.fw)
        assert seen["in", "web"] == 3 and seen["in", 3] == 1, seen
        assert seen["in", "default"] == 1 + 4, seen
        assert (seen["back", 1], seen["back", "default"]) == (1, 0), seen
        text = run(net.fw, "status").stdout
        rows = {line.split("  ")[-1] if "[" not in line else line: line for line in text.splitlines()}
        limited = [row for row in rows if "limit 1pps" in row]
        assert limited and "over the limit]" in limited[0], text
        # A drop is no loss on the way.
        assert not [line for line in text.splitlines() if ("drop" in line) and "[" in line], text
        age = status(net.fw)["live_seconds"]
        time.sleep(2)
        assert status(net.fw)["live_seconds"] >= age + 1
        # The same file again changes nothing and keeps the counters; another one begins anew.
        again = json.loads(run(net.fw, "apply", "--json", first).stdout)
        assert (again["outcome"], again["rules"]["same"]) == ("unchanged", 7), again
        assert counts(net.fw) == seen
        other = json.loads(run(net.fw, "apply", "--json", policy.write(TWO.replace("port 9", "port 10"))).stdout)
        assert (other["outcome"], other["generation"]) == ("applied", {"before": 1, "live": 2}), other
        assert other["rules"] == {"add": 0, "change": 1, "move": 0, "remove": 0, "same": 6}, other
        assert set(counts(net.fw).values()) == {0}, counts(net.fw)
        assert status(net.fw)["live_seconds"] < age + 2


@case("devices that go away, come back or get another name: `status` says so, `apply` mends it")
def devices():
    with switch(3) as net:
        fw, file = net.fw, policy.write(TWO)
        fw.ip("link add eth3 type dummy", "link set eth3 up")
        text = TWO.replace("eth1, eth2", "eth1, eth3")
        file = policy.write(text)
        run(fw, "apply", file)
        assert kinds(fw) == []
        fw.ip("link del eth3")
        assert kinds(fw) == ["no-device"]
        refused = run(fw, "apply", file, check=False)
        assert refused.returncode == 4 and "eth3" in refused.stderr, refused
        net.passes("p0", "p1", udp(A, B, 4000, 1))
        fw.ip("link add eth3 type dummy", "link set eth3 up")
        assert kinds(fw) == ["no-clsact"]
        assert run(fw, "plan", "--detailed-exitcode", file, check=False).returncode == 2
        done = run(fw, "apply", file).stdout
        assert "7 rules as before" in done and "new on eth3" in done, done
        assert kinds(fw) == []
        fw.ip("link set eth3 down", "link set eth3 name lan3", "link set lan3 up")
        assert sorted(kinds(fw)) == ["no-device", "renamed"]
        renamed = policy.write(text.replace("eth3", "lan3"))
        plan = json.loads(run(fw, "plan", "--json", renamed).stdout)
        assert {rule["change"] for rule in plan["rules"]} == {"same"} and plan["changes"], plan
        run(fw, "apply", renamed)
        assert kinds(fw) == []
        # A device that the file drops is open, and said to be.
        done = run(fw, "apply", policy.write(text.replace("{ eth1, eth3 }", "eth1"))).stdout
        assert "Open now" in done and "lan3" in done, done
        assert "lan3" not in state.qdiscs(fw)


@case("filters of others in a block of ours, at our prio: the remedy takes out theirs only")
def foreign():
    with switch() as net:
        fw = net.fw
        file, other = (policy.write(TWO.replace("{ eth1, eth2 }", "eth1").replace("port 9", f"port {n}")) for n in (9, 10))
        run(fw, "apply", file)
        before = state.snapshot(fw)
        block = status(fw)["policies"][0]["blocks"][0]
        fw.tc(f"filter add block {block} chain 0 prio 1 protocol ip handle 9 flower dst_ip 192.0.2.1 action drop\n")
        assert kinds(fw) == ["foreign-filters"]
        refused = run(fw, "apply", other, check=False)
        assert refused.returncode == 4 and "protocol ip prio 1 handle 0x9 flower" in refused.stderr, refused.stderr
        remedy = " ".join(refused.stderr.split()).split("`tc ")[1].split("`")[0]
        fw.tool("tc", *shlex.split(remedy.replace("│", "")))
        assert not state.difference("before", before, "after", state.snapshot(fw))
        run(fw, "apply", other)
        # With a stranger in the block, `remove` takes ours and keeps the clsact; nothing is live then.
        fw.tc(f"filter add block {block} chain 0 prio 9 protocol ip handle 9 flower dst_ip 192.0.2.1 action drop\n")
        assert "keeps its clsact" in run(fw, "remove").stderr
        assert kinds(fw) == ["open", "foreign-filters"], kinds(fw)
        fw.tc(f"filter del block {block} chain 0 prio 9 protocol ip handle 9 flower\n")
        run(fw, "remove")
        assert "Nothing of ctpolicy is live" in run(fw, "status").stdout
        # Chain 0 loses a filter: packets pass, and both commands say so.
        run(fw, "apply", file)
        block = status(fw)["policies"][0]["blocks"][0]
        fw.tc(f"filter del block {block} chain 0 prio 1 protocol ip\n")
        assert kinds(fw) == ["open"]
        assert run(fw, "plan", "--detailed-exitcode", file, check=False).returncode == 2
        run(fw, "apply", file)
        assert kinds(fw) == []


@case("two network namespaces of one machine: each its own policy, record and counters")
def two():
    with switch(3) as one, switch(3) as other:
        run(one.fw, "apply", policy.write(TWO))
        run(other.fw, "apply", policy.write(TWO.replace("port 1,", "port 2,")))
        one.passes("p0", "p1", udp(A, B, 4000, 1))
        other.passes("p0", "p1", udp(A, B, 4000, 2))
        other.drops("p0", udp(A, B, 4000, 1))
        assert counts(one.fw)["in", "web"] == counts(other.fw)["in", "web"] == 1
        assert status(one.fw)["digest"] != status(other.fw)["digest"]
        run(one.fw, "remove")
        other.passes("p0", "p1", udp(A, B, 4001, 2))
        assert status(other.fw)["generation"] == 1 and status(one.fw)["generation"] is None


@case("without privileges: `plan` and `status` work, and say what they could not read")
def unprivileged():
    import shutil
    with switch(3) as net:
        file = policy.write(TWO)
        run(net.fw, "apply", file)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all",
                  shutil.copy(policy.BINARY, "/run/lab-ctpolicy")]
        assert "No changes" in net.fw.run(*nobody, "plan", file).stdout
        assert "@web" in net.fw.run(*nobody, "status").stdout
        record = f"/run/ctpolicy/{status(net.fw)['digest']}.json"
        net.fw.run("chmod", "600", record)
        done = net.fw.run(*nobody, "status")
        assert "Permission denied" in done.stderr and record in done.stderr and "rule 9c" in done.stdout, done
        done = net.fw.run(*nobody, "plan", policy.write(TWO.replace("port 9", "port 10")))
        assert "Permission denied" in done.stderr and "1 to change" in done.stdout, done


MANY = 200


@case(f"{MANY} devices, each with its own tracked policy: switched in one message", timeout=900)
def many():
    with namespaces("many") as (ns,):
        ns.ip(*[line for n in range(MANY) for line in (f"link add d{n} type dummy", f"link set d{n} up")])

        def text(port):
            return "\n".join(f"policy p{n} on d{n} ingress zone {n + 1} {{ allow established; allow new tcp to port {port}; "
                             f"drop invalid; default drop }}" for n in range(MANY))

        for port, generation in ((80, 1), (81, 2)):
            start = time.monotonic()
            done = json.loads(run(ns, "apply", "--json", policy.write(text(port))).stdout)
            print(f"     generation {generation}: {done['filters']} filters in {time.monotonic() - start:.1f} s", flush=True)
            assert (done["outcome"], done["generation"]["live"], done["notes"]) == ("applied", generation, []), done
        assert kinds(ns) == []
        start = time.monotonic()
        run(ns, "plan", policy.write(text(82)))
        print(f"     plan: {time.monotonic() - start:.1f} s", flush=True)
