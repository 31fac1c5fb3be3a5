//! Rules, matches and actions: from pairs to the tree.

use super::ast::{
    Action, ActionKind, DefaultRule, End, Icmp, Match, MatchKind, Nat, Out, Rule as RuleNode, Set, Verdict,
};
use super::grammar::{At, Pair, Rule};
use super::set::set;
use crate::source::{Span, Spanned};

/// `VERDICT match match ..., action, action ...`
pub fn rule(pair: Pair<'_>, at: At) -> Option<RuleNode> {
    let mut inner = pair.into_inner();
    let verdict = verdict(inner.next()?, at)?;
    // Nearly all parts of nearly all rules are matches.
    let matches = Vec::with_capacity(inner.len());
    let mut rule = RuleNode { annotations: Vec::new(), verdict, matches, actions: Vec::new() };
    parts(inner, at, &mut rule.matches, &mut rule.actions)?;
    Some(rule)
}

/// `default allow`, `default drop`
pub fn default_rule(pair: Pair<'_>, at: At) -> Option<DefaultRule> {
    let mut inner = pair.into_inner();
    let allow = inner.find(|word| matches!(word.as_rule(), Rule::ALLOW | Rule::DROP_WORD))?.as_rule() == Rule::ALLOW;
    let mut rule = DefaultRule { allow, matches: Vec::new(), actions: Vec::new(), annotations: Vec::new() };
    parts(inner, at, &mut rule.matches, &mut rule.actions)?;
    Some(rule)
}

/// Matches and actions, in order.
pub fn parts<'a>(
    pairs: impl Iterator<Item = Pair<'a>>,
    at: At,
    matches: &mut Vec<Match>,
    actions: &mut Vec<Action>,
) -> Option<()> {
    let mut in_actions = false;
    for pair in pairs {
        if pair.as_rule() == Rule::COMMA {
            in_actions = true;
        } else if in_actions {
            actions.push(Action { span: at.span(&pair), kind: action(pair, at)? });
        } else {
            matches.push(Match { span: at.span(&pair), kind: match_kind(pair, at)? });
        }
    }
    // There may be very many rules: none keeps room that it does not use.
    matches.shrink_to_fit();
    actions.shrink_to_fit();
    Some(())
}

fn verdict(pair: Pair<'_>, at: At) -> Option<Spanned<Verdict>> {
    let span = at.span(&pair);
    let mut inner = pair.into_inner();
    let node = match (inner.next()?.as_rule(), inner.next().is_some()) {
        (Rule::ALLOW, false) => Verdict::Allow,
        (Rule::ALLOW, true) => Verdict::AllowStateless,
        (Rule::DROP_WORD, _) => Verdict::Drop,
        _ => Verdict::Continue,
    };
    Some(Spanned::new(node, span))
}

/// What one match matches.
pub fn match_kind(pair: Pair<'_>, at: At) -> Option<MatchKind> {
    let kind = pair.as_rule();
    Some(match kind {
        Rule::words => MatchKind::Words(set(pair, at)),
        Rule::end => MatchKind::End(end(pair, at)?),
        Rule::icmp => MatchKind::Icmp(icmp(pair, at)?),
        Rule::from_zone => MatchKind::FromZone(at.span(&pair.into_inner().last()?)),
        _ => {
            // A keyword (two for `tcp flags`), then its set.
            let values = set(pair.into_inner().last()?, at);
            match kind {
                Rule::tcp_flags => MatchKind::TcpFlags(values),
                Rule::proto => MatchKind::Proto(values),
                Rule::ethertype => MatchKind::EtherType(values),
                Rule::service => MatchKind::Service(values),
                Rule::bare_port => MatchKind::BarePort(values),
                Rule::arrival => MatchKind::In(values),
                Rule::mark => MatchKind::Mark(values),
                Rule::label => MatchKind::Label(values),
                Rule::dscp => MatchKind::Dscp(values),
                Rule::ttl => MatchKind::Ttl(values),
                Rule::vlan => MatchKind::Vlan(values),
                Rule::fragment => MatchKind::Fragment(values),
                _ => return None,
            }
        }
    })
}

/// `from ...`, `to ...`; a second `port`, `mac` or address does not parse into one end.
fn end(pair: Pair<'_>, at: At) -> Option<End> {
    let mut end = End { to: false, addr: None, mac: None, port: None };
    for inner in pair.into_inner() {
        let slot = match inner.as_rule() {
            Rule::TO => {
                end.to = true;
                continue;
            }
            Rule::end_port => &mut end.port,
            Rule::end_mac => &mut end.mac,
            Rule::set => &mut end.addr,
            _ => continue,
        };
        let values = if inner.as_rule() == Rule::set { inner } else { inner.into_inner().last()? };
        if slot.replace(set(values, at)).is_some() {
            return None;
        }
    }
    Some(end)
}

fn icmp(pair: Pair<'_>, at: At) -> Option<Icmp> {
    let mut v6 = false;
    let mut types: Option<Set> = None;
    let mut codes = None;
    for inner in pair.into_inner() {
        match inner.as_rule() {
            Rule::ICMP => v6 = inner.as_str() == "icmp6",
            Rule::icmp_types | Rule::loose_set => types = Some(set(inner, at)),
            Rule::set => codes = Some(set(inner, at)),
            _ => {}
        }
    }
    Some(Icmp { v6, types: types?, codes })
}

/// What one action does.
pub fn action(pair: Pair<'_>, at: At) -> Option<ActionKind> {
    let kind = pair.as_rule();
    Some(match kind {
        Rule::snat => ActionKind::Snat(nat(pair, at)?),
        Rule::dnat => ActionKind::Dnat(nat(pair, at)?),
        Rule::masquerade => ActionKind::Masquerade(nat(pair, at)?),
        Rule::nat => ActionKind::Nat,
        Rule::commit_force => ActionKind::CommitForce,
        Rule::clear => ActionKind::Clear,
        Rule::limit => {
            let (mut rate, mut burst) = (None, None);
            for inner in pair.into_inner() {
                match inner.as_rule() {
                    Rule::value => rate = Some(at.span(&inner)),
                    Rule::burst => burst = Some(value(inner, at)?),
                    _ => {}
                }
            }
            ActionKind::Limit { rate: rate?, burst }
        }
        Rule::redirect => ActionKind::Redirect(out(pair, at)?),
        Rule::mirror => ActionKind::Mirror(out(pair, at)?),
        Rule::set_mark => ActionKind::SetMark(value(pair, at)?),
        Rule::set_label => ActionKind::SetLabel(value(pair, at)?),
        Rule::commit_zone => ActionKind::CommitZone(value(pair, at)?),
        Rule::helper => ActionKind::Helper(value(pair, at)?),
        _ => return None,
    })
}

/// The one value among a pair's parts.
pub fn value(pair: Pair<'_>, at: At) -> Option<Span> {
    pair.into_inner().find(|inner| inner.as_rule() == Rule::value).map(|inner| at.span(&inner))
}

/// `snat POOL`, `port P` and `in zone Z`; each at most once.
fn nat(pair: Pair<'_>, at: At) -> Option<Nat> {
    let mut nat = Nat { pool: None, port: None, zone: None };
    for inner in pair.into_inner() {
        let (slot, span) = match inner.as_rule() {
            Rule::value => (&mut nat.pool, at.span(&inner)),
            Rule::nat_port => (&mut nat.port, value(inner, at)?),
            Rule::nat_zone => (&mut nat.zone, value(inner, at)?),
            _ => continue,
        };
        if slot.replace(span).is_some() {
            return None;
        }
    }
    Some(nat)
}

fn out(pair: Pair<'_>, at: At) -> Option<Out> {
    let ingress = pair.clone().into_inner().any(|inner| inner.as_rule() == Rule::INGRESS);
    Some(Out { device: value(pair, at)?, ingress })
}
