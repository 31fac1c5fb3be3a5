//! Diagnostics: what a stage has to say about the policy's text.
//!
//! Stages report into a [`Diagnostics`] sink and go on; nothing but [`render`] knows how a finding is shown.
//! Message grammar: lower case, one clause, no full stop, the user's words in backticks, no Rust names;
//! the remedy is the help; a second label says "because of this".

mod json;
mod lint;
pub mod render;

pub use lint::Lint;

use crate::source::Span;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing.
    Note,
    /// Probably not what the writer meant.
    Warning,
    /// The policy cannot be compiled.
    Error,
}

impl Level {
    /// The word for people and machines.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A place in the text with what to say there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The words meant.
    pub span: Span,
    /// Short text beside the underline; may be empty on the primary label.
    pub text: String,
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Which kind.
    pub lint: &'static Lint,
    /// The level it is reported at.
    pub level: Level,
    /// What is wrong, in one clause.
    pub message: String,
    /// The words at fault.
    pub primary: Label,
    /// Other places that explain it: "because of this".
    pub secondary: Vec<Label>,
    /// Further facts.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A finding at its lint's own level.
    pub fn new(lint: &'static Lint, span: Span, message: impl Into<String>) -> Self {
        Self {
            lint,
            level: lint.level,
            message: message.into(),
            primary: Label { span, text: String::new() },
            secondary: Vec::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// Text beside the underlined words.
    #[must_use]
    pub fn here(mut self, text: impl Into<String>) -> Self {
        self.primary.text = text.into();
        self
    }

    /// A second place that explains the finding.
    #[must_use]
    pub fn because(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    /// The remedy.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// A further fact.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }
}

/// Longest word of a message, in characters: addresses and names of files are shorter.
const WORD_MAX: usize = 300;

/// Cuts what stands in the middle of each longer word: it comes from a file that a program made, or that is no policy.
fn cut_long_words(text: &mut String) {
    if text.len() <= WORD_MAX {
        return;
    }
    let cut = |word: &str| {
        let length = word.chars().count();
        if length <= WORD_MAX {
            return word.to_owned();
        }
        let ends = WORD_MAX / 10;
        let (head, tail) = (word.chars().take(ends).collect::<String>(), word.chars().skip(length - ends));
        format!("{head}...{}", tail.collect::<String>())
    };
    *text = text.split(' ').map(cut).collect::<Vec<_>>().join(" ");
}

/// The sink that stages report into.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Takes a finding. Words of a message that are too long to be read are cut.
    pub fn push(&mut self, mut diagnostic: Diagnostic) {
        let Diagnostic { message, primary, secondary, notes, help, .. } = &mut diagnostic;
        let labels = std::iter::once(primary).chain(secondary).map(|label| &mut label.text);
        labels.chain([message]).chain(notes).chain(help).for_each(cut_long_words);
        self.list.push(diagnostic);
    }

    /// Whether any finding is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|diagnostic| diagnostic.level == Level::Error)
    }

    /// How many findings have this level.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.list.iter().filter(|diagnostic| diagnostic.level == level).count()
    }

    /// Orders findings by place (then name), so that output never depends on the order of stages.
    pub fn sort(&mut self) {
        self.list
            .sort_by(|a, b| (a.primary.span, a.lint.name, &a.message).cmp(&(b.primary.span, b.lint.name, &b.message)));
        self.list
            .dedup_by(|a, b| a.primary.span == b.primary.span && a.lint.name == b.lint.name && a.message == b.message);
    }

    /// The findings so far.
    #[must_use]
    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }

    /// The findings, for changing levels.
    pub fn list_mut(&mut self) -> &mut Vec<Diagnostic> {
        &mut self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_are_cut_in_the_middle() {
        let mut text = format!("`{}` is no match", "x".repeat(10_000_000));
        cut_long_words(&mut text);
        assert_eq!(text, format!("`{0}...{0}` is no match", "x".repeat(29)));
        let mut short = format!("{} is no address", "1".repeat(WORD_MAX));
        let before = short.clone();
        cut_long_words(&mut short);
        assert_eq!(short, before);
    }
}
