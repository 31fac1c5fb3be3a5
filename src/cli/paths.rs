//! Paths of the command line: files, and folders of policies.

use std::collections::BTreeSet;
use std::path::Path;

use super::Failure;
use crate::parse::{DiskFiles, Files};

/// What the paths of a command line stand for.
#[derive(Debug, Default)]
pub struct Paths {
    /// The files, each once.
    pub files: Vec<String>,
    /// Folders that cannot be read, or hold nothing to read.
    pub failures: Vec<Failure>,
}

/// Files as they are, folders as the `*.pol` files in them, sorted by name. That a file exists shows when it is read.
pub fn find(paths: &[String]) -> Paths {
    let mut found = Paths::default();
    for path in paths {
        if path == "-" || !Path::new(path).is_dir() {
            found.files.push(path.clone());
            continue;
        }
        let (files, failures) = (found.files.len(), found.failures.len());
        folder(path, &mut found);
        if (files, failures) == (found.files.len(), found.failures.len()) {
            // Silence would look like success, where perhaps the path is mistyped.
            let message = format!("`{path}` holds no `*.pol` file");
            let help = Some(
                "name the folder of the policies; a file of another name is read if it is named itself".to_owned(),
            );
            found.failures.push(Failure::Usage { message, help });
        }
    }
    let mut seen = BTreeSet::new();
    found.files.retain(|path| seen.insert(DiskFiles.identity(path)));
    found
}

fn folder(path: &str, found: &mut Paths) {
    let names = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>());
    let mut names = match names {
        Ok(names) => names,
        Err(error) => return found.failures.push(Failure::Read { path: path.to_owned(), error }),
    };
    names.sort_unstable();
    for name in names {
        let full = Path::new(path).join(&name);
        let hidden = name.as_encoded_bytes().starts_with(b".");
        let Some(text) = full.to_str() else { continue };
        // A link to a folder is not followed: it may lead back here.
        let link = full.is_symlink();
        if full.is_dir() && !hidden && !link {
            folder(text, found);
        } else if full.is_file() && full.extension().is_some_and(|extension| extension == "pol") {
            found.files.push(text.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_policies_is_a_failure_and_the_rest_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        std::fs::create_dir_all(path("full/inner")).unwrap();
        std::fs::create_dir(path("empty")).unwrap();
        std::fs::write(path("full/inner/a.pol"), "").unwrap();
        std::fs::write(path("full/b.txt"), "").unwrap();
        let found = find(&[path("empty"), path("full"), path("full/inner/a.pol"), "missing.pol".to_owned()]);
        assert_eq!(found.files, [path("full/inner/a.pol"), "missing.pol".to_owned()]);
        assert_eq!(found.failures.len(), 1);
        assert!(found.failures.first().unwrap().to_string().contains("holds no `*.pol` file"));
    }
}
