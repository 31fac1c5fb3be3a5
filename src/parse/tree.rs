//! From the splitter's pieces to the tree: blocks are nested, comments attached, statements parsed one by one.

use super::ast::{Annotation, Ast, Block, Comment, Comments, Item, ItemKind, PolicyBlock, Salvage, Trivia};
use super::decl::{self, Head};
use super::grammar::{At, Grammar, Pair, Rule};
use super::parallel::Parsed;
use super::report::Report;
use super::split::{Chunk, ChunkKind, MAX_DEPTH};
use super::{explain, lints, words};
use crate::diag::Diagnostic;
use crate::source::{FileId, Span};

/// Parses one statement. A pure function of its text: `at` is the offset of its first byte in the source map.
pub fn parse_statement(text: &str, at: At) -> Parsed {
    match head_entry(text) {
        // A header whose block is missing.
        Some(entry) => parse_as(entry, text, at, decl::head).and_then(|_| Err(Box::new(explain::no_brace(text, at)))),
        None => parse_as(Rule::statement, text, at, decl::statement),
    }
}

/// The grammar's entry for a block's header.
fn head_entry(text: &str) -> Option<Rule> {
    match text.get(..words::token_length(text))? {
        "policy" => Some(Rule::policy_head),
        "group" => Some(Rule::group_head),
        "prefilter" => Some(Rule::prefilter_head),
        _ => None,
    }
}

fn parse_as<T>(
    entry: Rule,
    text: &str,
    at: At,
    build: impl FnOnce(Pair<'_>, At) -> Option<T>,
) -> Result<T, Box<Diagnostic>> {
    match <Grammar as pest::Parser<Rule>>::parse(entry, text) {
        Ok(mut pairs) => {
            pairs.next().and_then(|pair| build(pair, at)).ok_or_else(|| Box::new(explain::twice(text, at)))
        }
        Err(error) => Err(Box::new(explain::explain(entry, text, at, &error))),
    }
}

/// A block that is being filled.
struct Frame {
    head: Head,
    span: Span,
    trivia: Trivia,
    items: Vec<Item>,
}

/// Builds one file's tree.
pub struct Builder<'a> {
    text: &'a str,
    base: u32,
    report: Report<'a>,
    stack: Vec<Frame>,
    items: Vec<Item>,
    /// Comments that wait for their statement.
    comments: Vec<Comment>,
    annotations: Vec<Annotation>,
    /// Whether a blank line stands before the first annotation that waits.
    blank_before: Option<bool>,
    /// What a comment at the end of a line belongs to.
    last: Option<ChunkKind>,
}

impl<'a> Builder<'a> {
    /// A builder for the file whose text begins at `base`.
    pub fn new(text: &'a str, base: u32, report: Report<'a>) -> Self {
        Self {
            text,
            base,
            report,
            stack: Vec::new(),
            items: Vec::new(),
            comments: Vec::new(),
            annotations: Vec::new(),
            blank_before: None,
            last: None,
        }
    }

    /// Takes all pieces, with those statements that are parsed already, and gives the file's tree.
    pub fn run(mut self, file: FileId, chunks: &[Chunk], parsed: Vec<Option<Parsed>>) -> Ast {
        let parsed = parsed.into_iter().chain(std::iter::repeat_with(|| None));
        for (chunk, parsed) in chunks.iter().zip(parsed) {
            if self.report.is_full() {
                break;
            }
            match chunk.kind {
                ChunkKind::Comment => self.comment(*chunk),
                ChunkKind::Annotation => self.annotation(*chunk),
                ChunkKind::Statement => self.statement(*chunk, parsed),
                ChunkKind::Broken => self.item(*chunk, ItemKind::Error(Box::default())),
                ChunkKind::Open => self.open(*chunk),
                ChunkKind::Close => self.close(*chunk),
            }
            self.last = Some(chunk.kind);
        }
        self.orphans();
        let end = Span { lo: self.base, hi: self.base };
        while !self.stack.is_empty() {
            self.leave(end);
        }
        Ast { file, items: self.items, tail: self.comments }
    }

    fn span(&self, chunk: Chunk) -> Span {
        Span { lo: self.base + chunk.lo, hi: self.base + chunk.hi }
    }

    fn chunk_text(&self, chunk: Chunk) -> &'a str {
        self.text.get(chunk.lo as usize..chunk.hi as usize).unwrap_or_default()
    }

    fn comment(&mut self, chunk: Chunk) {
        let span = self.span(chunk);
        if chunk.newlines == 0 {
            let trivia = match self.last {
                Some(ChunkKind::Open) => self.stack.last_mut().map(|frame| &mut frame.trivia),
                Some(ChunkKind::Close) => self.items.last_mut().map(|item| &mut item.trivia),
                Some(ChunkKind::Statement | ChunkKind::Broken) if self.annotations.is_empty() => {
                    self.items.last_mut().map(|item| &mut item.trivia)
                }
                _ => None,
            };
            let comments = trivia.map(|trivia| trivia.comments.get_or_insert_default());
            let close = self.last == Some(ChunkKind::Close);
            let slot = comments.map(|comments| if close { &mut comments.close } else { &mut comments.after });
            if let Some(slot @ None) = slot {
                *slot = Some(span);
                return;
            }
        }
        let mut blank_before = chunk.newlines > 1;
        if let Some(before_annotation) = &mut self.blank_before {
            // It will be printed above the annotations, and takes their blank line along.
            blank_before = std::mem::take(before_annotation);
        }
        self.comments.push(Comment { span, blank_before });
    }

    fn annotation(&mut self, chunk: Chunk) {
        self.blank_before.get_or_insert(chunk.newlines > 1);
        let at = At(self.base + chunk.lo);
        match parse_as(Rule::annotation, self.chunk_text(chunk), at, decl::annotation) {
            Ok(annotation) => self.annotations.push(annotation),
            Err(diagnostic) => self.report.push(*diagnostic),
        }
    }

    fn statement(&mut self, chunk: Chunk, parsed: Option<Parsed>) {
        let parsed = parsed.unwrap_or_else(|| parse_statement(self.chunk_text(chunk), At(self.base + chunk.lo)));
        let kind = match parsed {
            Ok(kind) => kind,
            Err(diagnostic) => {
                let text = self.chunk_text(chunk);
                if let Some(finding) = self.unquoted_note(chunk) {
                    self.report.push(finding);
                    return self.item(chunk, ItemKind::Error(Box::default()));
                }
                let faults = vec![diagnostic.primary.span];
                self.report.push(*diagnostic);
                let mut salvage = Salvage::default();
                if head_entry(text).is_none() {
                    let (findings, rest) = explain::further(text, At(self.base + chunk.lo), faults);
                    for finding in findings {
                        self.report.push(finding);
                    }
                    salvage = rest;
                }
                ItemKind::Error(Box::new(salvage))
            }
        };
        self.item(chunk, kind);
    }

    /// A finding for a statement that is the rest of a note without quotes.
    fn unquoted_note(&self, chunk: Chunk) -> Option<Diagnostic> {
        let note =
            self.annotations.last().filter(|_| chunk.newlines == 0 && self.last == Some(ChunkKind::Annotation))?;
        let text = |span: Span| self.text.get((span.lo - self.base) as usize..(span.hi - self.base) as usize);
        let span = note.value.to(self.span(chunk));
        explain::unquoted_note(text(note.key)?, text(note.value)?, self.chunk_text(chunk), span)
    }

    /// Adds a statement with what waited for it.
    fn item(&mut self, chunk: Chunk, mut kind: ItemKind) {
        match &mut kind {
            ItemKind::Rule(rule) => rule.annotations = std::mem::take(&mut self.annotations),
            ItemKind::Default(rule) => rule.annotations = std::mem::take(&mut self.annotations),
            // It may have been meant as a rule.
            ItemKind::Error(_) => self.annotations.clear(),
            _ => self.orphans(),
        }
        let trivia = self.trivia(chunk);
        self.items.push(Item { span: self.span(chunk), trivia, kind });
    }

    fn trivia(&mut self, chunk: Chunk) -> Trivia {
        let before = std::mem::take(&mut self.comments);
        let comments = (!before.is_empty()).then(|| Box::new(Comments { before, ..Comments::default() }));
        Trivia { blank_before: self.blank_before.take().unwrap_or(chunk.newlines > 1), comments }
    }

    /// Reports annotations that no rule follows.
    fn orphans(&mut self) {
        self.blank_before = None;
        for annotation in std::mem::take(&mut self.annotations) {
            let at = Span { lo: annotation.key.lo.saturating_sub(1), hi: annotation.key.hi };
            let key = self.text.get((at.lo - self.base) as usize..(at.hi - self.base) as usize).unwrap_or_default();
            self.report.push(
                Diagnostic::new(&lints::MISPLACED_ANNOTATION, at, format!("no rule follows `{key}`"))
                    .help("annotations stand on a line before the rule that they speak of"),
            );
        }
    }

    fn open(&mut self, chunk: Chunk) {
        self.orphans();
        let text = self.chunk_text(chunk);
        // A header that begins with another word (which was close to one of these) is reported as unknown.
        let entry = head_entry(text).unwrap_or(Rule::prefilter_head);
        let head = if text.is_empty() {
            Head::Error
        } else {
            parse_as(entry, text, At(self.base + chunk.lo), decl::head).unwrap_or_else(|diagnostic| {
                self.report.push(*diagnostic);
                Head::Error
            })
        };
        let trivia = self.trivia(chunk);
        let outer = std::mem::take(&mut self.items);
        self.stack.push(Frame { head, span: self.span(chunk), trivia, items: outer });
    }

    fn close(&mut self, chunk: Chunk) {
        self.orphans();
        self.leave(self.span(chunk));
    }

    /// Ends the innermost block; what is deeper than the limit (which was reported) is left out.
    fn leave(&mut self, close: Span) {
        let depth = self.stack.len();
        let Some(frame) = self.stack.pop() else { return };
        let mut items = std::mem::replace(&mut self.items, frame.items);
        items.shrink_to_fit();
        let tail = std::mem::take(&mut self.comments);
        let span = frame.span.to(close);
        if depth > MAX_DEPTH {
            self.items.push(Item { span, trivia: frame.trivia, kind: ItemKind::Error(Box::default()) });
            return;
        }
        let block = |name| Block { name, items, tail };
        let kind = match frame.head {
            Head::Policy { name, devices, hook, zones } => {
                ItemKind::Policy(Box::new(PolicyBlock { devices, hook, zones, block: block(name) }))
            }
            Head::Group(name) => ItemKind::Group(Box::new(block(name))),
            Head::Prefilter(keyword) => ItemKind::Prefilter(Box::new(block(keyword))),
            Head::Error => ItemKind::Error(Box::new(Salvage { items: block(span).items, ..Salvage::default() })),
        };
        self.items.push(Item { span, trivia: frame.trivia, kind });
    }
}
