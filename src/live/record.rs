//! The sidecar of what is live: the rules' words, under the digest of their Program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::emit::program::{Attached, Filter, Program, RuleRef};
use crate::emit::tc::place_title;
use crate::ir::policy::Hook;

/// Where records lie. Not kept over a restart, and neither are the filters.
pub const FOLDER: &str = "/run/ctpolicy";

/// Records kept. The oldest go first; several network namespaces may each have one that is live.
const KEPT: usize = 64;

/// Version of the form.
const VERSION: u32 = 2;

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

/// Where a policy is, and what it became.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachWords {
    /// The policy's name; empty for bare rules.
    pub policy: String,
    /// Its devices.
    pub devices: Vec<String>,
    /// `ingress` or `egress`.
    pub hook: String,
    /// Filters in each of its blocks, entry filters included.
    pub filters: usize,
    /// Which rule each entry filter decides for, or leads to.
    pub entries: Vec<EntryWords>,
}

/// An entry filter: in the kernel it names the Program, not its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryWords {
    /// Prio.
    pub prio: u16,
    /// Handle.
    pub handle: u32,
    /// Index into [`Record::rules`].
    pub rule: usize,
}

impl AttachWords {
    /// Its hook.
    #[must_use]
    pub fn hook(&self) -> Hook {
        if self.hook == Hook::Egress.word() { Hook::Egress } else { Hook::Ingress }
    }

    /// policy `web`
    #[must_use]
    pub fn policy_quoted(&self) -> String {
        if self.policy.is_empty() { "the policy".to_owned() } else { format!("policy `{}`", self.policy) }
    }

    /// `policy web on eth0, eth1 ingress`
    #[must_use]
    pub fn title(&self) -> String {
        place_title(&self.policy, &self.devices, self.hook())
    }
}

impl From<&Attached> for AttachWords {
    fn from(attached: &Attached) -> Self {
        let entry = |filter: &Filter| EntryWords { prio: filter.prio, handle: filter.handle, rule: filter.rule };
        let chains = std::iter::once(&attached.entry).chain(&attached.chains);
        Self {
            policy: attached.name.clone(),
            devices: attached.devices.clone(),
            hook: attached.hook.word().to_owned(),
            filters: chains.map(|chain| chain.filters.len()).sum(),
            entries: attached.entry.filters.iter().map(entry).collect(),
        }
    }
}

impl From<&Program> for Record {
    fn from(program: &Program) -> Self {
        let attaches = program.attaches.iter().map(AttachWords::from).collect();
        Self { version: VERSION, digest: program.digest, attaches, rules: program.rules.clone() }
    }
}

/// Why there are no words.
#[derive(Debug, thiserror::Error)]
pub enum NoRecord {
    /// `apply` left none, or it is gone.
    #[error("`apply` left no record of them in {FOLDER}")]
    None,
    /// It cannot be read.
    #[error("their record `{path}` cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It is damaged, or of another version of ctpolicy.
    #[error("their record `{path}` is damaged, or of another version of ctpolicy")]
    Strange {
        /// The file.
        path: String,
    },
}

impl Record {
    /// The rule that an entry filter of a policy decides for, or leads to.
    #[must_use]
    pub fn of_entry(&self, policy: usize, prio: u16, handle: u32) -> Option<&RuleRef> {
        let entries = &self.attaches.get(policy)?.entries;
        let entry = entries.iter().find(|entry| (entry.prio, entry.handle) == (prio, handle))?;
        self.rules.get(entry.rule)
    }

    /// Reads the record of this digest.
    ///
    /// # Errors
    /// Where there is none that can be trusted to belong to it.
    pub fn read(folder: &Path, digest: u64) -> Result<Self, NoRecord> {
        let file = path(folder, digest);
        let name = || file.display().to_string();
        let text = fs::read(&file).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => NoRecord::None,
            _ => NoRecord::Unreadable { path: name(), source },
        })?;
        let record: Option<Self> = serde_json::from_slice(&text).ok();
        let ours = record.filter(|record| record.version == VERSION && record.digest == digest);
        ours.ok_or_else(|| NoRecord::Strange { path: name() })
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
        assert!(matches!(Record::read(folder.path(), 8), Err(NoRecord::None)));
        fs::rename(path(folder.path(), 7), path(folder.path(), 8)).unwrap();
        assert!(matches!(Record::read(folder.path(), 8), Err(NoRecord::Strange { .. })), "a foreign record");
        fs::write(path(folder.path(), 9), "{").unwrap();
        assert!(matches!(Record::read(folder.path(), 9), Err(NoRecord::Strange { .. })), "a broken record");
        fs::create_dir(path(folder.path(), 10)).unwrap();
        assert!(matches!(Record::read(folder.path(), 10), Err(NoRecord::Unreadable { .. })));
    }

    #[test]
    fn old_records_go() {
        let folder = tempfile::tempdir().unwrap();
        for digest in 0..KEPT as u64 + 5 {
            record(digest).write(folder.path()).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), KEPT);
        assert!(Record::read(folder.path(), KEPT as u64 + 4).is_ok());
    }
}
