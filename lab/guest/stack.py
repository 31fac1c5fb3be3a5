"""Nodes with a real IP stack, and TCP and UDP conversations between them by ordinary sockets.

The Gateway topology: client -- (eth1) gw (eth0) -- server, with IPv4 and IPv6 on both sides.
"""
import contextlib
import errno
import select
import socket
import time

from net import mac, namespaces

EXPECT = 5.0  # s for what must work
REFUSE = 0.7  # s for what must not

LAN, LAN6 = "10.0.0", "2001:db8:7"
NET, NET6 = "203.0.113", "2001:db8:9"
CLIENT, CLIENT6 = f"{LAN}.5", f"{LAN6}::5"
SERVER, SERVER6 = f"{NET}.9", f"{NET6}::9"
GATEWAY, GATEWAY6 = f"{NET}.2", f"{NET6}::2"  # the gateway's outside addresses


class Gateway:
    def __init__(self, client, gw, server):
        self.client, self.gw, self.server = client, gw, server
        gw.ip(
            f"link add eth1 address {mac(1, 1)} type veth peer name lan0 netns {client.name} address {mac(3, 1)}",
            f"link add eth0 address {mac(1, 0)} type veth peer name net0 netns {server.name} address {mac(4, 0)}",
            "link set eth0 up", "link set eth1 up",
            f"addr add {LAN}.1/24 dev eth1", f"addr add {GATEWAY}/24 dev eth0",
            f"addr add {LAN6}::1/64 dev eth1 nodad", f"addr add {GATEWAY6}/64 dev eth0 nodad",
        )
        gw.sysctl("net.ipv4.ip_forward", 1)
        gw.sysctl("net.ipv6.conf.all.forwarding", 1)
        client.ip("link set lan0 up", f"addr add {CLIENT}/24 dev lan0", f"addr add {CLIENT6}/64 dev lan0 nodad",
                  f"route add default via {LAN}.1", f"route add default via {LAN6}::1")
        # The server knows no way to the LAN: only translated packets find back.
        server.ip("link set net0 up", f"addr add {SERVER}/24 dev net0", f"addr add {SERVER6}/64 dev net0 nodad")


@contextlib.contextmanager
def gateway():
    with namespaces("client", "gw", "server", ipv6=True) as nodes:
        yield Gateway(*nodes)


def family(addr):
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def listen(ns, addr, port):
    with ns:
        sock = socket.socket(family(addr), socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((addr, port))
    sock.listen(16)
    sock.settimeout(EXPECT)
    return sock


def connect(ns, addr, port, source=None, timeout=EXPECT):
    """A TCP connection from ns, or None if nothing answers. A refusal raises ConnectionRefusedError."""
    with ns:
        sock = socket.socket(family(addr), socket.SOCK_STREAM)
    if source:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(source)
    sock.settimeout(timeout)
    try:
        sock.connect((addr, port))
    except TimeoutError:
        sock.close()
        return None
    except OSError as error:
        sock.close()
        if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPERM):
            return None
        raise
    return sock


def receive_exactly(sock, size):
    data = b""
    sock.settimeout(EXPECT)
    while len(data) < size:
        piece = sock.recv(65536)
        if not piece:
            break
        data += piece
    return data


def talk(ns, listener, addr, port, size=3000, source=None):
    """Connect from ns to addr:port, which must reach the listener; send data both ways.
    Returns (client socket, server's socket, the client's address as the server sees it)."""
    client = connect(ns, addr, port, source)
    assert client, f"no connection to {addr}:{port}"
    served, seen = listener.accept()
    for sender, receiver, byte in ((client, served, b"q"), (served, client, b"a")):
        data = byte * size
        sender.sendall(data)
        assert receive_exactly(receiver, size) == data, f"data lost on the way to {addr}:{port}"
    return client, served, seen[:2]


def refused(ns, addr, port, source=None):
    """A connection to addr:port must not come about, by silence."""
    sock = connect(ns, addr, port, source, timeout=REFUSE)
    if sock:
        sock.close()
        raise AssertionError(f"connected to {addr}:{port}, which must not be")


def datagram(ns, addr=None, port=0):
    """A UDP socket in ns, bound."""
    addr = addr or "0.0.0.0"
    with ns:
        sock = socket.socket(family(addr), socket.SOCK_DGRAM)
    sock.bind((addr, port))
    sock.settimeout(EXPECT)
    return sock


def ask(client, server, addr, port, data=b"question"):
    """A UDP question from one socket to addr:port, which must reach the other; and the answer back.
    Returns the client's address as the server sees it."""
    client.sendto(data, (addr, port))
    got, seen = server.recvfrom(70000)
    assert got == data, f"{len(data)} bytes were sent, {len(got)} came"
    server.sendto(data[::-1], seen)
    client.settimeout(EXPECT)
    got, by = client.recvfrom(70000)
    assert got == data[::-1]
    assert by[:2] == (addr, port), f"the answer came from {by}, not from {addr}:{port}"
    return seen[:2]


def silent(sock, seconds=0.3):
    """Nothing may come to this socket."""
    if select.select([sock], [], [], seconds)[0]:
        data, by = sock.recvfrom(70000)
        raise AssertionError(f"{len(data)} bytes came from {by}, which must not be")


def eventually(check, what, seconds=EXPECT):
    """Wait until check() is true; returns what it gave."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come about: {what}")
        time.sleep(0.02)
