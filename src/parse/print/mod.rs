//! The canonical layout (`ctpolicy fmt`).
//!
//! One statement a line, the names of neighbouring definitions in one column, four blanks for each block, matches in one order, sets on one line while they fit, comments
//! where they were (those inside a statement and outside of its sets move above it), at most one blank line in a row.
//! Printing what was printed changes nothing, and means the same.

mod layout;
mod rule;
mod set;

use super::ast::{Assertion, Ast, Block, Comment, Define, DefineKind, Item, ItemKind, PolicyBlock, Trivia};
use crate::source::{SourceMap, Span};
use layout::{Line, Part, Statement};
use set::Inner;

/// Blanks for each level.
const INDENT: usize = 4;
/// Columns that a line should not pass.
const WIDTH: usize = 100;

/// A file's canonical text. A statement that could not be read ([`ItemKind::Error`]) is printed as it was.
#[must_use]
pub fn print(ast: &Ast, map: &SourceMap) -> String {
    let mut printer = Printer { map, lines: Vec::new(), depth: 0, fresh: true, kind_width: 0 };
    printer.items(&ast.items, &ast.tail);
    layout::join(&printer.lines)
}

struct Printer<'a> {
    map: &'a SourceMap,
    lines: Vec<Line>,
    depth: usize,
    /// Nothing was printed yet in this block: no blank line is due.
    fresh: bool,
    /// Columns of the longest first word among the definitions in a row.
    kind_width: usize,
}

impl Printer<'_> {
    fn text(&self, span: Span) -> String {
        self.map.text(span).trim_end().to_owned()
    }

    fn items(&mut self, items: &[Item], tail: &[Comment]) {
        for (index, item) in items.iter().enumerate() {
            let rest = items.get(index..).unwrap_or_default();
            let after_other = index == 0 || items.get(index - 1).and_then(definition_word).is_none();
            if after_other || stands_apart(item) {
                let run = rest.iter().enumerate().take_while(|(at, item)| *at == 0 || !stands_apart(item));
                let kinds = run.map_while(|(_, item)| definition_word(item));
                self.kind_width = kinds.map(str::len).max().unwrap_or(0);
            }
            self.item(item);
        }
        self.comments(tail);
    }

    fn line(&mut self, text: impl Into<String>) {
        self.lines.push(Line { indent: self.depth * INDENT, text: text.into(), comment: None });
        self.fresh = false;
    }

    fn blank(&mut self, wanted: bool) {
        if wanted && !self.fresh {
            self.lines.push(Line::default());
        }
    }

    fn comments(&mut self, comments: &[Comment]) {
        for comment in comments {
            self.blank(comment.blank_before);
            let text = self.text(comment.span);
            self.line(text);
        }
    }

    fn item(&mut self, item: &Item) {
        match &item.kind {
            ItemKind::Group(block) => {
                let head = vec![Part::word("group"), Part::Word(self.text(block.name))];
                self.block(&item.trivia, head, &Inner::default(), block);
            }
            ItemKind::Prefilter(block) => {
                self.block(&item.trivia, vec![Part::word("prefilter")], &Inner::default(), block);
            }
            ItemKind::Policy(policy) => self.policy(item, policy),
            ItemKind::Error(_) => {
                self.comments(item.trivia.before());
                self.blank(item.trivia.blank_before);
                let text = self.text(item.span);
                self.line(text);
                self.after(item.trivia.after());
            }
            _ => self.statement(item),
        }
    }

    /// A statement without a block.
    fn statement(&mut self, item: &Item) {
        let mut inner = Inner::of(self.map, item.span);
        let mut notes = &[][..];
        let mut statement = Statement::default();
        match &item.kind {
            ItemKind::Include(path) => {
                statement.head = vec![Part::Word(format!("include \"{}\"", self.map.text(*path)))];
            }
            ItemKind::Define(define) => statement.head = self.define(define, &mut inner),
            ItemKind::ReserveMark(value) => statement.head = self.words("reserve mark", *value),
            ItemKind::Assert(assertion) => {
                statement = rule::statement(self.map, "never allow", &assertion.rule.matches, &[], &mut inner);
                let before = self.assertion(assertion, &mut inner);
                statement.head.splice(0..0, before);
            }
            ItemKind::Use(name) => statement.head = self.words("use", *name),
            ItemKind::Default(rule) => {
                notes = &rule.annotations;
                let verdict = if rule.allow { "default allow" } else { "default drop" };
                statement = rule::statement(self.map, verdict, &rule.matches, &rule.actions, &mut inner);
            }
            ItemKind::Rule(rule) => {
                notes = &rule.annotations;
                let verdict = rule::verdict(rule.verdict.node);
                statement = rule::statement(self.map, verdict, &rule.matches, &rule.actions, &mut inner);
            }
            _ => {}
        }
        self.before(&item.trivia, &inner);
        for line in rule::annotations(self.map, notes, self.depth * INDENT) {
            self.line(line);
        }
        self.lay_out(&statement);
        self.after(item.trivia.after());
    }

    fn words(&self, words: &str, value: Span) -> Vec<Part> {
        vec![Part::word(words), Part::Word(self.text(value))]
    }

    fn define(&self, define: &Define, inner: &mut Inner) -> Vec<Part> {
        let kind = format!("{:1$}", kind_word(define.kind), self.kind_width);
        let mut head = vec![Part::Word(kind), Part::Word(self.text(define.name)), Part::word("=")];
        head.extend(set::parts(self.map, &define.value, inner));
        head
    }

    /// What stands before `never allow`.
    fn assertion(&self, assertion: &Assertion, inner: &mut Inner) -> Vec<Part> {
        let mut head = vec![Part::word("assert"), Part::Word(format!("\"{}\"", self.map.text(assertion.name)))];
        if let Some(devices) = &assertion.devices {
            head.push(Part::word("on"));
            head.extend(set::parts(self.map, devices, inner));
        }
        head.extend(assertion.hook.map(|hook| Part::Word(self.text(hook))));
        head
    }

    fn policy(&mut self, item: &Item, policy: &PolicyBlock) {
        let header = policy.zones.last().unwrap_or(&policy.hook);
        let mut inner = Inner::of(self.map, Span { lo: item.span.lo, hi: header.hi });
        let mut head = vec![Part::word("policy"), Part::Word(self.text(policy.block.name)), Part::word("on")];
        head.extend(set::parts(self.map, &policy.devices, &mut inner));
        head.push(Part::Word(self.text(policy.hook)));
        for (index, zone) in policy.zones.iter().enumerate() {
            head.push(Part::word(if index == 0 { "zone" } else { "then" }));
            head.push(Part::Word(self.text(*zone)));
        }
        self.block(&item.trivia, head, &inner, &policy.block);
    }

    fn block(&mut self, trivia: &Trivia, mut head: Vec<Part>, inner: &Inner, block: &Block) {
        self.before(trivia, inner);
        let empty = block.items.is_empty() && block.tail.is_empty() && trivia.after().is_none();
        head.push(Part::word(if empty { "{}" } else { "{" }));
        self.lay_out(&Statement { head, actions: Vec::new() });
        self.after(trivia.after());
        if !empty {
            self.depth += 1;
            self.fresh = true;
            self.items(&block.items, &block.tail);
            self.depth -= 1;
            self.line("}");
        }
        self.after(trivia.close());
    }

    /// What stands above a statement: its comments, and those from inside it that have no better place.
    fn before(&mut self, trivia: &Trivia, inner: &Inner) {
        self.comments(trivia.before());
        self.blank(trivia.blank_before);
        for comment in inner.rest() {
            let text = self.text(comment);
            self.line(text);
        }
    }

    fn lay_out(&mut self, statement: &Statement) {
        self.lines.extend(layout::lay_out(statement, self.depth * INDENT));
        self.fresh = false;
    }

    /// A comment at the end of the line printed last.
    fn after(&mut self, comment: Option<Span>) {
        let Some(comment) = comment else { return };
        let text = self.text(comment);
        if let Some(line) = self.lines.last_mut() {
            line.comment = Some(text);
        }
    }
}

const fn kind_word(kind: DefineKind) -> &'static str {
    match kind {
        DefineKind::Interface => "interface",
        DefineKind::Zone => "zone",
        DefineKind::Net => "net",
        DefineKind::Port => "port",
        DefineKind::Service => "service",
    }
}

const fn definition_word(item: &Item) -> Option<&'static str> {
    match &item.kind {
        ItemKind::Define(define) => Some(kind_word(define.kind)),
        _ => None,
    }
}

/// Whether a blank line stands somewhere above an item.
fn stands_apart(item: &Item) -> bool {
    item.trivia.blank_before || item.trivia.before().iter().any(|comment| comment.blank_before)
}
