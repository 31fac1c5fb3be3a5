"""Host side of the lab: get the tools and a kernel, boot the guest, show what it prints, judge the result.

The guest is a stock Debian 6.12 kernel under QEMU's software emulation (no /dev/kvm needed) with an
initramfs of our own. It mounts this machine's root directory read-only over 9p, lays a tmpfs over it,
and runs lab/guest/main.py there: every tool of this machine is at hand in the guest, and nothing that
happens in the guest can change this machine. Results come back over a second, writable 9p share.
"""
import argparse
import fcntl
import json
import lzma
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

LAB = Path(__file__).resolve().parent
REPO = LAB.parent
CACHE = REPO / "target" / "lab"

# command -> Debian package that has it
TOOLS = {
    "tc": "iproute2",
    "conntrack": "conntrack",
    "tcpdump": "tcpdump",
    "nft": "nftables",
    "depmod": "kmod",
    "setpriv": "util-linux",
    "dpkg-deb": "dpkg",
}
QEMU = "qemu-system-x86_64"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Needed before the host's root can be mounted; the rest is loaded by guest/main.py.
BOOT_MODULES = ["virtio_pci", "9pnet_virtio", "9p", "overlay"]
# crc32c_generic first: conntrack needs a crc32c, which only the alias of a crypto algorithm would find
LAB_MODULES = """
    crc32c_generic
    sch_ingress cls_flower cls_matchall
    act_ct act_mirred act_gact act_police act_pedit act_skbedit act_vlan act_tunnel_key act_csum act_sample
    veth dummy 8021q vxlan
    nf_conntrack nf_conntrack_netlink nf_conntrack_ftp nf_nat nf_nat_ftp nf_defrag_ipv4 nf_defrag_ipv6
    nf_tables nft_ct nft_nat nft_chain_nat
""".split()
# Carried along, loaded by the suites that want them.
EXTRA_MODULES = ["pktgen"]

# Suites that count instructions: run by name only, alone, on one CPU whose clock counts what it executes.
# erms off: the emulator would count each byte of a `rep stosb` as an instruction.
COUNTING = {"cost"}
ORDINARY_CPU = ["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]
COUNTING_CPU = ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-cpu", "max,-erms,-fsrm", "-smp", "1"]

# Any of these in the kernel's log fails the run, whatever the suites say.
KERNEL_TROUBLE = re.compile(
    r"Kernel panic|Oops|BUG:|WARNING: |general protection fault|Call Trace|KASAN|refcount_t:|"
    r"unregister_netdevice: waiting|INFO: task .* blocked|Out of memory"
)


class LabError(Exception):
    """Something that keeps the lab from running; the text says what to do about it."""


def say(text):
    print(f"lab: {text}", file=sys.stderr, flush=True)


def which(command):
    return shutil.which(command, path=PATH)


def sh(*argv, **kw):
    return subprocess.run(argv, check=True, text=True, **kw)


# ---- tools -------------------------------------------------------------------------------------


def apt_install(packages):
    """Install packages, never at the price of removing others. True if that worked."""
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "--no-remove", *packages]
    for attempt in ("as is", "after update"):
        if attempt == "after update":
            subprocess.run(["apt-get", "update", "-qq"], env=env, stdout=sys.stderr)
        if subprocess.run(install, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE).returncode == 0:
            return True
    return False


def need_tools():
    missing = sorted({package for command, package in TOOLS.items() if not which(command)})
    if missing:
        command = "apt-get install --no-install-recommends " + " ".join(missing)
        if os.geteuid() != 0:
            raise LabError(f"tools are missing; as root: {command}")
        say(f"installing {' '.join(missing)}")
        if not apt_install(missing):
            raise LabError(f"could not install what is missing; try: {command}")


def need_qemu():
    """The QEMU command and its environment: the system's, installed if root, else unpacked beside the kernel."""
    if which(QEMU):
        return [which(QEMU)], {}
    root = CACHE / "qemu"
    if not root.exists():
        # If the package cannot be installed (not root, or apt would have to remove something for it), QEMU
        # runs just as well from a directory of ours.
        if os.geteuid() == 0:
            say("installing qemu-system-x86")
            if apt_install(["qemu-system-x86"]):
                return [which(QEMU)], {}
        say("unpacking qemu-system-x86 into target/lab/qemu (apt could not install it without removing packages)")
        plan = sh("apt-get", "install", "-s", "--no-install-recommends", "qemu-system-x86", capture_output=True).stdout
        packages = re.findall(r"^Inst (\S+)", plan, re.M)
        unpack(download(packages), root)
    lib = root / "usr/lib/x86_64-linux-gnu"
    env = {"LD_LIBRARY_PATH": f"{lib}:{root / 'lib/x86_64-linux-gnu'}", "QEMU_MODULE_DIR": str(lib / "qemu")}
    return [str(root / "usr/bin" / QEMU), "-L", str(root / "usr/share/qemu"), "-L", str(root / "usr/share/seabios"),
            "-L", str(root / "usr/lib/ipxe/qemu")], env


def need_busybox():
    """A busybox that runs without libraries; Debian's default one needs them, and the two packages exclude each other."""
    for path in (which("busybox"), CACHE / "busybox/bin/busybox"):
        if path and Path(path).exists() and b"/ld-linux" not in Path(path).read_bytes():
            return Path(path)
    unpack(download(["busybox-static"]), CACHE / "busybox")
    return CACHE / "busybox/bin/busybox"


def unpack(debs, root):
    """Unpack .deb files under root, all or nothing: an interrupted run leaves no half of it."""
    partial = root.with_name(root.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for deb in debs:
        sh("dpkg-deb", "-x", str(deb), str(partial))
        deb.unlink()
    partial.rename(root)


# ---- kernel ------------------------------------------------------------------------------------


def private_apt():
    """Options that make apt use package lists of our own: works without root and whatever the machine's sources are."""
    apt = CACHE / "apt"
    (apt / "lists/partial").mkdir(parents=True, exist_ok=True)
    (apt / "archives/partial").mkdir(parents=True, exist_ok=True)
    sources = apt / "sources.list"
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources.write_text(
        f"deb [signed-by={key}] http://deb.debian.org/debian bookworm main\n"
        f"deb [signed-by={key}] http://deb.debian.org/debian-security bookworm-security main\n"
    )
    return ["-o", f"Dir::Etc::SourceList={sources}", "-o", "Dir::Etc::SourceParts=-",
            "-o", f"Dir::State::Lists={apt / 'lists'}", "-o", f"Dir::Cache={apt}"]


def newest_kernel(options):
    """Name of the newest generic (not cloud, not rt) signed 6.12 image that apt knows, or None."""
    found = sh("apt-cache", *options, "search", "--names-only", r"^linux-image-6\.12\.", capture_output=True).stdout
    names = re.findall(r"^(linux-image-6\.12\.(\d+)\S*?(?<!-cloud)(?<!-rt)-amd64) - ", found, re.M)
    return max(names, key=lambda name: int(name[1]))[0] if names else None


def download(packages, options=()):
    """apt-get download: takes what apt trusts, installs nothing."""
    folder = CACHE / "debs"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    user = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    sh("apt-get", *options, *user, "-qq", "download", *packages, cwd=folder, stdout=sys.stderr)
    return sorted(folder.glob("*.deb"))


def need_kernel():
    """Directory with boot/vmlinuz-* and lib/modules/*, fetched on first use. It is never installed here."""
    root = CACHE / "kernel"
    if not root.exists():
        options = []
        name = newest_kernel(options)
        if not name and os.geteuid() == 0:
            subprocess.run(["apt-get", "update", "-qq"], stdout=sys.stderr)
            name = newest_kernel(options)
        for attempt in (1, 2):
            if not name or attempt == 2:
                options = private_apt()
                sh("apt-get", *options, "-qq", "update", stdout=sys.stderr)
                name = newest_kernel(options)
            if not name:
                raise LabError("apt knows no linux-image-6.12.*-amd64; add bookworm-security to the apt sources, then: apt-get update")
            try:
                say(f"fetching {name}")
                debs = download([name], options)
                break
            except subprocess.CalledProcessError:
                # Package lists go stale: the mirror has dropped the version that they name.
                if attempt == 2:
                    raise LabError(f"could not fetch the kernel; try: apt-get update; apt-get download {name}")
        unpack(debs, root)
        for leftover in ("usr/share", "usr/lib"):
            shutil.rmtree(root / leftover, ignore_errors=True)
    release = next((root / "lib/modules").iterdir()).name
    if not (root / "lib/modules" / release / "modules.dep.bin").exists():
        sh(which("depmod"), "-b", str(root), release)
    return root, release


# ---- initramfs ---------------------------------------------------------------------------------


def load_order(modules_dir, wanted):
    """Paths of the wanted modules and all they depend on, each after what it depends on; and names built into the kernel."""
    depends = {}
    for line in (modules_dir / "modules.dep").read_text().splitlines():
        path, _, needs = line.partition(":")
        depends[path] = needs.split()
    by_name = {module_name(path): path for path in depends}
    builtin = {module_name(path) for path in (modules_dir / "modules.builtin").read_text().split()}
    order = []

    def visit(path):
        if path not in order:
            for need in depends[path]:
                visit(need)
            order.append(path)

    for name in wanted:
        name = name.replace("-", "_")
        if name in by_name:
            visit(by_name[name])
        elif name not in builtin:
            raise LabError(f"the kernel has no module {name}")
    return order


def module_name(path):
    return Path(path).name.split(".ko")[0].replace("-", "_")


def cpio(entries):
    """A cpio archive (newc), as the kernel reads it: entries are (name, mode, data)."""
    out = bytearray()
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], 1):
        encoded = name.encode() + b"\0"
        fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0]
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def initramfs(kernel, release):
    modules_dir = kernel / "lib/modules" / release
    boot = load_order(modules_dir, BOOT_MODULES)
    lab = [path for path in load_order(modules_dir, LAB_MODULES) if path not in boot]
    busybox = need_busybox().read_bytes()
    entries = [(name, 0o040755, b"") for name in ("bin", "dev", "proc", "sys", "modules", "host", "rw", "root")]
    entries += [("bin/busybox", 0o100755, busybox), ("init", 0o100755, (LAB / "guest/init").read_bytes())]
    for path in dict.fromkeys(boot + lab + load_order(modules_dir, EXTRA_MODULES)):
        data = (modules_dir / path).read_bytes()
        if path.endswith(".xz"):
            data = lzma.decompress(data)
        entries.append((f"modules/{module_name(path)}.ko", 0o100644, data))
    for name, paths in (("boot.order", boot), ("lab.order", lab)):
        entries.append((f"modules/{name}", 0o100644, "".join(f"{module_name(path)}\n" for path in paths).encode()))
    return cpio(entries)


def need_initramfs(kernel, release):
    image = CACHE / "initramfs.cpio"
    sources = [Path(__file__), LAB / "guest/init", kernel]
    if not image.exists() or image.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        partial = image.with_suffix(".partial")
        partial.write_bytes(initramfs(kernel, release))
        partial.rename(image)
    return image


# ---- guest -------------------------------------------------------------------------------------


def boot(qemu, qemu_env, kernel, release, image, results, timeout, opts, counting):
    """Run the guest to its end, showing its output as it comes. Returns how long it took, or None if it had to be killed."""
    console = results / "console.log"
    output = results / "output.log"
    output.touch()
    append = "console=ttyS0 loglevel=5 panic=-1 oops=panic mitigations=off nowatchdog rcupdate.rcu_cpu_stall_suppress=1 " \
             "net.ifnames=0 audit=0 " + ("nokaslr " if counting else "") + opts.append
    argv = [
        *qemu, *(COUNTING_CPU if counting else ORDINARY_CPU), "-m", opts.memory, "-nic", "none",
        "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", f"file:{console}",
        "-kernel", str(next((kernel / "boot").glob("vmlinuz-*"))), "-initrd", str(image), "-append", append,
        # multidevs=remap: inode numbers stay unique where the root has other file systems mounted below it
        "-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
        "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
        "-fsdev", f"local,id=results,path={results},security_model=none",
        "-device", "virtio-9p-pci,fsdev=results,mount_tag=results",
    ]
    started = time.monotonic()
    guest = subprocess.Popen(argv, env={**os.environ, **qemu_env}, stdin=subprocess.DEVNULL)
    try:
        with output.open("rb") as stream:
            while True:
                ended = guest.poll() is not None
                sys.stdout.buffer.write(stream.read())
                sys.stdout.buffer.flush()
                if ended:
                    break
                if time.monotonic() - started > timeout:
                    return None
                time.sleep(0.1)
    finally:
        if guest.poll() is None:
            guest.kill()
        guest.wait()
    if guest.returncode != 0:
        raise LabError(f"qemu ended with status {guest.returncode}")
    return time.monotonic() - started


def judge(results, took, timeout):
    """Exit code of the run; prints what is wrong beyond what the suites printed."""
    console = (results / "console.log").read_text(errors="replace") if (results / "console.log").exists() else ""
    kernel_log = console + ((results / "dmesg.log").read_text(errors="replace") if (results / "dmesg.log").exists() else "")
    trouble = [line for line in kernel_log.splitlines() if KERNEL_TROUBLE.search(line)]
    tail = "\n".join(console.splitlines()[-40:])
    if trouble:
        print("FAIL kernel: trouble in its log (all of it: target/lab/results/*/dmesg.log, console.log)")
        print("\n".join(f"    {line}" for line in trouble[:40]))
    status = results / "exit"
    if took is None:
        print(f"FAIL guest: still running after {timeout} s, killed; the end of its console:\n{tail}")
        return 1
    if not status.exists():
        print(f"FAIL guest: ended without a result; the end of its console:\n{tail}")
        return 1
    code = int(status.read_text())
    return code or (1 if trouble else 0)


def main():
    parser = argparse.ArgumentParser(prog="lab/run", description="Boot a real kernel and run test suites in it.")
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="suites to run (files of lab/suites); default: all but those that count instructions")
    parser.add_argument("--shell", metavar="CMD", help="run one shell command in the guest instead, and show its output")
    parser.add_argument("--script", metavar="FILE", help="run one Python file in the guest instead, with lab/guest to import from")
    parser.add_argument("--bin", type=Path, metavar="PATH", help="the ctpolicy binary (default: target/release/ctpolicy)")
    parser.add_argument("-k", metavar="TEXT", default="", help="only cases whose title contains this")
    parser.add_argument("--way", choices=["apply", "script"], action="append", help="only these ways to enforce a policy")
    parser.add_argument("--count", type=int, metavar="N", help="how many rounds the repeating suites do")
    parser.add_argument("--repeat", type=int, metavar="N", default=1, help="run every case this often")
    parser.add_argument("--verbose", action="store_true", help="show what failing and passing cases ran")
    parser.add_argument("--timeout", type=int, metavar="SECS", default=3600, help="kill the guest after this long (default 3600)")
    parser.add_argument("--memory", default="2G", help="memory of the guest (default 2G)")
    parser.add_argument("--append", default="", help="more words for the kernel command line")
    opts = parser.parse_args()

    every = {path.stem for path in (LAB / "suites").glob("*.py") if not path.stem.startswith("_")}
    suites = opts.suites or sorted(every - COUNTING)
    unknown = [name for name in suites if not (LAB / "suites" / f"{name}.py").exists()]
    if unknown:
        raise LabError(f"no such suite: {' '.join(unknown)}")
    counting = bool(COUNTING.intersection(suites))
    if counting and len(suites) > 1:
        raise LabError("a suite that counts instructions runs alone")
    binary = (opts.bin or REPO / "target/release/ctpolicy").absolute()
    if not (opts.shell or opts.script) and not os.access(binary, os.X_OK):
        raise LabError(f"{binary} is missing; build it with: cargo build --release")

    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two first uses at once must not fetch into the same place
        need_tools()
        qemu, qemu_env = need_qemu()
        kernel, release = need_kernel()
        image = need_initramfs(kernel, release)

    results = CACHE / "results" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    results.mkdir(parents=True)
    job = {"repo": str(REPO), "results": str(results), "bin": str(binary), "suites": suites, "shell": opts.shell,
           "script": opts.script and str(Path(opts.script).absolute()), "match": opts.k, "ways": opts.way,
           "count": opts.count, "repeat": opts.repeat, "verbose": opts.verbose, "cwd": os.getcwd()}
    (results / "job.json").write_text(json.dumps(job))
    say(f"booting {release}" + ("" if opts.shell or opts.script else f" for {', '.join(suites)}"))
    took = boot(qemu, qemu_env, kernel, release, image, results, opts.timeout, opts, counting)
    code = judge(results, took, opts.timeout)
    if took is not None:
        say(f"guest ended after {took:.0f} s; logs in {results}")
    return code


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except LabError as error:
        say(error)
        sys.exit(3)
    except KeyboardInterrupt:
        sys.exit(130)
