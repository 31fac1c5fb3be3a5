//! A rule's actions: which may stand together, and what they ask for.

use std::sync::Arc;

use super::alts::Excluded;
use super::draft::Draft;
use super::rule::{Place, Stage};
use super::states::{self, STATE_IN_PREFILTER};
use super::{Cx, bits, catalogue, devices, limit, names, nat, words, zones};
use crate::diag::Diagnostic;
use crate::field::{Cond, Conds, Field};
use crate::ir::policy::{Actions, Helper, Link, NatSide, Out, Rule};
use crate::parse::ast::{self, Action, ActionKind, Verdict};
use crate::source::Span;

crate::declare_lints! {
    /// An action that its verdict does not take.
    pub ACTION_AGAINST_VERDICT: Error = "action-against-verdict", "an action that the rule's verdict does not take",
        "A dropped packet is not translated, marked or sent elsewhere; `drop` takes `limit` (drop only the excess) and `mirror`. `continue` \
         takes `set`, `limit` and `mirror`: it commits nothing, because a connection that a later rule drops would let the other side in. \
         `allow stateless` stores nothing except by `commit zone`.\n\nExample:\n\n    continue tcp, commit force\n\n\
         Remedy: use another verdict, or take the action out.";
    /// One action twice.
    pub REPEATED_ACTION: Error = "repeated-action", "one action twice in a rule",
        "Only the last would count, or both would fight.\n\nExample:\n\n    allow tcp, set mark 1, set mark 2\n\n\
         Remedy: keep one of the two; several `mirror to` are fine.";
    /// A helper without its protocol.
    pub HELPER_WITHOUT_PROTOCOL: Error = "helper-without-protocol", "a helper on packets that it cannot read",
        "A helper reads the control traffic of one protocol over TCP or UDP, and some only over IPv4.\n\nExample:\n\n    \
         allow new to port ftp, helper ftp\n\nRemedy: name the protocol: `allow new tcp to port ftp, helper ftp`.";
}

/// What the actions of a rule come to, before the alternatives are known.
#[derive(Default)]
pub struct Read {
    /// The actions.
    pub actions: Actions,
    /// IP versions that a translation's addresses rule out.
    pub excluded: Excluded,
    /// What must still be looked at when the alternatives are known.
    pub asked: Asked,
}

/// Conditions on the alternatives.
#[derive(Default)]
pub struct Asked {
    /// `helper`
    pub helper: Option<(&'static catalogue::Helper, Span)>,
    /// `dnat ... port`
    pub ports: Option<Span>,
    /// Translations: zone, side, and where.
    pub translations: Vec<(u16, NatSide, Span)>,
}

fn takes(verdict: Verdict, kind: &ActionKind) -> bool {
    use ActionKind as A;
    match verdict {
        Verdict::Allow => true,
        Verdict::AllowStateless => {
            matches!(kind, A::Limit { .. } | A::Mirror(_) | A::Redirect(_) | A::Clear | A::CommitZone(_) | A::Nat)
        }
        Verdict::Drop => matches!(kind, A::Limit { .. } | A::Mirror(_)),
        Verdict::Continue => matches!(kind, A::Limit { .. } | A::Mirror(_) | A::SetMark(_) | A::SetLabel(_)),
    }
}

fn refusal(verdict: Verdict, words: &str, span: Span, kind: &ActionKind) -> Diagnostic {
    let (why, help) = match (verdict, kind) {
        (Verdict::Drop, _) => {
            ("a dropped packet goes nowhere: `drop` takes `limit` and `mirror`", "use `allow`, or take the action out")
        }
        (Verdict::Continue, ActionKind::Redirect(_)) => {
            ("`continue` goes on with the next rule", "use `mirror to` for a copy, or `allow`")
        }
        (Verdict::Continue, _) => (
            "`continue` takes `set`, `limit` and `mirror`, and commits nothing",
            "put it on the rule that allows the packet",
        ),
        _ => ("`allow stateless` stores nothing", "use `allow`, or take `stateless` out"),
    };
    Diagnostic::new(&ACTION_AGAINST_VERDICT, span, format!("{words} cannot stand here: {why}")).help(help)
}

/// Reads all actions; `None` after reporting.
pub fn read(
    rule: &ast::Rule,
    zone: Option<u16>,
    place: &Place<'_, '_>,
    draft: &mut Draft,
    cx: &mut Cx<'_>,
) -> Option<Read> {
    let mut read = Read::default();
    let mut sound = true;
    for (index, action) in rule.actions.iter().enumerate() {
        let earlier = rule.actions.get(..index).unwrap_or_default();
        sound &= legal(rule, action, earlier, place, cx) && one(action, zone, place, draft, &mut read, cx).is_some();
    }
    sound.then_some(read)
}

/// Looks for mistakes in one action of a rule that could not be read as a whole.
pub fn alone(action: &Action, place: &Place<'_, '_>, cx: &mut Cx<'_>) {
    one(action, place.scope.home_zone(), place, &mut Draft::default(), &mut Read::default(), cx);
}

fn legal(rule: &ast::Rule, action: &Action, earlier: &[Action], place: &Place<'_, '_>, cx: &mut Cx<'_>) -> bool {
    let verdict = rule.verdict;
    if !takes(verdict.node, &action.kind) {
        let finding = refusal(verdict.node, &cx.quote(action.span), action.span, &action.kind);
        cx.report(finding.because(verdict.span, "because of this verdict"));
        return false;
    }
    let stateless = matches!(action.kind, ActionKind::Limit { .. } | ActionKind::Mirror(_) | ActionKind::Redirect(_));
    let names_zone = match &action.kind {
        ActionKind::Snat(nat) | ActionKind::Dnat(nat) | ActionKind::Masquerade(nat) => nat.zone.is_some(),
        _ => false,
    };
    if !stateless && place.stage == Stage::Prefilter {
        let message = format!("{} needs conntrack, which comes after `prefilter`", cx.quote(action.span));
        cx.report(
            Diagnostic::new(&STATE_IN_PREFILTER, action.span, message).help("move the rule below the `prefilter`"),
        );
        return false;
    }
    if !stateless && !names_zone && !states::available(action.span, place, cx) {
        return false;
    }
    // Translations are compared by zone, and copies may go to several devices.
    let several = matches!(
        action.kind,
        ActionKind::Mirror(_)
            | ActionKind::CommitZone(_)
            | ActionKind::Snat(_)
            | ActionKind::Dnat(_)
            | ActionKind::Masquerade(_)
    );
    let same = |other: &&Action| std::mem::discriminant(&other.kind) == std::mem::discriminant(&action.kind);
    if let Some(first) = earlier.iter().find(same).filter(|_| !several) {
        let finding = Diagnostic::new(
            &REPEATED_ACTION,
            action.span,
            format!("{} is a second one of its kind", cx.quote(action.span)),
        );
        cx.report(finding.because(first.span, "the first is here").help("keep one of the two"));
        return false;
    }
    true
}

fn one(
    action: &Action,
    zone: Option<u16>,
    place: &Place<'_, '_>,
    draft: &mut Draft,
    read: &mut Read,
    cx: &mut Cx<'_>,
) -> Option<()> {
    let span = action.span;
    if !matches!(action.kind, ActionKind::Limit { .. } | ActionKind::Mirror(_) | ActionKind::Redirect(_)) {
        draft.ip_only.get_or_insert(span);
    }
    let actions = &mut read.actions;
    match &action.kind {
        ActionKind::Snat(written) | ActionKind::Dnat(written) | ActionKind::Masquerade(written) => {
            return nat::read(action, written, zone, place, read, cx);
        }
        ActionKind::Nat => {
            cx.translating.extend(zone);
        }
        ActionKind::SetMark(word) => actions.set_mark = Some(bits::mark(*word, cx)?),
        ActionKind::SetLabel(word) => actions.set_label = Some(bits::label(*word, cx)?),
        ActionKind::CommitForce => actions.force = true,
        ActionKind::CommitZone(word) => {
            let zone = zones::zone(*word, cx)?;
            if actions.commit_zones.contains(&zone) {
                let message = format!("{} is a second one of its kind", cx.quote(span));
                cx.report(Diagnostic::new(&REPEATED_ACTION, span, message).help("keep one of the two"));
                return None;
            }
            actions.commit_zones.push(zone);
        }
        ActionKind::Clear => actions.clear = true,
        ActionKind::Redirect(out) => actions.redirect = Some(device(out, cx)?),
        ActionKind::Mirror(out) => actions.mirror.push(device(out, cx)?),
        ActionKind::Limit { rate, burst } => actions.limit = Some(limit::read(*rate, *burst, cx)?),
        ActionKind::Helper(word) => read.asked.helper = Some((helper(*word, cx)?, span)),
    }
    Some(())
}

fn device(out: &ast::Out, cx: &mut Cx<'_>) -> Option<Out> {
    Some(Out { device: devices::single(out.device, cx)?, ingress: out.ingress })
}

fn helper(span: Span, cx: &mut Cx<'_>) -> Option<&'static catalogue::Helper> {
    let text = cx.text(span);
    let known = catalogue::HELPERS.iter().find(|helper| helper.name == text);
    if known.is_none() {
        let all: Vec<&str> = catalogue::HELPERS.iter().map(|helper| helper.name).collect();
        let near = words::nearest(text, all.iter().copied()).map(words::did_you_mean);
        let finding = Diagnostic::new(&names::UNKNOWN_NAME, span, format!("no helper is called `{text}`"));
        cx.report(finding.help(near.unwrap_or_else(|| format!("the helpers are `{}`", all.join("`, `")))));
    }
    known
}

/// The protocols of a rule's alternatives; `None` stands for any.
fn protocols(rule: &Rule) -> Vec<Option<u8>> {
    let of = |sets: &[(Field, Conds)]| match sets.iter().find(|(field, _)| *field == Field::IpProto) {
        Some((_, conds)) => conds
            .iter()
            .map(|cond| match cond {
                Cond::Bits { value, .. } => u8::try_from(*value).ok(),
                Cond::Range { .. } => None,
            })
            .collect(),
        None => vec![None],
    };
    let mut all: Vec<Option<u8>> = rule.alts.iter().flat_map(|alt| of(&alt.sets)).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Looks at what the actions ask of the alternatives, and leaves out translations of IP versions that the rule never sees.
pub fn finish(mut rule: Rule, asked: &Asked, cx: &mut Cx<'_>) -> Option<Rule> {
    let protocols = protocols(&rule);
    if let Some((helper, span)) = asked.helper {
        let helper = check_helper(helper, span, &rule, &protocols, cx)?;
        Arc::make_mut(&mut rule.actions).helper = Some(helper);
    }
    let with_ports =
        |protocol: &Option<u8>| protocol.is_some_and(|protocol| super::service::PORT_PROTOCOLS.contains(&protocol));
    if let Some(span) = asked.ports.filter(|_| !protocols.iter().all(with_ports)) {
        let finding = Diagnostic::new(
            &nat::NAT_PORT_WITHOUT_PROTOCOL,
            span,
            format!("{} needs `tcp`, `udp` or `sctp`", cx.quote(span)),
        );
        cx.report(finding.help("name the protocol among the matches, or take `port` out"));
        return None;
    }
    if !rule.actions.nat.is_empty() {
        let speaks = |link: Link| rule.alts.iter().any(|alt| alt.link == link);
        let (v4, v6) = (speaks(Link::Ip4), speaks(Link::Ip6));
        for (_, nat) in &mut Arc::make_mut(&mut rule.actions).nat {
            nat.v4 = nat.v4.filter(|_| v4);
            nat.v6 = nat.v6.filter(|_| v6);
        }
        nat::leave_out_where_never_new(&mut rule, &asked.translations, cx);
    }
    Some(rule)
}

fn check_helper(
    helper: &'static catalogue::Helper,
    span: Span,
    rule: &Rule,
    protocols: &[Option<u8>],
    cx: &mut Cx<'_>,
) -> Option<Helper> {
    let finding = |message: String| Diagnostic::new(&HELPER_WITHOUT_PROTOCOL, span, message);
    let name = |protocol: u8| {
        catalogue::PROTOCOLS.iter().find(|(_, known)| *known == protocol).map_or("tcp", |(name, _)| *name)
    };
    let reads: Vec<&str> = helper.protos.iter().map(|protocol| name(*protocol)).collect();
    match protocols {
        [Some(protocol)] if helper.protos.contains(protocol) => {
            if !helper.ip6 && rule.alts.iter().any(|alt| alt.link == Link::Ip6) {
                let message = format!("the helper `{}` reads IPv4 only", helper.name);
                cx.report(finding(message).help("add `ip` to the rule's matches"));
                return None;
            }
            Some(Helper { name: helper.kernel.to_owned(), proto: *protocol })
        }
        _ => {
            let message = format!("the helper `{}` reads `{}` only", helper.name, reads.join("` or `"));
            let first = reads.first().copied().unwrap_or("tcp");
            let help = if reads.len() > 1 {
                "write a rule for each protocol".to_owned()
            } else {
                format!("add `{first}` to the rule's matches")
            };
            cx.report(finding(message).help(help));
            None
        }
    }
}
