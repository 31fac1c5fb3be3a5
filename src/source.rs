//! Source text: files in one offset space, and spans into it.
//!
//! A [`Span`] is two offsets into the whole [`SourceMap`], so it is small, `Copy` and needs no file id;
//! the map finds the file by binary search.

use std::ops::Range;
use std::sync::Arc;

/// A half-open byte range `lo..hi` in the offset space of a [`SourceMap`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First byte.
    pub lo: u32,
    /// One past the last byte.
    pub hi: u32,
}

impl Span {
    /// The span from the start of `self` to the end of `other`.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { lo: self.lo.min(other.lo), hi: self.hi.max(other.hi) }
    }
}

/// A value with the place where its user wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub node: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Pairs a value with its place.
    pub const fn new(node: T, span: Span) -> Self {
        Self { node, span }
    }
}

/// Index of a file in a [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub usize);

/// One file (or standard input) of policy text.
#[derive(Clone, Debug)]
pub struct File {
    /// The name as the user wrote it; `<stdin>` for `-`.
    pub name: String,
    /// The whole text.
    pub text: Arc<str>,
    /// Offset of the first byte in the map's offset space.
    pub base: u32,
    /// Offsets of line starts, relative to the file.
    line_starts: Vec<u32>,
}

impl File {
    /// Start of each line, relative to the file; the first is 0.
    #[must_use]
    pub fn line_starts(&self) -> &[u32] {
        &self.line_starts
    }

    /// Index (from 0) of the line that holds the byte at `offset` of this file.
    #[must_use]
    pub fn line_index(&self, offset: u32) -> usize {
        self.line_starts.partition_point(|&start| start <= offset).saturating_sub(1)
    }
}

/// Line and column, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineCol {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub col: usize,
}

/// All text of one run, in the order of its loading.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<File>,
    end: u32,
}

/// The text of one run does not fit into the 32-bit offset space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the policy's files are larger than 4 GiB together")]
pub struct TooLarge;

impl SourceMap {
    /// Adds a file and returns its id.
    ///
    /// # Errors
    /// [`TooLarge`] when all files together pass 4 GiB.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> Result<FileId, TooLarge> {
        let text: Arc<str> = text.into();
        let base = self.end;
        // A gap of one byte keeps the end of a file apart from the start of the next.
        let length = u32::try_from(text.len()).map_err(|_| TooLarge)?;
        self.end = base.checked_add(length).and_then(|end| end.checked_add(1)).ok_or(TooLarge)?;
        let newlines = text.bytes().zip(1u32..).filter(|(byte, _)| *byte == b'\n').map(|(_, next)| next);
        let line_starts = std::iter::once(0).chain(newlines).collect();
        self.files.push(File { name: name.into(), text, base, line_starts });
        Ok(FileId(self.files.len() - 1))
    }

    /// All files, in the order of their loading.
    #[must_use]
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// The file with this id.
    #[must_use]
    pub fn file(&self, id: FileId) -> Option<&File> {
        self.files.get(id.0)
    }

    /// The file that holds `span`, and its id.
    #[must_use]
    pub fn find(&self, span: Span) -> Option<(FileId, &File)> {
        let index = self.files.partition_point(|file| file.base <= span.lo).checked_sub(1)?;
        self.files.get(index).map(|file| (FileId(index), file))
    }

    /// The span's byte range inside its own file.
    #[must_use]
    pub fn local(&self, span: Span) -> Option<(FileId, Range<usize>)> {
        let (id, file) = self.find(span)?;
        let end = file.text.len();
        let lo = ((span.lo - file.base) as usize).min(end);
        let hi = (span.hi.saturating_sub(file.base) as usize).clamp(lo, end);
        Some((id, lo..hi))
    }

    /// The text under a span.
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        self.local(span).and_then(|(id, range)| self.file(id)?.text.get(range)).unwrap_or_default()
    }

    /// Line and column of the span's start.
    #[must_use]
    pub fn line_col(&self, span: Span) -> Option<LineCol> {
        let (_, file) = self.find(span)?;
        let offset = span.lo - file.base;
        let line = file.line_index(offset);
        let start = *file.line_starts.get(line)? as usize;
        let col = file.text.get(start..offset as usize).map_or(0, |text| text.chars().count());
        Some(LineCol { line: line + 1, col: col + 1 })
    }
}

/// A set as the language writes it: `eth0`, `{ eth1, eth2 }`.
#[must_use]
pub fn braced<T: AsRef<str>>(values: &[T]) -> String {
    if let [one] = values {
        return one.as_ref().to_owned();
    }
    let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
    format!("{{ {} }}", values.join(", "))
}

/// Words on one line with single blanks; comments are left out.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut comment, mut blank) = (false, false, false);
    for letter in text.chars() {
        match letter {
            '\n' => comment = false,
            '"' if !comment => quoted = !quoted,
            '#' if !quoted => comment = true,
            _ => {}
        }
        if comment {
            continue;
        }
        if letter.is_whitespace() && !quoted {
            blank = true;
            continue;
        }
        if std::mem::take(&mut blank) && !out.is_empty() {
            out.push(' ');
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_find_their_file_and_column() {
        let mut map = SourceMap::default();
        let first = map.add("a.pol", "one\ntwo\n").unwrap();
        let second = map.add("b.pol", "zwölf drei").unwrap();
        let base = map.file(second).unwrap().base;
        let span = Span { lo: base + 7, hi: base + 11 };
        assert_eq!(map.text(span), "drei");
        assert_eq!(map.find(span).unwrap().0, second);
        assert_eq!(map.line_col(span), Some(LineCol { line: 1, col: 7 }));
        let two = Span { lo: 4, hi: 7 };
        assert_eq!(map.find(two).unwrap().0, first);
        assert_eq!(map.line_col(two), Some(LineCol { line: 2, col: 1 }));
    }

    #[test]
    fn text_on_one_line_has_no_comments() {
        assert_eq!(
            one_line("allow  from {\n  10.0.0.1, # one\n  10.0.0.2 # two\n}"),
            "allow from { 10.0.0.1, 10.0.0.2 }"
        );
        assert_eq!(one_line("drop from file \"a  #b.txt\" # c"), "drop from file \"a  #b.txt\"");
    }
}
