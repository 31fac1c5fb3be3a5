//! From a statement's parts to lines.

use super::{INDENT, WIDTH};

/// A printed line.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Blanks before it.
    pub indent: usize,
    /// Its text; empty for a blank line.
    pub text: String,
    /// A comment at its end.
    pub comment: Option<String>,
}

/// A part of a statement.
#[derive(Clone, Debug)]
pub enum Part {
    /// A word, or several that stay together.
    Word(String),
    /// Braces.
    Braces(Braces),
}

impl Part {
    /// A fixed word.
    pub fn word(text: &str) -> Self {
        Self::Word(text.to_owned())
    }

    fn flat(&self) -> String {
        match self {
            Self::Word(text) => text.clone(),
            Self::Braces(braces) => braces.flat(),
        }
    }
}

/// The braces of a set.
#[derive(Clone, Debug, Default)]
pub struct Braces {
    /// What stands between the commas.
    pub items: Vec<SetPart>,
    /// Comments after the last item.
    pub closing: Vec<String>,
}

/// An item of a set.
#[derive(Clone, Debug, Default)]
pub struct SetPart {
    /// Comments on the lines before it.
    pub before: Vec<String>,
    /// The item.
    pub parts: Vec<Part>,
    /// A comment at the end of its line.
    pub after: Option<String>,
}

impl Braces {
    fn flat(&self) -> String {
        let items: Vec<String> = self.items.iter().map(|item| flat(&item.parts)).collect();
        if items.is_empty() { "{ }".to_owned() } else { format!("{{ {} }}", items.join(", ")) }
    }

    /// Whether a comment inside forces one item a line.
    fn has_comments(&self) -> bool {
        let inside = |item: &SetPart| {
            let nested = item.parts.iter().any(|part| matches!(part, Part::Braces(braces) if braces.has_comments()));
            nested || !item.before.is_empty() || item.after.is_some()
        };
        !self.closing.is_empty() || self.items.iter().any(inside)
    }

    /// The widths of these braces and those inside that could be broken.
    fn widths(&self, out: &mut Vec<usize>) {
        if self.items.len() > 1 {
            out.push(width(&self.flat()));
        }
        for item in &self.items {
            widths(&item.parts, out);
        }
    }
}

fn widths(parts: &[Part], out: &mut Vec<usize>) {
    for part in parts {
        if let Part::Braces(braces) = part {
            braces.widths(out);
        }
    }
}

fn flat(parts: &[Part]) -> String {
    let parts: Vec<String> = parts.iter().map(Part::flat).collect();
    parts.join(" ")
}

/// Columns of a text.
pub fn width(text: &str) -> usize {
    text.chars().count()
}

/// A statement: what stands before the first comma, then its actions.
#[derive(Clone, Debug, Default)]
pub struct Statement {
    /// Verdict and matches, or the whole of another statement.
    pub head: Vec<Part>,
    /// One entry for each action.
    pub actions: Vec<String>,
}

/// The statement's lines: one, if it fits; else its actions, and then its widest sets, are broken until it fits.
pub fn lay_out(statement: &Statement, indent: usize) -> Vec<Line> {
    let mut lines = Writer::new(statement, indent, usize::MAX, false);
    let fits = |lines: &[Line]| lines.iter().all(|line| line.indent + width(&line.text) <= WIDTH);
    if fits(&lines) {
        return lines;
    }
    let mut limits = Vec::new();
    widths(&statement.head, &mut limits);
    limits.push(usize::MAX);
    limits.sort_unstable_by(|a, b| b.cmp(a));
    limits.dedup();
    for limit in limits {
        for break_actions in [false, true] {
            lines = Writer::new(statement, indent, limit, break_actions);
            if fits(&lines) {
                return lines;
            }
        }
    }
    lines
}

/// Writes one statement with a decision made: which sets are broken, and whether actions are.
struct Writer {
    lines: Vec<Line>,
    line: Line,
    /// Braces this wide or wider are broken.
    limit: usize,
}

impl Writer {
    #[expect(clippy::new_ret_no_self, reason = "the writer lives for one statement only")]
    fn new(statement: &Statement, indent: usize, limit: usize, break_actions: bool) -> Vec<Line> {
        let mut writer = Self { lines: Vec::new(), line: Line { indent, ..Line::default() }, limit };
        writer.parts(&statement.head, indent);
        for action in &statement.actions {
            writer.line.text.push(',');
            if break_actions {
                writer.end_line(indent + INDENT);
            }
            writer.word(action);
        }
        writer.end_line(indent);
        writer.lines
    }

    fn end_line(&mut self, indent: usize) {
        self.lines.push(std::mem::replace(&mut self.line, Line { indent, ..Line::default() }));
    }

    fn word(&mut self, word: &str) {
        if !self.line.text.is_empty() {
            self.line.text.push(' ');
        }
        self.line.text.push_str(word);
    }

    fn parts(&mut self, parts: &[Part], indent: usize) {
        for part in parts {
            match part {
                Part::Word(word) => self.word(word),
                Part::Braces(braces) => self.braces(braces, indent),
            }
        }
    }

    fn braces(&mut self, braces: &Braces, indent: usize) {
        let flat = braces.flat();
        let wide = braces.items.len() > 1 && width(&flat) >= self.limit;
        if !wide && !braces.has_comments() {
            return self.word(&flat);
        }
        let inside = indent + INDENT;
        self.word("{");
        self.end_line(inside);
        for item in &braces.items {
            self.own_lines(&item.before, inside);
            self.parts(&item.parts, inside);
            self.line.text.push(',');
            self.line.comment.clone_from(&item.after);
            self.end_line(inside);
        }
        self.own_lines(&braces.closing, inside);
        self.line.indent = indent;
        self.word("}");
    }

    fn own_lines(&mut self, comments: &[String], indent: usize) {
        for comment in comments {
            self.word(comment);
            self.end_line(indent);
        }
    }
}

/// The lines as text; comments at the ends of neighbouring lines stand in one column.
pub fn join(lines: &[Line]) -> String {
    let mut out = String::new();
    let mut column = 0;
    for (index, line) in lines.iter().enumerate() {
        if line.text.is_empty() {
            out.push('\n');
            continue;
        }
        let start = out.len();
        out.extend(std::iter::repeat_n(' ', line.indent));
        out.push_str(&line.text);
        if let Some(comment) = &line.comment {
            let starts_run = index == 0 || lines.get(index - 1).is_none_or(|before| before.comment.is_none());
            if starts_run {
                let run = lines.get(index..).unwrap_or_default().iter().take_while(|line| line.comment.is_some());
                column = run.map(|line| line.indent + width(&line.text)).max().unwrap_or(0) + 2;
            }
            let filled = width(out.get(start..).unwrap_or_default());
            out.extend(std::iter::repeat_n(' ', column.saturating_sub(filled)));
            out.push_str(comment);
        }
        out.push('\n');
    }
    out
}
