//! A filter's keys as flower attributes, read off the field table.

use crate::abi::{eth, flower};
use crate::emit::program::Filter;
use crate::field::{Cond, Field, Key, Kind, Row};

use super::nla::Attr;

/// The payload of `TCA_OPTIONS`: keys, actions, no flags, and the ethertype, which flower wants beside the message's own.
#[must_use]
pub fn options(filter: &Filter, actions: Vec<Attr>) -> Vec<Attr> {
    let proto = filter.keys.iter().find_map(exact_proto);
    let mut out: Vec<Attr> = filter.keys.iter().flat_map(|key| key_attrs(*key, proto)).collect();
    out.push(Attr::nest(flower::ACT, actions));
    out.push(Attr::u32(flower::FLAGS, 0));
    if filter.protocol != eth::P_ALL {
        out.push(Attr::be16(flower::KEY_ETH_TYPE, filter.protocol));
    }
    out
}

/// The IP protocol that this key fixes: ports and ICMP fields have other attributes for each.
fn exact_proto(key: &Key) -> Option<u8> {
    match key.cond {
        Cond::Bits { value, .. } if key.field == Field::IpProto => u8::try_from(value).ok(),
        _ => None,
    }
}

fn key_attrs(key: Key, proto: Option<u8>) -> Vec<Attr> {
    let row = key.field.row();
    match (key.cond, row.range) {
        (Cond::Range { lo, hi }, Some((min, max))) => vec![Attr::be16(min, lo), Attr::be16(max, hi)],
        (Cond::Range { .. }, None) => Vec::new(),
        (Cond::Bits { value, mask }, _) => {
            let Some(attr) = row.attrs.iter().find(|(of, _)| of.is_none() || *of == proto).map(|(_, attr)| attr) else {
                return Vec::new();
            };
            let mask = attr.mask.map(|kind| Attr::bytes(kind, payload(row, mask)));
            std::iter::once(Attr::bytes(attr.value, payload(row, value))).chain(mask).collect()
        }
    }
}

/// A value in the layout of its field's attribute.
fn payload(row: &Row, value: u128) -> Vec<u8> {
    let width = usize::from(row.bytes);
    let big = value.to_be_bytes();
    match row.kind {
        Kind::U16Host | Kind::CtState | Kind::U32Host if cfg!(target_endian = "little") => {
            value.to_le_bytes().into_iter().take(width).collect()
        }
        Kind::Label => value.to_le_bytes().to_vec(),
        Kind::Name => big.into_iter().take_while(|byte| *byte != 0).chain([0]).collect(),
        _ => big.into_iter().skip(big.len() - width).collect(),
    }
}
