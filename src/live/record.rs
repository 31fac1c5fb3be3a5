//! The sidecar of what is live: the rules' words, under the digest of their Program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::emit::program::{Program, Role, RuleRef};

/// Where records lie. Not kept over a restart, and neither are the filters.
pub const FOLDER: &str = "/run/ctpolicy";

/// Records kept. The oldest go first; several network namespaces may each have one that is live.
const KEPT: usize = 64;

/// Version of the form.
const VERSION: u32 = 1;

/// The words of a Program's rules and policies.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    version: u32,
    /// Of the Program.
    pub digest: u64,
    /// Its policies, in the order written.
    pub attaches: Vec<AttachWords>,
    /// Its rules, in the order written.
    pub rules: Vec<RuleRef>,
}

/// Where a policy is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachWords {
    /// The policy's name; empty for bare rules.
    pub policy: String,
    /// Its devices.
    pub devices: Vec<String>,
    /// `ingress` or `egress`.
    pub hook: String,
}

impl From<&Program> for Record {
    fn from(program: &Program) -> Self {
        let attaches = program.attaches.iter().map(|attached| AttachWords {
            policy: attached.name.clone(),
            devices: attached.devices.clone(),
            hook: attached.hook.word().to_owned(),
        });
        let attaches = attaches.collect();
        Self { version: VERSION, digest: program.digest, attaches, rules: program.rules.clone() }
    }
}

impl Record {
    /// The rule of these marks.
    #[must_use]
    pub fn find(&self, role: Role, ident: u32, meaning: u64) -> Option<&RuleRef> {
        self.rules.iter().find(|rule| (rule.role, rule.ident, rule.meaning) == (role, ident, meaning))
    }

    /// Reads the record of this digest; `None` if there is none that can be trusted to belong to it.
    #[must_use]
    pub fn read(folder: &Path, digest: u64) -> Option<Self> {
        let text = fs::read(path(folder, digest)).ok()?;
        let record: Self = serde_json::from_slice(&text).ok()?;
        (record.version == VERSION && record.digest == digest).then_some(record)
    }

    /// Writes the record, whole or not at all, and removes the oldest above [`KEPT`].
    ///
    /// # Errors
    /// When the folder cannot be made or written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let path = path(folder, self.digest);
        let beside = path.with_extension(format!("new.{}", std::process::id()));
        fs::write(&beside, serde_json::to_vec(self)?)?;
        fs::rename(&beside, &path)?;
        prune(folder);
        Ok(())
    }
}

fn path(folder: &Path, digest: u64) -> PathBuf {
    folder.join(format!("{digest:016x}.json"))
}

/// Removes the oldest records. What cannot be removed stays; it harms nobody.
fn prune(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let records = entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json"));
    let mut dated: Vec<_> =
        records.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    dated.sort_unstable();
    let surplus = dated.len().saturating_sub(KEPT);
    for (_, path) in dated.into_iter().take(surplus) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(digest: u64) -> Record {
        Record::from(&Program { attaches: Vec::new(), rules: Vec::new(), digest })
    }

    #[test]
    fn a_record_is_found_by_its_digest_only() {
        let folder = tempfile::tempdir().unwrap();
        record(7).write(folder.path()).unwrap();
        assert_eq!(Record::read(folder.path(), 7).unwrap().digest, 7);
        assert!(Record::read(folder.path(), 8).is_none());
        fs::rename(path(folder.path(), 7), path(folder.path(), 8)).unwrap();
        assert!(Record::read(folder.path(), 8).is_none(), "a foreign record");
        fs::write(path(folder.path(), 9), "{").unwrap();
        assert!(Record::read(folder.path(), 9).is_none(), "a broken record");
    }

    #[test]
    fn old_records_go() {
        let folder = tempfile::tempdir().unwrap();
        for digest in 0..KEPT as u64 + 5 {
            record(digest).write(folder.path()).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), KEPT);
        assert!(Record::read(folder.path(), KEPT as u64 + 4).is_some());
    }
}
