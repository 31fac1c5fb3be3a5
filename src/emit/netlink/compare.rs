//! What was sent against what the kernel holds.
//!
//! Old kernels ignore attributes that they do not know, so "no error" proves nothing; every filter is read back. The kernel
//! adds statistics, times, reference counts, allotted indices, flags and masks that were left out. [`Canonical`] is what
//! is left of a filter, sent or dumped, when all that is taken away or filled in.

use std::collections::BTreeMap;

use crate::abi::{act, ct, eth, flower, gact, mirred, police, tc_gen, tca};
use crate::field::table::FIELDS;

use super::nla::{self, Attr};

/// A filter's content without what the kernel adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canonical {
    /// `flower`
    pub kind: String,
    /// Attributes of `TCA_OPTIONS` but the actions.
    pub keys: BTreeMap<u16, Vec<u8>>,
    /// In order.
    pub actions: Vec<CanonicalAction>,
}

/// An action without what the kernel adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CanonicalAction {
    /// `ct`
    pub kind: String,
    /// Ours, where the filter is.
    pub cookie: Option<Vec<u8>>,
    /// Attributes of `TCA_ACT_OPTIONS`.
    pub options: BTreeMap<u16, Vec<u8>>,
    /// Other attributes of the action that the user sets.
    pub rest: BTreeMap<u16, Vec<u8>>,
}

impl Canonical {
    /// Reads the attributes behind a filter message's header.
    #[must_use]
    pub fn read(attrs: &[u8]) -> Self {
        let mut out =
            Self { kind: nla::find(attrs, tca::KIND).map(nla::as_text).unwrap_or_default(), ..Self::default() };
        for (kind, value) in nla::parse(nla::find(attrs, tca::OPTIONS).unwrap_or_default()) {
            match kind {
                flower::ACT => {
                    out.actions = nla::parse(value).map(|(_, action)| CanonicalAction::read(action)).collect();
                }
                flower::IN_HW_COUNT => {}
                flower::FLAGS => {
                    let set = nla::as_u32(value).unwrap_or_default() & flower::USER_FLAGS;
                    if set != 0 {
                        out.keys.insert(kind, set.to_ne_bytes().to_vec());
                    }
                }
                _ => {
                    out.keys.insert(kind, value.to_vec());
                }
            }
        }
        out.fill_masks();
        out.unwrap_tag();
        out
    }

    /// A mask that was left out is all ones.
    fn fill_masks(&mut self) {
        for (_, attr) in FIELDS.iter().flat_map(|row| row.attrs) {
            if let (Some(value), Some(mask)) = (self.keys.get(&attr.value), attr.mask) {
                let ones = vec![0xff; value.len()];
                self.keys.entry(mask).or_insert(ones);
            }
        }
    }

    /// The kernel matches the ethertype of a tag and of a PPPoE session by keys of their own, and dumps the one behind it in its
    /// place, or nothing (`fl_set_key`, `fl_set_key_pppoe`). (The message's protocol still says which it is.)
    fn unwrap_tag(&mut self) {
        let wraps = |value: &Vec<u8>, kinds: &[u16]| kinds.iter().any(|kind| *value == kind.to_be_bytes());
        let inner = match self.keys.get(&flower::KEY_ETH_TYPE) {
            Some(outer) if wraps(outer, &[eth::P_8021Q]) => self.keys.get(&flower::KEY_VLAN_ETH_TYPE).cloned(),
            Some(outer) if wraps(outer, &[eth::P_8021AD, eth::P_PPP_SES]) => None,
            _ => return,
        };
        if inner.as_ref().is_some_and(|inner| wraps(inner, &[eth::P_PPP_SES])) {
            self.keys.remove(&flower::KEY_VLAN_ETH_TYPE);
        }
        match inner.filter(|inner| !wraps(inner, &[eth::P_8021AD, eth::P_PPP_SES])) {
            Some(inner) => _ = self.keys.insert(flower::KEY_ETH_TYPE, inner),
            None => _ = self.keys.remove(&flower::KEY_ETH_TYPE),
        }
    }

    /// The payload of `TCA_OPTIONS` that makes this filter again in a prio of this protocol.
    #[must_use]
    pub fn options(&self, protocol: u16) -> Vec<Attr> {
        let mut keys = self.keys.clone();
        if protocol == eth::P_ALL {
            keys.remove(&flower::KEY_ETH_TYPE);
        } else {
            keys.insert(flower::KEY_ETH_TYPE, protocol.to_be_bytes().to_vec());
        }
        let mut out = attrs_of(&keys);
        let actions = (1u16..).zip(&self.actions).map(|(number, action)| Attr::nest(number, action.attrs())).collect();
        out.push(Attr::nest(flower::ACT, actions));
        out
    }

    /// In one line, where two filters differ; `None` when they do not.
    #[must_use]
    pub fn difference(&self, held: &Self) -> Option<String> {
        if self.kind != held.kind {
            return Some(format!("kind `{}` was asked for, the kernel holds `{}`", self.kind, held.kind));
        }
        if let Some(text) = map_difference("key attribute", &self.keys, &held.keys) {
            return Some(text);
        }
        let (sent, kept) = (self.actions.len(), held.actions.len());
        if sent != kept {
            return Some(format!("{sent} actions were asked for, the kernel holds {kept}"));
        }
        (1..).zip(self.actions.iter().zip(&held.actions)).find_map(|(number, (ours, theirs))| {
            ours.difference(theirs).map(|text| format!("action {number} (`{}`): {text}", ours.kind))
        })
    }
}

impl CanonicalAction {
    fn read(attrs: &[u8]) -> Self {
        let mut out =
            Self { kind: nla::find(attrs, act::KIND).map(nla::as_text).unwrap_or_default(), ..Self::default() };
        for (kind, value) in nla::parse(attrs) {
            match kind {
                act::KIND | act::STATS | act::IN_HW_COUNT | act::USED_HW_STATS => {}
                act::COOKIE => out.cookie = Some(value.to_vec()),
                act::OPTIONS => out.read_options(value),
                // Zero bits say nothing.
                act::FLAGS | act::HW_STATS if value.iter().all(|byte| *byte == 0) => {}
                _ => {
                    out.rest.insert(kind, value.to_vec());
                }
            }
        }
        out
    }

    fn read_options(&mut self, options: &[u8]) {
        self.options = nla::parse(options).map(|(kind, value)| (kind, value.to_vec())).collect();
        let (drop, generic): (&[u16], u16) = match self.kind.as_str() {
            "ct" => (&[ct::TM, ct::PAD], ct::PARMS),
            "gact" => (&[gact::TM, gact::PAD], gact::PARMS),
            "mirred" => (&[mirred::TM, mirred::PAD], mirred::PARMS),
            "police" => (&[police::TM, police::PAD, police::RATE], 0),
            _ => return,
        };
        self.options.retain(|kind, _| !drop.contains(kind));
        if let Some(parms) = self.options.get_mut(&generic) {
            // Index, capab, refcnt and bindcnt of `struct tc_gen` are the kernel's bookkeeping.
            blank(parms, 0..tc_gen::ACTION.start);
            blank(parms, tc_gen::ACTION.end..tc_gen::SIZE);
        }
        match self.kind.as_str() {
            "ct" => self.fill_ct(),
            "police" => self.fill_police(),
            _ => {}
        }
    }

    /// The kernel dumps no zone, mark and translation of a `clear`, and fills in what was left out otherwise.
    fn fill_ct(&mut self) {
        let bits = self.options.entry(ct::ACTION).or_insert_with(|| vec![0, 0]);
        let clear = bits.as_slice() == ct::ACT_CLEAR.to_ne_bytes();
        if clear {
            self.options.retain(|kind, _| matches!(*kind, ct::ACTION | ct::PARMS));
            return;
        }
        self.options.entry(ct::ZONE).or_insert_with(|| vec![0, 0]);
        for (first, last) in [
            (ct::NAT_IPV4_MIN, ct::NAT_IPV4_MAX),
            (ct::NAT_IPV6_MIN, ct::NAT_IPV6_MAX),
            (ct::NAT_PORT_MIN, ct::NAT_PORT_MAX),
        ] {
            if let Some(value) = self.options.get(&first).cloned() {
                self.options.entry(last).or_insert(value);
            }
        }
        for (value, mask) in [(ct::MARK, ct::MARK_MASK), (ct::LABELS, ct::LABELS_MASK)] {
            if let Some(ones) = self.options.get(&value).map(|bytes| vec![0xff; bytes.len()]) {
                self.options.entry(mask).or_insert(ones);
            }
        }
    }

    /// Of `struct tc_police` the kernel keeps index, control, burst, MTU and rate, and gives cell size and alignment as 0.
    /// Without a byte rate the MTU is unlimited, whatever was said.
    fn fill_police(&mut self) {
        if let Some(tbf) = self.options.get_mut(&police::TBF) {
            blank(tbf, police::TBF_BOOKKEEPING);
            blank(tbf, police::TBF_CELL_LOG);
            blank(tbf, police::TBF_CELL_ALIGN);
            if tbf.get(police::TBF_RATE).is_some_and(|rate| rate.iter().all(|byte| *byte == 0)) {
                blank(tbf, police::TBF_MTU);
            }
        }
        // A result of 0 is the kernel's default and not dumped.
        if self.options.get(&police::RESULT).is_some_and(|value| value.iter().all(|byte| *byte == 0)) {
            self.options.remove(&police::RESULT);
        }
    }

    fn attrs(&self) -> Vec<Attr> {
        let mut out =
            vec![Attr::text(act::KIND, &self.kind), Attr::flagged_nest(act::OPTIONS, attrs_of(&self.options))];
        out.extend(self.cookie.as_ref().map(|cookie| Attr::bytes(act::COOKIE, cookie.as_slice())));
        out.extend(attrs_of(&self.rest));
        out
    }

    fn difference(&self, held: &Self) -> Option<String> {
        if self.kind != held.kind {
            return Some(format!("the kernel holds `{}`", held.kind));
        }
        if self.cookie != held.cookie {
            return Some(format!(
                "cookie {} was asked for, the kernel holds {}",
                hex_or(self.cookie.as_deref()),
                hex_or(held.cookie.as_deref())
            ));
        }
        map_difference("attribute", &self.options, &held.options)
            .or_else(|| map_difference("action attribute", &self.rest, &held.rest))
    }
}

fn attrs_of(map: &BTreeMap<u16, Vec<u8>>) -> Vec<Attr> {
    map.iter().map(|(kind, value)| Attr::bytes(*kind, value.as_slice())).collect()
}

fn blank(bytes: &mut [u8], range: std::ops::Range<usize>) {
    if let Some(part) = bytes.get_mut(range) {
        part.fill(0);
    }
}

fn map_difference(what: &str, sent: &BTreeMap<u16, Vec<u8>>, held: &BTreeMap<u16, Vec<u8>>) -> Option<String> {
    let missing = sent.iter().find(|(kind, value)| held.get(kind) != Some(value));
    let (kind, _) = missing.or_else(|| held.iter().find(|(kind, _)| !sent.contains_key(kind)))?;
    let (ours, theirs) = (sent.get(kind).map(Vec::as_slice), held.get(kind).map(Vec::as_slice));
    Some(format!("{what} {kind}: {} was asked for, the kernel holds {}", hex_or(ours), hex_or(theirs)))
}

fn hex_or(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "nothing".to_owned(), hex)
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
