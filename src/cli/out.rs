//! Standard output and standard error: colours, broken pipes, and what goes wrong around a policy.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};

use super::{Color, Exit};
use crate::emit::netlink::ApplyError;
use crate::emit::tc::ScriptError;
use crate::parse::LoadError;
use crate::parse::load::why;

/// What ended a command: never a finding in a policy, but a file, an option, a device or the kernel.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum Failure {
    /// A policy file could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The script cannot say what the policy asks for.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Script(#[from] ScriptError),
    /// A file or folder could not be read.
    #[error("cannot read `{path}`: {}", why(error))]
    Read {
        /// As the user wrote it.
        path: String,
        /// The system's words.
        error: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {path}: {}", why(error))]
    Write {
        /// As the user wrote it.
        path: String,
        /// The system's words.
        error: io::Error,
    },
    /// An argument that clap cannot check.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// The remedy.
        #[help]
        help: Option<String>,
    },
    /// The kernel, a device or the right to change them.
    #[error("{message}")]
    Kernel {
        /// What happened, with the kernel's words.
        message: String,
        /// The remedy.
        #[help]
        help: Option<String>,
        /// Whether new rules were live for a moment and were taken back.
        rolled_back: bool,
    },
    /// A value without a JSON form.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        let rolled_back = error.exit_code() == Exit::RolledBack as u8;
        Self::Kernel { message: error.to_string(), help: error.help(), rolled_back }
    }
}

impl Failure {
    /// What the process says to its caller.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Script(_) => Exit::Policy,
            Self::Kernel { rolled_back: true, .. } => Exit::RolledBack,
            Self::Kernel { .. } => Exit::Kernel,
            Self::Load(_) | Self::Read { .. } | Self::Write { .. } | Self::Usage { .. } | Self::Json(_) => Exit::Usage,
        }
    }
}

/// Where a command speaks.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    color_err: bool,
    color_out: bool,
}

impl Out {
    /// Decides on colours: `--color` first, then `NO_COLOR`, then whether each stream is a terminal.
    #[must_use]
    pub fn new(color: Color) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let decide = |terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !unwanted,
        };
        Self { color_err: decide(io::stderr().is_terminal()), color_out: decide(io::stdout().is_terminal()) }
    }

    /// Whether standard error takes colours.
    #[must_use]
    pub const fn color_err(self) -> bool {
        self.color_err
    }

    /// Whether standard output takes colours.
    #[must_use]
    pub const fn color_out(self) -> bool {
        self.color_out
    }

    /// A result, to standard output.
    ///
    /// # Errors
    /// [`Failure::Write`], but not for a reader who went away: what it wanted, it has.
    pub fn result(self, text: impl fmt::Display) -> Result<(), Failure> {
        match put(io::stdout().lock(), &text) {
            Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::Write { path: "standard output".to_owned(), error: source })
            }
            _ => Ok(()),
        }
    }

    /// Diagnostics and progress, to standard error. Where even that is closed, nobody is left to tell.
    pub fn message(self, text: &str) {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    /// What ended the command, to standard error.
    #[must_use]
    pub fn failure(self, failure: &Failure) -> Exit {
        self.message(&self.render(failure));
        failure.exit()
    }

    /// Several failures of one command; `None` if there are none.
    #[must_use]
    pub fn failures(self, failures: &[Failure]) -> Option<Exit> {
        let mut exit = None;
        for failure in failures {
            exit = Some(self.failure(failure));
        }
        exit
    }

    fn render(self, failure: &dyn Diagnostic) -> String {
        let theme = if self.color_err { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let mut text = String::new();
        // Writing to a string does not fail; if a message's own Display does, what it wrote so far stands.
        let _ = GraphicalReportHandler::new_themed(theme).with_links(false).render_report(&mut text, failure);
        text
    }
}

/// Writes a file whole or not at all: into a new file beside it, which then takes its name. Permissions are kept.
///
/// # Errors
/// [`Failure::Write`]; the old file is then as it was.
pub fn write_atomically(path: &str, text: impl fmt::Display) -> Result<(), Failure> {
    let failed = |error| Failure::Write { path: format!("`{path}`"), error };
    // A link stays a link: what it leads to is replaced.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let old = std::fs::metadata(&target).ok();
    if old.as_ref().is_some_and(|old| !old.is_file()) {
        // A device or a pipe has no name to take.
        return std::fs::File::create(&target).and_then(|file| put(file, &text)).map_err(failed);
    }
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = target.with_file_name(name);
    let write = || -> io::Result<()> {
        let file = std::fs::File::create(&beside)?;
        if let Some(old) = &old {
            file.set_permissions(old.permissions())?;
        }
        put(&file, &text)?;
        file.sync_all()?;
        std::fs::rename(&beside, &target)
    };
    write().map_err(|source| {
        let _ = std::fs::remove_file(&beside);
        failed(source)
    })
}

/// Writes the text piece by piece: a ruleset may be very long.
fn put(stream: impl io::Write, text: &impl fmt::Display) -> io::Result<()> {
    let mut stream = io::BufWriter::with_capacity(1 << 16, stream);
    write!(stream, "{text}")?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_rewritten_file_keeps_its_permissions_and_links() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.pol"), folder.path().join("link.pol"));
        std::fs::write(&real, "old").unwrap();
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real.pol", &link).unwrap();
        write_atomically(link.to_str().unwrap(), "new").unwrap();
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "new");
        assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_failure_shows_its_remedy_and_no_colour_codes() {
        let out = Out { color_err: false, color_out: false };
        let failure = Failure::Usage { message: "no such lint".into(), help: Some("ask".into()) };
        let text = out.render(&failure);
        assert!(text.contains("no such lint") && text.contains("help: ask"), "{text}");
        assert!(!text.contains('\u{1b}'));
    }
}
