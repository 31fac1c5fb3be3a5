"""More conversations: sets of devices, negation, ports that overlap, several zones and their marks, VLAN and NAT together,
extension headers, errors through DNAT and over two zones, and what `status` counts. The tools are those of traffic.py.
"""
import contextlib
import json
import struct

from frames import arp, echo, fragments, generic, icmp, neighbour_solicitation, tcp, udp, unreachable
from net import mac
from policy import ctpolicy, enforce
from stack import datagram
from suite import case
from traffic import A, A6, B, B6, P, P6, one, policed
from wire import switch


@case("a set of devices on both hooks: one zone for all, and `in DEV` tells them apart")
def device_set(way):
    with policed(way, """
        interface lan = { eth0, eth1 }
        policy in on lan ingress zone 5 {
            allow established
            allow new udp to port 53 in eth0
            allow new udp to port 54 in not eth0
            allow new udp to port 55
            default drop
        }
        policy out on { eth0, eth1 } egress zone 5 {
            allow established
            allow new tcp to port 80
            default drop
        }
    """, 3) as net:
        net.passes("p0", "h0", udp(A, B, 4000, 53))
        net.passes("h0", "p0", udp(B, A, 53, 4000))
        net.passes("p1", "h1", udp(A, B, 4000, 53))  # established
        net.drops("p1", udp(A, B, 4001, 53))
        net.passes("p1", "h1", udp(A, B, 4001, 54))
        net.drops("p0", udp(A, B, 4002, 54))
        for p, h in (("p0", "h0"), ("p1", "h1")):
            for a, b in ((A, B), (A6, B6)):
                sp = 5000 + int(p[1])
                net.passes(p, h, udp(a, b, sp, 55))
                net.passes(h, p, udp(b, a, 55, sp))
                net.drops(h, udp(b, a, 56, sp))
                net.passes(h, p, tcp(b, a, sp, 80))
                net.passes(p, h, tcp(a, b, 80, sp, "SA", 1, 1001))
                net.drops(p, tcp(a, b, 81, sp, "SA", 1, 1001))
        net.passes("p2", "h2", udp(A, B, 1, 1))  # no policy


@case("sets in sets, with exceptions; several negated matches in one rule")
def nested_sets(way):
    with policed(way, """
        net inner = { 10.1.2.0/24, not 10.1.2.128/25 }
        net mid = { 10.0.0.0/8, not 10.1.0.0/16, inner, 10.1.2.200 }
        net outer = { mid, not { 10.9.0.0/16, not 10.9.9.0/24 }, 2001:db8::/32, not 2001:db8:5::/48 }
        net servers = { 198.51.100.0/24, 2001:db8:9::/48 }
        policy p on eth0 ingress {
            drop from not outer
            allow to not servers not udp, redirect to eth2
            allow udp to servers port not { 53, 100-200 } from port not 1000-2000, redirect to eth1
            default drop
        }
    """, 3) as net:
        far = "192.0.2.1"
        for src in ("10.0.0.1", "10.9.9.9", "10.255.0.1"):
            net.passes("p0", "p1", udp(src, B, 1, 2))
            net.passes("p0", "p2", tcp(src, far, 1, 2))
            net.drops("p0", udp(src, far, 1, 2))
            net.drops("p0", tcp(src, B, 1, 2))
        for src in ("10.1.0.1", "10.1.2.127", "10.1.2.200", "10.1.2.128", "10.1.2.201", "10.9.8.1", "11.0.0.1", "0.0.0.1"):
            net.drops("p0", [udp(src, B, 1, 2), tcp(src, far, 1, 2)])
        net.passes("p0", "p1", udp("2001:db8:6::1", B6, 1, 2))
        net.passes("p0", "p2", tcp("2001:db8:6::1", "2001:db8:a::1", 1, 2))
        net.drops("p0", [udp("2001:db8:5::1", B6, 1, 2), udp("2001:db9::1", B6, 1, 2)])
        for sport, dport in ((1, 53), (1, 100), (1, 150), (1, 200), (1000, 1), (1500, 1), (2000, 1)):
            net.drops("p0", [udp("10.0.0.1", B, sport, dport), udp("2001:db8:6::1", B6, sport, dport)])
        for sport, dport in ((999, 99), (2001, 201), (999, 52), (65535, 54), (0, 0), (0, 65535)):
            net.passes("p0", "p1", udp("10.0.0.1", B, sport, dport))
        # fragments: a negated port speaks of no fragment either; not udp includes fragments of tcp
        for f in fragments(udp("10.0.0.1", B, 1, 2, bytes(3000)), 1400):
            net.drops("p0", f)


@case("port ranges and single ports that overlap at both ends: the first rule decides")
def overlapping_ports(way):
    with policed(way, """
        policy p on eth0 ingress zone 5 {
            drop udp to port 1005
            allow udp from port 500-600 to port 1000-1010, redirect to eth1
            allow udp to port 1003, redirect to eth2
            drop udp from port 550
            allow udp to port 990-1004, redirect to eth3
            allow udp from port 40-65535 to port 1-65535, redirect to eth4
            drop udp from port 10
            allow udp from port 0-30, redirect to eth1
            default drop
        }
    """, 5) as net:
        def expected(sport, dport):
            """The port that the first matching rule redirects to; None: dropped."""
            rules = [
                (dport == 1005, None),
                (500 <= sport <= 600 and 1000 <= dport <= 1010, "p1"),
                (dport == 1003, "p2"),
                (sport == 550, None),
                (990 <= dport <= 1004, "p3"),
                (sport >= 40, "p4"),
                (sport == 10, None),
                (sport <= 30, "p1"),
            ]
            return next((end for matches, end in rules if matches), None)

        for sport in (9, 10, 11, 30, 31, 39, 40, 499, 500, 550, 600, 601, 65535):
            for dport in (1, 989, 990, 1000, 1003, 1004, 1005, 1010, 1011, 65535):
                end = expected(sport, dport)
                for a, b in ((A, B), (A6, B6)):
                    if end:
                        net.passes("p0", end, udp(a, b, sport, dport))
                    elif (sport + dport) % 3 == 0:  # some: waiting for nothing takes long
                        net.drops("p0", udp(a, b, sport, dport), wait=0.03)


@case("`not` before protocols, alone and in sets, in each family, tracked and untracked")
def negations(way):
    for zone in ("zone 5", ""):
        with policed(way, f"""
            policy p on eth0 ingress {zone} {{
                drop not udp from 10.0.0.9
                allow not tcp to not {{ 198.51.100.0/24, 2001:db8:9::/48 }} ip, redirect to eth2
                allow ip6 not {{ tcp, icmp6 }}, redirect to eth1
                allow ip udp, redirect to eth1
                default drop
            }}
        """, 3) as net:
            net.drops("p0", [tcp("10.0.0.9", "1.1.1.1", 1, 2), echo("10.0.0.9", "1.1.1.1"), generic("10.0.0.9", "1.1.1.1", 99)])
            net.passes("p0", "p2", udp("10.0.0.9", "1.1.1.1", 1, 2))
            net.passes("p0", "p2", echo(A, "1.1.1.1"))
            net.passes("p0", "p2", generic(A, "1.1.1.1", 99))
            net.drops("p0", [tcp(A, "1.1.1.1", 1, 2), tcp(A, B, 1, 2), echo(A, B)])
            net.passes("p0", "p1", udp(A, B, 1, 2))
            net.passes("p0", "p1", udp(A6, B6, 1, 2))
            net.passes("p0", "p1", generic(A6, B6, 99))
            net.drops("p0", [tcp(A6, B6, 1, 2), echo(A6, B6)])


@case("`continue` may mirror, and sets under masks; a later drop leaves nothing but the copies")
def continue_mirrors(way):
    with policed(way, """
        policy p on eth0 ingress zone 5 {
            continue udp, mirror to eth2
            continue udp to port 53-60, set mark 0x10/0xf0
            continue from 10.0.0.0/24, set mark 0x1/0xf, set label 0x5
            continue udp to port 55, set mark 0x20/0xf0
            drop udp to port 54
            allow udp to port 53-58, set mark 0x300/0xf00, redirect to eth1
            drop udp to port 59, mirror to eth3
            default drop
        }
    """, 4) as net:
        net.passes("p0", "p1", udp(A, B, 1, 53), also=["p2"])
        e = one(net.fw.conntrack(), dport=53)
        assert e.mark == 0x311 and e.label == 5, e
        net.passes("p0", "p1", udp(A, B, 1, 55), also=["p2"])
        e = one(net.fw.conntrack(), dport=55)
        assert e.mark == 0x321, e
        net.passes("p0", "p2", udp(A, B, 1, 54))
        net.passes("p0", "p2", udp(A, B, 1, 59), also=["p3"])
        net.passes("p0", "p2", udp(A, B, 1, 70))
        net.drops("p0", tcp(A, B, 1, 53))
        net.passes("p0", "p1", udp(A6, B6, 1, 53), also=["p2"])
        assert sorted(int(e.original["dport"]) for e in net.fw.conntrack()) == [53, 53, 55]
        e = one(net.fw.conntrack("-f", "ipv6"), dport=53)
        assert e.mark == 0x310 and e.label == 0, e


@case("zone 2 then 1: marks of each zone keep their meaning")
def zone_marks(way):
    with policed(way, """
        policy seed2 on eth1 ingress zone 2 {
            allow established, redirect to eth0
            allow udp from port 1, set mark 0x1/0xff, redirect to eth0
            allow udp from port 2, set mark 0x2/0xff, redirect to eth0
            default drop
        }
        policy seed1 on eth2 ingress zone 1 {
            allow udp from port { 1, 2 }, set mark 0x10/0xf0, redirect to eth0
            default drop
        }
        policy both on eth0 ingress zone 2 then 1 {
            allow from zone 2 mark 0x1/0xff mark 0x0/0xf0, redirect to eth3
            allow mark 0x10/0xf0 , redirect to eth4
            allow from zone 2 established mark 0x2/0x3, redirect to eth5
            allow from zone 2 mark 0x1, redirect to eth1
            allow from zone 2 new not udp, redirect to eth1
            default drop
        }
    """, 6) as net:
        net.passes("p1", "p0", udp(B, A, 1, 100))
        net.passes("p1", "p0", udp(B, A, 2, 100))
        net.passes("p2", "p0", udp(B, A, 2, 101))
        net.passes("p2", "p0", udp(B, A, 1, 101))
        # z2 known mark1 -> eth3
        net.passes("p0", "p3", udp(A, B, 100, 1))
        net.passes("p0", "p5", udp(A, B, 100, 2))
        net.passes("p0", "p4", udp(A, B, 101, 2))
        net.passes("p0", "p4", udp(A, B, 101, 1))
        net.drops("p0", udp(A, B, 102, 1))
        net.passes("p0", "p1", tcp(A, B, 102, 1))


@case("labels of 128 bits, whole and under a mask")
def wide_labels(way):
    with policed(way, """
        policy p on eth0 ingress zone 5 {
            allow udp to port 1, set label 0x0123456789abcdef0011223344556677, redirect to eth1
            allow udp to port 2, set label 0x80000000000000000000000000000000/0xf0000000000000000000000000000000, redirect to eth1
            default drop
        }
        policy back on eth1 ingress zone 5 {
            allow label 0x0123456789abcdef0011223344556677, redirect to eth0
            allow established label 0x80000000000000000000000000000000/0x80000000000000000000000000000000, redirect to eth2
            default drop
        }
    """, 3) as net:
        for a, b in ((A, B), (A6, B6)):
            net.passes("p0", "p1", udp(a, b, 9, 1))
            net.passes("p0", "p1", udp(a, b, 9, 2))
            net.passes("p1", "p0", udp(b, a, 1, 9))
            net.passes("p1", "p2", udp(b, a, 2, 9))
            net.drops("p1", udp(b, a, 3, 9))
        e = one(net.fw.conntrack("-f", "ipv4"), dport=1)
        assert e.label == 0x0123456789abcdef0011223344556677, hex(e.label)
        e = one(net.fw.conntrack("-f", "ipv4"), dport=2)
        assert e.label == 0x80000000000000000000000000000000, hex(e.label)


@case("translation into ranges: ports used up, another destination; ICMP's id; servers of a DNAT range")
def nat_ranges(way):
    with policed(way, f"""
        policy out on eth0 ingress zone 7 {{
            allow established, redirect to eth1
            allow new udp from 10.0.0.0/24 to port 53, snat {P}-203.0.113.3 port 2000-2001, redirect to eth1
            allow new tcp from 10.0.0.0/24, snat {P} port 3000-3001, redirect to eth1
            allow new icmp echo-request from 10.0.0.0/24, snat {P} port 1000-1001, redirect to eth1
            default drop
        }}
        policy in on eth1 ingress zone 7 {{
            allow established, redirect to eth0
            allow new tcp to 203.0.113.80 port 80-89, dnat 10.0.0.80-10.0.0.83 port 8000, redirect to eth0
            allow new tcp to 203.0.113.81 port 80-89, dnat 10.0.0.80-10.0.0.83, redirect to eth0
            allow new ip6 udp to {P6}, dnat 2001:db8:7::80-2001:db8:7::83, redirect to eth0
            default drop
        }}
    """) as net:
        for sport in range(4000, 4002):
            out = net.passes("p0", "p1", udp(A, B, sport, 53))
            assert out.src in (P, "203.0.113.3") and out.sport in (2000, 2001), out
        for sport in (5000, 5001):
            out = net.passes("p0", "p1", tcp(A, B, sport, 80))
            assert out.src == P and out.sport in (3000, 3001), out
        net.drops("p0", tcp(A, B, 5002, 80))
        out = net.passes("p0", "p1", tcp(A, "198.51.100.10", 5002, 80))  # another destination: tuple free
        for last in range(1, 5):
            out = net.passes("p1", "p0", tcp(f"198.51.100.{last}", "203.0.113.80", 4000, 85))
            assert out.dst in {f"10.0.0.8{i}" for i in range(4)} and out.dport == 8000, out
            back = net.passes("p0", "p1", tcp(out.dst, f"198.51.100.{last}", 8000, out.sport, "SA", 1, 1001))
            assert (back.src, back.sport) == ("203.0.113.80", 85), back
            out = net.passes("p1", "p0", tcp(f"198.51.100.{last}", "203.0.113.81", 4000, 85))
            assert out.dst in {f"10.0.0.8{i}" for i in range(4)} and out.dport == 85, out
            out = net.passes("p1", "p0", udp(f"2001:db8:9::{last}", P6, 4000, 85))
            assert out.dst in {f"2001:db8:7::8{i}" for i in range(4)}, out
            back = net.passes("p0", "p1", udp(out.dst, f"2001:db8:9::{last}", 85, out.sport))
            assert back.src == P6, back
        net.drops("p1", [tcp(B, "203.0.113.80", 4000, 90), tcp(B, "203.0.113.80", 4000, 79)])
        out = net.passes("p0", "p1", echo(A, B, 77))
        assert out.src == P and out.echo_id in (1000, 1001), out


def extended(packet, *headers):
    """The IPv6 packet with these extension headers, of eight bytes each, before its payload."""
    nxt, payload = packet[6], packet[40:]
    for kind in reversed(headers):
        body = {0: b"\1\4\0\0\0\0", 60: b"\1\4\0\0\0\0", 43: b"\x04\0\0\0\0\0"}[kind]
        payload = bytes([nxt, 0]) + body + payload
        nxt = kind
    return packet[:4] + struct.pack("!HB", len(payload), nxt) + packet[7:40] + payload


@case("IPv6 extension headers: ports and types behind them, tracked and untracked; MLD as it comes")
def extension_headers(way):
    for zone in ("zone 5", ""):
        with policed(way, f"""
            policy p on eth0 ingress {zone} {{
                drop udp to port 99
                allow udp to port 53, redirect to eth1
                allow icmp6 echo-request, redirect to eth1
                default drop
            }}
        """) as net:
            for hdrs in ((0,), (60,), (0, 60), (0, 43), (0, 60, 43, 60)):
                net.passes("p0", "p1", extended(udp(A6, B6, 1, 53), *hdrs))
                net.drops("p0", [extended(udp(A6, B6, 1, 54), *hdrs), extended(udp(A6, B6, 1, 99), *hdrs), extended(tcp(A6, B6, 1, 53), *hdrs)])
            net.passes("p0", "p1", extended(echo(A6, B6, 3), 0, 60))
            # MLD as it is on the wire: hop-by-hop router alert
            net.passes("p0", "h0", extended(icmp("fe80::5", "ff02::16", 143, 0, bytes(4), bytes(20), ttl=1), 0))


@case("ICMP errors through DNAT, from the server's side and from the client's, IPv4 and IPv6")
def dnat_errors(way):
    with policed(way, f"""
        policy in on eth0 ingress zone 7 {{
            allow {{ established, related }}, redirect to eth1
            allow new udp to {P} port 53, dnat 10.0.0.80 port 5353, redirect to eth1
            allow new udp to {P6} port 53, dnat 2001:db8:7::80 port 5353, redirect to eth1
            default drop
        }}
        policy back on eth1 ingress zone 7 {{
            allow {{ established, related }}, redirect to eth0
            default drop
        }}
    """) as net:
        for c, pub, srv in ((B, P, "10.0.0.80"), (B6, P6, "2001:db8:7::80")):
            q = net.passes("p0", "p1", udp(c, pub, 4000, 53))
            assert (q.dst, q.dport) == (srv, 5353), q
            # server's port unreachable
            e = net.passes("p1", "p0", unreachable(srv, c, udp(c, srv, 4000, 5353)))
            assert (e.src, e.dst) == (pub, c), e
            assert (e.inner.src, e.inner.dst, e.inner.dport) == (c, pub, 53), e
            # a router behind
            r = "10.0.0.1" if c == B else "2001:db8:7::1"
            e = net.passes("p1", "p0", unreachable(r, c, udp(c, srv, 4000, 5353)))
            assert (e.inner.dst, e.inner.dport) == (pub, 53), e
            a = net.passes("p1", "p0", udp(srv, c, 5353, 4000))
            assert (a.src, a.sport) == (pub, 53)
            # client's error about the answer
            e = net.passes("p0", "p1", unreachable(c, pub, udp(pub, c, 53, 4000)))
            assert e.dst == srv and (e.inner.src, e.inner.sport, e.inner.dst) == (srv, 5353, c), e
            net.drops("p0", unreachable(c, pub, udp(pub, c, 54, 4000)))
            # an original-direction error before established, by the client's router
            q = net.passes("p0", "p1", udp(c, pub, 4001, 53))


@case("hairpin over two zones: the server's ICMP error is translated back in both")
def hairpin_errors(way):
    with policed(way, f"""
        policy there on eth0 ingress zone 1 then 2 {{
            allow established, redirect to eth1
            allow related, redirect to eth1
            allow new udp to {P} port 53, dnat 10.0.0.80 in zone 1, snat 10.0.0.1 in zone 2, redirect to eth1
            default drop
        }}
        policy back on eth1 ingress zone 2 then 1 {{
            allow established, redirect to eth0
            allow related, redirect to eth0
            default drop
        }}
    """) as net:
        q = net.passes("p0", "p1", udp(A, P, 4000, 53))
        assert (q.src, q.dst) == ("10.0.0.1", "10.0.0.80"), q
        e = net.passes("p1", "p0", unreachable("10.0.0.80", "10.0.0.1", udp("10.0.0.1", "10.0.0.80", q.sport, 53)))
        assert (e.src, e.dst) == (P, A), e
        assert (e.inner.src, e.inner.dst, e.inner.sport, e.inner.dport) == (A, P, 4000, 53), e
        b = net.passes("p1", "p0", udp("10.0.0.80", "10.0.0.1", 53, q.sport))
        assert (b.src, b.dst, b.dport) == (P, A, 4000), b
        q = net.passes("p0", "p1", udp(A, P, 4000, 53))
        assert (q.src, q.dst) == ("10.0.0.1", "10.0.0.80"), q


@case("hairpin over two zones: the client's ICMP error is translated in both, IPv4 and IPv6")
def hairpin_client_errors(way):
    with policed(way, f"""
        policy there on eth0 ingress zone 1 then 2 {{
            allow established, redirect to eth1
            allow related, redirect to eth1
            allow new udp to {P} port 53, dnat 10.0.0.80 in zone 1, snat 10.0.0.1 in zone 2, redirect to eth1
            allow new udp to {P6} port 53, dnat 2001:db8:7::80 in zone 1, snat 2001:db8:7::1 in zone 2, redirect to eth1
            default drop
        }}
        policy back on eth1 ingress zone 2 then 1 {{
            allow established, redirect to eth0
            allow related, redirect to eth0
            default drop
        }}
    """) as net:
        for c, public, srv, gate in ((A, P, "10.0.0.80", "10.0.0.1"), (A6, P6, "2001:db8:7::80", "2001:db8:7::1")):
            q = net.passes("p0", "p1", udp(c, public, 4000, 53))
            assert (q.src, q.dst) == (gate, srv), q
            b = net.passes("p1", "p0", udp(srv, gate, 53, q.sport))
            assert (b.src, b.dst, b.dport) == (public, c, 4000), b
            e = net.passes("p0", "p1", unreachable(c, public, udp(public, c, 53, 4000)))
            assert (e.src, e.dst) == (gate, srv), e
            assert (e.inner.src, e.inner.sport, e.inner.dst, e.inner.dport) == (srv, 53, gate, q.sport), e
            # the client's router, and an error about nothing
            e = net.passes("p0", "p1", unreachable("10.0.0.77" if c == A else "2001:db8:7::77", public, udp(public, c, 53, 4000)))
            assert e.dst == srv and (e.inner.src, e.inner.dst) == (srv, gate), e
            net.drops("p0", unreachable(c, public, udp(public, c, 53, 4001)))
            # it leaves nothing behind, and the conversation goes on
            q = net.passes("p0", "p1", udp(c, public, 4000, 53))
            assert (q.src, q.dst) == (gate, srv), q
        assert sorted(entry.zone for entry in net.fw.conntrack()) == [1, 1, 2, 2]


@case("hairpin over two zones in one policy: replies and errors, from both sides, whatever the order of the zones")
def hairpin_one_policy(way):
    for order in ("1 then 2", "2 then 1"):
        with policed(way, f"""
            policy both on {{ eth0, eth1 }} ingress zone {order} {{
                allow established in eth0, redirect to eth1
                allow related in eth0, redirect to eth1
                allow {{ established, related }} from zone 1 in eth1, redirect to eth0
                allow {{ established, related }} from zone 2 in eth1, redirect to eth0
                allow new udp to {P} port 53, dnat 10.0.0.80 in zone 1, snat 10.0.0.1 in zone 2, redirect to eth1
                default drop
            }}
        """) as net:
            q = net.passes("p0", "p1", udp(A, P, 4000, 53))
            assert (q.src, q.dst) == ("10.0.0.1", "10.0.0.80"), q
            e = net.passes("p1", "p0", unreachable("10.0.0.80", "10.0.0.1", udp("10.0.0.1", "10.0.0.80", q.sport, 53)))
            assert (e.src, e.dst, e.inner.src, e.inner.dst, e.inner.sport) == (P, A, A, P, 4000), e
            b = net.passes("p1", "p0", udp("10.0.0.80", "10.0.0.1", 53, q.sport))
            assert (b.src, b.dst, b.dport) == (P, A, 4000), b
            e = net.passes("p0", "p1", unreachable(A, P, udp(P, A, 53, 4000)))
            assert (e.src, e.dst, e.inner.src, e.inner.dst) == ("10.0.0.1", "10.0.0.80", "10.0.0.80", "10.0.0.1"), e
            q = net.passes("p0", "p1", udp(A, P, 4000, 53))
            assert (q.src, q.dst) == ("10.0.0.1", "10.0.0.80"), q


@case("two zones: what is stored with established connections of the first one, which translates")
def stored_between(way):
    with policed(way, f"""
        policy there on eth0 ingress zone 1 then 2 {{
            continue established from zone 1, set mark 0x100/0xf00
            allow established udp from zone 1, set mark 1/0xf, redirect to eth1
            allow established from zone 1, redirect to eth1
            allow new udp to {P} port 53, dnat 10.0.0.80 in zone 1, snat 10.0.0.1 in zone 2, redirect to eth1
            allow new tcp to {P} port 80, dnat 10.0.0.80 in zone 1, snat 10.0.0.1 in zone 2, redirect to eth1
            default drop
        }}
        policy back on eth1 ingress zone 2 then 1 {{
            allow established reply from zone 2, set mark 2/0xf, redirect to eth0
            default drop
        }}
    """) as net:
        marks = lambda: sorted((entry.zone, entry.mark) for entry in net.fw.conntrack())
        q = net.passes("p0", "p1", udp(A, P, 4000, 53))
        assert (q.src, q.dst) == ("10.0.0.1", "10.0.0.80"), q
        assert marks() == [(1, 0), (2, 0)], marks()
        b = net.passes("p1", "p0", udp("10.0.0.80", "10.0.0.1", 53, q.sport))
        assert (b.src, b.dst, b.dport) == (P, A, 4000), b
        assert marks() == [(1, 0), (2, 2)], marks()
        q = net.passes("p0", "p1", udp(A, P, 4000, 53))
        assert (q.src, q.dst) == ("10.0.0.1", "10.0.0.80"), q
        assert marks() == [(1, 0x101), (2, 2)], marks()
        s = net.passes("p0", "p1", tcp(A, P, 4000, 80))
        b = net.passes("p1", "p0", tcp("10.0.0.80", "10.0.0.1", 80, s.sport, "SA", 5000, 1001))
        assert (b.src, b.dst) == (P, A), b
        a = net.passes("p0", "p1", tcp(A, P, 4000, 80, "PA", 1001, 5001, b"GET"))
        assert (a.src, a.dst, a.data) == ("10.0.0.1", "10.0.0.80", b"GET"), a
        assert marks() == [(1, 0x100), (1, 0x101), (2, 2), (2, 2)], marks()


@case("VLAN and NAT: translated, fragments too, and the tag stays")
def vlan_nat(way):
    with policed(way, f"""
        policy out on eth0 ingress zone 7 {{
            allow established vlan 100, redirect to eth1
            allow new udp vlan 100 from 10.0.0.0/24, snat {P} port 2000-3000, redirect to eth1
            default drop
        }}
        policy in on eth1 ingress zone 7 {{
            allow established vlan {{ 100, 200 }}, redirect to eth0
            allow related vlan 100, redirect to eth0
            default drop
        }}
    """) as net:
        out = net.passes("p0", "p1", udp(A, B, 1, 53), vlan=100)
        assert out.src == P and out.vlans == [100], out
        e = net.passes("p1", "p0", unreachable(B, P, udp(P, B, out.sport, 53)), vlan=100)
        assert e.dst == A and e.inner.src == A, e
        back = net.passes("p1", "p0", udp(B, P, 53, out.sport), vlan=(100, 3))
        assert back.dst == A and back.vlans == [100], back
        back = net.passes("p1", "p0", udp(B, P, 53, out.sport), vlan=200)
        assert back.dst == A
        net.drops("p1", udp(B, P, 53, out.sport))
        net.drops("p1", udp(B, P, 53, out.sport), vlan=101)
        net.drops("p0", udp(A, B, 2, 53))
        whole, _ = net.fragments_pass("p0", "p1", fragments(udp(A, B, 1, 53, bytes(3000)), 1400), vlan=100)
        assert whole.src == P, whole


@case("`fragment` first, later, any and none")
def fragment_words(way):
    with policed(way, """
        policy p on eth0 ingress {
            allow from 10.0.0.1 fragment first, redirect to eth1
            allow from 10.0.0.2 fragment later, redirect to eth1
            allow from 10.0.0.3 fragment any, redirect to eth1
            allow from 10.0.0.4 fragment none, redirect to eth1
            allow from 10.0.0.5 fragment none udp to port 2, redirect to eth1
            allow ip6 udp fragment any, redirect to eth2
            allow ip6 udp fragment none, redirect to eth3
            default drop
        }
    """, 4) as net:
        for n, want in ((1, "100"), (2, "011"), (3, "111"), (4, "000"), (5, "000")):
            pieces = fragments(udp(f"10.0.0.{n}", B, 1, 2, bytes(3000)), 1400)
            for piece, w in zip(pieces, want):
                if w == "1":
                    net.passes("p0", "p1", piece)
                else:
                    net.drops("p0", piece)
            if n >= 4:
                net.passes("p0", "p1", udp(f"10.0.0.{n}", B, 1, 2))
            else:
                net.drops("p0", udp(f"10.0.0.{n}", B, 1, 2))
        for piece in fragments(udp(A6, B6, 1, 2, bytes(3000)), 1400):
            net.passes("p0", "p2", piece)
        net.passes("p0", "p3", udp(A6, B6, 1, 2))


@case("a VLAN device: its frames are tagged on egress of the device below")
def vlan_egress(way):
    with switch(1) as net:
        net.fw.ip("link add link eth0 name eth0.7 type vlan id 7", "link add link eth0 name eth0.8 type vlan id 8",
                  "link set eth0.7 up", "link set eth0.8 up", "addr add 10.7.0.1/24 dev eth0.7", "addr add 10.8.0.1/24 dev eth0.8",
                  "addr add 10.9.0.1/24 dev eth0",
                  *[f"neigh add 10.{n}.0.2 lladdr {mac(2, 0)} dev {d}" for n, d in ((7, "eth0.7"), (8, "eth0.8"), (9, "eth0"))])
        enforce(net.fw, """
            policy out on eth0 egress zone 5 {
                allow vlan 7 new udp to port 53
                allow udp to port 54
                default drop
            }
        """, way)
        sock = datagram(net.fw)
        for n, ports in ((7, (53,)), (8, ()), (9, (54,))):
            for port in (53, 54):
                net.drain()
                with contextlib.suppress(OSError):  # so a sender learns that an egress policy dropped its packet
                    sock.sendto(b"x", (f"10.{n}.0.2", port))
                got = [p for _, p in net.arrivals(0.3) if p.dport == port and p.dst == f"10.{n}.0.2"]
                assert bool(got) == (port in ports), (n, port, got)


@case("a prefilter decides before the rules do: addresses, ARP, neighbour discovery, tags")
def prefilter_first(way):
    with policed(way, """
        policy p on eth0 ingress zone 5 {
            prefilter {
                drop arp from mac 02:00:00:00:00:99
                allow from 10.0.0.1, redirect to eth1
                drop from 10.0.0.0/24 port 1-100 udp
                drop icmp6 type 135 from fe80::6
                allow vlan 9 udp, redirect to eth1
            }
            drop from 10.0.0.1
            allow established
            allow new udp, redirect to eth2
            default drop
        }
    """, 3) as net:
        net.drops("p0", arp(mac(2, 0), A, B), ethertype=0x0806, sender="02:00:00:00:00:99")
        net.passes("p0", "h0", arp(mac(2, 0), A, B), ethertype=0x0806)
        net.passes("p0", "p1", tcp("10.0.0.1", B, 1, 2, "SA"))
        net.passes("p0", "p1", udp("10.0.0.1", B, 50, 2))
        for f in fragments(udp("10.0.0.1", B, 50, 2, bytes(3000)), 1400):
            net.passes("p0", "p1", f)
        net.drops("p0", [udp("10.0.0.2", B, 1, 2), udp("10.0.0.2", B, 100, 2)])
        net.passes("p0", "p2", udp("10.0.0.2", B, 101, 2))
        net.passes("p0", "p2", udp("10.0.1.2", B, 100, 2))
        net.drops("p0", neighbour_solicitation("fe80::6", "ff02::1:ff00:9", B6, mac(2, 0)))
        net.passes("p0", "h0", neighbour_solicitation("fe80::5", "ff02::1:ff00:9", B6, mac(2, 0)))
        net.passes("p0", "p1", udp(A, B, 1, 2), vlan=9)
        net.drops("p0", tcp(A, B, 1, 2), vlan=9)
        whole, _ = net.fragments_pass("p0", "p2", fragments(udp("10.0.1.2", B, 50, 2, bytes(3000)), 1400))


@case("drops by address at the head of a tracked policy: live connections too, fragments, but not neighbour discovery")
def drops_early(way):
    blocked, blocked6 = "10.0.0.9", "2001:db8:bad::9"
    with policed(way, f"""
        policy there on eth0 ingress zone 5 {{
            drop from {{ {blocked}, 2001:db8:bad::/48 }}
            allow established, redirect to eth1
            allow new udp, redirect to eth1
            default drop
        }}
        policy back on eth1 ingress zone 5 {{
            allow tracked, redirect to eth0
            default drop
        }}
    """, 2) as net:
        for good, bad, far in ((A, blocked, B), (A6, blocked6, B6)):
            net.passes("p0", "p1", udp(good, far, 1, 2))
            net.passes("p1", "p0", udp(far, good, 2, 1))
            net.passes("p0", "p1", udp(good, far, 1, 2))
            net.drops("p0", udp(bad, far, 1, 2))
            net.passes("p1", "p0", udp(far, bad, 7, 8))
            net.drops("p0", udp(bad, far, 8, 7))
        net.drops("p0", list(fragments(udp(blocked, B, 1, 2, bytes(3000)), 1400)))
        net.passes("p0", "h0", neighbour_solicitation(blocked6, "ff02::1:ff00:9", B6, mac(2, 0)))


@case("`original` and `reply`, `snat` and `dnat`: directions of one connection")
def directions(way):
    with policed(way, f"""
        policy out on eth0 ingress zone 7 {{
            drop established original udp to port 99
            allow tracked reply, redirect to eth2
            allow established original, redirect to eth3
            allow new udp to port {{ 53, 99 }}, redirect to eth1
            allow new udp to {P} port 60, dnat {B} port 61, redirect to eth1
            default drop
        }}
        policy back on eth1 ingress zone 7 {{
            allow snat reply, redirect to eth2
            allow reply not snat, redirect to eth0
            allow new from port 7 udp, redirect to eth0
            default drop
        }}
    """, 4) as net:
        net.passes("p0", "p1", udp(A, B, 1, 53))
        net.passes("p1", "p0", udp(B, A, 53, 1))
        net.passes("p0", "p3", udp(A, B, 1, 53))
        net.passes("p0", "p1", udp(A, B, 1, 99))
        net.passes("p1", "p0", udp(B, A, 99, 1))
        net.drops("p0", udp(A, B, 1, 99))
        net.passes("p1", "p0", udp(B, A, 99, 1))
        net.passes("p1", "p0", udp(B, A, 7, 8))
        net.passes("p0", "p2", udp(A, B, 8, 7))
        out = net.passes("p0", "p1", udp(A, P, 5, 60))
        assert (out.dst, out.dport) == (B, 61), out
        back = net.passes("p1", "p2", udp(B, A, 61, 5))
        assert (back.src, back.sport) == (P, 60), back


@case("`status` counts every packet by its rule: sets, families, prefilter, continue (apply only: status reads what apply wrote)", ways=("apply",))
def counters(way):
    with policed(way, """
        policy p on { eth0, eth2 } ingress zone 5 {
            prefilter { drop udp to port { 99, 100-120 } }
            @id est
            allow established, redirect to eth1
            continue udp, mirror to eth3
            @id set
            allow udp from { 10.0.0.0/24, 10.0.2.0/24, 2001:db8:7::/48 } to port { 1, 5-9 }, redirect to eth1
            drop tcp
            default drop
        }
    """, 4) as net:
        for n in range(4):
            net.passes("p0", "p1", udp(A, B, n + 1, 6), also=["p3"])
        for n in range(3):
            net.passes("p2", "p1", udp(A6, B6, n + 1, 1), also=["p3"])
        net.drops("p0", [udp(A, B, 1, 99), udp(A, B, 1, 110), udp(A6, B6, 1, 99)])
        net.drops("p2", [tcp(A, B, 1, 1), tcp(A6, B6, 1, 1)])
        net.passes("p2", "p3", udp(A, B, 1, 2))
        net.drops("p2", generic(A, B, 99))
        rules = json.loads(ctpolicy(net.fw, "status", "--json").stdout)["rules"]
        packets = {rule["rule"]["position"]: rule["packets"] for rule in rules if rule["role"] in ("rule", "default")}
        assert packets == {1: 3, 2: 0, 3: 8, 4: 7, 5: 2, 6: 2}, packets
