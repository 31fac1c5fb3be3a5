//! A statement as words and signs, with the one at which the grammar gave up.

use crate::parse::words;
use crate::source::Span;

/// A word, a sign or a string.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// Its text, quotes included.
    pub text: &'a str,
    /// Where it stands.
    pub span: Span,
}

impl Token<'_> {
    /// Whether it is made of a word's characters.
    pub fn is_word(&self) -> bool {
        self.text.starts_with(words::is_word_char)
    }

    /// Whether something may be listed or compared here: a word, a string or braces.
    pub fn is_value(&self) -> bool {
        self.is_word() || self.text.starts_with(['"', '{'])
    }
}

/// A statement that does not parse.
#[derive(Debug)]
pub struct Tokens<'a> {
    list: Vec<Token<'a>>,
    /// Index of the token that does not fit; the list's length where something is missing at the end.
    fault: usize,
}

impl<'a> Tokens<'a> {
    /// Cuts `text`, which begins at `base`, into tokens; the fault is at byte `pos`.
    pub fn new(text: &'a str, base: u32, pos: usize) -> Self {
        let mut list = Vec::new();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let length = match rest.chars().next() {
                Some('#') => rest.find('\n').unwrap_or(rest.len()),
                Some('"') => {
                    let inside = rest.get(1..).unwrap_or_default();
                    inside.find(['"', '\n']).map_or(rest.len(), |length| length + 2)
                }
                _ => words::token_length(rest),
            };
            let token = rest.get(..length).unwrap_or(rest);
            if !token.starts_with([' ', '\t', '\r', '\n', '#']) {
                let offset = |pos: usize| base + u32::try_from(pos).unwrap_or_default();
                list.push(Token { text: token, span: Span { lo: offset(at), hi: offset(at + token.len()) } });
            }
            at += token.len();
        }
        let pos = base + u32::try_from(pos).unwrap_or_default();
        let fault = list.iter().position(|token| token.span.hi > pos).unwrap_or(list.len());
        Self { list, fault }
    }

    /// The token `back` places before the one at fault; 0 is that itself.
    pub fn before(&self, back: usize) -> Option<Token<'a>> {
        self.list.get(self.fault.checked_sub(back)?).copied()
    }

    /// The text of that token; empty where there is none.
    pub fn word(&self, back: usize) -> &'a str {
        self.before(back).map_or("", |token| token.text)
    }

    /// The token after the one at fault.
    pub fn next(&self) -> Option<Token<'a>> {
        self.list.get(self.fault + 1).copied()
    }

    /// All tokens.
    pub fn all(&self) -> &[Token<'a>] {
        &self.list
    }

    /// Index of the token at fault.
    pub const fn index(&self) -> usize {
        self.fault
    }

    /// Where to point: at the token at fault, or at the last one if something is missing after it.
    pub fn place(&self) -> Span {
        self.before(0).or_else(|| self.before(1)).map_or_else(Span::default, |token| token.span)
    }

    /// The innermost brace that is open at the fault.
    pub fn open_brace(&self) -> Option<Token<'a>> {
        let mut open = Vec::new();
        for token in self.list.iter().take(self.fault) {
            match token.text {
                "{" => open.push(*token),
                "}" => {
                    open.pop();
                }
                _ => {}
            }
        }
        open.pop()
    }

    /// The first comma before the fault that ends a rule's matches: none inside braces or a list of flags.
    pub fn first_comma(&self) -> Option<Token<'a>> {
        let mut depth = 0usize;
        let mut flags: Option<Span> = None;
        let before = self.list.get(..self.fault).unwrap_or(&self.list);
        for (index, token) in before.iter().enumerate() {
            let after_flags =
                |back| index.checked_sub(back).and_then(|at| before.get(at)).is_some_and(|t| t.text == "flags");
            match token.text {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                "," if depth == 0 => {
                    let next = self.list.get(index + 1);
                    let glued = next
                        .is_some_and(|next| next.span.lo == token.span.hi && !words::ACTION_WORDS.contains(&next.text));
                    if flags.is_some_and(|end| end.hi == token.span.lo) && glued {
                        flags = Some(token.span);
                    } else {
                        return Some(*token);
                    }
                }
                "not" => {}
                _ if after_flags(1) || (after_flags(2) && depth == 0) => flags = Some(token.span),
                _ if flags.is_some_and(|end| end.hi == token.span.lo) => flags = Some(token.span),
                _ => flags = None,
            }
        }
        None
    }
}
