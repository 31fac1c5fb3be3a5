"""Packets written and read with struct: Ethernet, VLAN, ARP, IPv4, IPv6, TCP, UDP, SCTP, ICMP, ICMPv6, fragments.

Builders return layer-3 packets (bytes); ethernet() puts a frame around one. The IP version follows from the
addresses. Every packet gets an own IPv4 identification or IPv6 flow label: NAT and redirection keep it, so it
tells packets apart wherever they come out (see wire.py).
"""
import ipaddress
import itertools
import struct

ETH_IP, ETH_IP6, ETH_ARP, ETH_8021Q, ETH_8021AD = 0x0800, 0x86DD, 0x0806, 0x8100, 0x88A8
ICMP, TCP, UDP, GRE, ICMP6, SCTP, FRAGMENT6 = 1, 6, 17, 47, 58, 132, 44
FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32}

identifications = itertools.count(1)


def address(text):
    return ipaddress.ip_address(text)


def is6(text):
    return ":" in text


def checksum(data):
    """The internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pseudo(src, dst, proto, length):
    if is6(src):
        return address(src).packed + address(dst).packed + struct.pack("!IHBB", length, 0, 0, proto)
    return address(src).packed + address(dst).packed + struct.pack("!BBH", 0, proto, length)


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def mac_text(data):
    return ":".join(f"{byte:02x}" for byte in data)


# ---- builders ----------------------------------------------------------------------------------


def ethernet(payload, dst, src, ethertype=None, vlan=None):
    """A frame. vlan: one tag, or a list of tags from outside in; a tag is an id or (id, priority)."""
    if ethertype is None:
        ethertype = ETH_IP6 if payload[0] >> 4 == 6 else ETH_IP
    tags = b""
    vlans = [] if vlan is None else vlan if isinstance(vlan, list) else [vlan]
    for number, tag in enumerate(vlans):
        ident, priority = tag if isinstance(tag, tuple) else (tag, 0)
        tpid = ETH_8021AD if number < len(vlans) - 1 else ETH_8021Q
        tags += struct.pack("!HH", tpid, priority << 13 | ident)
    return mac_bytes(dst) + mac_bytes(src) + tags + struct.pack("!H", ethertype) + payload


def ip(src, dst, proto, payload, ttl=64, dscp=0, ident=None, options=b""):
    """An IP packet of the addresses' version, unfragmented."""
    number = next(identifications) if ident is None else ident
    if is6(src):
        first = 6 << 28 | dscp << 22 | number & 0xFFFFF
        return struct.pack("!IHBB", first, len(payload), proto, ttl) + address(src).packed + address(dst).packed + payload
    return ip4_header(src, dst, proto, len(payload), number & 0xFFFF, 0, ttl, dscp, options) + payload


def ip4_header(src, dst, proto, length, ident, fragment, ttl=64, dscp=0, options=b""):
    words = 5 + len(options) // 4
    header = struct.pack("!BBHHHBBH", 0x40 | words, dscp << 2, words * 4 + length, ident, fragment, ttl, proto, 0)
    header += address(src).packed + address(dst).packed + options
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:]


def udp(src, dst, sport, dport, data=b"ping", **kw):
    length = 8 + len(data)
    header = struct.pack("!HHHH", sport, dport, length, 0)
    value = checksum(pseudo(src, dst, UDP, length) + header + data) or 0xFFFF
    return ip(src, dst, UDP, header[:6] + struct.pack("!H", value) + data, **kw)


def tcp(src, dst, sport, dport, flags="S", seq=1000, ack=0, data=b"", window=65000, **kw):
    bits = sum(FLAGS[letter] for letter in flags)
    header = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 5 << 4, bits, window, 0, 0)
    value = checksum(pseudo(src, dst, TCP, 20 + len(data)) + header + data)
    return ip(src, dst, TCP, header[:16] + struct.pack("!H", value) + header[18:] + data, **kw)


def icmp(src, dst, kind, code=0, rest=bytes(4), data=b"", **kw):
    """ICMP or ICMPv6, by the addresses' version. rest: the second word of the header."""
    proto = ICMP6 if is6(src) else ICMP
    body = struct.pack("!BBH", kind, code, 0) + rest + data
    value = checksum((pseudo(src, dst, proto, len(body)) if is6(src) else b"") + body)
    return ip(src, dst, proto, body[:2] + struct.pack("!H", value) + body[4:], **kw)


def echo(src, dst, ident=7, seq=1, reply=False, data=b"ping", **kw):
    kind = (129 if reply else 128) if is6(src) else (0 if reply else 8)
    return icmp(src, dst, kind, 0, struct.pack("!HH", ident, seq), data, **kw)


def unreachable(src, dst, about, code=None, **kw):
    """Port unreachable (or another code), sent by src to dst about a layer-3 packet."""
    if is6(src):
        return icmp(src, dst, 1, 4 if code is None else code, data=about[:1200], **kw)
    return icmp(src, dst, 3, 3 if code is None else code, data=about[:28 + 64], **kw)


def generic(src, dst, proto, data=b"generic protocol", **kw):
    return ip(src, dst, proto, data, **kw)


CRC32C = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0x82F63B78 if _byte & 1 else 0)
    CRC32C.append(_byte)


def sctp_init(src, dst, sport, dport, **kw):
    """An SCTP INIT chunk."""
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 0x1234, 65535, 10, 10, 1)
    body = struct.pack("!HHII", sport, dport, 0, 0) + chunk
    crc = 0xFFFFFFFF
    for byte in body:
        crc = crc >> 8 ^ CRC32C[(crc ^ byte) & 0xFF]
    return ip(src, dst, SCTP, body[:8] + struct.pack("<I", crc ^ 0xFFFFFFFF) + body[12:], **kw)


def arp(sender_mac, sender_ip, target_ip, reply=False, target_mac="00:00:00:00:00:00"):
    return struct.pack("!HHBBH", 1, ETH_IP, 6, 4, 2 if reply else 1) + mac_bytes(sender_mac) + \
        address(sender_ip).packed + mac_bytes(target_mac) + address(target_ip).packed


def neighbour_solicitation(src, dst, target, src_mac):
    """IPv6's question for a link-layer address (RFC 4861): hop limit 255."""
    return icmp(src, dst, 135, 0, bytes(4), address(target).packed + b"\1\1" + mac_bytes(src_mac), ttl=255)


def fragments(packet, size):
    """Cut a layer-3 packet into fragments of at most size bytes of IP payload (a multiple of 8)."""
    assert size % 8 == 0
    pieces = []
    if packet[0] >> 4 == 6:
        header, proto, payload = packet[:40], packet[6], packet[40:]
        ident = next(identifications)
        for offset in range(0, len(payload), size):
            piece = payload[offset:offset + size]
            more = offset + size < len(payload)
            extension = struct.pack("!BBHI", proto, 0, offset | more, ident)
            pieces.append(header[:4] + struct.pack("!HB", len(piece) + 8, FRAGMENT6) + header[7:] + extension + piece)
        return pieces
    first = parse_ip(packet)
    for offset in range(0, len(packet) - 20, size):
        piece = packet[20 + offset:20 + offset + size]
        more = 0x2000 if 20 + offset + size < len(packet) else 0
        pieces.append(ip4_header(first.src, first.dst, first.proto, len(piece), first.ident, more | offset // 8, first.ttl) + piece)
    return pieces


def reassemble(packets):
    """The parsed datagram that these fragments (parsed packets) make, or None while some are missing."""
    parts = sorted(packets, key=lambda packet: packet.offset)
    data = b""
    for part in parts:
        if part.offset != len(data):
            return None
        data += part.body
    if not parts or parts[-1].more:
        return None
    first = parts[0]
    return parse_ip(ip(first.src, first.dst, first.proto, data, ttl=first.ttl, dscp=first.dscp, ident=first.ident))


# ---- parser ------------------------------------------------------------------------------------


class Packet:
    """What parse() found; fields that a packet does not have are None."""

    FIELDS = ("eth_dst eth_src vlans ethertype version src dst proto ttl dscp ident offset more body sport dport flags seq ack "
              "data type code echo_id inner ok").split()

    def __init__(self):
        for field in self.FIELDS:
            setattr(self, field, None)
        self.vlans = []
        self.offset, self.more, self.ok = 0, False, True

    @property
    def key(self):
        """What stays the same about a packet on its way: see the module's text."""
        if self.version:
            return self.version, self.ident & 0xFFFF if self.version == 4 else self.ident
        return self.ethertype, self.body

    @property
    def fragment(self):
        return bool(self.offset or self.more)

    def __repr__(self):
        if not self.version:
            return f"<ethertype {self.ethertype:#06x}, {len(self.body)} bytes>"
        vlan = f"vlan {self.vlans} " if self.vlans else ""
        text = f"{vlan}{self.src}:{self.sport} > {self.dst}:{self.dport} proto {self.proto} len {len(self.body)}"
        for name in ("flags", "type", "code", "echo_id", "inner"):
            if getattr(self, name) is not None:
                text += f" {name} {getattr(self, name)}"
        if self.fragment:
            text += f" fragment at {self.offset}{'+' if self.more else ''}"
        return f"<{text}{'' if self.ok else ' BAD CHECKSUM'}>"


def parse(frame):
    packet = Packet()
    packet.eth_dst, packet.eth_src = mac_text(frame[:6]), mac_text(frame[6:12])
    at = 12
    while True:
        kind, = struct.unpack_from("!H", frame, at)
        at += 2
        if kind not in (ETH_8021Q, ETH_8021AD):
            break
        packet.vlans.append(struct.unpack_from("!H", frame, at)[0] & 0xFFF)
        at += 2
    packet.ethertype = kind
    if kind in (ETH_IP, ETH_IP6):
        return parse_ip(frame[at:], packet)
    packet.body = frame[at:]
    return packet


def parse_ip(data, packet=None):
    packet = packet or Packet()
    packet.version = data[0] >> 4
    if packet.version == 4:
        header = (data[0] & 15) * 4
        total, packet.ident, fragment, packet.ttl, packet.proto = struct.unpack_from("!HHHBB", data, 2)
        packet.dscp = data[1] >> 2
        packet.offset, packet.more = (fragment & 0x1FFF) * 8, bool(fragment & 0x2000)
        packet.src, packet.dst = str(address(data[12:16])), str(address(data[16:20]))
        packet.ok = checksum(data[:header]) == 0
        packet.body = data[header:total]
        complete = len(data) >= total
    else:
        first, length, packet.proto, packet.ttl = struct.unpack_from("!IHBB", data)
        packet.dscp, packet.ident = first >> 22 & 63, first & 0xFFFFF
        packet.src, packet.dst = str(address(data[8:24])), str(address(data[24:40]))
        packet.body = data[40:40 + length]
        complete = len(data) >= 40 + length
        if packet.proto == FRAGMENT6:
            packet.proto, fragment = packet.body[0], struct.unpack_from("!H", packet.body, 2)[0]
            packet.offset, packet.more = fragment & 0xFFF8, bool(fragment & 1)
            packet.body = packet.body[8:]
    if packet.offset == 0:
        parse_transport(packet, complete and not packet.more)
    return packet


def parse_transport(packet, complete):
    """Transport header; the checksum only of complete packets (not of fragments, nor of what ICMP errors quote)."""
    body, proto = packet.body, packet.proto
    if proto in (TCP, UDP, SCTP) and len(body) >= 8:
        packet.sport, packet.dport = struct.unpack_from("!HH", body)
    if proto == TCP and len(body) >= 20:
        packet.seq, packet.ack = struct.unpack_from("!II", body, 4)
        packet.flags = "".join(letter for letter, bit in FLAGS.items() if body[13] & bit)
        packet.data = body[(body[12] >> 4) * 4:]
    elif proto == UDP:
        packet.data = body[8:]
    elif proto in (ICMP, ICMP6) and len(body) >= 8:
        packet.type, packet.code = body[0], body[1]
        if packet.type in ((0, 8) if proto == ICMP else (128, 129)):
            packet.echo_id = struct.unpack_from("!H", body, 4)[0]
            packet.data = body[8:]
        elif packet.type in ((3, 4, 11, 12) if proto == ICMP else (1, 2, 3, 4)) and len(body) >= 28:
            packet.inner = parse_ip(body[8:])
    else:
        packet.data = body
    if complete and proto in (TCP, UDP, ICMP6):
        zero = proto == UDP and body[6:8] == b"\0\0"
        packet.ok = packet.ok and (zero or checksum(pseudo(packet.src, packet.dst, proto, len(body)) + body) == 0)
    elif complete and proto == ICMP:
        packet.ok = packet.ok and checksum(body) == 0
