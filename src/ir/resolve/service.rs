//! Services: protocols with their destination ports.

use super::names::{self, Found, Value};
use super::number::{MALFORMED_VALUE, PORTS};
use super::sets::Domain;
use super::{Cx, catalogue, unknown};
use crate::abi::ipproto;
use crate::diag::Diagnostic;
use crate::field::value::Intervals;
use crate::parse::ast::DefineKind;
use crate::source::Span;

/// The protocols that have ports, in the order of [`ServiceSet::ports`].
pub const PORT_PROTOCOLS: [u8; 3] = [ipproto::TCP, ipproto::UDP, ipproto::SCTP];

/// Protocols with their destination ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSet {
    /// Destination ports of TCP, UDP, SCTP.
    pub ports: [Intervals; 3],
    /// Whether all other protocols are in it (after `not`).
    pub others: bool,
}

impl ServiceSet {
    /// The ports that belong to a protocol; `None` for one without ports.
    #[must_use]
    pub fn ports_of(&self, protocol: u8) -> Option<&Intervals> {
        PORT_PROTOCOLS.iter().zip(&self.ports).find(|(known, _)| **known == protocol).map(|(_, ports)| ports)
    }

    fn map2(a: &Self, b: &Self, ports: impl Fn(&Intervals, &Intervals) -> Intervals) -> [Intervals; 3] {
        let [a0, a1, a2] = &a.ports;
        let [b0, b1, b2] = &b.ports;
        [ports(a0, b0), ports(a1, b1), ports(a2, b2)]
    }

    fn of(protocol: u8, interval: &Intervals) -> Option<Self> {
        let mut set = Self::default();
        let slot = PORT_PROTOCOLS.iter().position(|known| *known == protocol)?;
        *set.ports.get_mut(slot)? = interval.clone();
        Some(set)
    }
}

/// The kind of set that services are in.
pub struct Services;

impl Services {
    /// `udp/53`
    fn pair(protocol: &str, port: &str, span: Span, cx: &mut Cx<'_>) -> Option<ServiceSet> {
        let Some(number) = catalogue::find_protocol(protocol).filter(|number| PORT_PROTOCOLS.contains(number)) else {
            let message = format!("a service is of `tcp`, `udp` or `sctp`, not of `{protocol}`");
            cx.report(Diagnostic::new(&MALFORMED_VALUE, span, message).help("services are written `udp/53`"));
            return None;
        };
        // The port stands at the end of the word.
        let length = u32::try_from(port.len()).ok()?;
        let ports = PORTS.word(Span { lo: span.hi - length, hi: span.hi }, cx)?;
        ServiceSet::of(number, &ports)
    }
}

impl Domain for Services {
    type Value = ServiceSet;

    fn word(&self, span: Span, cx: &mut Cx<'_>) -> Option<ServiceSet> {
        let text = cx.text(span);
        if let Some((protocol, port)) = text.split_once('/') {
            return Self::pair(protocol, port, span, cx);
        }
        match names::lookup(DefineKind::Service, text, span, cx) {
            Found::Value(value) => match &*value {
                Value::Service(service) => Some(service.clone()),
                _ => None,
            },
            Found::Failed => None,
            Found::Nothing => {
                let Some(service) = catalogue::find_service(text) else {
                    unknown::report_unknown(DefineKind::Service, span, cx);
                    return None;
                };
                let parts = service.ports.iter().filter_map(|(protocol, lo, hi)| {
                    ServiceSet::of(*protocol, &Intervals::one((*lo).into(), (*hi).into()))
                });
                Some(self.union(parts.collect()))
            }
        }
    }

    fn union(&self, parts: Vec<ServiceSet>) -> ServiceSet {
        parts.into_iter().fold(ServiceSet::default(), |all, part| ServiceSet {
            ports: ServiceSet::map2(&all, &part, |a, b| PORTS.union(vec![a.clone(), b.clone()])),
            others: all.others || part.others,
        })
    }

    fn intersect(&self, a: &ServiceSet, b: &ServiceSet) -> ServiceSet {
        ServiceSet { ports: ServiceSet::map2(a, b, Intervals::intersect), others: a.others && b.others }
    }

    fn complement(&self, value: &ServiceSet) -> ServiceSet {
        ServiceSet {
            ports: ServiceSet::map2(value, value, |ports, _| ports.complement(PORTS.bits)),
            others: !value.others,
        }
    }

    fn is_empty(&self, value: &ServiceSet) -> bool {
        !value.others && value.ports.iter().all(Intervals::is_empty)
    }
}
