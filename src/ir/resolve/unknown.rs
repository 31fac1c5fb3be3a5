//! Names that nothing defines, and definitions that nothing uses.

use super::names::{KINDS, State, UNKNOWN_NAME, UNUSED_DEFINITION, Value, noun};
use super::{Cx, catalogue, words};
use crate::diag::Diagnostic;
use crate::parse::ast::DefineKind;
use crate::source::Span;

/// The known name nearest to a mistyped one.
pub fn suggestion<'a>(kind: DefineKind, text: &str, cx: &Cx<'a>) -> Option<&'a str> {
    let own = cx.names.index.keys().filter(|(known, _)| *known == kind).map(|(_, name)| *name);
    let built_in = matches!(kind, DefineKind::Port | DefineKind::Service);
    let catalogue = catalogue::SERVICES.iter().filter(|_| built_in).map(|service| service.name);
    words::nearest(text, own.chain(catalogue))
}

/// Reports a name that nothing defines, with the nearest one.
pub fn report_unknown(kind: DefineKind, span: Span, cx: &mut Cx<'_>) {
    if cx.names.blind {
        return;
    }
    let text = cx.text(span);
    let mut finding = Diagnostic::new(&UNKNOWN_NAME, span, format!("no {} is called `{text}`", noun(kind)));
    let elsewhere = KINDS.iter().find_map(|(noun, other)| Some((noun, cx.names.index.get(&(*other, text))?)));
    if let Some((noun, def)) = elsewhere.and_then(|(noun, index)| Some((noun, cx.names.defs.get(*index)?))) {
        finding = finding.because(def.span, format!("this is a {noun}"));
    }
    let zone_meant = kind == DefineKind::Net && cx.names.index.contains_key(&(DefineKind::Zone, text));
    finding = match suggestion(kind, text, cx) {
        _ if zone_meant => finding.help(format!("write `from zone {text}` for the zone")),
        Some(near) => finding.help(words::did_you_mean(near)),
        None => finding.help(other_kind(kind, text, cx).unwrap_or_else(|| define(kind, text))),
    };
    cx.report(finding);
}

/// The remedy where nothing is near: the definition to write.
fn define(kind: DefineKind, text: &str) -> String {
    let value = match kind {
        DefineKind::Interface => "DEVICE",
        DefineKind::Zone => "7",
        DefineKind::Net => "10.0.0.0/24",
        DefineKind::Port => "8080",
        DefineKind::Service => "tcp/8080",
    };
    format!("define it, as in `{} {text} = {value}`", noun(kind))
}

/// The remedy where a protocol and a port stand for a port: `tcp/80`, `80/tcp`.
pub fn pair(text: &str) -> Option<String> {
    let (a, b) = text.split_once('/')?;
    let (protocol, port) = if a.starts_with(|c: char| c.is_ascii_digit()) { (b, a) } else { (a, b) };
    let help = format!("write `{protocol} to port {port}`, or `service {protocol}/{port}`");
    matches!(protocol, "tcp" | "udp" | "sctp").then_some(help)
}

/// The remedy where the word is one of another kind: a port among addresses, a pair among ports.
fn other_kind(kind: DefineKind, text: &str, cx: &Cx<'_>) -> Option<String> {
    let port = cx.names.index.contains_key(&(DefineKind::Port, text)) || catalogue::find_service(text).is_some();
    let service = cx.names.index.contains_key(&(DefineKind::Service, text));
    match (kind, pair(text)) {
        (DefineKind::Port, _) if matches!(text, "any" | "all") => {
            Some(format!("leave `port {text}` out: without it every port is meant"))
        }
        (DefineKind::Net, _) if matches!(text, "src" | "dst" | "source" | "destination") => {
            Some(format!("leave `{text}` out: `from` and `to` say which end is meant"))
        }
        (DefineKind::Port, Some(help)) => Some(help),
        (DefineKind::Net | DefineKind::Port, _) if service => {
            Some(format!("a service is a match of its own: `service {text}`"))
        }
        (DefineKind::Net, _) if port => Some(format!("a port stands behind `port`: `to port {text}`")),
        (DefineKind::Service, _) if text.starts_with(|c: char| c.is_ascii_digit()) => {
            Some(format!("a service is a protocol and a port: `tcp/{text}` or `udp/{text}`"))
        }
        (DefineKind::Service, _) if port => Some(format!("write `to port {text}` for the port")),
        _ => None,
    }
}

/// Names of interfaces, and whether some interface holds the device of this name.
pub fn interfaces<'a>(device: &str, cx: &Cx<'a>) -> (Vec<&'a str>, bool) {
    let own = cx.names.defs.iter().filter(|def| def.kind == DefineKind::Interface);
    let known = own.clone().any(|def| match &def.state {
        State::Done(Some(value)) => matches!(&**value, Value::Interface(devices) if devices.names.contains(device)),
        _ => false,
    });
    (own.map(|def| def.name).collect(), known)
}

/// Warns of definitions and groups of the entry file that nothing uses. Where there are errors it stays silent: a rule with a mistake may
/// be what uses them.
pub fn report_unused(cx: &mut Cx<'_>) {
    if !cx.names.has_rules || cx.diags.has_errors() {
        return;
    }
    let defs = cx.names.defs.iter().filter(|def| def.own && !def.used).map(|def| (noun(def.kind), def.name, def.span));
    let groups = cx
        .names
        .groups
        .iter()
        .filter(|(_, group)| group.own && !group.used)
        .map(|(name, group)| ("group", *name, group.span));
    let unused: Vec<_> = defs.chain(groups).collect();
    for (noun, name, span) in unused {
        let message = format!("nothing uses the {noun} `{name}`");
        cx.report(Diagnostic::new(&UNUSED_DEFINITION, span, message).help("use it, or delete it"));
    }
}
