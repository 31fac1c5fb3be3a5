//! Where policy text comes from.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

/// Largest size of one file, in bytes.
pub const MAX_FILE: u64 = 256 << 20;

/// Where files come from.
pub trait Files {
    /// The bytes of a file; `-` is standard input.
    ///
    /// # Errors
    /// Whatever the system says. A file above [`MAX_FILE`] is [`io::ErrorKind::FileTooLarge`].
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;

    /// A name that is the same for all ways to write one file's path.
    fn identity(&self, path: &str) -> String {
        let mut parts: Vec<Component<'_>> = Vec::new();
        for part in Path::new(path).components() {
            match part {
                Component::CurDir => {}
                Component::ParentDir if matches!(parts.last(), Some(Component::Normal(_))) => {
                    parts.pop();
                }
                _ => parts.push(part),
            }
        }
        parts.iter().collect::<PathBuf>().to_string_lossy().into_owned()
    }
}

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if path == "-" {
            io::stdin().lock().take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        } else {
            std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        }
        if bytes.len() as u64 > MAX_FILE { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
    }

    fn identity(&self, path: &str) -> String {
        std::fs::canonicalize(path).map_or_else(|_| path.to_owned(), |path| path.to_string_lossy().into_owned())
    }
}

/// Files in memory, for tests and for editors.
impl Files for BTreeMap<String, Vec<u8>> {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
