//! Packet: what the keys of a filter and the words of a rule are tested against.
//!
//! It is a datagram as the datapath sees it, with what a pass through each conntrack zone would say of it.
//! Header rewriting by NAT is not modelled: the headers stay what they are. What a pass changes is the conntrack view
//! that is visible after it, and that fragments become one datagram.

use std::collections::BTreeMap;

use crate::abi::{IFNAME_MAX, eth, ip_flags};
use crate::field::Field;
use crate::ir::policy::State;

/// A packet before its first filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Id of the 802.1Q tag.
    pub vlan: Option<u16>,
    /// Ethertype, behind the tag if there is one.
    pub ethertype: u16,
    /// The device by which it arrived.
    pub device: String,
    /// Whether it is a piece of a datagram.
    pub fragment: Option<Fragment>,
    /// Header fields of the whole datagram; what it does not have is absent.
    pub fields: BTreeMap<Field, u128>,
    /// What it carries already: on egress, the host's own conntrack has often seen it (kernel-facts 2.4).
    pub carried: Option<CtView>,
    /// What a pass through each zone shows. A zone that is not listed knows nothing of the packet: it is new there.
    pub zones: BTreeMap<u16, CtView>,
    /// What a second pass through a zone shows, after another zone has translated the packet; where not listed, the same.
    pub again: BTreeMap<u16, CtView>,
    /// Rules (`RuleInfo::ident`) whose budget this packet exceeds.
    pub exceeds: Vec<u32>,
}

/// Which piece of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// The first, with the start of the payload.
    First,
    /// Another.
    Later,
}

/// What conntrack says of a packet in one zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CtView {
    /// Never `Untracked` after a pass.
    pub state: State,
    /// The connection's mark; 0 where there is no connection (`Invalid`).
    pub mark: u32,
    /// The connection's label; 0 where there is no connection.
    pub label: u128,
    /// Whether a translation is on record for the connection (`IPS_NAT_MASK`); it follows its master's (kernel-facts 2.3).
    pub translated: bool,
}

impl CtView {
    /// A packet that conntrack has not seen, or that was cleared.
    pub const UNTRACKED: Self = Self { state: State::Untracked, mark: 0, label: 0, translated: false };
    /// The first packet of a connection.
    pub const NEW: Self = Self { state: State::New, mark: 0, label: 0, translated: false };
}

impl Packet {
    /// An untagged packet with these fields that came by `device`.
    #[must_use]
    pub fn new(ethertype: u16, device: &str, fields: &[(Field, u128)]) -> Self {
        Self {
            vlan: None,
            ethertype,
            device: device.to_owned(),
            fragment: None,
            fields: fields.iter().copied().collect(),
            carried: None,
            zones: BTreeMap::new(),
            again: BTreeMap::new(),
            exceeds: Vec::new(),
        }
    }

    /// The outermost ethertype: what the protocol of a filter is compared with.
    #[must_use]
    pub fn protocol(&self) -> u16 {
        if self.vlan.is_some() { eth::P_8021Q } else { self.ethertype }
    }

    /// Whether conntrack takes it: IPv4 or IPv6, also behind one tag.
    #[must_use]
    pub fn is_ip(&self) -> bool {
        matches!(self.ethertype, eth::P_IP | eth::P_IPV6)
    }

    /// A header field; `None` where the packet has no such field. No fragment shows anything of layer 4, not even the
    /// first (kernel-facts 2.3). Conntrack fields are not the packet's own: see [`Self::view`].
    #[must_use]
    pub fn get(&self, field: Field) -> Option<u128> {
        match field {
            Field::VlanId => self.vlan.map(u128::from),
            Field::VlanEthType => self.vlan.map(|_| u128::from(self.ethertype)),
            Field::InDev => Some(device_value(&self.device)),
            Field::IpFlags => self.is_ip().then(|| self.fragment_bits()),
            Field::CtState | Field::CtZone | Field::CtMark | Field::CtLabel => None,
            _ if self.fragment.is_some() && field.is_layer4() => None,
            _ => self.fields.get(&field).copied(),
        }
    }

    fn fragment_bits(&self) -> u128 {
        let bits = match self.fragment {
            None => 0,
            Some(Fragment::First) => ip_flags::IS_FRAGMENT | ip_flags::FRAG_IS_FIRST,
            Some(Fragment::Later) => ip_flags::IS_FRAGMENT,
        };
        u128::from(bits)
    }

    /// What a pass through this zone shows.
    #[must_use]
    pub fn view(&self, zone: u16) -> CtView {
        self.zones.get(&zone).copied().unwrap_or(CtView::NEW)
    }

    /// What a pass through this zone shows after so many before.
    #[must_use]
    pub fn view_after(&self, zone: u16, passes: usize) -> CtView {
        let again = if passes == 0 { None } else { self.again.get(&zone) };
        again.copied().unwrap_or_else(|| self.view(zone))
    }

    /// The packet behind a pass through conntrack: fragments are held and go on as the whole datagram (kernel-facts 2.3).
    #[must_use]
    pub fn reassembled(&self) -> Self {
        Self { fragment: None, ..self.clone() }
    }
}

/// A device's name as a value of [`Field::InDev`]: padded with NUL to 16 bytes, the first letter highest.
#[must_use]
pub fn device_value(name: &str) -> u128 {
    name.bytes()
        .chain(std::iter::repeat(0))
        .take(IFNAME_MAX + 1)
        .fold(0, |value, byte| value << u8::BITS | u128::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_shows_its_ports_only_when_reassembled() {
        let mut packet = Packet::new(eth::P_IP, "eth0", &[(Field::IpProto, 17), (Field::DstPort, 53)]);
        assert_eq!((packet.get(Field::DstPort), packet.get(Field::IpFlags)), (Some(53), Some(0)));
        packet.fragment = Some(Fragment::First);
        assert_eq!((packet.get(Field::DstPort), packet.get(Field::IpFlags)), (None, Some(3)));
        assert_eq!(packet.get(Field::IpProto), Some(17));
        packet.fragment = Some(Fragment::Later);
        assert_eq!((packet.get(Field::DstPort), packet.get(Field::IpFlags)), (None, Some(1)));
        assert_eq!(packet.reassembled().get(Field::DstPort), Some(53));
    }

    #[test]
    fn a_name_is_padded_on_the_right() {
        assert_eq!(device_value("lo").to_be_bytes(), *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    }

    #[test]
    fn a_tag_hides_the_ethertype() {
        let mut packet = Packet::new(eth::P_IPV6, "eth0", &[]);
        assert_eq!(packet.protocol(), eth::P_IPV6);
        packet.vlan = Some(5);
        assert_eq!(packet.protocol(), eth::P_8021Q);
        assert_eq!(packet.get(Field::VlanEthType), Some(u128::from(eth::P_IPV6)));
        assert!(packet.is_ip());
    }
}
