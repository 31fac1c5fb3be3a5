//! The words of the language, for the splitter and for messages. Their grammar is `grammar/ctpolicy.pest`.

/// Words that begin a block.
pub const BLOCK_WORDS: &[&str] = &["policy", "group", "prefilter"];

/// Words that begin a statement.
pub const STATEMENT_WORDS: &[&str] = &[
    "allow",
    "drop",
    "continue",
    "use",
    "default",
    "policy",
    "group",
    "prefilter",
    "include",
    "interface",
    "zone",
    "net",
    "port",
    "service",
    "reserve",
    "assert",
];

/// Words that begin a rule.
pub const RULE_WORDS: &[&str] = &["allow", "drop", "continue", "use", "default"];

/// Words that begin a match with a value.
pub const MATCH_WORDS: &[&str] = &[
    "from",
    "to",
    "in",
    "port",
    "proto",
    "ethertype",
    "service",
    "mark",
    "label",
    "dscp",
    "ttl",
    "vlan",
    "fragment",
    "not",
];

/// Words that begin an action.
pub const ACTION_WORDS: &[&str] =
    &["snat", "dnat", "masquerade", "nat", "set", "commit", "clear", "redirect", "mirror", "limit", "helper"];

/// Words for a connection's state.
pub const STATE_WORDS: &[&str] =
    &["new", "established", "related", "invalid", "reply", "original", "tracked", "snat", "dnat"];

/// Words for a packet's protocol.
pub const PROTOCOL_WORDS: &[&str] = &["ip", "ip6", "tcp", "udp", "sctp", "icmp", "icmp6", "gre", "esp", "arp"];

/// Whether a word may contain this character.
#[must_use]
pub fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '.' | '/' | ':' | '-' | '_' | '+' | '%')
        || (!c.is_ascii() && c.is_alphabetic())
}

/// Whether this is one word.
#[must_use]
pub fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word_char)
}

/// Whether an annotation's unquoted value may contain this character.
#[must_use]
pub fn is_note_char(c: char) -> bool {
    !matches!(c, ' ' | '\t' | '\r' | '\n' | '"' | '#' | ';' | '{' | '}')
}

/// Bytes of the word, or the one sign, that `text` begins with; 0 for an empty text.
#[must_use]
pub fn token_length(text: &str) -> usize {
    match text.find(|c: char| !is_word_char(c)) {
        None => text.len(),
        Some(0) => text.chars().next().map_or(0, char::len_utf8),
        Some(length) => length,
    }
}

/// The candidate that is nearest to `word` and near enough to be what was meant.
///
/// Near enough: one slip (a letter wrong, missing, too much, or two swapped) in words up to five letters, two in longer ones.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let slips = match word.chars().count() {
        0 | 1 => 0,
        2..=5 => 1,
        6..=40 => 2,
        _ => return None,
    };
    let near = candidates.iter().map(|candidate| (distance(&word, candidate), *candidate));
    near.filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edit distance with swaps of neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX - 1);
    for (i, x) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (at(&row, j) + usize::from(x != y)).min(at(&row, j + 1) + 1).min(at(&next, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped && x != y {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    at(&row, b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_forgives_small_slips_only() {
        assert_eq!(nearest("alow", STATEMENT_WORDS), Some("allow"));
        assert_eq!(nearest("lalow", STATEMENT_WORDS), Some("allow"));
        assert_eq!(nearest("DROP", STATEMENT_WORDS), Some("drop"));
        assert_eq!(nearest("perfiltr", STATEMENT_WORDS), Some("prefilter"));
        assert_eq!(nearest("reject", STATEMENT_WORDS), None);
        assert_eq!(nearest("x", STATEMENT_WORDS), None);
        assert_eq!(distance("form", "from"), 1);
        assert_eq!(distance("", "abc"), 3);
    }
}
