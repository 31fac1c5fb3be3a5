"""What tc holds, as text that can be compared."""
import re


def qdiscs(ns):
    """{device: qdisc line} of the clsact and ingress qdiscs, with their blocks."""
    found = {}
    for line in ns.tool("tc", "-d", "qdisc", "show").stdout.splitlines():
        words = line.split()
        if words[1] in ("clsact", "ingress"):
            found[words[4]] = line.strip()
    return found


def places(ns):
    """Arguments of `tc filter show` for every block, and every hook without one."""
    found = []
    for dev, line in sorted(qdiscs(ns).items()):
        blocks = dict(re.findall(r"(ingress|egress)_block (\d+)", line))
        for hook in ("ingress", "egress"):
            place = ["block", blocks[hook]] if hook in blocks else ["dev", dev, hook]
            if place not in found and (hook == "ingress" or "clsact" in line):
                found.append(place)
    return found


def filters(ns):
    """{place: dump of all its chains} in which only what the kernel numbers by itself is left out.

    Shared actions (police) keep their identity: the n-th one seen is called #n.
    """
    found = {}
    shared = {}

    def rename(match):
        return f"police #{shared.setdefault(match.group(1), len(shared) + 1)}"

    for place in places(ns):
        text = ns.tool("tc", "-d", "filter", "show", *place).stdout
        text = re.sub(r"police (0x[0-9a-f]+)", rename, text)
        text = re.sub(r"\bindex \d+ ref \d+ bind \d+", "", text)
        text = re.sub(r"\bref \d+ bind \d+", "", text)
        text = re.sub(r"installed \d+ sec( used \d+ sec)?( firstused \d+ sec)?", "", text)
        lines = [" ".join(line.split()) for line in text.splitlines()]
        # a prio without filters is listed with a bare line before its filters; one such line per prio is noise
        lines = [line for line in lines if line and not re.fullmatch(r"filter .* chain \d+", line)]
        found[" ".join(place)] = "\n".join(by_chain(lines))
    return found


def by_chain(lines):
    """The dump's filters by the number of their chain: the kernel lists chains in the order of their making, which
    decides nothing. Within a chain the order is the kernel's own, which is that of the prios."""
    entries = []
    for line in lines:
        if line.startswith("filter "):
            entries.append((int(re.search(r"\bchain (\d+)", line).group(1)), []))
        entries[-1][1].append(line)
    return [line for _, entry in sorted(entries, key=lambda entry: entry[0]) for line in entry]


def snapshot(ns):
    """All that tc holds in the namespace, as one text."""
    lines = [f"{dev}: {line}" for dev, line in sorted(qdiscs(ns).items())]
    for place, dump in filters(ns).items():
        lines += [f"== {place}", dump]
    chains = [ns.tool("tc", "chain", "show", *place, check=False).stdout for place in places(ns)]
    return "\n".join(lines + chains)


def generations(ns):
    """Which generations of ours have chains: a chain's number is generation << 16 | index."""
    return {int(chain) >> 16 for dump in filters(ns).values() for chain in re.findall(r"\bchain (\d+)", dump)} - {0}


def difference(name_a, a, name_b, b):
    """The first lines in which two texts differ."""
    a, b = a.splitlines(), b.splitlines()
    for number, (left, right) in enumerate(zip(a, b), 1):
        if left != right:
            return f"line {number}:\n  {name_a}: {left}\n  {name_b}: {right}"
    if len(a) != len(b):
        more, rest = (name_a, a[len(b):]) if len(a) > len(b) else (name_b, b[len(a):])
        return f"{more} has {len(rest)} more lines, the first: {rest[0]}"
    return None
