//! The syntax tree: what was written, with spans on every node and no meaning yet.
//!
//! A *word* (a name, a number, an address, a range, `udp/53` ...) is only its span; its text is
//! `SourceMap::text(span)`. Which words are legal where is decided by `ir::resolve`.
//!
//! A file may have a hundred thousand rules, so what most rules lack (comments, braces, `not`) takes no room in those
//! that lack it.

use crate::source::{FileId, Span, Spanned};

/// One file.
#[derive(Clone, Debug)]
pub struct Ast {
    /// The file it was read from.
    pub file: FileId,
    /// Its statements, in the order written.
    pub items: Vec<Item>,
    /// Comments after the last statement.
    pub tail: Vec<Comment>,
}

/// A statement with its comments.
#[derive(Clone, Debug)]
pub struct Item {
    /// The whole statement, from its first word to its last (for a block: to its `}`). Annotations stand before it.
    pub span: Span,
    /// Comments and blank lines around it, for `fmt`.
    pub trivia: Trivia,
    /// What it says.
    pub kind: ItemKind,
}

/// What stands around a statement; it changes nothing but is kept by `fmt`.
#[derive(Clone, Debug, Default)]
pub struct Trivia {
    /// Whether a blank line stands between it (with its annotations) and what is before; its comments carry their own.
    pub blank_before: bool,
    /// Comments, if there are any.
    pub comments: Option<Box<Comments>>,
}

impl Trivia {
    /// Comments on the lines before it.
    #[must_use]
    pub fn before(&self) -> &[Comment] {
        self.comments.as_ref().map_or(&[], |comments| &comments.before)
    }

    /// A comment at the end of its last line (for a block: of its opening line).
    #[must_use]
    pub fn after(&self) -> Option<Span> {
        self.comments.as_ref()?.after
    }

    /// For a block: a comment behind its `}`.
    #[must_use]
    pub fn close(&self) -> Option<Span> {
        self.comments.as_ref()?.close
    }
}

/// Comments around a statement.
#[derive(Clone, Debug, Default)]
pub struct Comments {
    /// On the lines before it.
    pub before: Vec<Comment>,
    /// At the end of its last line (for a block: of its opening line).
    pub after: Option<Span>,
    /// For a block: behind its `}`.
    pub close: Option<Span>,
}

/// A comment on a line of its own.
#[derive(Clone, Copy, Debug)]
pub struct Comment {
    /// From `#` to the end of the line.
    pub span: Span,
    /// Whether a blank line stands before it.
    pub blank_before: bool,
}

/// The kinds of statement. Inside a `group`, a `policy` or a `prefilter` only some are legal; `ir::resolve` says which.
#[derive(Clone, Debug)]
pub enum ItemKind {
    /// `include "nets.pol"`; the span of the path without its quotes.
    Include(Span),
    /// `interface wan = eth0` and its kin.
    Define(Box<Define>),
    /// `reserve mark 0xc0000000`
    ReserveMark(Span),
    /// `assert "..." [on DEVICES [HOOK]] never allow ...`
    Assert(Box<Assertion>),
    /// `group NAME { ... }`
    Group(Box<Block>),
    /// `policy NAME on DEVICES HOOK [zone Z [then Z ...]] { ... }`
    Policy(Box<PolicyBlock>),
    /// `prefilter { ... }`
    Prefilter(Box<Block>),
    /// `use GROUP`
    Use(Span),
    /// `default allow` or `default drop`
    Default(Box<DefaultRule>),
    /// A rule.
    Rule(Box<Rule>),
    /// Something that could not be read; it was reported. Later stages look only for mistakes in what is left of it.
    Error(Box<Salvage>),
}

/// The parts of something unreadable that could be read all the same, so that one run tells of their mistakes too.
#[derive(Clone, Debug, Default)]
pub struct Salvage {
    /// Matches of a broken rule.
    pub matches: Vec<Match>,
    /// Actions of a broken rule.
    pub actions: Vec<Action>,
    /// Statements of a block whose header could not be read.
    pub items: Vec<Item>,
}

/// What a definition defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefineKind {
    /// A name for devices.
    Interface,
    /// A name for a conntrack zone.
    Zone,
    /// A name for addresses.
    Net,
    /// A name for ports.
    Port,
    /// A name for protocol/port pairs.
    Service,
}

/// `net office = { 10.0.0.0/24, 2001:db8:7::/48 }`
#[derive(Clone, Debug)]
pub struct Define {
    /// Which kind of name.
    pub kind: DefineKind,
    /// The name.
    pub name: Span,
    /// What it stands for.
    pub value: Set,
}

/// `assert "no database from outside" on wan ingress never allow tcp to port { 3306, 5432 }`
#[derive(Clone, Debug)]
pub struct Assertion {
    /// Its words, without their quotes.
    pub name: Span,
    /// `on DEVICES`: only policies there are meant.
    pub devices: Option<Set>,
    /// `ingress` or `egress`, whatever word was written.
    pub hook: Option<Span>,
    /// What is never allowed, as the rule that would allow it: it has no annotations and no actions.
    pub rule: Rule,
}

/// `{ ... }` with or without a name.
#[derive(Clone, Debug)]
pub struct Block {
    /// The group's name; for `prefilter` the keyword itself.
    pub name: Span,
    /// The statements inside.
    pub items: Vec<Item>,
    /// Comments before the closing brace.
    pub tail: Vec<Comment>,
}

/// A policy's header and body.
#[derive(Clone, Debug)]
pub struct PolicyBlock {
    /// `on DEVICES`
    pub devices: Set,
    /// `ingress` or `egress`, whatever word was written.
    pub hook: Span,
    /// `zone A then B`: the words, in order.
    pub zones: Vec<Span>,
    /// Name and body.
    pub block: Block,
}

/// A set: `any of` its items.
#[derive(Clone, Debug)]
pub enum Set {
    /// One word, with neither `not` nor braces: nearly every set is one.
    Word([SetItem; 1]),
    /// Any other.
    Other(Box<SetParts>),
}

impl Set {
    /// The set of one word.
    #[must_use]
    pub const fn word(span: Span) -> Self {
        Self::Word([SetItem::Word { span, negated: false }])
    }

    /// The whole set, `not` and braces included.
    #[must_use]
    pub const fn span(&self) -> Span {
        match self {
            Self::Word([item]) => item.span(),
            Self::Other(parts) => parts.span,
        }
    }

    /// Whether `not` stands before it.
    #[must_use]
    pub const fn negated(&self) -> bool {
        matches!(self, Self::Other(parts) if parts.negated)
    }

    /// Whether braces were written.
    #[must_use]
    pub const fn braces(&self) -> bool {
        matches!(self, Self::Other(parts) if parts.braces)
    }

    /// Its items.
    #[must_use]
    pub fn items(&self) -> &[SetItem] {
        match self {
            Self::Word(item) => item,
            Self::Other(parts) => &parts.items,
        }
    }

    /// Its items, to be changed.
    pub fn items_mut(&mut self) -> &mut [SetItem] {
        match self {
            Self::Word(item) => item,
            Self::Other(parts) => &mut parts.items,
        }
    }
}

/// A set that is more than a word.
#[derive(Clone, Debug)]
pub struct SetParts {
    /// The whole set, `not` and braces included.
    pub span: Span,
    /// `not` stands before it.
    pub negated: bool,
    /// Whether braces were written.
    pub braces: bool,
    /// Its items.
    pub items: Box<[SetItem]>,
}

/// An item of a set.
#[derive(Clone, Debug)]
pub enum SetItem {
    /// One word; `negated` where `not` stands before it inside braces.
    Word {
        /// The word itself.
        span: Span,
        /// Taken out of the set instead of put in.
        negated: bool,
    },
    /// A set inside a set (its own `negated` says whether it is taken out).
    Nested(Box<Set>),
    /// `file "drop.txt"`: one item a line.
    File(Box<SetFile>),
}

impl SetItem {
    /// The item without its `not`; of a file, its path.
    #[must_use]
    pub const fn span(&self) -> Span {
        match self {
            Self::Word { span, .. } => *span,
            Self::Nested(set) => set.span(),
            Self::File(file) => file.path,
        }
    }
}

/// A file in a set.
#[derive(Clone, Copy, Debug)]
pub struct SetFile {
    /// The path without its quotes.
    pub path: Span,
    /// The text, once loaded (`None` where it could not be read; that was reported).
    pub contents: Option<FileId>,
    /// Taken out of the set instead of put in.
    pub negated: bool,
}

/// `@key value`
#[derive(Clone, Copy, Debug)]
pub struct Annotation {
    /// The key, without `@`.
    pub key: Span,
    /// The value, without quotes.
    pub value: Span,
}

/// `VERDICT match match ..., action, action ...`
#[derive(Clone, Debug)]
pub struct Rule {
    /// `@key value` lines before it.
    pub annotations: Vec<Annotation>,
    /// The verdict's words.
    pub verdict: Spanned<Verdict>,
    /// Joined by *and*.
    pub matches: Vec<Match>,
    /// In the order written.
    pub actions: Vec<Action>,
}

/// The verdict of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// `allow`
    Allow,
    /// `allow stateless`
    AllowStateless,
    /// `drop`
    Drop,
    /// `continue`
    Continue,
}

/// `default allow` / `default drop`
#[derive(Clone, Debug)]
pub struct DefaultRule {
    /// True for `default allow`.
    pub allow: bool,
    /// Matches that were written although `default` takes none (an error).
    pub matches: Vec<Match>,
    /// Actions that were written although `default` takes none (an error).
    pub actions: Vec<Action>,
    /// Annotations that were written.
    pub annotations: Vec<Annotation>,
}

/// One match of a rule.
#[derive(Clone, Debug)]
pub struct Match {
    /// All its words.
    pub span: Span,
    /// What it matches.
    pub kind: MatchKind,
}

/// The kinds of match. `not` is in the [`Set`].
#[derive(Clone, Debug)]
pub enum MatchKind {
    /// State words and protocol words: `established`, `tcp`, `{ established, related }`, `not tcp`, `arp`.
    Words(Set),
    /// `from zone 7`: the word after `zone`.
    FromZone(Span),
    /// `proto 47`
    Proto(Set),
    /// `ethertype 0x88cc`
    EtherType(Set),
    /// `service dns`
    Service(Set),
    /// `icmp ...` or `icmp6 ...` with a type; plain `icmp` is a word.
    Icmp(Icmp),
    /// `from ...` or `to ...`
    End(End),
    /// `port 80` with neither `from` nor `to` (an error that asks which).
    BarePort(Set),
    /// `in lan`
    In(Set),
    /// `mark 0x1/0xff`
    Mark(Set),
    /// `label 0x0/0xff00`
    Label(Set),
    /// `tcp flags syn/syn,ack,fin,rst`; a word holds the whole `flags/mask`.
    TcpFlags(Set),
    /// `dscp af41`
    Dscp(Set),
    /// `ttl 1`
    Ttl(Set),
    /// `vlan 100`
    Vlan(Set),
    /// `fragment first`
    Fragment(Set),
}

/// `icmp echo-request`, `icmp type 3 code 4`, `icmp6 type { 133, 135 }`
#[derive(Clone, Debug)]
pub struct Icmp {
    /// `icmp6`
    pub v6: bool,
    /// Type names, or the numbers (or names) after `type`.
    pub types: Set,
    /// The numbers after `code`.
    pub codes: Option<Set>,
}

/// One end of the packet's way.
#[derive(Clone, Debug)]
pub struct End {
    /// `to`, not `from`.
    pub to: bool,
    /// Addresses.
    pub addr: Option<Set>,
    /// Hardware addresses after `mac`.
    pub mac: Option<Set>,
    /// Ports after `port`.
    pub port: Option<Set>,
}

/// One action of a rule.
#[derive(Clone, Debug)]
pub struct Action {
    /// All its words.
    pub span: Span,
    /// What it does.
    pub kind: ActionKind,
}

/// The kinds of action.
#[derive(Clone, Debug)]
pub enum ActionKind {
    /// `snat POOL [port RANGE] [in zone Z]`
    Snat(Nat),
    /// `dnat ADDR [port P] [in zone Z]`
    Dnat(Nat),
    /// `masquerade [port RANGE] [in zone Z]` (its pool is `None`)
    Masquerade(Nat),
    /// `nat`
    Nat,
    /// `set mark V[/M]`
    SetMark(Span),
    /// `set label V[/M]`
    SetLabel(Span),
    /// `commit force`
    CommitForce,
    /// `commit zone Z`
    CommitZone(Span),
    /// `clear`
    Clear,
    /// `redirect to DEV [ingress]`
    Redirect(Out),
    /// `mirror to DEV [ingress]`
    Mirror(Out),
    /// `limit RATE [burst SIZE]`
    Limit {
        /// `10mbit`, `20000pps`
        rate: Span,
        /// `64kb`, `200`
        burst: Option<Span>,
    },
    /// `helper ftp`
    Helper(Span),
}

/// What `snat` and its kin say.
#[derive(Clone, Debug)]
pub struct Nat {
    /// The pool: an address, a range, a prefix, or a defined name.
    pub pool: Option<Span>,
    /// A port or a range of ports.
    pub port: Option<Span>,
    /// The zone that records it.
    pub zone: Option<Span>,
}

/// Where `redirect` and `mirror` send to.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    /// The device.
    pub device: Span,
    /// Into the device's ingress, not out of it.
    pub ingress: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_are_many_of_stays_small() {
        let sizes = (size_of::<Item>(), size_of::<Rule>(), size_of::<Match>(), size_of::<Set>(), size_of::<Action>());
        assert_eq!(sizes, (40, 88, 64, 16, 48));
    }
}
