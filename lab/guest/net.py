"""Network namespaces, veth pairs and the command-line tools, as the suites need them.

Starting a process costs 20-100 ms in the emulated guest, so namespaces are made and entered by system
call, links are made by one `ip -batch` per topology, and packets never cost a process.
"""
import contextlib
import ctypes
import fcntl
import itertools
import json
import os
import re
import socket
import struct
import subprocess
from pathlib import Path

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_BIND, MS_REC, MS_SLAVE, MNT_DETACH = 0x1000, 0x4000, 0x80000, 2
NETNS = Path("/run/netns")

libc = ctypes.CDLL(None, use_errno=True)


def syscall(result):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def enter(fd):
    syscall(libc.setns(fd, CLONE_NEWNET))


class CommandFailed(Exception):
    def __init__(self, argv, done):
        self.done = done
        output = (done.stderr or "") + (done.stdout or "")
        super().__init__(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{output[-3000:]}")


class Namespace:
    """A network namespace. `with ns:` moves this process into it, so that sockets opened there stay there."""

    living = {}

    def __init__(self, name, ipv6=False):
        self.name = name
        NETNS.mkdir(exist_ok=True)
        self.path = NETNS / name
        self.path.touch()
        self.outer = []
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            syscall(libc.unshare(CLONE_NEWNET))
            syscall(libc.mount(b"/proc/thread-self/ns/net", bytes(self.path), b"none", MS_BIND, None))
            self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            interface_up("lo")
            # Without addresses of their own, nodes say nothing that a case would have to tell from its packets.
            for where in ("all", "default"):
                self._write(f"net.ipv6.conf.{where}.disable_ipv6", 0 if ipv6 else 1)
                self._write(f"net.ipv6.conf.{where}.accept_dad", 0)
                self._write(f"net.ipv6.conf.{where}.router_solicitations", 0)
        finally:
            enter(home)
            os.close(home)
        Namespace.living[name] = self

    def close(self):
        """Leave the namespace, but let it live until the guest ends.

        Linux 6.12 corrupts per-CPU memory when a namespace goes away in which act_ct has moved connections to its
        flow table: the table is taken down by deferred work, which counts in statistics of the namespace that are
        freed by then. What owns that memory next crashes (seen as oopses in dst_dev_put and as "Bad rss-counter
        state", in every second run of the traffic suite).
        """
        if Namespace.living.pop(self.name, None):
            os.close(self.fd)

    def __enter__(self):
        self.outer.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))
        enter(self.fd)
        return self

    def __exit__(self, *_):
        fd = self.outer.pop()
        enter(fd)
        os.close(fd)

    def _write(self, name, value):
        Path("/proc/sys", *name.split(".")).write_text(str(value))

    def sysctl(self, name, value):
        with self:
            self._write(name, value)

    def start(self, *argv, **kw):
        """A process in this namespace, with its own /sys of it (as `ip netns exec` does)."""
        def inside():
            syscall(libc.unshare(CLONE_NEWNS))
            libc.mount(b"none", b"/", None, MS_SLAVE | MS_REC, None)
            libc.umount2(b"/sys", MNT_DETACH)
            libc.mount(b"sysfs", b"/sys", b"sysfs", 0, None)
        with self:
            return subprocess.Popen([str(arg) for arg in argv], preexec_fn=inside, **{"text": True, **kw})

    def run(self, *argv, input=None, check=True, timeout=300):
        """Run a command here; its output is in .stdout and .stderr."""
        process = self.start(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            process.wait()
            raise
        done = subprocess.CompletedProcess(argv, process.returncode, out, err)
        if check and done.returncode != 0:
            raise CommandFailed(argv, done)
        return done

    def tool(self, *argv, input=None, check=True):
        """Like run, for tools that do not read /sys (tc, ip, conntrack, nft): a cheaper start."""
        with self:
            done = subprocess.run([str(arg) for arg in argv], input=input, text=True, capture_output=True)
        if check and done.returncode != 0:
            raise CommandFailed(argv, done)
        return done

    def ip(self, *lines):
        self.tool("ip", "-batch", "-", input="\n".join(lines) + "\n")

    def tc(self, script):
        """Feed lines to `tc -batch`."""
        return self.tool("tc", "-batch", "-", input=script)

    def tc_json(self, *argv):
        return json.loads(self.tool("tc", "-s", "-d", "-j", *argv).stdout or "[]")

    def conntrack(self, *filters):
        """Entries of this namespace's conntrack table, as Connection objects."""
        out = self.tool("conntrack", "-L", "-o", "extended,labels,id", *filters, check=False).stdout
        return [Connection(line) for line in out.splitlines() if line.strip()]


def name_labels():
    """Give every bit of a label a name: conntrack shows only those that have one."""
    names = Path("/etc/xtables/connlabel.conf")
    names.parent.mkdir(parents=True, exist_ok=True)
    names.write_text("".join(f"{bit} bit{bit}\n" for bit in range(128)))


class Connection:
    """One line of `conntrack -L -o extended,labels`."""

    def __init__(self, line):
        self.line = line
        words = line.split()
        self.protocol = words[2]
        fields = [word.split("=", 1) for word in words if "=" in word]
        # src, dst, sport ... stand twice: as the client sent them, then as the server answers
        self.original, self.reply, self.other = {}, {}, {}
        for key, value in fields:
            if key not in ("src", "dst", "sport", "dport", "type", "code", "id", "srckey", "dstkey"):
                self.other[key] = value
            elif key not in self.original:
                self.original[key] = value
            elif key not in self.reply:
                self.reply[key] = value
        self.zone = int(self.other.get("zone", 0))
        self.mark = int(self.other.get("mark", 0))
        self.flags = re.findall(r"\[(\w+)\]", line)
        # conntrack prints the names of labels that are set: see name_labels
        names = self.other.get("labels", "").split(",")
        self.label = sum(1 << int(name.removeprefix("bit")) for name in names if name)

    def __repr__(self):
        return self.line


def interface_up(name):
    """Set an interface up in the current namespace, by ioctl."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
        request = struct.pack("16sH14x", name.encode(), 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(sock, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), flags | IFF_UP))


def offloads_off(ns, dev):
    """Real packets instead of oversized ones with checksums to be filled in later."""
    SIOCETHTOOL = 0x8946
    STXCSUM, SGSO, STSO, SGRO = 0x17, 0x24, 0x1F, 0x2C
    with ns, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for command in (STXCSUM, STSO, SGSO, SGRO):
            value = ctypes.create_string_buffer(struct.pack("II", command, 0))
            request = struct.pack("16sP", dev.encode(), ctypes.addressof(value)) + bytes(16)
            with contextlib.suppress(OSError):
                fcntl.ioctl(sock, SIOCETHTOOL, request)


def mac(node, port):
    """The MAC address of a node's port: fixed, so that frames can be written down before the devices exist."""
    return f"02:00:00:00:{node:02x}:{port:02x}"


numbers = itertools.count(1)
describe = None  # set by the runner: a function that tells the state of namespaces in which a case failed


@contextlib.contextmanager
def namespaces(*names, ipv6=False):
    """Fresh namespaces. Their real names carry a number, as the old ones stay (see Namespace.close)."""
    serial = next(numbers)
    made = []
    try:
        for name in names:
            made.append(Namespace(f"{name}-{serial}", ipv6))
        yield made
    except Exception as error:
        if describe and not hasattr(error, "state"):
            error.state = describe(made)
        raise
    finally:
        for ns in made:
            ns.close()
