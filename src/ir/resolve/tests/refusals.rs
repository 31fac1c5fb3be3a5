use super::{bare, refused, run, run_files};

/// Findings about one rule in a tracked policy, which stands on line 2: `(rule, findings)`; each finding by its beginning.
const RULES: &[(&str, &[&str])] = &[
    (
        "allow from ofice",
        &["2:12 error[unknown-name]: no net is called `ofice` (define it, as in `net ofice = 10.0.0.0/24`)"],
    ),
    ("allow service dsn", &["2:15 error[unknown-name]: no service is called `dsn` (did you mean `dns`?)"]),
    ("allow tcp to port shh", &["2:19 error[unknown-name]: no port is called `shh` (did you mean `ssh`?)"]),
    (
        "allow { etsablished, related }",
        &["2:9 error[unknown-name]: `etsablished` matches nothing by itself (did you mean `established`?)"],
    ),
    ("allow to www.example.com", &["2:10 error[dns-name]: `www.example.com` is a host name"]),
    (
        "allow from 10.0.0.1/24",
        &[
            "2:12 error[host-bits-set]: `10.0.0.1/24` has bits set behind its prefix length (write `10.0.0.0/24` for the network, or `10.0.0.1` for the one address)",
        ],
    ),
    (
        "allow from 10.0.0.0/33",
        &[
            "2:12 error[malformed-value]: `10.0.0.0/33` has no prefix length (the length after `/` is a number from 0 to 32)",
        ],
    ),
    (
        "allow from 10.0.0.0/255.0.0.0",
        &["2:12 error[malformed-value]: `10.0.0.0/255.0.0.0` has a netmask (write the prefix length: `10.0.0.0/8`)"],
    ),
    (
        "allow from 10.0.0.9-10.0.0.1",
        &[
            "2:12 error[malformed-value]: the range `10.0.0.9-10.0.0.1` ends before it begins (write `10.0.0.1-10.0.0.9`)",
        ],
    ),
    (
        "allow from 10.0.0.1:80",
        &[
            "2:12 error[malformed-value]: `10.0.0.1:80` is no address (the port is a part of its own: `10.0.0.1 port 80`)",
        ],
    ),
    (
        "allow new, limit 10mbit/s",
        &["2:18 error[bad-rate]: `10mbit/s` is no rate (every rate is per second: write `10mbit`)"],
    ),
    ("allow new, limit 100/s", &["2:18 error[bad-rate]: `100/s` is no rate (write `100pps` for packets per second)"]),
    ("allow from 300.0.0.1", &["2:12 error[malformed-value]: `300.0.0.1` is no address"]),
    ("allow from { 10.0.0.0/24, not 10.0.0.0/8 }", &["2:12 error[empty-set]: nothing is left in the set"]),
    ("allow from {}", &["2:12 error[empty-set]: the set has no items"]),
    (
        "allow tcp to port 70000",
        &["2:19 error[value-out-of-range]: `70000` is out of range (ports go from 0 to 65535)"],
    ),
    (
        "allow tcp to port 90-80",
        &["2:19 error[malformed-value]: the range `90-80` ends before it begins (write `80-90`)"],
    ),
    ("allow ttl 256", &["2:11 error[value-out-of-range]: `256` is out of range (TTLs go from 0 to 255)"]),
    ("allow vlan 4096", &["2:12 error[value-out-of-range]: `4096` is out of range"]),
    ("allow proto 256", &["2:13 error[value-out-of-range]: `256` is out of range"]),
    ("allow proto tpc", &["2:13 error[unknown-name]: no protocol is called `tpc` (did you mean `tcp`?)"]),
    ("allow dscp af44", &["2:12 error[unknown-name]: no DSCP class is called `af44` (did you mean `af"]),
    ("allow from mac 02:00:00:00:00", &["2:16 error[malformed-value]: `02:00:00:00:00` is no hardware address"]),
    (
        "allow from zone 65536",
        &["2:17 error[value-out-of-range]: zone `65536` is out of range (zones go from 0 to 65535)"],
    ),
    (
        "allow tcp port 80",
        &["2:11 error[bare-port]: `port 80` does not say which end is meant (write `to port 80` or `from port 80`)"],
    ),
    (
        "allow to port 80",
        &[
            "2:7 error[port-without-protocol]: a port without `tcp`, `udp` or `sctp` (name the protocol: `tcp to port 80`, or `{ tcp, udp } to port 80`)",
        ],
    ),
    ("allow not tcp to port 80", &["2:15 error[port-without-protocol]: `not tcp` has packets without ports"]),
    (
        "allow { icmp, tcp } to port 80",
        &["2:21 error[port-without-protocol]: `{ icmp, tcp }` has packets without ports"],
    ),
    (
        "allow gre from 10.0.0.1 port 80",
        &["2:30 error[port-without-protocol]: `gre` has packets without ports (name the protocol: `tcp port 80`"],
    ),
    (
        "allow tcp udp",
        &["2:11 error[impossible-match]: no packet is both `tcp` and `udp` (write `{ tcp, udp }` to match either)"],
    ),
    ("allow tcp service ntp", &["2:11 error[impossible-match]: no packet is both `tcp` and `service ntp`"]),
    (
        "allow service dns to port 80",
        &["2:19 error[impossible-match]: no packet is both `service dns` and `to port 80`"],
    ),
    ("allow ip6 icmp", &["2:11 error[impossible-match]: no packet is both `ip6` and `icmp`"]),
    (
        "allow from 10.0.0.0/8 from 11.0.0.0/8",
        &["2:23 error[impossible-match]: no packet is both `from 10.0.0.0/8` and `from 11.0.0.0/8`"],
    ),
    (
        "allow from 10.0.0.0/8 to 2001:db8::1",
        &[
            "2:23 error[no-family]: the rule speaks of no IP version: `from 10.0.0.0/8` is IPv4, `to 2001:db8::1` is IPv6",
        ],
    ),
    ("allow icmp6 from 10.0.0.0/8", &["2:13 error[no-family]"]),
    ("allow ip6, snat 203.0.113.2", &["2:17 error[no-family]"]),
    (
        "allow new reply",
        &[
            "2:11 error[impossible-match]: no packet is both `new` and `reply` (the packet that begins a connection is no reply: write `established reply`, or `new` alone)",
        ],
    ),
    (
        "allow established related",
        &[
            "2:19 error[impossible-match]: no packet is both `established` and `related` (write `{ established, related }` to match either)",
        ],
    ),
    ("allow not tracked", &["2:7 error[impossible-match]: no packet is not tracked"]),
    ("allow snat not snat", &["2:12 error[impossible-match]: no packet is translated and not translated"]),
    ("allow { snat, dnat }", &["2:7 error[mixed-words]: `snat` and `dnat` in one set"]),
    ("allow { established, tcp }", &["2:22 error[mixed-words]: `established` and `tcp` in one set"]),
    ("allow not arp", &["2:7 error[unbounded-link]: `not` cannot stand before `arp`"]),
    (
        "allow { arp, tcp } from 10.0.0.1",
        &[
            "2:20 error[impossible-match]: `{ arp, tcp }` also means frames that are no IP packets, which have no `from 10.0.0.1`",
        ],
    ),
    ("drop ethertype 0x0800", &["2:16 error[ethertype-of-ip]: ethertype `0x0800` has a word of its own (write `ip`)"]),
    ("drop ethertype 0x86dd", &["2:16 error[ethertype-of-ip]: ethertype `0x86dd` has a word of its own (write `ip6`)"]),
    (
        "drop ethertype 0x5ff",
        &["2:16 error[value-out-of-range]: ethertype `0x5ff` is out of range (ethertypes go from 0x600 to 0xffff)"],
    ),
    (
        "allow icmp neighbour-solicitation",
        &[
            "2:12 error[wrong-icmp-version]: `neighbour-solicitation` is a message of ICMPv6, not of ICMP (write `icmp6 neighbour-solicitation`)",
        ],
    ),
    ("allow icmp6 fragmentation-needed", &["2:13 error[wrong-icmp-version]"]),
    (
        "allow icmp echo-requst",
        &["2:12 error[unknown-name]: no ICMP message is called `echo-requst` (did you mean `echo-request`?)"],
    ),
    ("allow icmp type 256", &["2:17 error[value-out-of-range]"]),
    (
        "allow icmp port-unreachable code 4",
        &["2:34 error[impossible-match]: `port-unreachable` stands for a code of its own"],
    ),
    (
        "drop arp",
        &[
            "2:1 error[accepted-before]: ARP is accepted before conntrack, so this rule never matches (move the rule into `prefilter { ... }`)",
        ],
    ),
    (
        "drop icmp6 type { 133-136, 143 }",
        &["2:1 error[accepted-before]: neighbour discovery and MLD are accepted before conntrack"],
    ),
    ("drop fragment any", &["2:6 error[fragment-after-tracking]: `fragment any` never matches after conntrack"]),
    (
        "drop fragment frist",
        &["2:15 error[unknown-name]: `frist` says nothing about fragments (did you mean `first`?)"],
    ),
    (
        "allow tcp flags syn,ack/syn",
        &[
            "2:17 error[value-outside-mask]: the flags of `syn,ack/syn` are not all in its mask (write `syn,ack/syn,ack`",
        ],
    ),
    ("allow tcp flags sny", &["2:17 error[unknown-name]: no TCP flag is called `sny` (did you mean `syn`?)"]),
    (
        "allow mark 0x100/0xff",
        &[
            "2:12 error[value-outside-mask]: the value of `0x100/0xff` has bits outside its mask (write `0x0/0xff`, or widen the mask to `0x1ff`)",
        ],
    ),
    ("allow mark 0x100000000", &["2:12 error[value-out-of-range]: `0x100000000` is out of range (a mark has 32 bits)"]),
    ("allow mark 0/0", &["2:12 error[malformed-value]: the mask of `0/0` has no bits"]),
    ("allow label x0123", &["2:13 error[malformed-value]: `x0123` is no number (write `0x0123`)"]),
    ("allow label 0x112233445566778899aabbccddeeff001", &["2:13 error[value-out-of-range]"]),
    (
        "allow snat, set mark 0x80000000",
        &["2:22 error[reserved-mark-bits]: the value of mark `0x80000000` overlaps the reserved bits `0xc0000000`"],
    ),
    ("allow snat mark 0/0xffffffff", &["2:17 error[reserved-mark-bits]: the mask of mark `0/0xffffffff` overlaps"]),
    (
        "allow from zone 2 from zone 3",
        &["2:19 error[impossible-match]: no packet is both `from zone 2` and `from zone 3`"],
    ),
    (
        "drop tcp, set mark 1",
        &["2:11 error[action-against-verdict]: `set mark 1` cannot stand here: a dropped packet goes nowhere"],
    ),
    ("drop tcp, snat 10.0.0.1", &["2:11 error[action-against-verdict]"]),
    (
        "continue tcp, commit force",
        &[
            "2:15 error[action-against-verdict]: `commit force` cannot stand here: `continue` takes `set`, `limit` and `mirror`, and commits nothing",
        ],
    ),
    ("continue tcp, redirect to eth1", &["2:15 error[action-against-verdict]: `redirect to eth1` cannot stand here"]),
    (
        "allow stateless new, set mark 1",
        &["2:22 error[action-against-verdict]: `set mark 1` cannot stand here: `allow stateless` stores nothing"],
    ),
    ("allow new, set mark 1, set mark 2", &["2:24 error[repeated-action]"]),
    (
        "allow new, snat 10.0.0.1, dnat 10.0.0.2",
        &[
            "2:27 error[two-translations]: source and destination translation in one rule and one zone (let another zone record one of them: `dnat 10.0.0.2 in zone N`)",
        ],
    ),
    ("allow new, snat 10.0.0.1, snat 10.0.0.2", &["2:27 error[repeated-action]"]),
    (
        "allow new, dnat 10.0.0.2 port 80",
        &["2:12 error[nat-port-without-protocol]: `dnat 10.0.0.2 port 80` needs `tcp`, `udp` or `sctp`"],
    ),
    ("allow new, snat 10.0.0.1 port 0-5", &["2:31 error[value-out-of-range]: nothing can be translated to port 0"]),
    ("allow new, snat 0.0.0.0/8", &["2:17 error[value-out-of-range]: `0.0.0.0/8` holds the unspecified address"]),
    (
        "allow invalid, set mark 1",
        &["2:16 error[impossible-match]: `set mark 1` needs a connection, and an `invalid` packet has none"],
    ),
    ("allow established, snat 10.0.0.0/24", &["2:20 warning[never-new]"]),
    ("allow new, helper ftq", &["2:19 error[unknown-name]: no helper is called `ftq` (did you mean `ftp`?)"]),
    (
        "allow new, helper ftp",
        &["2:12 error[helper-without-protocol]: the helper `ftp` reads `tcp` only (add `tcp` to the rule's matches)"],
    ),
    ("allow new udp, helper ftp", &["2:16 error[helper-without-protocol]"]),
    (
        "allow new tcp, helper irc",
        &["2:16 error[helper-without-protocol]: the helper `irc` reads IPv4 only (add `ip` to the rule's matches)"],
    ),
    ("allow new, limit 10", &["2:18 error[bad-rate]: `10` is no rate"]),
    ("allow new, limit 0pps", &["2:18 error[value-out-of-range]"]),
    ("allow new, limit 10mbit burst 5gb", &["2:31 error[value-out-of-range]: the burst `5gb` is out of range"]),
    ("allow new, limit 10pps burst 64kb", &["2:30 error[bad-rate]: `64kb` is no number of packets"]),
    (
        "allow new, redirect to enterprise-uplink0",
        &[
            "2:24 error[bad-device-name]: a device's name has at most 15 characters, `enterprise-uplink0` has 18 characters",
        ],
    ),
    ("allow new, commit zone 70000", &["2:24 error[value-out-of-range]"]),
    (
        "@until 30.6.2027\nallow new",
        &["2:8 error[bad-date]: `30.6.2027` is no date (write year-month-day: `@until 2027-06-30`)"],
    ),
    (
        "@untill 2027-06-30\nallow new",
        &["2:2 warning[unknown-annotation]: nothing looks at `@untill` (did you mean `@until`?)"],
    ),
    ("@id a\nallow new\n@id a\nallow related", &["4:5 error[duplicate-id]: a second rule with the id `a`"]),
    (
        "prefilter { drop invalid }",
        &[
            "2:18 error[state-in-prefilter]: `invalid` needs conntrack, which comes after `prefilter` (move the rule below the `prefilter`)",
        ],
    ),
    ("prefilter { allow tcp, set mark 1 }", &["2:24 error[state-in-prefilter]: `set mark 1` needs conntrack"]),
    ("prefilter { drop from zone 2 }", &["2:18 error[state-in-prefilter]"]),
    ("prefilter { drop udp to port 53 }", &["2:13 warning[fragments-pass]"]),
    ("prefilter { drop udp to port 53 fragment none }", &[]),
    ("prefilter { drop udp to port 53; drop fragment any }", &[]),
    (
        "prefilter { drop fragment any udp to port 53 }",
        &[
            "2:35 error[impossible-match]: the kernel sees no `to port 53` in a fragment, not even in the first (take it out: `fragment any` then means those of every port)",
        ],
    ),
    ("prefilter { drop fragment first icmp echo-request }", &["2:33 error[impossible-match]"]),
    ("prefilter { drop fragment not none tcp flags syn }", &["2:36 error[impossible-match]"]),
    ("prefilter { drop fragment none udp to port 53; drop fragment later udp }", &[]),
    ("allow new\nprefilter { drop tcp }", &["3:1 error[misplaced-prefilter]"]),
    ("net a = 10.0.0.0/8", &["2:1 error[misplaced-statement]: a definition cannot stand here"]),
    ("default allow", &["3:1 error[rule-after-default]: a second `default`"]),
    (
        "default allow\nallow new",
        &[
            "3:1 error[rule-after-default]: nothing after `default` is reached",
            "4:1 error[rule-after-default]: a second `default`",
        ],
    ),
    ("use nothing", &["2:5 error[unknown-name]: no group is called `nothing`"]),
    (
        "allow from { 10.0.0.0/8, ofice, 10.0.0.1/24 } to port 99999, set mark 1/2, limit fast",
        &[
            "2:26 error[unknown-name]: no net is called `ofice`",
            "2:33 error[host-bits-set]",
            "2:55 error[value-out-of-range]: `99999`",
            "2:71 error[value-outside-mask]",
            "2:82 error[bad-rate]",
        ],
    ),
    ("allow new from { 10.0.0.0/8, not 10.0.0.0/9 } to any not snat, set mark 5, limit 40kbit", &[]),
    (
        "allow new, redirect to eth1",
        &[
            "1:1 warning[neighbours-not-redirected]: the policy redirects all that it allows, but not ARP and neighbour discovery (redirect it too: `prefilter { allow arp, redirect to eth1; allow icmp6 type 133-136, redirect to eth1 }`)",
        ],
    ),
];

#[test]
fn every_mistake_of_a_rule_is_found_where_it_is() {
    let mut wrong = Vec::new();
    for (rule, expected) in RULES {
        let found = refused(rule);
        let lines: Vec<&str> = found.lines().collect();
        if lines.len() != expected.len() || !lines.iter().zip(*expected).all(|(line, start)| line.starts_with(start)) {
            wrong.push(format!("{rule}\n   found    {found}\n   expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Findings about whole files: `(text, findings)`.
const FILES: &[(&str, &[&str])] = &[
    (
        "policy p on eth0 ingress { allow established\ndefault drop }",
        &[
            "1:34 error[missing-zone]: `established` needs conntrack, but the policy `p` names no zone (write a zone in the header: `policy p on eth0 ingress zone 1`)",
        ],
    ),
    (
        "policy p on eth0 ingress { allow tcp, snat 10.0.0.1\ndefault drop }",
        &["1:39 error[missing-zone]: `snat 10.0.0.1` needs conntrack"],
    ),
    ("policy p on eth0 ingress { drop tcp to port 80\ndefault drop }", &["1:28 warning[fragments-pass]"]),
    (
        "policy p on eth0 ingress { allow established from zone 1\nallow new from zone 2\ndrop invalid\ndefault drop }",
        &["3:6 error[missing-zone]: `invalid` could speak of any of several zones"],
    ),
    (
        "policy p on eth0 input { default drop }",
        &["1:18 error[unknown-hook]: there is no hook `input` (did you mean `ingress`?)"],
    ),
    ("policy p on eth0 ingress { allow tcp\n}", &["1:1 error[missing-default]: the policy `p` has no `default`"]),
    (
        "policy p on eth0 ingress { default drop tcp }",
        &[
            "1:41 error[default-with-parts]: `default` takes no matches and no actions (write the rule `drop tcp`, and `default drop` after it)",
        ],
    ),
    ("policy p on eth0 ingress zone 1 then 2 then 1 { default drop }", &["1:45 error[repeated-zone]"]),
    ("policy p on eth0 ingress zone 65536 { allow new\ndefault drop }", &["1:31 error[value-out-of-range]"]),
    ("policy p on not eth0 ingress { default drop }", &["1:13 error[unbounded-devices]"]),
    (
        "policy a on eth0 ingress { default drop }\npolicy b on { eth1, eth0 } ingress { default drop }",
        &["2:13 error[duplicate-attach]: a second policy on `eth0` ingress"],
    ),
    (
        "policy a on eth0 ingress { default drop }\npolicy a on eth0 egress { default drop }",
        &["2:8 error[duplicate-name]: a second policy called `a`"],
    ),
    (
        "interface lan = eth1\npolicy a on lan ingress { default drop }\npolicy b on lna egress { default drop }",
        &[
            "3:13 warning[similar-interface-name]: `lna` is taken as a device's own name, but is close to the interface `lan`",
        ],
    ),
    (
        "interface lan = { eth1, eth2 }\npolicy a on lan ingress { allow tcp, mirror to lan\ndefault drop }",
        &["2:48 error[several-devices]"],
    ),
    (
        "interface lan = { eth1, eth2 }\npolicy a on lan ingress zone 1 { allow new, masquerade\ndefault drop }",
        &["2:45 error[unknown-device-address]: the policy stands on 2 devices"],
    ),
    (
        "policy a on eth7 ingress zone 1 { allow new, masquerade\ndefault drop }",
        &["1:46 error[unknown-device-address]: the address of `eth7` is not known (add `--address eth7=ADDR`"],
    ),
    ("interface a = not eth0\npolicy p on a ingress { default drop }", &["1:15 error[unbounded-devices]"]),
    (
        "net tcp = 10.0.0.0/8\nzone 7 = 7\npolicy p on eth0 ingress { default drop }",
        &[
            "1:5 error[reserved-name]: `tcp` cannot be the name of a net: it is a word of the language",
            "2:6 error[reserved-name]: `7` cannot be the name of a zone: it reads like a value",
        ],
    ),
    (
        "net a = 10.0.0.0/8\nnet a = 10.0.0.1/8\npolicy p on eth0 ingress { drop from a\ndefault drop }",
        &["2:5 error[duplicate-name]: a second net called `a`", "2:9 error[host-bits-set]"],
    ),
    (
        "net a = { b, 10.0.0.0/8 }\nnet b = c\nnet c = a\npolicy p on eth0 ingress { drop from { a, b, c }\ndefault drop }",
        &["3:9 error[cyclic-definition]: the net `a` contains itself"],
    ),
    (
        "net a = a\npolicy p on eth0 ingress { default drop }",
        &["1:9 error[cyclic-definition]: the net `a` contains itself"],
    ),
    (
        "group a { use b }\ngroup b { use a }\npolicy p on eth0 ingress { use a\ndefault drop }",
        &["2:15 error[cyclic-definition]: the group `a` uses itself"],
    ),
    (
        "net a = 10.0.0.300\npolicy p on eth0 ingress { drop from a\ndrop to { a, 10.0.0.1 }\ndefault drop }",
        &["1:9 error[malformed-value]"],
    ),
    (
        "net a = { 10.0.0.0/24, 2001:db8::/64 }\npolicy p on eth0 ingress zone 1 { allow new, snat a\ndefault drop }",
        &["2:51 error[mixed-pool]: `a` has IPv4 and IPv6 addresses"],
    ),
    (
        "net a = { 10.0.0.1, 10.0.0.9 }\npolicy p on eth0 ingress zone 1 { allow new, snat a\ndefault drop }",
        &["2:51 error[scattered-pool]"],
    ),
    (
        "zone a = { 1, 2 }\npolicy p on eth0 ingress zone a { allow new\ndefault drop }",
        &["1:10 error[malformed-value]: `{ 1, 2 }` is not one zone"],
    ),
    (
        "net a = 10.0.0.0/8\nnet b = a\ngroup g { drop tcp }\npolicy p on eth0 ingress { default drop }",
        &[
            "2:5 warning[unused-definition]: nothing uses the net `b`",
            "3:7 warning[unused-definition]: nothing uses the group `g`",
        ],
    ),
    (
        "group g { drop tcp to port 99999 }\npolicy p on eth0 ingress { default drop }",
        &["1:28 error[value-out-of-range]"],
    ),
    ("net a = 10.0.0.0/8\n", &[]),
    (
        "zone a = 1\npolicy p on eth0 ingress { drop from a\ndefault drop }",
        &["2:38 error[unknown-name]: no net is called `a`"],
    ),
    (
        "service s = icmp/8\npolicy p on eth0 ingress { drop service s\ndefault drop }",
        &["1:13 error[malformed-value]: a service is of `tcp`, `udp` or `sctp`, not of `icmp`"],
    ),
    (
        "reserve mark 0x7\npolicy p on eth0 ingress { default drop }",
        &["1:14 error[bad-reservation]: `0x7` is not two of the 32 bits of a mark"],
    ),
    (
        "reserve mark 0x3\nreserve mark 0xc\npolicy p on eth0 ingress { default drop }",
        &["2:1 error[bad-reservation]: the reserved bits are fixed twice"],
    ),
    ("drop tcp\npolicy p on eth0 ingress { default drop }", &["1:1 error[rule-outside-policy]"]),
    ("drop tcp\nallow established", &["1:1 error[no-attach-point]"]),
    ("net a = {\npolicy p on eth0 ingress { drop from a\ndefault drop }", &["1:9 error[unclosed-brace]"]),
];

#[test]
fn every_mistake_of_a_file_is_found_where_it_is() {
    let mut wrong = Vec::new();
    for (text, expected) in FILES {
        let mut found = run(text, &super::options()).findings;
        found.retain(|finding| !finding.contains(" note[") && !finding.contains("implied-default"));
        if found.len() != expected.len() || !found.iter().zip(*expected).all(|(line, start)| line.starts_with(start)) {
            wrong.push(format!("{text}\n   found    {found:#?}\n   expected {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_bare_rule_asks_for_a_zone_on_the_command_line() {
    let found = run("allow established\ndefault drop", &bare()).findings;
    assert!(found[0].ends_with("(add `--zone N` to the command, or `from zone N` to the rule)"), "{found:?}");
}

#[test]
fn mistakes_in_a_file_of_a_set_point_into_it() {
    let text = "net a = file \"a.txt\"\npolicy p on eth0 ingress { drop from a\ndefault drop }";
    let found =
        run_files(&[("t.pol", text), ("a.txt", "10.0.0.1\n  10.0.0.1/8 # x\nfoo\n")], &super::options()).findings;
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("a.txt:2:3 error[host-bits-set]")
            && found[1].starts_with("a.txt:3:1 error[malformed-value]"),
        "{found:?}"
    );
    let empty = run_files(&[("t.pol", text), ("a.txt", "# nothing\n")], &super::options()).findings;
    assert!(empty[0].starts_with("1:9 error[empty-set]"), "{empty:?}");
    let missing = run_files(&[("t.pol", text)], &super::options()).findings;
    assert_eq!(missing.len(), 1, "{missing:?}");
}

#[test]
fn an_include_that_failed_keeps_unknown_names_silent() {
    let text = "include \"nets.pol\"\npolicy p on eth0 ingress { drop from office\ndefault drop }";
    let found = run(text, &super::options()).findings;
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn definitions_nest_64_deep_in_any_order() {
    let chain = |depth: usize, forward: bool| {
        let mut lines: Vec<String> = (0..depth - 1).map(|i| format!("net n{i} = {{ n{} }}\n", i + 1)).collect();
        lines.push(format!("net n{} = 10.0.0.0/8\n", depth - 1));
        if !forward {
            lines.reverse();
        }
        format!("{}policy p on eth0 ingress {{ drop from n0\ndefault drop }}", lines.concat())
    };
    for forward in [true, false] {
        assert_eq!(run(&chain(64, forward), &super::options()).findings, Vec::<String>::new());
        let found = run(&chain(66, forward), &super::options()).findings;
        assert!(
            !found.is_empty() && found.iter().all(|finding| finding.contains("error[nested-too-deep]")),
            "{found:?}"
        );
    }
    let groups = (0..70).map(|i| format!("group g{i} {{ use g{} }}\n", i + 1)).collect::<Vec<_>>().concat();
    let found = run(
        &format!("{groups}group g70 {{ drop tcp }}\npolicy p on eth0 ingress {{ use g0\ndefault drop }}"),
        &super::options(),
    )
    .findings;
    assert!(found.len() == 1 && found[0].contains("error[nested-too-deep]"), "{found:?}");
}

#[test]
fn limits_hold() {
    // Each group uses the one below twice: 2^20 rules and more.
    let groups =
        (0..24).map(|i| format!("group g{i} {{\nuse g{0}\nuse g{0}\n}}\n", i + 1)).collect::<Vec<_>>().concat();
    let text = format!("{groups}group g24 {{ drop tcp }}\npolicy p on eth0 ingress {{ use g0\ndefault drop }}");
    let found = run(&text, &super::options()).findings;
    assert!(found.len() == 1 && found[0].contains("error[too-many-rules]"), "{found:?}");
}

#[test]
fn every_lint_is_documented_once() {
    let mut names = std::collections::BTreeSet::new();
    for lint in super::super::LINTS.iter().copied().flatten() {
        assert!(names.insert(lint.name), "{} twice", lint.name);
        assert!(lint.doc.contains("Remedy:"), "{} has no remedy", lint.name);
        assert!(!lint.summary.ends_with('.'));
    }
}

/// Words of two policies, shuffled, dropped and doubled: whatever comes of it is a policy or a finding, never a panic.
#[test]
fn no_text_makes_it_panic() {
    let sample = "net office = { 10.0.0.0/24 , not 10.0.0.1 , 2001:db8::/48 } ; zone edge = 7 ; port web = { 80 , 443-8080 } ; \
        service s = { udp/53 , tcp/1-9 } ; interface lan = { eth1 , eth2 } ; group g { drop invalid ; allow established ; } \
        policy p on lan ingress zone edge then 2 { prefilter { drop from not office ; drop udp from port web to port 53 ; } use g ; \
        allow new tcp from office to any port not web , dnat 10.0.0.1-10.0.0.9 port 80 in zone 3 , set mark 0x1/0xff , limit 10mbit ; \
        allow icmp { echo-request , 3 } snat not dnat ; continue not { tcp , udp } mark not { 1/3 , 8/12 } label 5 , set label 0x10/0xf0 ; \
        allow stateless service not dns vlan { 1-3 } ttl 1-9 dscp af41 in not lan , redirect to eth3 ; \
        drop tcp flags syn,ack/syn,ack,fin from mac 02:00:00:00:00:01 , limit 5pps burst 2 ; default drop ; }";
    let words: Vec<&str> = sample.split_whitespace().collect();
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut next = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    assert!(run(sample, &super::options()).findings.iter().all(|finding| !finding.contains("error[syntax]")));
    for _ in 0..400 {
        let mut words = words.clone();
        for _ in 0..=next(6) {
            let (from, to) = (next(words.len()), next(words.len()));
            match next(3) {
                0 => drop(words.remove(from)),
                1 => words.swap(from, to),
                _ => words[to] = words[from],
            }
        }
        run(&words.join(" "), &bare());
    }
}
