//! The words of the language, and the nearest word to a mistyped one.

/// Words that no net, port, service, zone or interface may be called; sorted.
const WORDS: &[&str] = &[
    "allow",
    "any",
    "arp",
    "assert",
    "burst",
    "clear",
    "code",
    "commit",
    "continue",
    "default",
    "dnat",
    "drop",
    "dscp",
    "egress",
    "esp",
    "established",
    "ethertype",
    "file",
    "flags",
    "force",
    "fragment",
    "from",
    "gre",
    "group",
    "helper",
    "icmp",
    "icmp6",
    "in",
    "include",
    "ingress",
    "interface",
    "invalid",
    "ip",
    "ip6",
    "label",
    "limit",
    "mac",
    "mark",
    "masquerade",
    "mirror",
    "nat",
    "net",
    "never",
    "new",
    "not",
    "on",
    "original",
    "policy",
    "port",
    "prefilter",
    "proto",
    "redirect",
    "related",
    "reply",
    "reserve",
    "sctp",
    "service",
    "set",
    "snat",
    "stateless",
    "tcp",
    "then",
    "to",
    "tracked",
    "ttl",
    "type",
    "udp",
    "use",
    "vlan",
    "zone",
];

/// Words that may stand as a match of their own.
pub const MATCH_WORDS: &[&str] = &[
    "new",
    "established",
    "related",
    "invalid",
    "reply",
    "original",
    "tracked",
    "snat",
    "dnat",
    "ip",
    "ip6",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "icmp6",
    "gre",
    "esp",
    "arp",
];

/// Keywords that begin a match with a value.
pub const MATCH_KEYWORDS: &[&str] =
    &["from", "to", "in", "proto", "ethertype", "service", "mark", "label", "dscp", "ttl", "vlan", "fragment"];

/// Whether the language gives this word a meaning.
#[must_use]
pub fn is_word(text: &str) -> bool {
    WORDS.binary_search(&text).is_ok()
}

/// The candidate that a mistyped word probably meant.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // Lengths first: a policy may have thousands of names and of typos.
    let likely: Vec<&str> = candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= 2 && *candidate != word)
        .collect();
    crate::parse::words::nearest(word, &likely)
}

/// `did you mean` in the form every finding uses.
#[must_use]
pub fn did_you_mean(word: &str) -> String {
    format!("did you mean `{word}`?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted_for_the_search() {
        assert!(WORDS.is_sorted());
        assert!(MATCH_WORDS.iter().all(|word| is_word(word)));
    }

    #[test]
    fn nearest_word_is_near() {
        assert_eq!(nearest("ofice", ["office", "lab"]), Some("office"));
        assert_eq!(nearest("etsablished", MATCH_WORDS.iter().copied()), Some("established"));
        assert_eq!(nearest("printers", ["office", "lab"]), None);
        assert_eq!(nearest("x", ["y"]), None);
    }
}
