//! What a policy stands on: its devices, its hook and its zones.

use std::collections::BTreeMap;

use super::flatten::{self, Flat};
use super::names::{self, Found, Value};
use super::{BareAttach, Cx, devices, words, zones};
use crate::abi::IFNAME_MAX;
use crate::diag::Diagnostic;
use crate::ir::policy::Hook;
use crate::parse::ast::{ActionKind, Ast, DefineKind, Item, ItemKind, MatchKind, PolicyBlock};
use crate::source::Span;

crate::declare_lints! {
    /// A hook that does not exist.
    pub UNKNOWN_HOOK: Error = "unknown-hook", "a hook that is neither `ingress` nor `egress`",
        "A policy looks at the packets that its devices receive (`ingress`) or at those that they send (`egress`).\n\nExample:\n\n    \
         policy p on eth0 input { default drop }\n\nRemedy: write `ingress` or `egress`.";
    /// A zone twice in one header.
    pub REPEATED_ZONE: Error = "repeated-zone", "a zone twice in one header",
        "A packet goes through conntrack once per zone; a second pass through the same zone would find what the first one found.\n\n\
         Example:\n\n    policy p on eth0 ingress zone 1 then 2 then 1 { default drop }\n\nRemedy: name each zone once.";
    /// Two policies on one device and hook.
    pub DUPLICATE_ATTACH: Error = "duplicate-attach", "two policies on one device and hook",
        "The first policy would decide about every packet, and the second would never see one.\n\nExample:\n\n    \
         policy a on eth0 ingress { default drop }\n    policy b on { eth0, eth1 } ingress { default allow }\n\n\
         Remedy: join the two, with the common rules in a `group`, or take the device out of one of them.";
    /// Rules outside any policy, without an attach point.
    pub NO_ATTACH_POINT: Error = "no-attach-point", "rules outside any policy, and no attach point on the command line",
        "Rules outside a policy need to be told where they stand.\n\nExample:\n\n    allow established from zone 7\n\n\
         Remedy: add `--on DEV --hook ingress` to the command, or put the rules into `policy NAME on DEV ingress { ... }`.";
    /// `--on` for a file without bare rules.
    pub UNUSED_ATTACH_POINT: Warning = "unused-attach-point", "an attach point on the command line for a file that has no bare rules",
        "`--on`, `--hook` and `--zone` say where rules outside any policy stand. The policies of a file name their own devices, so the \
         options change nothing.\n\nExample:\n\n    ctpolicy compile --on eth0 --hook ingress gateway.pol\n\n\
         Remedy: leave the options out, or change the devices in the policies' headers.";
    /// A policy without a last word.
    pub MISSING_DEFAULT: Error = "missing-default", "a policy without `default`",
        "What no rule decides must be decided in writing; the kernel's own answer would be to let it pass.\n\nExample:\n\n    \
         policy p on eth0 ingress {\n        allow tcp to port 22\n    }\n\nRemedy: write `default drop`, or `default allow`, as the last line.";
    /// Bare rules without a last word.
    pub IMPLIED_DEFAULT: Warning = "implied-default", "rules outside any policy end in an implied `default drop`",
        "Bare rules may leave `default` out, so that one line of policy can be tried at once; what no rule decides is then dropped.\n\n\
         Example:\n\n    allow tcp to port 22        # --on eth0 --hook ingress\n\nRemedy: write `default drop` as the last line, or add \
         `--default allow` to the command.";
    /// Rules outside the policies of a file.
    pub RULE_OUTSIDE_POLICY: Error = "rule-outside-policy", "a rule outside the policies of a file",
        "A file holds either policies or bare rules that are tried by themselves. A rule beside policies stands nowhere.\n\nExample:\n\n    \
         drop tcp to port 23\n    policy p on eth0 ingress { default allow }\n\nRemedy: move the rule into a policy, or into a `group` that \
         policies use.";
}

/// A policy, its rules in place, before they are resolved.
pub struct Scope<'a> {
    /// The policy's name; empty for bare rules.
    pub name: &'a str,
    /// Its header.
    pub span: Span,
    /// Devices, sorted.
    pub devices: Vec<String>,
    /// The hook.
    pub hook: Hook,
    /// Conntrack zones in the order of their passes.
    pub passes: Vec<u16>,
    /// Index of the pass that rules speak of which name no zone; `None` where the policy has no zone of its own.
    pub home: Option<usize>,
    /// Rules outside any policy.
    pub bare: bool,
    /// A group that no policy uses: only mistakes that do not depend on the policy are looked for.
    pub loose: bool,
    /// Its rules.
    pub flat: Flat<'a>,
}

impl Scope<'_> {
    /// Whether packets go through conntrack.
    #[must_use]
    pub fn tracked(&self) -> bool {
        !self.passes.is_empty()
    }

    /// The zone of rules that name none.
    #[must_use]
    pub fn home_zone(&self) -> Option<u16> {
        self.passes.get(self.home?).copied()
    }
}

/// All policies of the files, in the order written; bare rules are one of their own.
pub fn scopes<'a>(asts: &'a [Ast], cx: &mut Cx<'a>) -> Vec<Scope<'a>> {
    let items: Vec<&Item> = asts.iter().flat_map(|ast| &ast.items).collect();
    let mut scopes = Vec::new();
    let mut taken = BTreeMap::new();
    for item in &items {
        if let ItemKind::Policy(policy) = &item.kind {
            let scope = policy_scope(item, policy, cx);
            one_per_hook(&scope, policy.devices.span(), &mut taken, cx);
            scopes.push(scope);
        }
    }
    let bare: Vec<&Item> = items.into_iter().filter(|item| is_bare(item)).collect();
    if let (Some(first), Some(last)) = (bare.first(), bare.last()) {
        if let Some(policy) = scopes.first() {
            let finding = Diagnostic::new(&RULE_OUTSIDE_POLICY, first.span, "a rule outside the policies of the file");
            cx.report(
                finding.because(policy.span, "the file has policies").help("move it into a policy, or into a `group`"),
            );
        }
        let span = first.span.to(last.span);
        let span = if last.span.lo >= first.span.lo { span } else { first.span };
        let scope = bare_scope(span, first.span, bare, scopes.is_empty(), cx);
        if scopes.is_empty() {
            scopes.push(scope);
        }
    }
    unused_attach_point(&scopes, cx);
    scopes
}

/// Says so where the command line names a device and every rule has a policy of its own.
fn unused_attach_point(scopes: &[Scope<'_>], cx: &mut Cx<'_>) {
    let Some(bare) = &cx.options.bare else { return };
    if let Some(policy) = scopes.first().filter(|_| scopes.iter().all(|scope| !scope.bare)) {
        let message =
            format!("`--on {}` changes nothing: the rules of this file stand in policies", bare.devices.join(","));
        let finding = Diagnostic::new(&UNUSED_ATTACH_POINT, policy.span, message);
        cx.report(finding.help("leave `--on`, `--hook` and `--zone` out: a policy names its own devices"));
    }
}

fn is_bare(item: &Item) -> bool {
    matches!(item.kind, ItemKind::Rule(_) | ItemKind::Use(_) | ItemKind::Prefilter(_) | ItemKind::Default(_))
}

fn policy_scope<'a>(item: &'a Item, policy: &'a PolicyBlock, cx: &mut Cx<'a>) -> Scope<'a> {
    let name = cx.text(policy.block.name);
    let devices =
        devices::listed(&policy.devices, cx).map(|devices| devices.names.into_iter().collect()).unwrap_or_default();
    let hook = hook(policy.hook, cx);
    let mut passes: Vec<u16> = Vec::new();
    let mut seen: BTreeMap<u16, Span> = BTreeMap::new();
    for span in &policy.zones {
        let Some(zone) = zones::zone(*span, cx) else { continue };
        if let Some(first) = seen.get(&zone) {
            let finding =
                Diagnostic::new(&REPEATED_ZONE, *span, format!("zone {} stands twice in this header", cx.quote(*span)));
            cx.report(finding.because(*first, "the first time here").help("name each zone once"));
        } else {
            seen.insert(zone, *span);
            passes.push(zone);
        }
    }
    let flat = flatten::policy(policy.block.items.iter(), cx);
    let last = policy.zones.last().copied().unwrap_or(policy.hook);
    let span = Span { lo: item.span.lo, hi: last.hi };
    // A zone that could not be read was reported; its policy counts as tracked all the same.
    if passes.is_empty() && !policy.zones.is_empty() {
        passes.push(0);
    }
    let home = passes.len().checked_sub(1);
    let mut scope = Scope { name, span, devices, hook, passes, home, bare: false, loose: false, flat };
    add_passes(&mut scope, cx);
    scope
}

/// The hook that a word names.
pub fn hook(span: Span, cx: &mut Cx<'_>) -> Hook {
    let text = cx.text(span);
    match text {
        "ingress" => return Hook::Ingress,
        "egress" => return Hook::Egress,
        _ => {}
    }
    let near = words::nearest(text, ["ingress", "egress"]).or(match text {
        "in" | "input" | "incoming" => Some("ingress"),
        "out" | "output" | "outgoing" => Some("egress"),
        _ => None,
    });
    let help = match (near, text) {
        (Some(near), _) => words::did_you_mean(near),
        (None, "both" | "any" | "all" | "inout" | "forward") => {
            "write a policy for each hook, `ingress` and `egress`; rules that both share can stand in a `group`"
                .to_owned()
        }
        (None, _) => "write `ingress` or `egress`".to_owned(),
    };
    cx.report(Diagnostic::new(&UNKNOWN_HOOK, span, format!("there is no hook `{text}`")).help(help));
    Hook::Ingress
}

/// Adds the zones that only rules name, in the order of the rules.
fn add_passes<'a>(scope: &mut Scope<'a>, cx: &mut Cx<'a>) {
    let from_header = scope.passes.len();
    for placed in &scope.flat.rules {
        let from = placed.rule.matches.iter().filter_map(|part| match part.kind {
            MatchKind::FromZone(span) => Some(span),
            _ => None,
        });
        let recorded = placed.rule.actions.iter().filter_map(|action| match &action.kind {
            ActionKind::Snat(nat) | ActionKind::Dnat(nat) | ActionKind::Masquerade(nat) => nat.zone,
            _ => None,
        });
        for span in from.chain(recorded) {
            if let Some(zone) = zones::peek(span, cx)
                && !scope.passes.contains(&zone)
            {
                scope.passes.push(zone);
            }
        }
    }
    // The one zone that rules name is the policy's zone; of several, none is.
    if from_header == 0 && scope.passes.len() == 1 {
        scope.home = Some(0);
    }
}

fn one_per_hook(scope: &Scope<'_>, at: Span, taken: &mut BTreeMap<(String, Hook), Span>, cx: &mut Cx<'_>) {
    for device in &scope.devices {
        let key = (device.clone(), scope.hook);
        if let Some(first) = taken.get(&key) {
            let message = format!("a second policy on `{device}` {}", scope.hook.word());
            let finding = Diagnostic::new(&DUPLICATE_ATTACH, at, message).because(*first, "the first is here");
            cx.report(finding.help("join the two policies, or take the device out of one of them"));
            return;
        }
        taken.insert(key, scope.span);
    }
}

fn bare_scope<'a>(span: Span, first: Span, items: Vec<&'a Item>, alone: bool, cx: &mut Cx<'a>) -> Scope<'a> {
    let attach = cx.options.bare.clone();
    if attach.is_none() && alone {
        let finding = Diagnostic::new(&NO_ATTACH_POINT, first, "a rule outside any policy, and no device to put it on");
        cx.report(finding.help("add `--on DEV --hook ingress` to the command, or write `policy NAME on DEV ingress { ... }` around the rules"));
    }
    // Without an attach point nothing is known of zones, so nothing is said about them.
    let loose = attach.is_none();
    let attach = attach.unwrap_or(BareAttach { devices: Vec::new(), hook: Hook::Ingress, zone: None });
    let mut devices: Vec<String> = attach.devices.iter().flat_map(|name| bare_device(name, first, cx)).collect();
    devices.sort();
    devices.dedup();
    let flat = flatten::policy(items.into_iter(), cx);
    let passes: Vec<u16> = attach.zone.into_iter().collect();
    let home = passes.len().checked_sub(1);
    let mut scope = Scope { name: "", span, devices, hook: attach.hook, passes, home, bare: true, loose, flat };
    add_passes(&mut scope, cx);
    if loose && scope.passes.is_empty() {
        scope.passes.push(0);
        scope.home = Some(0);
    }
    scope
}

/// The devices behind a name of the command line.
fn bare_device(name: &str, at: Span, cx: &mut Cx<'_>) -> Vec<String> {
    if let Found::Value(value) = names::lookup(DefineKind::Interface, name, at, cx)
        && let Value::Interface(devices) = &*value
    {
        return devices.names.iter().cloned().collect();
    }
    if !devices::is_valid(name) {
        let message = format!(
            "`--on {name}`: a device's name has at most {IFNAME_MAX} characters, none of them `/`, `:` or a blank"
        );
        let help = "write the name as `ip link` shows it, and several as `--on eth0,eth1`";
        cx.report(Diagnostic::new(&devices::BAD_DEVICE_NAME, at, message).help(help));
    } else if devices::means_all(name) {
        let message = format!("`--on {name}`: `{name}` is no device");
        cx.report(Diagnostic::new(&devices::BAD_DEVICE_NAME, at, message).help("list the devices: `--on eth0,eth1`"));
    }
    vec![name.to_owned()]
}
