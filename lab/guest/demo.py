"""Transcript of examples/policies/nat-gateway.pol at work: run in the guest by lab/demo.

    client 10.0.0.5 -- eth1 [gateway] eth0 203.0.113.2 -- server 203.0.113.9
"""
import json
import shlex
import socket
import sys
from pathlib import Path

from frames import echo, parse_ip
from stack import (CLIENT, CLIENT6, GATEWAY, NET6, SERVER, SERVER6, ask, connect, datagram, gateway, listen, talk)

JOB = json.loads(Path("/lab-results/job.json").read_text())
POLICY = Path(JOB["repo"]) / "examples/policies/nat-gateway.pol"
WEB = "10.0.0.80"  # the server inside that the policy publishes

failures = []


def title(text):
    print(f"\n--- {text}\n", flush=True)


def shell(ns, command, ok=(0,)):
    """Run a command on the gateway and show it as a user would type it."""
    words = [JOB["bin"] if word == "ctpolicy" else word for word in shlex.split(command)]
    words = [str(POLICY) if word == POLICY.name else word for word in words]
    print(f"gateway# {command}", flush=True)
    done = ns.run(*words, check=False)
    print((done.stdout + done.stderr).rstrip(), flush=True)
    if done.returncode not in ok:
        failures.append(f"{command}: exit {done.returncode}")
    print()


def attempt(text, wanted, action):
    """Try something; show whether it passed, and whether that was right."""
    try:
        got = action()
    except (AssertionError, OSError) as error:
        got, why = None, str(error)
    passed = got is not None
    outcome = f"passes{': ' + got if got else ''}" if passed else "does not pass"
    if passed != wanted:
        failures.append(f"{text}: {outcome}" + ("" if passed else f" ({why})"))
        outcome += "   <-- WRONG"
    print(f"{text:64} {outcome}", flush=True)


def tcp(ns, listener, addr, port):
    if not (probe := connect(ns, addr, port, timeout=1)):
        raise AssertionError("no answer")
    probe.close()
    listener.accept()[0].close()
    seen = talk(ns, listener, addr, port)[2]
    return f"the server sees {seen[0]}"


def udp(ns, server, addr, port):
    server.settimeout(1)
    return f"the server sees {ask(datagram(ns), server, addr, port)[0]}"


def ping(ns, src, dst):
    with ns, socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.settimeout(1)
        sock.sendto(echo(src, dst, 77)[20:], (dst, 0))
        while True:
            packet = parse_ip(sock.recv(2000))
            if packet.type == 0 and packet.echo_id == 77:
                return f"{packet.src} answers"


def main():
    with gateway() as g:
        g.client.ip(f"addr add {WEB}/24 dev lan0")
        # The office's IPv6 addresses are public; its IPv4 addresses nobody else knows.
        g.server.ip(f"route add 2001:db8:7::/48 via {NET6}::2")
        title("The policy")
        print(POLICY.read_text())

        title("What apply would do, then doing it")
        shell(g.gw, "ctpolicy plan nat-gateway.pol")
        shell(g.gw, "ctpolicy apply nat-gateway.pol")

        title("What the policy allows")
        web, mail = listen(g.server, "0.0.0.0", 80), listen(g.server, "::", 25)
        attempt("client -> server, TCP port 80", True, lambda: tcp(g.client, web, SERVER, 80))
        attempt("client -> server, UDP port 5000", True, lambda: udp(g.client, datagram(g.server, "0.0.0.0", 5000), SERVER, 5000))
        attempt("client -> server, ping", True, lambda: ping(g.client, CLIENT, SERVER))
        attempt("client -> server, TCP over IPv6 port 25", True, lambda: tcp(g.client, mail, SERVER6, 25))
        inside = listen(g.client, WEB, 443)
        attempt(f"server -> {GATEWAY}, TCP port 443 (forwarded to {WEB})", True, lambda: tcp(g.server, inside, GATEWAY, 443))
        attempt("gateway -> server, DNS", True, lambda: udp(g.gw, datagram(g.server, "0.0.0.0", 53), SERVER, 53))

        title("What it does not allow")
        ssh_gw, ssh_lan = listen(g.gw, "0.0.0.0", 22), listen(g.client, "::", 22)
        attempt(f"server -> {GATEWAY}, TCP port 22", False, lambda: tcp(g.server, ssh_gw, GATEWAY, 22))
        attempt("server -> client, TCP over IPv6 port 22", False, lambda: tcp(g.server, ssh_lan, CLIENT6, 22))
        attempt(f"server -> {GATEWAY}, ping", False, lambda: ping(g.server, SERVER, GATEWAY))
        attempt("gateway -> server, TCP port 80", False, lambda: tcp(g.gw, web, SERVER, 80))

        title("What is live")
        shell(g.gw, "ctpolicy status nat-gateway.pol")
        shell(g.gw, "conntrack -L -o extended")
        shell(g.gw, "ctpolicy plan --detailed-exitcode nat-gateway.pol")

    if failures:
        print("\nNOT AS IT SHOULD BE:\n  " + "\n  ".join(failures))
        return 1
    return 0


sys.exit(main())
