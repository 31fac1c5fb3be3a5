//! Random policies, as the resolver would hand them on: small universes, so that rules meet each other.

use std::sync::Arc;

use ctpolicy::abi::{eth, ipproto};
use ctpolicy::field::{Cond, Conds, Field};
use ctpolicy::ir::packet::device_value;
use ctpolicy::ir::policy::{
    Actions, Alt, Attach, Helper, Hook, Limit, Link, Nat, NatBits, NatSide, Out, Policy, Rule, RuleInfo, State,
    StateSet, Verdict,
};
use ctpolicy::source::Span;

use crate::rng::Rng;

pub const DEVICES: [&str; 4] = ["eth0", "eth1", "tap9", "wlan0"];
pub const VLANS: [u16; 3] = [100, 200, 0];
pub const ETHERTYPES: [u16; 3] = [eth::P_ARP, 0x88cc, 0x8035];
/// 1 to 3 may be passes, 9 never is.
pub const ZONES: [u16; 4] = [1, 2, 3, 9];
const PORT_PROTOS: [u8; 3] = [ipproto::TCP, ipproto::UDP, ipproto::SCTP];
const RESERVED: u32 = 0xc000_0000;

fn bits(value: u128, mask: u128) -> Cond {
    Cond::Bits { value: value & mask, mask }
}

fn prefix(address: &str, length: u32) -> Cond {
    match address.parse().unwrap() {
        std::net::IpAddr::V4(v4) => bits(u32::from(v4).into(), u128::from(u32::MAX) << (32 - length) & 0xffff_ffff),
        std::net::IpAddr::V6(v6) => bits(u128::from(v6), if length == 0 { 0 } else { u128::MAX << (128 - length) }),
    }
}

/// Conditions that the universe holds for a field.
pub fn conds(field: Field) -> Vec<Cond> {
    let exact = |values: &[u128]| values.iter().map(|value| Cond::exact(field, *value)).collect::<Vec<_>>();
    match field {
        Field::Ipv4Src | Field::Ipv4Dst => vec![
            prefix("10.0.0.1", 32),
            prefix("10.0.0.0", 24),
            prefix("10.0.0.0", 8),
            prefix("203.0.113.2", 32),
            prefix("0.0.0.0", 8),
            prefix("128.0.0.0", 1),
        ],
        Field::Ipv6Src | Field::Ipv6Dst => vec![
            prefix("2001:db8::1", 128),
            prefix("2001:db8::", 64),
            prefix("2001:db8::", 32),
            prefix("fe80::", 10),
            prefix("::", 96),
        ],
        Field::SrcPort | Field::DstPort => {
            let mut list = exact(&[0, 22, 80, 443, 65535]);
            list.extend([(0, 1023), (1024, 65535), (80, 443), (8000, 8080)].map(|(lo, hi)| Cond::Range { lo, hi }));
            list.extend([bits(0, 0xfc00), bits(8000, 0xffc0)]);
            list
        }
        Field::IcmpType => exact(&[0, 3, 8, 128, 133, 135, 143]),
        Field::IcmpCode => exact(&[0, 4]),
        Field::TcpFlags => vec![bits(2, 0x17), bits(3, 3), bits(0, 0xfff), bits(0, 2)],
        Field::IpTos => vec![bits(0x88, 0xfc), bits(0, 0xfc)],
        Field::IpTtl => exact(&[0, 1, 64]),
        Field::IpFlags => vec![bits(0, 1), bits(1, 1), bits(3, 3), bits(1, 3)],
        Field::EthSrc | Field::EthDst => {
            vec![bits(0x0200_0000_0001, 0xffff_ffff_ffff), bits(0x0200_0000_0000, 0xffff_0000_0000), bits(0, 1 << 40)]
        }
        Field::InDev => DEVICES.iter().map(|name| Cond::exact(field, device_value(name))).collect(),
        Field::CtMark => vec![bits(0x333, 0x3fff_ffff), bits(1, 0xff), bits(0, 0x300), bits(0, 0x3fff_ffff)],
        Field::CtLabel => vec![bits(0x10, u128::MAX), bits(0, 0xff00), bits(1 << 127, 1 << 127)],
        _ => Vec::new(),
    }
}

/// Which places a rule may stand in: what it may say depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Prefilter,
    Untracked,
    Tracked,
}

struct Maker<'a> {
    rng: &'a mut Rng,
    nat_bits_used: bool,
    next: u32,
}

/// A policy with one or two blocks.
pub fn policy(rng: &mut Rng) -> Policy {
    let nat_bits_used = rng.chance(40);
    let mut maker = Maker { rng, nat_bits_used, next: 1 };
    let count = if maker.rng.chance(20) { 2 } else { 1 };
    let attaches: Vec<Attach> = (0..count).map(|index| maker.attach(index)).collect();
    let nats = attaches.iter().flat_map(|attach| &attach.rules).flat_map(|rule| &rule.actions.nat);
    let mut translating: std::collections::BTreeSet<u16> = nats.map(|(zone, _)| *zone).collect();
    translating.extend(ZONES.into_iter().filter(|_| rng.chance(15)));
    Policy { attaches, nat_bits: NatBits::default(), nat_bits_used, translating, asserts: Vec::new() }
}

/// What is said of a rule of this number.
pub fn info(ident: u32) -> RuleInfo {
    RuleInfo {
        span: Span::default(),
        policy: "p".into(),
        position: ident as usize,
        said: Some(format!("rule {ident}").leak()),
        annotations: Vec::new(),
        ident,
        meaning: u64::from(ident) << 32,
    }
}

impl Maker<'_> {
    fn info(&mut self) -> RuleInfo {
        let ident = self.next;
        self.next += 1;
        RuleInfo { meaning: self.rng.next(), ..info(ident) }
    }

    fn attach(&mut self, index: usize) -> Attach {
        let passes = match self.rng.below(10) {
            0 | 1 => Vec::new(),
            2..=5 => vec![*self.rng.pick(&ZONES[..3])],
            6..=8 => distinct(self.rng, 2),
            _ => distinct(self.rng, 3),
        };
        let place = if passes.is_empty() { Place::Untracked } else { Place::Tracked };
        let prefilter = if self.rng.chance(40) { self.rng.between(1, 3) } else { 0 };
        let prefilter = (0..prefilter).map(|_| self.rule(Place::Prefilter, &passes)).collect();
        let rules = (0..self.rng.between(0, 7)).map(|_| self.rule(place, &passes)).collect();
        Attach {
            name: format!("p{index}"),
            span: Span::default(),
            devices: vec![DEVICES[index].to_owned()],
            hook: *self.rng.pick(&[Hook::Ingress, Hook::Egress]),
            passes,
            prefilter,
            rules,
            default: self.info(),
            default_allow: self.rng.chance(40),
        }
    }

    fn rule(&mut self, place: Place, passes: &[u16]) -> Rule {
        let verdict = match self.rng.below(20) {
            0..=9 => Verdict::Allow,
            10 | 11 if place == Place::Tracked => Verdict::AllowStateless,
            10..=16 => Verdict::Drop,
            _ => Verdict::Continue,
        };
        let mut rule = Rule {
            info: self.info(),
            verdict,
            pass: self.rng.below(passes.len().max(1)),
            states: StateSet::ALL,
            snat: None,
            dnat: None,
            mark: None,
            label: None,
            alts: Vec::new(),
            actions: self.plain_actions(verdict).into(),
        };
        // What the rule does may fix its family and its protocol.
        let mut links: Vec<Link> = vec![Link::Ip4, Link::Ip6];
        let mut proto = None;
        if place == Place::Tracked {
            rule.pass = self.rng.below(passes.len());
            self.state_words(&mut rule);
            self.state_actions(&mut rule, passes, &mut links, &mut proto);
        } else {
            rule.pass = 0;
        }
        if rule.states == StateSet::ALL && self.rng.chance(25) && is_stateless(&rule) {
            links.extend(ETHERTYPES.map(Link::Ether));
        }
        let vlan = self.rng.chance(15).then(|| self.rng.some(&VLANS, 2));
        rule.alts = (0..self.rng.between(1, 3)).map(|_| self.alt(place, &links, proto, vlan.clone())).collect();
        rule
    }

    fn plain_actions(&mut self, verdict: Verdict) -> Actions {
        let mut actions = Actions::default();
        if self.rng.chance(15) {
            actions.limit = Some(Limit::Packets { rate: 1000, burst: 100 });
        }
        if self.rng.chance(10) {
            actions.mirror.push(Out { device: "mon0".to_owned(), ingress: false });
        }
        if matches!(verdict, Verdict::Allow | Verdict::AllowStateless) {
            if self.rng.chance(15) {
                actions.redirect = Some(Out { device: "wlan0".to_owned(), ingress: self.rng.chance(50) });
            }
            actions.clear = self.rng.chance(10);
        }
        actions
    }

    fn state_words(&mut self, rule: &mut Rule) {
        if self.rng.chance(70) {
            rule.states = StateSet::of(&self.rng.some(&State::ALL[1..], 3));
            if self.rng.chance(20) {
                rule.states = rule.states.not().and(StateSet::TRACKED);
            }
        }
        if self.rng.chance(15) {
            rule.mark = Some(self.rng.some(&conds(Field::CtMark), 2));
        }
        if self.rng.chance(10) {
            rule.label = Some(self.rng.some(&conds(Field::CtLabel), 2));
        }
        if self.nat_bits_used && self.rng.chance(25) {
            rule.snat = Some(self.rng.chance(60));
        }
        if self.nat_bits_used && self.rng.chance(25) {
            rule.dnat = Some(self.rng.chance(60));
        }
    }

    /// What only rules after tracking may do.
    fn state_actions(&mut self, rule: &mut Rule, passes: &[u16], links: &mut Vec<Link>, proto: &mut Option<u8>) {
        let own = passes[rule.pass];
        let actions = Arc::make_mut(&mut rule.actions);
        let reserved = if self.nat_bits_used { RESERVED } else { 0 };
        if rule.verdict != Verdict::Drop && rule.verdict != Verdict::AllowStateless {
            if self.rng.chance(20) {
                let (value, mask) = *self.rng.pick(&[(0x333, u32::MAX), (1, 0xff), (0x300, 0x300), (0, 0xf)]);
                actions.set_mark = Some((value, mask & !reserved));
            }
            if self.rng.chance(10) {
                actions.set_label = Some(*self.rng.pick(&[(0x10, u128::MAX), (0x100, 0xff00), (1 << 127, 1 << 127)]));
            }
        }
        if rule.verdict == Verdict::AllowStateless && self.rng.chance(30) {
            let others: Vec<u16> = ZONES.into_iter().filter(|zone| *zone != own).collect();
            actions.commit_zones = self.rng.some(&others, 2);
        }
        if rule.verdict == Verdict::Allow {
            actions.force = self.rng.chance(8);
            if self.rng.chance(10) {
                let others: Vec<u16> = ZONES.into_iter().filter(|zone| *zone != own).collect();
                actions.commit_zones = self.rng.some(&others, 2);
            }
            if self.rng.chance(25) {
                let v6 = self.rng.chance(40);
                links.retain(|link| (*link == Link::Ip6) == v6);
                let mut zones: Vec<u16> = ZONES.into_iter().filter(|zone| *zone != own).collect();
                zones.insert(0, own);
                zones.truncate(if self.rng.chance(70) { 1 } else { 4 });
                for zone in self.rng.some(&zones, 2) {
                    actions.nat.push((zone, nat(self.rng, v6)));
                }
            }
            if self.rng.chance(8) {
                *proto = Some(ipproto::TCP);
                actions.helper = Some(Helper { name: "ftp".to_owned(), proto: ipproto::TCP });
            }
        }
        if !is_stateless(rule) {
            rule.states = rule.states.and(StateSet::TRACKED.and(StateSet::of(&[State::Invalid]).not()));
            if rule.states == StateSet::EMPTY {
                rule.states = StateSet::of(&[State::New]);
            }
        }
    }

    fn alt(&mut self, place: Place, links: &[Link], proto: Option<u8>, vlan: Option<Vec<u16>>) -> Alt {
        let link = *self.rng.pick(links);
        let mut sets = Vec::new();
        self.maybe(8, &[Field::InDev, Field::EthSrc, Field::EthDst], &mut sets);
        if let Link::Ip4 | Link::Ip6 = link {
            let icmp = if link == Link::Ip4 { ipproto::ICMP } else { ipproto::ICMPV6 };
            let proto = proto.or_else(|| {
                let any = [ipproto::TCP, ipproto::UDP, ipproto::SCTP, icmp, ipproto::GRE];
                self.rng.chance(60).then(|| *self.rng.pick(&any))
            });
            let (source, destination) =
                if link == Link::Ip4 { (Field::Ipv4Src, Field::Ipv4Dst) } else { (Field::Ipv6Src, Field::Ipv6Dst) };
            self.maybe(35, &[source, destination], &mut sets);
            self.maybe(7, &[Field::IpTos, Field::IpTtl], &mut sets);
            if place != Place::Tracked {
                self.maybe(12, &[Field::IpFlags], &mut sets);
            }
            if let Some(proto) = proto {
                sets.push((Field::IpProto, Cond::exact(Field::IpProto, proto.into()).into()));
                if PORT_PROTOS.contains(&proto) {
                    self.maybe(45, &[Field::SrcPort, Field::DstPort], &mut sets);
                }
                if proto == ipproto::TCP {
                    self.maybe(15, &[Field::TcpFlags], &mut sets);
                }
                if proto == icmp {
                    self.maybe(60, &[Field::IcmpType, Field::IcmpCode], &mut sets);
                }
            } else if self.rng.chance(20) {
                let some = self.rng.some(&[ipproto::TCP, ipproto::UDP, icmp, ipproto::ESP], 3);
                sets.push((Field::IpProto, some.into_iter().map(|p| Cond::exact(Field::IpProto, p.into())).collect()));
            }
        }
        sets.sort_by_key(|(field, _)| *field);
        let not_in = if self.rng.chance(6) { self.rng.some(&DEVICES, 2) } else { Vec::new() };
        Alt { link, vlan, not_in: not_in.into_iter().map(str::to_owned).collect(), sets }
    }

    fn maybe(&mut self, percent: usize, fields: &[Field], sets: &mut Vec<(Field, Conds)>) {
        for field in fields {
            if self.rng.chance(percent) {
                sets.push((*field, self.rng.some(&conds(*field), 3).into()));
            }
        }
    }
}

/// Whether the rule neither asks for nor stores anything of conntrack.
fn is_stateless(rule: &Rule) -> bool {
    let actions = &rule.actions;
    rule.mark.is_none()
        && rule.label.is_none()
        && rule.snat.is_none()
        && rule.dnat.is_none()
        && actions.nat.is_empty()
        && actions.set_mark.is_none()
        && actions.set_label.is_none()
        && !actions.force
        && actions.commit_zones.is_empty()
        && actions.helper.is_none()
}

fn distinct(rng: &mut Rng, count: usize) -> Vec<u16> {
    let mut zones = ZONES[..3].to_vec();
    (0..count).map(|_| zones.swap_remove(rng.below(zones.len()))).collect()
}

fn nat(rng: &mut Rng, v6: bool) -> Nat {
    let v4 = ("203.0.113.2".parse().unwrap(), "203.0.113.9".parse().unwrap());
    let range6 = ("2001:db8:7::2".parse().unwrap(), "2001:db8:7::9".parse().unwrap());
    Nat {
        side: *rng.pick(&[NatSide::Source, NatSide::Destination]),
        v4: (!v6).then_some(v4),
        v6: v6.then_some(range6),
        ports: rng.chance(40).then_some((1024, 2047)),
    }
}
