//! Where an annotation ends, and where a string does.

use super::{BLANK, ChunkKind, FaultKind, Splitter, offset};
use crate::parse::words;

impl Splitter<'_> {
    /// Takes the annotation that begins here.
    pub fn annotation(&mut self) {
        let start = self.pos;
        // What is measured here never looks past the line's end.
        let blanks = |text: &str| text.len() - text.trim_start_matches([' ', '\t']).len();
        let rest = self.text.get(start + 1..).unwrap_or_default();
        let lead = blanks(rest);
        let rest = rest.get(lead..).unwrap_or_default();
        let key = rest.find(|c: char| !words::is_word_char(c)).unwrap_or(rest.len());
        let rest = rest.get(key..).unwrap_or_default();
        let gap = blanks(rest);
        let value = rest.get(gap..).unwrap_or_default();
        let (length, closed) = if value.starts_with('"') {
            string_length(value)
        } else {
            (value.find(|c: char| !words::is_note_char(c)).unwrap_or(value.len()), true)
        };
        // `@owner = netops` is one mistake: the value behind the `=` belongs to it.
        let behind = value.strip_prefix('=').filter(|_| length == 1).unwrap_or_default();
        let word = behind.trim_start_matches([' ', '\t']);
        let (blank, word) = (behind.len() - word.len(), word.find(|c| !words::is_word_char(c)).unwrap_or(word.len()));
        let length = length + if word > 0 { blank + word } else { 0 };
        // A key without a value ends after the key, an `@` alone right there; the grammar says what is missing.
        let hi = match (key, length) {
            (0, 0) => start + 1,
            (_, 0) => start + 1 + lead + key,
            _ => start + 1 + lead + key + gap + length,
        };
        if !closed {
            self.fault(FaultKind::OpenString, offset(hi - length), offset(hi), None);
        }
        self.pos = hi;
        self.chunk(if closed { ChunkKind::Annotation } else { ChunkKind::Broken }, start, hi);
    }
}

/// Bytes of the string that `text` begins with, quotes included, and whether it is closed on its line.
pub fn string_length(text: &str) -> (usize, bool) {
    let inside = text.get(1..).unwrap_or_default();
    match inside.find(['"', '\n']) {
        Some(length) if inside.as_bytes().get(length) == Some(&b'"') => (length + 2, true),
        length => (text.get(..=length.unwrap_or(inside.len())).unwrap_or(text).trim_end_matches(BLANK).len(), false),
    }
}
