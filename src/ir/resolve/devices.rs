//! Devices and interfaces: a name that no `interface` line defines is the device's own.

use std::collections::BTreeSet;

use super::names::{self, Found, Value};
use super::sets::{self, Domain};
use super::{Cx, unknown, words};
use crate::abi::IFNAME_MAX;
use crate::diag::Diagnostic;
use crate::parse::ast::{DefineKind, Set};
use crate::source::Span;

crate::declare_lints! {
    /// A word that cannot be a device's name.
    pub BAD_DEVICE_NAME: Error = "bad-device-name", "a word that no device can be called",
        "The kernel's device names have at most 15 characters, no `/` and no `:`, and are not `.` or `..`. `any` and `all` are no names \
         either: which devices there are changes, so a policy lists its own.\n\nExample:\n\n    \
         policy in on enterprise-uplink0 ingress { default drop }\n\nRemedy: write the name as `ip link` shows it.";
    /// A device name close to a defined interface.
    pub SIMILAR_INTERFACE_NAME: Warning = "similar-interface-name", "a device name that is close to a defined interface",
        "A word that no `interface` line defines is taken as the device's own name, so a mistyped interface is not an error.\n\nExample:\n\n    \
         interface lan = eth1\n    policy p on lna ingress { default drop }\n\nRemedy: correct the spelling; if a device is really called \
         that, name it by an `interface` line.";
    /// `not` where a list of devices is needed.
    pub UNBOUNDED_DEVICES: Error = "unbounded-devices", "`not` where a list of devices is needed",
        "A policy, an interface and a redirect need to know their devices; `all but these` would change with every device that comes up. Only \
         the match `in` can be turned round.\n\nExample:\n\n    interface inside = not eth0\n\nRemedy: list the devices.";
    /// Several devices where one is needed.
    pub SEVERAL_DEVICES: Error = "several-devices", "several devices where one is needed",
        "`redirect to` and `mirror to` send to one device.\n\nExample:\n\n    interface lan = { eth1, eth2 }\n    allow tcp, redirect to lan\n\n\
         Remedy: name one device; for copies to several write several `mirror to`.";
}

/// Devices, or all devices but these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Devices {
    /// Names.
    pub names: BTreeSet<String>,
    /// All but these.
    pub negated: bool,
}

/// The kind of set that devices are in.
pub struct DeviceSets;

/// Whether the kernel takes this as a device's name (`dev_valid_name`).
pub fn is_valid(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= IFNAME_MAX
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| matches!(c, '/' | ':') || c.is_whitespace())
}

/// Whether somebody who writes this means every device.
pub fn means_all(name: &str) -> bool {
    matches!(name, "any" | "all")
}

impl Domain for DeviceSets {
    type Value = Devices;

    fn word(&self, span: Span, cx: &mut Cx<'_>) -> Option<Devices> {
        let text = cx.text(span);
        match names::lookup(DefineKind::Interface, text, span, cx) {
            Found::Value(value) => match &*value {
                Value::Interface(devices) => return Some(devices.clone()),
                _ => return None,
            },
            Found::Failed => return None,
            Found::Nothing => {}
        }
        if means_all(text) {
            let finding = Diagnostic::new(&BAD_DEVICE_NAME, span, format!("`{text}` is no device"));
            cx.report(
                finding
                    .help("list the devices, as in `{ eth0, eth1 }`; a match `in` that means all of them is left out"),
            );
            return None;
        }
        let (interfaces, known) = unknown::interfaces(text, cx);
        let near = words::nearest(text, interfaces);
        if !is_valid(text) {
            let length = text.chars().count();
            let why = if length > IFNAME_MAX { format!("has {length} characters") } else { "is not one".to_owned() };
            let finding = Diagnostic::new(
                &BAD_DEVICE_NAME,
                span,
                format!("a device's name has at most {IFNAME_MAX} characters, `{text}` {why}"),
            );
            cx.report(
                finding
                    .help(near.map_or_else(|| "write the name as `ip link` shows it".to_owned(), words::did_you_mean)),
            );
            return None;
        }
        if let Some(near) = near.filter(|_| !known) {
            let message = format!("`{text}` is taken as a device's own name, but is close to the interface `{near}`");
            cx.report(Diagnostic::new(&SIMILAR_INTERFACE_NAME, span, message).help(words::did_you_mean(near)));
        }
        Some(Devices { names: BTreeSet::from([text.to_owned()]), negated: false })
    }

    fn union(&self, parts: Vec<Devices>) -> Devices {
        parts.into_iter().fold(Devices::default(), |all, part| match (all.negated, part.negated) {
            (false, false) => Devices { names: all.names.union(&part.names).cloned().collect(), negated: false },
            (true, true) => Devices { names: all.names.intersection(&part.names).cloned().collect(), negated: true },
            (true, false) => Devices { names: all.names.difference(&part.names).cloned().collect(), negated: true },
            (false, true) => Devices { names: part.names.difference(&all.names).cloned().collect(), negated: true },
        })
    }

    fn intersect(&self, a: &Devices, b: &Devices) -> Devices {
        self.complement(&self.union(vec![self.complement(a), self.complement(b)]))
    }

    fn complement(&self, value: &Devices) -> Devices {
        Devices { names: value.names.clone(), negated: !value.negated }
    }

    fn is_empty(&self, value: &Devices) -> bool {
        value.names.is_empty() && !value.negated
    }
}

/// A set that must list its devices.
pub fn listed(set: &Set, cx: &mut Cx<'_>) -> Option<Devices> {
    let devices = sets::value(&DeviceSets, set, cx)?;
    if devices.negated {
        let message = format!("{} does not list devices", cx.quote(set.span()));
        cx.report(Diagnostic::new(&UNBOUNDED_DEVICES, set.span(), message).help("list the devices: `{ eth0, eth1 }`"));
        return None;
    }
    Some(devices)
}

/// The one device that a word names.
pub fn single(span: Span, cx: &mut Cx<'_>) -> Option<String> {
    let devices = DeviceSets.word(span, cx)?;
    let mut names = devices.names.into_iter();
    match (names.next(), names.next()) {
        (Some(name), None) => Some(name),
        (Some(first), Some(_)) => {
            let message = format!("{} stands for several devices", cx.quote(span));
            cx.report(Diagnostic::new(&SEVERAL_DEVICES, span, message).help(format!("name one device: `{first}`")));
            None
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(names: &[&str], negated: bool) -> Devices {
        Devices { names: names.iter().map(|name| (*name).to_owned()).collect(), negated }
    }

    #[test]
    fn all_but_some_is_a_set_too() {
        let (a, not_b) = (devices(&["a", "b"], false), devices(&["b", "c"], true));
        assert_eq!(DeviceSets.intersect(&a, &not_b), devices(&["a"], false));
        assert_eq!(DeviceSets.union(vec![a, not_b.clone()]), devices(&["c"], true));
        assert_eq!(DeviceSets.intersect(&not_b, &devices(&["d"], true)), devices(&["b", "c", "d"], true));
    }

    #[test]
    fn kernel_names() {
        assert!(is_valid("eth0.100") && is_valid("123456789012345"));
        for wrong in ["", ".", "..", "1234567890123456", "a/b", "a:b"] {
            assert!(!is_valid(wrong), "{wrong}");
        }
    }
}
