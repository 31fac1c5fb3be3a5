//! Reads the entry file and, recursively, all that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::ast::Ast;
use super::files::{Files, MAX_FILE};
use super::lints;
use super::named::{Named, walk};
use crate::diag::{Diagnostic, Diagnostics, Label};
use crate::source::{FileId, SourceMap, Span};

/// Deepest chain of includes.
pub const MAX_INCLUDES: usize = 64;

/// The entry file could not be used at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It could not be read.
    #[error("cannot read `{path}`: {}", why(error))]
    Io {
        /// The path as given.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// All files together do not fit.
    #[error(transparent)]
    TooLarge(#[from] crate::source::TooLarge),
}

/// Reads and parses the file at `path` (`-` is standard input) and all files that it includes, each once.
///
/// The first tree is the entry file's; the others follow in the order in which they are first named. Files of sets
/// are read too, and stand in their [`SetItem::File`].
///
/// # Errors
/// [`LoadError`] if the entry file itself cannot be read. Whatever else is wrong is a finding.
pub fn load(
    path: &str,
    files: &dyn Files,
    map: &mut SourceMap,
    diags: &mut Diagnostics,
) -> Result<Vec<Ast>, LoadError> {
    let mut loader = Loader::new(files, map, diags);
    if let Some(file) = loader.entry(path)? {
        loader.policy(path, file)?;
    }
    Ok(loader.asts)
}

/// Reads the file at `path` alone, without what it names; `None` if it is no text, which is then a finding.
///
/// # Errors
/// [`LoadError`] if it cannot be read.
pub fn load_one(
    path: &str,
    files: &dyn Files,
    map: &mut SourceMap,
    diags: &mut Diagnostics,
) -> Result<Option<FileId>, LoadError> {
    Loader::new(files, map, diags).entry(path)
}

/// One include on the way to the file at hand.
struct Link {
    identity: String,
    name: String,
    /// The path in the `include` line that leads on from this file.
    leads_on: Option<Span>,
}

struct Loader<'a> {
    files: &'a dyn Files,
    map: &'a mut SourceMap,
    diags: &'a mut Diagnostics,
    asts: Vec<Ast>,
    /// Policy files seen, by identity.
    policies: BTreeSet<String>,
    /// Files of sets, by identity.
    sets: BTreeMap<String, Option<FileId>>,
    chain: Vec<Link>,
}

impl<'a> Loader<'a> {
    fn new(files: &'a dyn Files, map: &'a mut SourceMap, diags: &'a mut Diagnostics) -> Self {
        Self {
            files,
            map,
            diags,
            asts: Vec::new(),
            policies: BTreeSet::new(),
            sets: BTreeMap::new(),
            chain: Vec::new(),
        }
    }

    /// Reads the entry file into the map.
    fn entry(&mut self, path: &str) -> Result<Option<FileId>, LoadError> {
        let bytes = self.files.read(path).map_err(|error| LoadError::Io { path: path.to_owned(), error })?;
        self.add(if path == "-" { "<stdin>" } else { path }, bytes)
    }

    /// Adds text to the map. Bytes that are no text are reported, and nothing is parsed.
    fn add(&mut self, name: &str, bytes: Vec<u8>) -> Result<Option<FileId>, LoadError> {
        let bytes = match bytes.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) => rest.to_vec(),
            None => bytes,
        };
        match String::from_utf8(bytes) {
            Ok(text) => {
                let nul = text.find('\0');
                let file = self.map.add(name, text)?;
                if let Some(at) = nul {
                    self.not_text(file, at, 1, "a NUL byte");
                }
                Ok(nul.is_none().then_some(file))
            }
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let byte = error.as_bytes().get(at).copied().unwrap_or_default();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let file = self.map.add(name, text)?;
                self.not_text(file, at, '\u{fffd}'.len_utf8(), &format!("the byte 0x{byte:02x}"));
                Ok(None)
            }
        }
    }

    fn not_text(&mut self, file: FileId, at: usize, length: usize, what: &str) {
        let Some(source) = self.map.file(file) else { return };
        let lo = source.base + u32::try_from(at).unwrap_or_default();
        let line = source.line_index(lo - source.base) + 1;
        let message = format!("`{}` is not UTF-8 text: {what} at offset {at}, line {line}", source.name);
        let span = Span { lo, hi: lo + u32::try_from(length).unwrap_or_default() };
        self.diags.push(Diagnostic::new(&lints::NOT_UTF8, span, message).help("save the file as UTF-8 text"));
    }

    /// Parses a file of the map and goes on to what it names.
    fn policy(&mut self, path: &str, file: FileId) -> Result<(), LoadError> {
        let identity = self.files.identity(path);
        self.policies.insert(identity.clone());
        let mut ast = super::parse(self.map, file, self.diags);
        let mut sets = Vec::new();
        let mut includes = Vec::new();
        walk(&mut ast.items, &mut |named| match named {
            Named::Include(span) => includes.push(span),
            Named::Set(path, contents) => sets.push((path, contents)),
        });
        for (span, contents) in sets {
            *contents = self.set_file(path, span)?;
        }
        let name = self.map.file(file).map(|source| source.name.clone()).unwrap_or_default();
        self.asts.push(ast);
        self.chain.push(Link { identity, name, leads_on: None });
        for span in includes {
            if let Some(link) = self.chain.last_mut() {
                link.leads_on = Some(span);
            }
            self.include(path, span)?;
        }
        self.chain.pop();
        Ok(())
    }

    fn include(&mut self, from: &str, span: Span) -> Result<(), LoadError> {
        let path = beside(from, self.map.text(span));
        let identity = self.files.identity(&path);
        if let Some(first) = self.chain.iter().position(|link| link.identity == identity) {
            self.cycle(first, span);
            return Ok(());
        }
        if self.chain.len() >= MAX_INCLUDES {
            let message = format!("includes are nested deeper than {MAX_INCLUDES} files");
            self.diags
                .push(Diagnostic::new(&lints::NESTED_TOO_DEEP, span, message).help("include the files from one place"));
            return Ok(());
        }
        if !self.policies.insert(identity) {
            return Ok(());
        }
        let Some(bytes) = self.read(&path, span, "the included file") else { return Ok(()) };
        match self.add(&path, bytes)? {
            Some(file) => self.policy(&path, file),
            None => Ok(()),
        }
    }

    /// Reports the include at `span`, which leads back to the file `first` of the chain.
    fn cycle(&mut self, first: usize, span: Span) {
        let ring = self.chain.get(first..).unwrap_or_default();
        let names: Vec<&str> = ring.iter().chain(ring.first()).map(|link| link.name.as_str()).collect();
        let message = match ring {
            [_] => format!("`{}` includes itself", names.first().unwrap_or(&"")),
            _ => format!("these files include each other: `{}`", names.join("` -> `")),
        };
        let mut finding = Diagnostic::new(&lints::INCLUDE_CYCLE, span, message)
            .here("this closes the ring")
            .help("move what both need into a file of its own, and include that");
        for (link, next) in ring.iter().zip(names.iter().skip(1)) {
            if let Some(at) = link.leads_on
                && at != span
            {
                let text = format!("`{}` includes `{next}` here", link.name);
                finding.secondary.push(Label { span: at, text });
            }
        }
        self.diags.push(finding);
    }

    /// Reads a set's file, once.
    fn set_file(&mut self, from: &str, span: Span) -> Result<Option<FileId>, LoadError> {
        let path = beside(from, self.map.text(span));
        let identity = self.files.identity(&path);
        if let Some(known) = self.sets.get(&identity) {
            return Ok(*known);
        }
        let file = match self.read(&path, span, "the set's file") {
            Some(bytes) => self.add(&path, bytes)?,
            None => None,
        };
        self.sets.insert(identity, file);
        Ok(file)
    }

    fn read(&mut self, path: &str, span: Span, what: &str) -> Option<Vec<u8>> {
        match self.files.read(path) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.diags.push(unreadable(path, span, what, &error));
                None
            }
        }
    }
}

/// What the system said of a file, without its number.
#[must_use]
pub fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    }
}

fn unreadable(path: &str, span: Span, what: &str, error: &io::Error) -> Diagnostic {
    if error.kind() == io::ErrorKind::FileTooLarge {
        let message = format!("{what} `{path}` is larger than {} MiB", MAX_FILE >> 20);
        return Diagnostic::new(&lints::FILE_TOO_LARGE, span, message).help("split it into several files");
    }
    let why = why(error);
    Diagnostic::new(&lints::UNREADABLE_FILE, span, format!("cannot read {what} `{path}`: {why}"))
        .help("a path is relative to the file that names it")
}

/// The path of a file that the file at `from` names.
fn beside(from: &str, path: &str) -> String {
    let joined = match Path::new(from).parent() {
        Some(folder) if from != "-" => folder.join(path),
        _ => PathBuf::from(path),
    };
    // Only the command line's `-` is standard input.
    if joined.as_os_str() == "-" { "./-".to_owned() } else { joined.to_string_lossy().into_owned() }
}
