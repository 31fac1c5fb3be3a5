//! Arbitrary text: parsing always ends, never panics, and printing is stable.

use proptest::prelude::*;

use super::language::SAMPLE;
use super::print::stays;
use crate::diag::{Diagnostics, render};
use crate::parse::{parse, print::print, split::split};
use crate::source::SourceMap;

/// Parses, renders and prints; what matters is that it ends, and that every finding points into the text.
fn survives(text: &str) {
    let mut map = SourceMap::default();
    let file = map.add("p", text).unwrap();
    let mut diags = Diagnostics::default();
    let ast = parse(&map, file, &mut diags);
    let _ = (print(&ast, &map), render::text(&diags, &map, true));
    for diagnostic in diags.list() {
        let labels = std::iter::once(&diagnostic.primary).chain(&diagnostic.secondary);
        for label in labels {
            let (lo, hi) = (label.span.lo as usize, label.span.hi as usize);
            assert!(text.get(lo..hi).is_some(), "{diagnostic:?} points outside the text");
        }
        let message = &diagnostic.message;
        assert!(!message.is_empty() && !message.ends_with('.') && !message.contains('\n'), "{message}");
    }
}

/// Words and signs of the language, and some that are not.
fn token() -> impl Strategy<Value = String> {
    let words: Vec<&str> = "allow drop continue use default policy group prefilter include interface zone net port \
        service reserve from to in not mac mark label tcp udp icmp icmp6 established new snat dnat set commit force \
        clear redirect mirror limit burst helper assert never type code flags proto ethertype dscp ttl vlan fragment on then \
        ingress stateless file masquerade nat any web 10.0.0.0/8 80 0x1/0xff 2001:db8::/48 syn,fin/syn = , , , { } { } ; \" \
        \"x\" @ @id # ! ( é \u{a0} \u{1b} \\ $"
        .split(' ')
        .collect();
    prop_oneof![
        8 => proptest::sample::select(words).prop_map(str::to_owned),
        2 => Just("\n".to_owned()),
    ]
}

/// A set, up to three deep.
fn set() -> impl Strategy<Value = String> {
    let word = "[a-z0-9_][a-z0-9_./:-]{0,12}".prop_filter("a word of the language", |word: &String| {
        let first = word.split(['/', ':']).next().unwrap_or_default();
        ![
            super::super::words::MATCH_WORDS,
            super::super::words::ACTION_WORDS,
            super::super::words::STATE_WORDS,
            super::super::words::PROTOCOL_WORDS,
            super::super::words::STATEMENT_WORDS,
            &["mac", "file", "burst"],
        ]
        .concat()
        .contains(&first)
    });
    let leaf = ("(not )?", word).prop_map(|(not, word)| format!("{not}{word}"));
    leaf.prop_recursive(3, 40, 14, |inner| {
        let gap = prop_oneof![Just(", "), Just(","), Just(" ,\n"), Just(", # why\n  "), Just("\n# own\n,")];
        let items = proptest::collection::vec((inner, gap), 1..14);
        ("(not )?", items, any::<bool>()).prop_map(|(not, items, trailing)| {
            let mut text = format!("{not}{{");
            let last = items.len() - 1;
            for (index, (item, gap)) in items.iter().enumerate() {
                text.push_str(item);
                text.push_str(if index < last || trailing { gap } else { " " });
            }
            text + "}"
        })
    })
}

fn matching() -> impl Strategy<Value = String> {
    let words = [
        "established",
        "not new",
        "{ established, not related }",
        "tcp",
        "not udp",
        "{ tcp, udp }",
        "icmp",
        "icmp6",
        "arp",
        "icmp echo-request",
        "icmp type 3 code { 4, 5 }",
        "icmp6 not { 133, 134 }",
        "icmp redirect",
        "tcp flags syn/syn,ack",
        "tcp flags not { syn, fin,ack/fin,ack }",
        "from zone 7",
        "fragment first",
    ];
    let plain = proptest::sample::select(words.to_vec()).prop_map(str::to_owned);
    let kinds = [
        "from",
        "to",
        "from port",
        "to port",
        "from mac",
        "in",
        "mark",
        "label",
        "dscp",
        "ttl",
        "vlan",
        "proto",
        "ethertype",
        "service",
    ];
    let valued = (proptest::sample::select(kinds.to_vec()), set()).prop_map(|(kind, set)| format!("{kind} {set}"));
    prop_oneof![plain, valued]
}

fn rule() -> impl Strategy<Value = String> {
    let verdicts = [
        "allow",
        "drop",
        "continue",
        "allow stateless",
        "@id a @note \"b # c\"\nallow",
        "# above\ndrop",
        "\n\n\n# apart\n\nallow",
        "default drop",
    ];
    let actions = [
        "snat 10.0.0.1 in zone 3 port 1-2",
        "dnat x",
        "masquerade",
        "nat",
        "set mark 1/2",
        "set label 0x10",
        "commit force",
        "commit zone 9",
        "clear",
        "redirect to eth1 ingress",
        "mirror to tap0",
        "limit 10mbit burst 64kb",
        "helper ftp",
    ];
    let action =
        (proptest::sample::select(vec![", ", ",\n\n   ", ", # why\n"]), proptest::sample::select(actions.to_vec()));
    let ends = ["\n", ";", " # after\n", "\n\n\n", "\r\n"];
    (
        proptest::sample::select(verdicts.to_vec()),
        proptest::collection::vec(matching(), 0..6),
        proptest::collection::vec(action.prop_map(|(gap, action)| format!("{gap}{action}")), 0..5),
        proptest::sample::select(ends.to_vec()),
    )
        .prop_map(|(verdict, matches, actions, end)| {
            format!("{verdict} {}{}{end}", matches.join(" "), actions.concat())
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn any_words_are_survived(words in proptest::collection::vec(token(), 0..80), glue in "[ ]?") {
        survives(&words.join(&glue));
        survives(&words.join(" "));
    }

    #[test]
    fn a_mutilated_policy_is_survived(cuts in proptest::collection::vec((any::<prop::sample::Index>(), token(), any::<bool>()), 1..8)) {
        let mut text = SAMPLE.to_owned();
        for (at, token, delete) in cuts {
            let mut at = at.index(text.len() + 1);
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            if delete && at < text.len() {
                text.remove(at);
            } else {
                text.insert_str(at, &token);
            }
        }
        survives(&text);
    }

    #[test]
    fn every_byte_of_the_text_is_in_at_most_one_piece(words in proptest::collection::vec(token(), 0..60)) {
        in_pieces(&words.join(" "));
    }

    #[test]
    fn printing_is_stable_and_keeps_the_meaning(
        rules in proptest::collection::vec(rule(), 0..6),
        nets in proptest::collection::vec(set(), 0..3),
        devices in set(),
        asserted in proptest::collection::vec(matching(), 0..6),
        place in proptest::sample::select(vec!["", "on eth0 ", "on { a, b } ingress "]),
    ) {
        let nets: Vec<_> = nets.iter().map(|set| format!("net n={set} # net\n")).collect();
        let nets = nets.concat();
        let rules = rules.concat();
        let asserted = format!("assert \"a # b\" {place} never allow {} # why\n", asserted.join(" "));
        stays(&format!("{nets}{asserted}{rules}\npolicy in on {devices} egress zone a then b {{ # body\n{rules}\n # tail\n}} # end\n"));
    }
}

#[test]
fn hostile_text_takes_linear_time() {
    let started = std::time::Instant::now();
    for piece in ["{", "}", "group g {} ", "@a b ", "\"x\" ", "x { ", "allow from {\n}\n", "a, ", "{#\n", "policy "] {
        survives(&piece.repeat(20_000));
        survives(&format!("group g {{\n  net x = {}", piece.repeat(20_000)));
    }
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

fn in_pieces(text: &str) {
    // A comment between a header and its brace comes before the header, so the pieces are not in order.
    let mut pieces: Vec<(u32, u32)> = split(text).chunks.iter().map(|chunk| (chunk.lo, chunk.hi)).collect();
    pieces.sort_unstable();
    let mut end = 0;
    for (lo, hi) in pieces {
        assert!(lo >= end && hi >= lo && text.get(lo as usize..hi as usize).is_some(), "{text:?} at {lo}");
        end = hi;
    }
}

#[test]
fn an_at_sign_before_an_end_is_one_piece() {
    in_pieces("{ @ \n");
}

#[test]
fn a_comment_before_a_set_of_the_header_is_in_one_piece() {
    in_pieces("policy allow allow # \n { ingress");
    in_pieces("policy p on # why\n { a, b } ingress # x\n {");
}
