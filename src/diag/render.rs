//! Diagnostics for people and machines; the one file that names codespan-reporting.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Range;

use codespan_reporting::diagnostic::{Diagnostic as Report, Label as Mark, LabelStyle, Severity};
use codespan_reporting::files::{Error, Files};
use codespan_reporting::term::{self, Config, DisplayStyle, termcolor::Buffer};
use serde::Serialize;

pub use super::json::{JSON_VERSION, json};
use super::{Diagnostic, Diagnostics, Label, Level};
use crate::source::{FileId, SourceMap, Span};

/// A line longer than this many bytes is not shown with its finding.
const MAX_LINE: usize = 400;

/// The findings for people: each with its lines and the words at fault underlined, notes and help below.
#[must_use]
pub fn text(diags: &Diagnostics, map: &SourceMap, color: bool) -> String {
    let sources = Sources::new(map);
    let rich = Config::default();
    let plain = Config { display_style: DisplayStyle::Medium, ..Config::default() };
    let mut out = String::new();
    let (shown, left_out) = shown(diags);
    for diagnostic in shown {
        let labels = std::iter::once(&diagnostic.primary).chain(&diagnostic.secondary);
        let config = if labels.clone().any(|label| sources.is_long(label.span)) { &plain } else { &rich };
        let report = sources.report(diagnostic);
        let mut buffer = if color { Buffer::ansi() } else { Buffer::no_color() };
        if term::emit_to_write_style(&mut buffer, config, &sources, &report).is_ok() {
            out.push_str(String::from_utf8_lossy(buffer.as_slice()).trim_end());
            out.push_str("\n\n");
        } else {
            // A label without a file: the words are still said.
            let _ = writeln!(out, "{}\n", line(diagnostic, map));
        }
    }
    if !left_out.is_empty() {
        let _ = writeln!(out, "{left_out}\n");
    }
    out
}

/// One line per finding: `file:line:col: level[name]: message`.
#[must_use]
pub fn short(diags: &Diagnostics, map: &SourceMap) -> String {
    let (shown, left_out) = shown(diags);
    let lines =
        shown.iter().map(|diagnostic| line(diagnostic, map)).chain(Some(left_out).filter(|text| !text.is_empty()));
    lines.fold(String::new(), |mut out, line| {
        out.push_str(&line);
        out.push('\n');
        out
    })
}

/// Findings of one level that are shown to people: more are not read, and often follow from the first.
const SHOWN_MAX: usize = 100;

/// The findings to show, and what to say about the others; machines get all.
fn shown(diags: &Diagnostics) -> (Vec<&Diagnostic>, String) {
    let (mut list, mut left_out) = (Vec::new(), Vec::new());
    for level in [Level::Error, Level::Warning, Level::Note] {
        list.extend(diags.list().iter().enumerate().filter(|(_, one)| one.level == level).take(SHOWN_MAX));
        let more = diags.count(level).saturating_sub(SHOWN_MAX);
        if more > 0 {
            left_out.push(format!("{more} more {}{}", level.word(), if more == 1 { "" } else { "s" }));
        }
    }
    list.sort_by_key(|(index, _)| *index);
    let text = if left_out.is_empty() { String::new() } else { format!("not shown: {}", left_out.join(", ")) };
    (list.into_iter().map(|(_, one)| one).collect(), text)
}

fn line(diagnostic: &Diagnostic, map: &SourceMap) -> String {
    let Place { file, line, col, .. } = place(diagnostic.primary.span, map);
    format!("{file}:{line}:{col}: {}[{}]: {}", diagnostic.level.word(), diagnostic.lint.name, diagnostic.message)
}

/// Where a span stands, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// Line of its first character, from 1.
    pub line: usize,
    /// Column of its first character, from 1.
    pub col: usize,
    /// Line of the character after its last.
    pub end_line: usize,
    /// Column of the character after its last.
    pub end_col: usize,
}

/// Where a span stands.
#[must_use]
pub fn place(span: Span, map: &SourceMap) -> Place {
    let file = map.find(span).map_or_else(String::new, |(_, file)| file.name.clone());
    let (line, col) = map.line_col(span).map_or((1, 1), |at| (at.line, at.col));
    let end = map.line_col(Span { lo: span.hi, hi: span.hi });
    let (end_line, end_col) = end.map_or((line, col), |at| (at.line, at.col));
    Place { file, line, col, end_line, end_col }
}

/// The source map as codespan-reporting wants to see it.
struct Sources<'a> {
    map: &'a SourceMap,
    /// Each file's text, with signs that would act on a terminal replaced by others of the same length.
    texts: Vec<Cow<'a, str>>,
}

impl<'a> Sources<'a> {
    fn new(map: &'a SourceMap) -> Self {
        Self { map, texts: map.files().iter().map(|file| printable(&file.text)).collect() }
    }

    fn report(&self, diagnostic: &Diagnostic) -> Report<usize> {
        let severity = match diagnostic.level {
            Level::Error => Severity::Error,
            Level::Warning => Severity::Warning,
            Level::Note => Severity::Note,
        };
        let primary = std::iter::once(self.mark(&diagnostic.primary, LabelStyle::Primary));
        let secondary = diagnostic.secondary.iter().map(|label| self.mark(label, LabelStyle::Secondary));
        let notes = diagnostic.notes.iter().map(|note| format!("note: {note}"));
        let help = diagnostic.help.iter().map(|help| format!("help: {help}"));
        Report::new(severity)
            .with_code(diagnostic.lint.name)
            .with_message(printable(&diagnostic.message))
            .with_labels(primary.chain(secondary).flatten().collect())
            .with_notes(notes.chain(help).collect())
    }

    fn mark(&self, label: &Label, style: LabelStyle) -> Option<Mark<usize>> {
        let (FileId(id), range) = self.map.local(label.span)?;
        Some(Mark::new(style, id, self.first_line(id, range)).with_message(printable(&label.text)))
    }

    /// The part of a range that stands on its first line: a label for a whole block marks its header.
    fn first_line(&self, id: usize, range: Range<usize>) -> Range<usize> {
        let text = self.texts.get(id).and_then(|text| text.get(range.clone())).unwrap_or_default();
        let length = text.find('\n').unwrap_or(text.len());
        range.start..range.start + text.get(..length).unwrap_or_default().trim_end().len()
    }

    fn is_long(&self, span: Span) -> bool {
        let Some((FileId(id), range)) = self.map.local(span) else { return false };
        let line = self.line_index(id, range.start).and_then(|index| self.line_range(id, index));
        line.is_ok_and(|line| line.len() > MAX_LINE)
    }

    fn file(&self, id: usize) -> Result<&'a crate::source::File, Error> {
        self.map.file(FileId(id)).ok_or(Error::FileMissing)
    }
}

impl<'a> Files<'a> for Sources<'_> {
    type FileId = usize;
    type Name = &'a str;
    type Source = &'a str;

    fn name(&'a self, id: usize) -> Result<&'a str, Error> {
        Ok(&self.file(id)?.name)
    }

    fn source(&'a self, id: usize) -> Result<&'a str, Error> {
        self.texts.get(id).map(AsRef::as_ref).ok_or(Error::FileMissing)
    }

    fn line_index(&'a self, id: usize, byte_index: usize) -> Result<usize, Error> {
        Ok(self.file(id)?.line_index(u32::try_from(byte_index).unwrap_or(u32::MAX)))
    }

    fn line_range(&'a self, id: usize, line_index: usize) -> Result<Range<usize>, Error> {
        let file = self.file(id)?;
        let starts = file.line_starts();
        let max = starts.len().saturating_sub(1);
        let start = starts.get(line_index).ok_or(Error::LineTooLarge { given: line_index, max })?;
        let end = starts.get(line_index + 1).map_or(file.text.len(), |next| *next as usize);
        Ok(*start as usize..end)
    }
}

/// The text without signs that a terminal would act on; every sign keeps its length in bytes.
fn printable(text: &str) -> Cow<'_, str> {
    let acts = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    // Control characters are one byte (below 0x80) or two (up to 0x9f) long.
    Cow::Owned(
        text.chars()
            .map(|c| {
                if !acts(c) {
                    c
                } else if c.is_ascii() {
                    '?'
                } else {
                    '\u{bf}'
                }
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    static TESTED: crate::diag::Lint =
        crate::diag::Lint { name: "tested", level: Level::Error, summary: "a lint for tests", doc: "" };

    fn at(lo: u32, hi: u32) -> Span {
        Span { lo, hi }
    }

    fn two_files() -> (SourceMap, Diagnostics) {
        let mut map = SourceMap::default();
        map.add("a.pol", "allow tcp\nallöw udp").unwrap();
        map.add("b.pol", "drop\u{1b}[31m x\n").unwrap();
        let mut diags = Diagnostics::default();
        let finding =
            Diagnostic::new(&TESTED, at(17, 20), "`udp` is wrong").here("this one").note("a fact").help("do it");
        diags.push(finding.because(at(21, 26), "because of this"));
        (map, diags)
    }

    #[test]
    fn text_shows_labels_of_two_files() {
        let (map, diags) = two_files();
        let expected = "error[tested]: `udp` is wrong
  ┌─ a.pol:2:7
  │
2 │ allöw udp
  │       ^^^ this one
  │
  ┌─ b.pol:1:1
  │
1 │ drop?[31m x
  │ ----- because of this
  │
  = note: a fact
  = help: do it

";
        assert_eq!(text(&diags, &map, false), expected);
        assert!(text(&diags, &map, true).contains("\u{1b}["));
    }

    #[test]
    fn short_and_json_count_characters_from_one() {
        let (map, diags) = two_files();
        assert_eq!(short(&diags, &map), "a.pol:2:7: error[tested]: `udp` is wrong\n");
        let json = json(&diags, &map);
        let expected = serde_json::json!({ "version": 1, "findings": [{
            "name": "tested", "level": "error", "message": "`udp` is wrong", "text": "this one",
            "file": "a.pol", "line": 2, "col": 7, "end_line": 2, "end_col": 10,
            "labels": [{ "file": "b.pol", "line": 1, "col": 1, "end_line": 1, "end_col": 6, "text": "because of this" }],
            "help": "do it", "notes": ["a fact"],
        }]});
        assert_eq!(json, expected);
    }

    #[test]
    fn long_lines_and_the_end_of_a_file_are_bearable() {
        let mut map = SourceMap::default();
        let long = "x".repeat(10_000);
        map.add("long", long).unwrap();
        map.add("empty", "").unwrap();
        let mut diags = Diagnostics::default();
        diags.push(Diagnostic::new(&TESTED, at(9_000, 9_001), "far out").help("break the line"));
        diags.push(Diagnostic::new(&TESTED, at(10_000, 10_000), "at the end"));
        diags.push(Diagnostic::new(&TESTED, at(10_001, 10_001), "in an empty file"));
        let text = text(&diags, &map, false);
        assert!(text.starts_with("long:1:9001: error[tested]: far out\n = help: break the line\n"), "{text}");
        assert!(text.contains("empty:1:1"), "{text}");
        assert!(text.len() < 600, "{text}");
    }
}
