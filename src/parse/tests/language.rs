//! Every construct of the language, read as it is meant.

use super::sketch::sketch;

#[track_caller]
fn reads(text: &str, expected: &str) {
    let got = sketch(text);
    assert_eq!(got.trim_end(), expected.trim_end(), "\n--- got\n{got}");
}

/// The sample of the language's first page.
pub const SAMPLE: &str = r#"# a gateway that hides an office behind its one public address
include "nets.pol"

interface wan = eth0
interface lan = { eth1, eth2 }
zone      edge = 7                                  # a conntrack zone, 0..65535
net       office = { 10.0.0.0/24, 2001:db8:7::/48 }
net       blocked = file "drop.txt"                 # one address, prefix or range a line; # starts a comment
port      web = { 80, 443, 8000-8080 }
service   dns = { udp/53, tcp/53 }

group hygiene {
    allow established
    drop  invalid
}

policy to-internet on wan egress zone edge {
    use   hygiene
    allow related
    allow from office, snat 203.0.113.2 port 1024-65535, set mark 0x333
    allow ip6 from office
    allow service dns                               # the gateway's own questions
    default drop
}

policy from-internet on wan ingress zone edge {
    prefilter {
        drop from { blocked, 0.0.0.0/8, 127.0.0.0/8, 240.0.0.0/4 }
        drop tcp flags syn,fin/syn,fin
    }
    use   hygiene
    allow related
    @owner netops  @ticket NET-1412  @until 2027-06-30
    allow tcp to 203.0.113.2 port web, dnat 10.0.0.80, limit 20000pps
    default drop
}
"#;

#[test]
fn the_sample_reads_whole() {
    reads(
        SAMPLE,
        "include <nets.pol>
define Interface wan eth0
define Interface lan {eth1 eth2}
define Zone edge 7
define Net office {10.0.0.0/24 2001:db8:7::/48}
define Net blocked <drop.txt>
define Port web {80 443 8000-8080}
define Service dns {udp/53 tcp/53}
group hygiene
  Allow [words established]
  Drop [words invalid]
policy to-internet on wan egress [\"edge\"]
  use hygiene
  Allow [words related]
  Allow [from addr=office] ! snat 203.0.113.2 port=1024-65535 zone=- ! set-mark 0x333
  Allow [words ip6] [from addr=office]
  Allow [service dns]
  default drop
policy from-internet on wan ingress [\"edge\"]
  prefilter
    Drop [from addr={blocked 0.0.0.0/8 127.0.0.0/8 240.0.0.0/4}]
    Drop [flags syn,fin/syn,fin]
  use hygiene
  Allow [words related]
  @owner=netops @ticket=NET-1412 @until=2027-06-30 Allow [words tcp] [to addr=203.0.113.2 port=web] ! dnat 10.0.0.80 port=- zone=- ! limit 20000pps burst=-
  default drop",
    );
}

#[test]
fn the_rfc_sentence_reads_as_written() {
    reads(
        "allow established from zone 7, snat 10.0.0.0/24",
        "Allow [words established] [from-zone 7] ! snat 10.0.0.0/24 port=- zone=-",
    );
}

#[test]
fn verdicts() {
    reads(
        "allow\nallow stateless\ndrop\ncontinue\nuse in\ndefault allow\ndefault drop",
        "Allow
AllowStateless
Drop
Continue
use in
default allow
default drop",
    );
}

#[test]
fn statements_end_at_lines_semicolons_and_braces() {
    reads("group g { allow tcp; drop udp }", "group g\n  Allow [words tcp]\n  Drop [words udp]");
    reads("allow tcp;;drop;", "Allow [words tcp]\nDrop");
    reads("allow tcp, # why\n\n   set mark 1,\n  nat\ndrop", "Allow [words tcp] ! set-mark 1 ! nat\nDrop");
    reads("net x = {\n 10.0.0.0/8, # a\n\n not 10.1.0.0/16,\n}\ndrop", "define Net x {10.0.0.0/8 !10.1.0.0/16}\nDrop");
    reads("policy p on eth0 ingress\n{\r\n drop\r\n}\r\n", "policy p on eth0 ingress []\n  Drop");
    reads("net x={10.0.0.0/8,10.1.0.1}", "define Net x {10.0.0.0/8 10.1.0.1}");
}

#[test]
fn headers() {
    reads(
        "policy in on { a, b } ingress zone 2 then 1 then edge {}",
        "policy in on {a b} ingress [\"2\", \"1\", \"edge\"]",
    );
    reads("policy on on not { a, b } egress {}", "policy on on !{a b} egress []");
    reads("policy policy on eth0.7 sideways {}", "policy policy on eth0.7 sideways []");
    reads("group out {}\ngroup drop { }", "group out\ngroup drop");
    reads("reserve mark 0xc0000000", "reserve 0xc0000000");
    reads("assert \"a b\" never allow new tcp", "assert <a b> [words new] [words tcp]");
    reads("assert \"\" on { a, b } ingress never allow", "assert <> on {a b} ingress");
    reads("assert \"x\" on not a never allow ip", "assert <x> on !a [words ip]");
}

#[test]
fn state_and_protocol_words() {
    let words =
        "new established related invalid reply original tracked snat dnat ip ip6 tcp udp sctp icmp icmp6 gre esp arp";
    for word in words.split(' ') {
        reads(&format!("allow {word}"), &format!("Allow [words {word}]"));
        reads(&format!("allow not {word} to 10.0.0.1"), &format!("Allow [words !{word}] [to addr=10.0.0.1]"));
    }
    reads("allow { established, related } tcp", "Allow [words {established related}] [words tcp]");
    reads("allow not { established, not related }", "Allow [words !{established !related}]");
    reads("allow new reply snat", "Allow [words new] [words reply] [words snat]");
}

#[test]
fn ends() {
    reads("allow from 10.0.0.0/8 port 1024-65535", "Allow [from addr=10.0.0.0/8 port=1024-65535]");
    reads("allow to not office port not web", "Allow [to addr=!office port=!web]");
    reads("allow to not { a, { b, not c } } port { 1, 2-3 }", "Allow [to addr=!{a {b !c}} port={1 2-3}]");
    reads("allow to port 80 from any", "Allow [to port=80] [from addr=any]");
    reads("allow from mac 02:00:00:00:00:01", "Allow [from mac=02:00:00:00:00:01]");
    reads("allow from x mac not 02:00:00:00:00:01 port 3", "Allow [from addr=x mac=!02:00:00:00:00:01 port=3]");
    reads("allow port 80 tcp", "Allow [bare-port 80] [words tcp]");
    reads("allow from zone edge from 10.0.0.1-10.0.0.9", "Allow [from-zone edge] [from addr=10.0.0.1-10.0.0.9]");
    reads("drop from not file \"a b.txt\"", "Drop [from addr=!<a b.txt>]");
    reads("drop from { file \"a#b;}.txt\", not file \"c\" }", "Drop [from addr={<a#b;}.txt> !<c>}]");
}

#[test]
fn icmp() {
    reads("allow icmp echo-request", "Allow [icmp v6=false echo-request code=None]");
    reads("allow icmp redirect new", "Allow [icmp v6=false redirect code=None] [words new]");
    reads("allow icmp type 3 code 4", "Allow [icmp v6=false 3 code=Some(\"4\")]");
    reads("allow icmp6 type { 133, 135 } code not 0", "Allow [icmp v6=true {133 135} code=Some(\"!0\")]");
    reads("allow icmp { echo-request, echo-reply }", "Allow [icmp v6=false {echo-request echo-reply} code=None]");
    reads("allow icmp not echo-request", "Allow [icmp v6=false !echo-request code=None]");
    reads("allow icmp { established, related }", "Allow [words icmp] [words {established related}]");
    reads("allow icmp not established from x", "Allow [words icmp] [words !established] [from addr=x]");
    reads("allow icmp mark 1", "Allow [words icmp] [mark 1]");
}

#[test]
fn header_details() {
    reads(
        "allow tcp flags syn/syn,ack,fin,rst in lan ttl 1 vlan 100 dscp af41 fragment first",
        "Allow [flags syn/syn,ack,fin,rst] [in lan] [ttl 1] [vlan 100] [dscp af41] [fragment first]",
    );
    reads("allow tcp flags not { syn, fin,ack/fin,ack }", "Allow [flags !{syn fin,ack/fin,ack}]");
    reads("drop tcp flags syn,snat 1.2.3.4", "Drop [flags syn] ! snat 1.2.3.4 port=- zone=-");
    reads("drop tcp flags syn,fin,\n mirror to x", "Drop [flags syn,fin] ! mirror x");
    reads("drop proto tcp ethertype 0x88cc arp", "Drop [proto tcp] [ethertype 0x88cc] [words arp]");
    reads("allow proto { 47, not 6 } service { dns, udp/53 }", "Allow [proto {47 !6}] [service {dns udp/53}]");
    reads("allow mark 0x1/0xff label not 0x0/0xff00", "Allow [mark 0x1/0xff] [label !0x0/0xff00]");
    reads("allow in { eth0, not lan }", "Allow [in {eth0 !lan}]");
}

#[test]
fn actions() {
    reads(
        "allow, snat a in zone Z port 1-2, dnat 10.0.0.1-10.0.0.9 port 80 in zone 3, masquerade port 5, nat",
        "Allow ! snat a port=1-2 zone=Z ! dnat 10.0.0.1-10.0.0.9 port=80 zone=3 ! masquerade - port=5 zone=- ! nat",
    );
    reads(
        "continue tcp, set mark 1/2, set label 0x10, commit force, commit zone Z, clear",
        "Continue [words tcp] ! set-mark 1/2 ! set-label 0x10 ! commit-force ! commit-zone Z ! clear",
    );
    reads(
        "allow, redirect to eth0, redirect to eth1 ingress, mirror to tap0, limit 10mbit burst 64kb, helper ftp",
        "Allow ! redirect eth0 ! redirect eth1 ingress ! mirror tap0 ! limit 10mbit burst=64kb ! helper ftp",
    );
    reads("default drop tcp, nat", "default drop [words tcp] ! nat");
}

#[test]
fn annotations() {
    reads("@id a\n# why\n@note \"x # y; }\" @owner b@c.org\n\nallow", "@id=a @note=x # y; } @owner=b@c.org Allow");
    reads("@id a allow tcp", "@id=a Allow [words tcp]");
    reads("@ticket https://x/?a=1&b=2\ndefault drop", "@ticket=https://x/?a=1&b=2 default drop");
}
