"""Raw ends of the wire: frames in at one end, and where they came out.

The Switch topology is the workhorse: a namespace `fw` under test with devices eth0, eth1 ..., each joined to a
device p0, p1 ... of a silent namespace `wire`. It has two kinds of ends:

    p0   the wire at eth0: a frame sent here arrives at eth0 (ingress); frames that eth0 transmits come out here
    h0   the host at eth0: a frame sent here leaves by eth0 (egress); frames that eth0's ingress accepted come out here

So passes("p0", "p1", packet) is a redirection, passes("p0", "h0", ...) an accepting ingress policy,
passes("h0", "p0", ...) an accepting egress policy, and drops("p0", packet) is nothing coming out anywhere.
"""
import contextlib
import errno
import select
import socket
import struct
import time

from frames import ethernet, parse, reassemble, ETH_ARP, ETH_IP, ETH_IP6
from net import mac, namespaces

ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 8, 23
TP_STATUS_VLAN_VALID = 1 << 4

EXPECT = 4.0  # s to wait for what must come
QUIET = 0.15  # s to wait for what must not come; frames cross the guest within the send call


class Port:
    """A packet socket on a device: sends frames, and receives those of one ethertype (or all)."""

    def __init__(self, ns, dev, ethertype=ETH_P_ALL):
        self.dev = dev
        with ns:
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        with contextlib.suppress(OSError):
            self.sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        with ns:
            self.sock.bind((dev, ethertype))
        self.sock.setblocking(False)

    def send(self, frame):
        self.sock.send(frame)

    def receive(self, timeout=0):
        """The next frame as it was on the wire (the kernel hands the VLAN tag over aside), or None."""
        if not select.select([self.sock], [], [], timeout)[0]:
            return None
        frame, aside, _, _ = self.sock.recvmsg(66000, 200)
        for level, kind, data in aside:
            if level == SOL_PACKET and kind == PACKET_AUXDATA:
                status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", data[:20])
                if status & TP_STATUS_VLAN_VALID:
                    frame = frame[:12] + struct.pack("!HH", tpid or 0x8100, tci) + frame[12:]
        return frame

    def close(self):
        self.sock.close()


class Wrong(AssertionError):
    """A packet did not fare as expected."""


class Ends:
    """Named ends; each has ports to send and receive by, and the MAC addresses of its frames."""

    def __init__(self):
        self.send_port, self.receive_ports, self.macs = {}, {}, {}

    def add(self, name, send_port, receive_ports, macs):
        self.send_port[name], self.receive_ports[name], self.macs[name] = send_port, receive_ports, macs

    def close(self):
        for name, ports in self.receive_ports.items():
            for port in {*ports, self.send_port[name]}:
                port.close()

    def frame(self, end, packet, vlan=None, ethertype=None, sender=None):
        """A frame around a packet, as the neighbour at this end sends it."""
        to, by = self.macs[end]
        return ethernet(packet, to, sender or by, ethertype, vlan)

    def inject(self, end, packet, **kw):
        frame = self.frame(end, packet, **kw)
        try:
            self.send_port[end].send(frame)
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # so its sender learns that an egress policy dropped the frame
                raise
        return parse(frame)

    def arrivals(self, timeout, until=None):
        """[(end, parsed packet)] of all that comes out within the timeout, or until the condition holds on them."""
        got = []
        deadline = time.monotonic() + timeout
        owner = {port.sock: (name, port) for name, ports in self.receive_ports.items() for port in ports}
        while True:
            left = deadline - time.monotonic()
            ready = select.select(list(owner), [], [], max(left, 0))[0]
            for sock in ready:
                name, port = owner[sock]
                frame = port.receive()
                if frame:
                    got.append((name, parse(frame)))
            if until and until(got):
                until, deadline = None, time.monotonic() + 0.02  # a little longer: copies that must not be
            if not ready and left <= 0:
                return got

    def drain(self):
        self.arrivals(0)

    def passes(self, src, dst, packet, also=(), **kw):
        """Send one packet at src; it must come out at dst (and at the ends of `also`), once, and nowhere else.
        Returns it as it came out (a list when there are several ends)."""
        self.drain()
        sent = self.inject(src, packet, **kw)
        ends = [dst, *also]
        mine = lambda got: [(end, p) for end, p in got if p.key == sent.key]
        got = mine(self.arrivals(EXPECT, lambda got: len(mine(got)) >= len(ends)))
        if sorted(end for end, _ in got) != sorted(ends):
            where = ", ".join(f"at {end} {p}" for end, p in got) or "nowhere"
            raise Wrong(f"sent at {src}: {sent}: must come out at {' and '.join(ends)}; came out: {where}")
        by_end = dict(got)
        for end, p in got:
            if not p.ok:
                raise Wrong(f"wrong checksum at {end}: {p}")
        return [by_end[end] for end in ends] if also else by_end[dst]

    def drops(self, src, packet, wait=QUIET, **kw):
        """Send one packet at src (or several, as a list); nothing of it may come out anywhere."""
        self.drain()
        packets = packet if isinstance(packet, list) else [packet]
        keys = {self.inject(src, one, **kw).key for one in packets}
        leaked = [(end, p) for end, p in self.arrivals(wait) if p.key in keys]
        if leaked:
            raise Wrong("must be dropped, but came out: " + ", ".join(f"at {end} {p}" for end, p in leaked))

    def fragments_pass(self, src, dst, pieces, **kw):
        """Send fragments at src; they must come out at dst, in whatever pieces. Returns the datagram, parsed."""
        self.drain()
        key = [self.inject(src, piece, **kw).key for piece in pieces][0]
        mine = lambda got: [p for end, p in got if p.key == key and end == dst]
        got = self.arrivals(EXPECT, lambda got: reassemble(mine(got)) is not None)
        whole = reassemble(mine(got))
        if whole is None:
            raise Wrong(f"no whole datagram at {dst}; came out: {got}")
        astray = [(end, p) for end, p in got if p.key == key and end != dst]
        if astray:
            raise Wrong(f"fragments came out astray: {astray}")
        if not whole.ok:
            raise Wrong(f"wrong checksum: {whole}")
        return whole, mine(got)


HOST_ETHERTYPES = (ETH_IP, ETH_IP6, ETH_ARP, 0x88CC, 0x88B5)


class Switch(Ends):
    def __init__(self, fw, wire, count):
        super().__init__()
        self.fw, self.wire = fw, wire
        lines = []
        for n in range(count):
            lines += [f"link add eth{n} address {mac(1, n)} type veth peer name p{n} netns {wire.name} address {mac(2, n)}",
                      f"link set eth{n} up"]
        fw.ip(*lines)
        wire.ip(*[f"link set p{n} up" for n in range(count)])
        for n in range(count):
            outside = Port(wire, f"p{n}")
            self.add(f"p{n}", outside, [outside], (mac(1, n), mac(2, n)))
            # Sockets bound to one ethertype see a frame after tc's ingress hook: what they get was accepted.
            inside = [Port(fw, f"eth{n}", ethertype) for ethertype in HOST_ETHERTYPES]
            # The sender is bound to none (0): a socket's ethertype would stand for that of the frames it sends.
            self.add(f"h{n}", Port(fw, f"eth{n}", 0), inside, (mac(2, n), mac(1, n)))


@contextlib.contextmanager
def switch(count=2):
    with namespaces("fw", "wire") as (fw, wire):
        ends = Switch(fw, wire, count)
        try:
            yield ends
        finally:
            ends.close()
