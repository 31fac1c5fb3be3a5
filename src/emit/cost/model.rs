//! What one step of a packet through the filters costs, in instructions of Linux 6.12 on x86-64.
//!
//! Measured under an emulator that counts instructions (mitigations off, warm cache, UDP over IPv4); the linear formula
//! fits those figures within 6 %, whole paths within 3 % (the tests hold both). Instructions say nothing of cache misses:
//! use the figures to compare layouts, not to promise a rate.
//!
//! | constant | is | from |
//! | --- | --- | --- |
//! | [`PATH`] | entering and leaving `tcf_classify` | fitted: what whole paths cost beside their parts |
//! | [`SKIP`] | a prio of another protocol | 12 measured |
//! | [`PRIO`] | a prio visited | 130 measured |
//! | [`miss`] | a mask looked up | 525 (protocol), 750 (address), 835 (port), 945 (5-tuple), 2,380 (state) measured |
//! | [`hit`] | a filter found, its actions and counters | a compare of the key, about 150 for the rest |
//! | [`RANGE_MISS`], [`RANGE_FILTER`], [`RANGE_LOOKUP`] | a list of port ranges | 915, 20 a filter, 3,000 with one lookup measured |
//! | [`GOTO`] | a goto | about 200 measured |
//! | [`CT_KNOWN`], [`CT_LOOKUP`], [`CT_COMMIT`] | act_ct | 930, 2,000, 14,600 measured |

use crate::abi::eth;
use crate::emit::eval::{Mask, Masked};
use crate::field::Field;

/// Entering and leaving the classifier.
pub const PATH: u64 = 350;
/// A prio whose protocol is another.
pub const SKIP: u64 = 12;
/// A prio visited, without its masks.
pub const PRIO: u64 = 130;
/// A goto, without the masks of its target.
pub const GOTO: u64 = 200;
/// Actions and counters of a filter that matches, without conntrack.
pub const ACTIONS: u64 = 150;
/// A mask with port ranges, before its filters.
pub const RANGE_MISS: u64 = 915;
/// Each filter of such a mask that is compared.
pub const RANGE_FILTER: u64 = 20;
/// Each filter of such a mask whose ports contain the packet's: its other keys are looked up.
pub const RANGE_LOOKUP: u64 = 2_085;
/// act_ct on a packet of an assured connection (found in the zone's flow table).
pub const CT_KNOWN: u64 = 930;
/// act_ct on another packet: a full lookup.
pub const CT_LOOKUP: u64 = 2_000;
/// act_ct that commits a new connection.
pub const CT_COMMIT: u64 = 14_600;

/// The classifier dissects the packet for each mask: what that costs depends on what the mask asks for.
const DISSECT: u64 = 490;
const DISSECT_PORTS: u64 = 40;
const DISSECT_ADDRESSES: u64 = 90;
/// Clearing, masking and hashing the key: 4.25 for each byte of the span, as numerator and denominator.
const SPAN_BYTE: (u64, u64) = (17, 4);

/// A mask looked up without a match; for masks without port ranges.
#[must_use]
pub fn miss(mask: &[Masked], protocol: u16) -> u64 {
    let asks = |fields: &[Field]| mask.iter().any(|(field, _)| fields.contains(field));
    let mut cost = DISSECT;
    if asks(&[Field::Ipv4Src, Field::Ipv4Dst, Field::Ipv6Src, Field::Ipv6Dst]) {
        cost += DISSECT_ADDRESSES;
    }
    if asks(&[Field::SrcPort, Field::DstPort, Field::IcmpType, Field::IcmpCode]) {
        cost += DISSECT_PORTS;
    }
    // Both together cost 640, 20 more than the sum.
    if cost == DISSECT + DISSECT_ADDRESSES + DISSECT_PORTS {
        cost += 20;
    }
    cost + span(mask, protocol) * SPAN_BYTE.0 / SPAN_BYTE.1
}

/// What a match adds to the lookup: comparing the key, the actions and their counters.
#[must_use]
pub fn hit(mask: &[Masked], protocol: u16) -> u64 {
    span(mask, protocol) + ACTIONS
}

/// Bytes of the key that are hashed: from the first masked one to the last, rounded out to words of eight
/// (`fl_mask_update_range`).
#[must_use]
pub fn span(mask: &[Masked], protocol: u16) -> u64 {
    let ethertype = match protocol {
        eth::P_ALL => None,
        // The tag's own ethertype.
        eth::P_8021Q => Some((42, 44)),
        _ => Some((24, 26)),
    };
    let places = || mask.iter().map(|(field, part)| place(*field, *part)).chain(ethertype);
    let (Some(first), Some(last)) = (places().map(|(first, _)| first).min(), places().map(|(_, last)| last).max())
    else {
        return 0;
    };
    last.next_multiple_of(8) - first / 8 * 8
}

/// First byte of a field in `struct fl_flow_key` of cls_flower.c (6.12, 64 bit), and the byte behind its last.
const fn place(field: Field, part: Mask) -> (u64, u64) {
    if matches!(part, Mask::Range) {
        return (460, 468);
    }
    match field {
        Field::InDev => (0, 4),
        Field::IpFlags => (12, 16),
        Field::VlanEthType => (24, 26),
        Field::IpProto => (26, 27),
        Field::EthDst => (28, 34),
        Field::EthSrc => (34, 40),
        Field::VlanId => (40, 42),
        Field::Ipv4Src => (56, 60),
        Field::Ipv4Dst => (60, 64),
        Field::Ipv6Src => (56, 72),
        Field::Ipv6Dst => (72, 88),
        Field::SrcPort => (88, 90),
        Field::DstPort => (90, 92),
        Field::IcmpType => (92, 93),
        Field::IcmpCode => (93, 94),
        Field::TcpFlags => (192, 194),
        Field::IpTos => (194, 195),
        Field::IpTtl => (195, 196),
        Field::CtState => (468, 470),
        Field::CtZone => (470, 472),
        Field::CtMark => (472, 476),
        Field::CtLabel => (476, 492),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(fields: &[Field]) -> Vec<Masked> {
        fields.iter().map(|field| (*field, Mask::Bits(field.row().full_mask()))).collect()
    }

    #[test]
    fn lookups_cost_what_was_measured_within_six_percent() {
        use Field::{CtState, DstPort, IpProto, Ipv4Dst, Ipv4Src, SrcPort, TcpFlags};
        let tuple = [IpProto, Ipv4Src, Ipv4Dst, SrcPort, DstPort];
        let measured: &[(&[Field], u64)] = &[
            (&[IpProto], 525),
            (&[Ipv4Src], 750),
            (&[Ipv4Dst], 750),
            (&[Ipv4Src, Ipv4Dst], 750),
            (&[IpProto, DstPort], 835),
            (&tuple, 945),
            (&[IpProto, Ipv4Src, Ipv4Dst, SrcPort, DstPort, TcpFlags], 1_340),
            (&[CtState], 2_380),
            (&[IpProto, Ipv4Src, Ipv4Dst, SrcPort, DstPort, CtState], 2_500),
        ];
        for (fields, cost) in measured {
            let own = miss(&mask(fields), eth::P_IP);
            assert!(own.abs_diff(*cost) * 100 <= cost * 6, "{fields:?}: {own}, measured {cost}");
        }
    }

    #[test]
    fn whole_paths_cost_what_was_measured_within_three_percent() {
        use Field::{CtState, DstPort, IpProto, Ipv4Src};
        let found = |fields: &[Field]| miss(&mask(fields), eth::P_IP) + hit(&mask(fields), eth::P_IP) + PRIO;
        let passed = |fields: &[Field]| miss(&mask(fields), eth::P_IP) + PRIO;
        let rule = [IpProto, Ipv4Src, DstPort];
        let tracked = PATH + found(&[]) + GOTO;
        let paths = [
            ("a filter without keys", PATH + found(&[]), 1_149),
            ("a thousand rules of one mask", PATH + found(&rule), 1_692),
            ("a thousand prios", PATH + 1_000 * passed(&[Ipv4Src]), 882_669),
            ("established, one state mask", tracked + CT_KNOWN + found(&[CtState]), 5_288),
            ("established, the third", tracked + CT_KNOWN + 2 * passed(&[CtState]) + found(&[CtState]), 10_347),
            ("new, behind the states", tracked + CT_LOOKUP + passed(&[CtState]) + found(&rule), 7_130),
        ];
        for (name, own, measured) in paths {
            assert!(own.abs_diff(measured) * 100 <= measured * 3, "{name}: {own}, measured {measured}");
        }
    }
}
