//! The splitter: finds where statements, blocks and comments begin and end, and nothing else.
//!
//! It knows strings, comments, braces, commas and line ends, so that one broken statement cannot swallow the
//! next. What does not balance is reported here, with both ends; `tree` hands each statement to the grammar.

mod annotation;
mod statement;

use super::words::{self, STATEMENT_WORDS};

/// Deepest nesting of braces, blocks and sets together.
pub const MAX_DEPTH: usize = 64;

/// What stands between words. No other blank does: a no-break space is reported.
const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkKind {
    /// A statement without a block.
    Statement,
    /// A statement with a fault that the splitter reported: it is not parsed.
    Broken,
    /// The header of a block, up to its `{`.
    Open,
    /// The `}` that ends a block.
    Close,
    /// From `#` to the end of the line.
    Comment,
    /// `@key value`
    Annotation,
}

/// A piece of text, as byte offsets into the file.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    /// What it is.
    pub kind: ChunkKind,
    /// First byte.
    pub lo: u32,
    /// One past the last byte.
    pub hi: u32,
    /// How many line ends stand between it and the chunk before; at most 2 are counted.
    pub newlines: u8,
}

/// What does not balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A `{` without its `}`; the second place is where the splitter gave up waiting for it.
    Unclosed,
    /// A `}` without its `{`.
    Stray,
    /// A `}` that ends a block whose rules go on behind it; the second place is the `}` that is then too many.
    Early,
    /// A policy's header that goes on in the next line; the second place is that line's first word.
    BrokenHeader,
    /// A block's `{` is missing; the second place is the header.
    NoBrace,
    /// A `{` with nothing before it.
    NoHeader,
    /// A string without its end.
    OpenString,
    /// Braces nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

/// A fault found by the splitter.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// Where.
    pub at: (u32, u32),
    /// The place that shows it.
    pub because: Option<(u32, u32)>,
}

/// The pieces of a file, in order, and what does not balance.
#[derive(Debug, Default)]
pub struct Split {
    /// The pieces.
    pub chunks: Vec<Chunk>,
    /// The faults.
    pub faults: Vec<Fault>,
}

/// Splits a file.
///
/// Balanced text is split by its braces alone. Where they do not balance, a second look also believes the
/// indentation: it shows better than the braces themselves which one is missing.
#[must_use]
pub fn split(text: &str) -> Split {
    let plain = Splitter::new(text, false).run();
    let unbalanced = plain
        .faults
        .iter()
        .any(|fault| matches!(fault.kind, FaultKind::Unclosed | FaultKind::Stray | FaultKind::Early));
    if !unbalanced {
        return plain;
    }
    let indented = Splitter::new(text, true).run();
    if indented.faults.len() <= plain.faults.len() { indented } else { plain }
}

/// A block that is open.
struct Open {
    /// Its `{`.
    brace: u32,
    /// Where its header begins.
    start: usize,
}

struct Splitter<'a> {
    text: &'a str,
    pos: usize,
    newlines: u8,
    by_indent: bool,
    stack: Vec<Open>,
    out: Split,
}

#[expect(clippy::cast_possible_truncation, reason = "a file's length fits u32: SourceMap::add checks it")]
const fn offset(pos: usize) -> u32 {
    pos as u32
}

impl<'a> Splitter<'a> {
    fn new(text: &'a str, by_indent: bool) -> Self {
        Self { text, pos: 0, newlines: 0, by_indent, stack: Vec::new(), out: Split::default() }
    }

    fn run(mut self) -> Split {
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => {
                    self.newlines = (self.newlines + 1).min(2);
                    self.pos += 1;
                }
                b' ' | b'\t' | b'\r' | b';' => self.pos += 1,
                b'#' => self.comment(),
                b'}' => self.close(),
                b'{' if self.body_follows(self.pos + 1) => self.headless(),
                b'@' => self.annotation(),
                _ => self.statement(),
            }
        }
        let end = self.text.trim_end_matches(BLANK).len();
        while let Some(open) = self.stack.pop() {
            self.fault(FaultKind::Unclosed, open.brace, open.brace + 1, Some((offset(end), offset(end))));
            self.chunk(ChunkKind::Close, end, end);
        }
        self.out
    }

    fn peek(&self) -> Option<u8> {
        self.byte(self.pos)
    }

    fn byte(&self, pos: usize) -> Option<u8> {
        self.text.as_bytes().get(pos).copied()
    }

    fn chunk(&mut self, kind: ChunkKind, lo: usize, hi: usize) {
        self.out.chunks.push(Chunk { kind, lo: offset(lo), hi: offset(hi), newlines: self.newlines });
        self.newlines = 0;
    }

    fn fault(&mut self, kind: FaultKind, lo: u32, hi: u32, because: Option<(u32, u32)>) {
        self.out.faults.push(Fault { kind, at: (lo, hi), because });
    }

    /// The offset of the next line end, or of the end of the text.
    fn line_end(&self, from: usize) -> usize {
        self.text.get(from..).and_then(|rest| rest.find('\n')).map_or(self.text.len(), |len| from + len)
    }

    /// Blanks before `pos` on its line, if only blanks stand before it.
    fn indent(&self, pos: usize) -> Option<usize> {
        let before = self.text.get(..pos)?;
        let line = before.trim_end_matches([' ', '\t']);
        (line.is_empty() || line.ends_with('\n')).then(|| before.len() - line.len())
    }

    fn comment(&mut self) {
        let start = self.pos;
        self.pos = self.line_end(start);
        let text = self.text.get(start..self.pos).unwrap_or_default();
        self.chunk(ChunkKind::Comment, start, start + text.trim_end_matches(BLANK).len());
    }

    fn close(&mut self) {
        if self.stack.pop().is_some() {
            self.chunk(ChunkKind::Close, self.pos, self.pos + 1);
        } else if let Some(index) = self.early_close() {
            let early = self.out.chunks.remove(index);
            self.fault(FaultKind::Early, early.lo, early.hi, Some((offset(self.pos), offset(self.pos + 1))));
            self.chunk(ChunkKind::Close, self.pos, self.pos + 1);
        } else {
            self.fault(FaultKind::Stray, offset(self.pos), offset(self.pos + 1), None);
        }
        self.pos += 1;
    }

    /// At a `}` that closes nothing: the `}` before it, if only rules stand between the two. The block was meant to go
    /// on to here.
    fn early_close(&self) -> Option<usize> {
        // At the end of a rule's line it is a slip of that line.
        self.indent(self.pos)?;
        let mut rules = false;
        for (index, chunk) in self.out.chunks.iter().enumerate().rev() {
            match chunk.kind {
                ChunkKind::Comment | ChunkKind::Annotation => {}
                ChunkKind::Close => return rules.then_some(index),
                ChunkKind::Statement | ChunkKind::Broken => {
                    let text = self.text.get(chunk.lo as usize..chunk.hi as usize).unwrap_or_default();
                    let head = text.get(..words::token_length(text)).unwrap_or_default();
                    if !words::RULE_WORDS.contains(&head) {
                        return None;
                    }
                    rules = true;
                }
                ChunkKind::Open => return None,
            }
        }
        None
    }

    /// `{` where a statement should begin: its block is read, and belongs to nothing.
    fn headless(&mut self) {
        self.fault(FaultKind::NoHeader, offset(self.pos), offset(self.pos + 1), None);
        self.open(self.pos, self.pos);
    }

    /// Opens a block whose header is `start..hi`; the scan stands on its `{`.
    fn open(&mut self, start: usize, hi: usize) {
        self.chunk(ChunkKind::Open, start, hi);
        if self.stack.len() == MAX_DEPTH {
            self.fault(FaultKind::TooDeep, offset(self.pos), offset(self.pos + 1), None);
        }
        self.stack.push(Open { brace: offset(self.pos), start });
        self.pos += 1;
    }

    /// The offset of the first text at or after `from` that is neither blank nor comment.
    fn next_text(&self, from: usize) -> usize {
        let mut at = from;
        loop {
            let rest = self.text.get(at..).unwrap_or_default().trim_start_matches(BLANK);
            at = self.text.len() - rest.len();
            if !rest.starts_with('#') {
                return at;
            }
            at = self.line_end(at);
        }
    }

    /// Whether a statement begins at or after `from`.
    fn body_follows(&self, from: usize) -> bool {
        let rest = self.text.get(self.next_text(from)..).unwrap_or_default();
        let word = rest.get(..words::token_length(rest)).unwrap_or_default();
        STATEMENT_WORDS.contains(&word) || word == "@"
    }

    /// Whether the lines after the header at `start` look like its body: a statement, further right.
    fn body_below(&self, start: usize) -> bool {
        let below = self.line_end(self.pos);
        self.body_follows(below) && self.indent(self.next_text(below)) > self.indent(start)
    }
}
