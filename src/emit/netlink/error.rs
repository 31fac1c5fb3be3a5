//! What goes wrong between us and the kernel, in words that name the cause and the remedy.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::abi::{ERRNO_NAMES, errno};
use crate::emit::program::RuleRef;

/// The kernel's "no" to one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Positive error number.
    pub errno: i32,
    /// The kernel's words (extended acknowledgement), where it has any.
    pub text: Option<String>,
}

impl Refusal {
    /// `EINVAL`, or the number where we have no name.
    #[must_use]
    pub fn name(&self) -> String {
        let known = ERRNO_NAMES.iter().find(|(number, _)| *number == self.errno);
        known.map_or_else(|| format!("errno {}", self.errno), |(_, name)| (*name).to_owned())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => write!(out, "\"{text}\" ({})", self.name()),
            None => write!(out, "{}", self.name()),
        }
    }
}

/// What can happen on the netlink socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The kernel refused.
    #[error("the kernel says {0}")]
    Refused(Refusal),
    /// A system call failed.
    #[error("netlink: {0}")]
    Io(#[from] io::Error),
    /// No answer.
    #[error("the kernel gave no answer within {} seconds", .0.as_secs())]
    Timeout(Duration),
    /// Answers were lost.
    #[error("the kernel's answers did not fit into the socket's buffer")]
    Overrun,
}

/// What went wrong on the socket, said of an operation.
pub(super) fn during(what: &str) -> impl Fn(SocketError) -> ApplyError {
    let what = what.to_owned();
    move |source| match source {
        SocketError::Refused(refusal) if refusal.errno == errno::EPERM => ApplyError::NotPermitted,
        SocketError::Refused(refusal) => ApplyError::Refused { what: what.clone(), refusal },
        source => ApplyError::Socket { what: what.clone(), source },
    }
}

/// The rule that a refused filter comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AtRule {
    /// Its policy; empty for bare rules.
    pub policy: String,
    /// Its words, or what the compiler added.
    pub text: String,
    /// `gw.pol:12:5`; empty for what the compiler adds.
    pub place: String,
}

impl From<&RuleRef> for AtRule {
    fn from(rule: &RuleRef) -> Self {
        Self { policy: rule.policy.clone(), text: rule.text.clone(), place: rule.place.clone() }
    }
}

impl fmt::Display for AtRule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => write!(out, "`{}`", self.text),
            place => write!(out, "{place}: `{}`", self.text),
        }
    }
}

/// Why nothing was applied, removed or read. Unless a variant says otherwise, the kernel holds what it held before.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// No CAP_NET_ADMIN.
    #[error("this takes the right to administer the network (CAP_NET_ADMIN)")]
    NotPermitted,
    /// Another run holds the lock.
    #[error("another ctpolicy is at work in this network namespace")]
    Busy {
        /// The lock.
        path: String,
    },
    /// The lock cannot be made.
    #[error("cannot lock `{path}`: {source}")]
    Lock {
        /// The lock.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// Devices that do not exist.
    #[error("no device {}", quoted(.devices))]
    NoDevice {
        /// Their names.
        devices: Vec<String>,
        /// Devices that exist.
        known: Vec<String>,
    },
    /// A device's ingress belongs to someone else.
    #[error("device `{device}` already has {what} that ctpolicy did not make")]
    Foreign {
        /// The device.
        device: String,
        /// What is there.
        what: String,
        /// How to get rid of it.
        remedy: String,
    },
    /// Devices share a block that the file wants to be two.
    #[error("{} have shared their {hook} filters since they were set up, and the file now gives them different rules", quoted(.devices))]
    Split {
        /// The devices.
        devices: Vec<String>,
        /// `ingress` or `egress`.
        hook: &'static str,
    },
    /// The program has more than the layout of numbers can hold.
    #[error("{what}")]
    TooLarge {
        /// What, and the limit.
        what: String,
    },
    /// More entry filters than fit into the one message of the switch.
    #[error(
        "the switch is one message of {bytes} bytes ({entries} entry filters), and from here the kernel takes at most {room}"
    )]
    SwitchTooLong {
        /// Length of the message.
        bytes: usize,
        /// What it changes.
        entries: usize,
        /// Longest message.
        room: usize,
    },
    /// No clsact in this kernel.
    #[error("this kernel has no clsact qdisc ({refusal})")]
    NoClsact {
        /// Its words.
        refusal: Refusal,
    },
    /// No flower in this kernel.
    #[error("this kernel has no flower classifier ({refusal})")]
    NoFlower {
        /// Its words.
        refusal: Refusal,
    },
    /// An action is missing in this kernel.
    #[error("this kernel lacks {} ({refusal})", lacking(.actions))]
    NoAction {
        /// Actions of the filter.
        actions: Vec<String>,
        /// Its words.
        refusal: Refusal,
        /// The filter's rule.
        rule: Box<AtRule>,
    },
    /// A filter was refused.
    #[error("the kernel refused a filter of {rule}: {refusal}")]
    Filter {
        /// The filter's rule.
        rule: Box<AtRule>,
        /// Chain, prio and handle, for `tc filter show`.
        filter: String,
        /// Its words.
        refusal: Refusal,
    },
    /// Something else was refused.
    #[error("the kernel refused {what}: {refusal}")]
    Refused {
        /// What we asked for.
        what: String,
        /// Its words.
        refusal: Refusal,
    },
    /// The new filters, read back before the switch, are not what was sent.
    #[error("the kernel does not hold what was sent ({} {})", .differences.len(), plural(.differences.len(), "difference"))]
    ReadBack {
        /// At most a few, in one line each.
        differences: Vec<String>,
    },
    /// The entry filters could not be switched; the old ones were put back.
    #[error("the switch to the new rules failed, the old ones are live again: {why}")]
    SwitchedBack {
        /// What failed.
        why: String,
    },
    /// Switching failed, and so did putting the old entry filters back.
    #[error(
        "the switch failed ({why}) and the old entry filters could not all be put back ({back}): rules of both generations are live"
    )]
    HalfSwitched {
        /// What failed first.
        why: String,
        /// What failed then.
        back: String,
    },
    /// No answer, or no socket.
    #[error("cannot {what}: {source}")]
    Socket {
        /// What we were doing.
        what: String,
        /// Why.
        source: SocketError,
    },
    /// rtnetlink failed.
    #[error("cannot {what}: {source}")]
    Links {
        /// What we were doing.
        what: String,
        /// Why.
        source: Box<rtnetlink::Error>,
    },
    /// An operation of the system failed.
    #[error("cannot {what}: {source}")]
    Io {
        /// What we were doing.
        what: String,
        /// Why.
        source: io::Error,
    },
}

impl ApplyError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::NotPermitted => "run it as root, or with `sudo`".to_owned(),
            Self::Busy { path } => format!("wait until it is done; it holds the lock `{path}`"),
            Self::Lock { .. } => "run it as root; /run has to be writable".to_owned(),
            Self::NoDevice { known, .. } => format!("this network namespace has {}", quoted(known)),
            Self::Foreign { remedy, .. } => remedy.clone(),
            Self::Split { devices, .. } => {
                let last = devices.last().map_or("", String::as_str);
                format!(
                    "`ctpolicy remove --on {last}` first (the device is open until the next apply), then apply again"
                )
            }
            Self::SwitchTooLong { bytes, .. } => format!(
                "run it as root of the machine, or raise the limit there: `sysctl -w net.core.wmem_max={bytes}`; nothing was changed"
            ),
            Self::NoClsact { .. } => module_help("sch_ingress", "NET_SCH_INGRESS"),
            Self::NoFlower { .. } => module_help("cls_flower", "NET_CLS_FLOWER"),
            Self::NoAction { actions, .. } => {
                let modules: Vec<String> = actions.iter().map(|kind| format!("act_{kind}")).collect();
                module_help(&modules.join(" "), "NET_ACT_*")
            }
            Self::Filter { filter, .. } => format!("the filter is {filter}; nothing was changed"),
            Self::ReadBack { differences } => {
                let list = differences.join(
                    "
  ",
                );
                format!(
                    "an older kernel ignores what it does not know; nothing was changed:
  {list}"
                )
            }
            Self::HalfSwitched { .. } => {
                "apply again; `tc filter show block N chain 0` shows the entry filters".to_owned()
            }
            Self::TooLarge { .. }
            | Self::Refused { .. }
            | Self::SwitchedBack { .. }
            | Self::Socket { .. }
            | Self::Links { .. }
            | Self::Io { .. } => return None,
        })
    }

    /// The process's exit code: 5 where something was live for a moment and taken back, else 4.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::SwitchedBack { .. } | Self::HalfSwitched { .. } => 5,
            _ => 4,
        }
    }
}

fn module_help(modules: &str, config: &str) -> String {
    format!("load it (`modprobe {modules}`) or run a kernel that has it (CONFIG_{config})")
}

/// The kernel does not say which action it misses.
fn lacking(actions: &[String]) -> String {
    match actions {
        [one] => format!("the action `{one}`"),
        many => format!("one of the actions {}", quoted(many)),
    }
}

/// Names in backticks, joined by commas.
fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}
