//! Netlink attributes: a tree to emit, and a flat view of received bytes.
//!
//! netlink-packet-route knows neither act_ct, gact, police nor shared blocks, and its flower types leave no control over
//! single bytes; so all traffic control attributes are [`Attr`]s, emitted through netlink-packet-core's [`Nla`].

use netlink_packet_core::{Emitable, NLA_F_NESTED, NLA_HEADER_SIZE, Nla, NlasIterator};

/// An attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attr {
    /// With a payload.
    Bytes {
        /// Number.
        kind: u16,
        /// Payload as the kernel wants it.
        value: Vec<u8>,
    },
    /// With attributes inside.
    Nest {
        /// Number, with `NLA_F_NESTED` where the kernel insists on it.
        kind: u16,
        /// What is inside.
        children: Vec<Self>,
    },
}

impl Attr {
    /// A payload of any bytes.
    #[must_use]
    pub fn bytes(kind: u16, value: impl Into<Vec<u8>>) -> Self {
        Self::Bytes { kind, value: value.into() }
    }

    /// One byte.
    #[must_use]
    pub fn u8(kind: u16, value: u8) -> Self {
        Self::bytes(kind, [value])
    }

    /// Two bytes in host order.
    #[must_use]
    pub fn u16(kind: u16, value: u16) -> Self {
        Self::bytes(kind, value.to_ne_bytes())
    }

    /// Two bytes in network order.
    #[must_use]
    pub fn be16(kind: u16, value: u16) -> Self {
        Self::bytes(kind, value.to_be_bytes())
    }

    /// Four bytes in host order.
    #[must_use]
    pub fn u32(kind: u16, value: u32) -> Self {
        Self::bytes(kind, value.to_ne_bytes())
    }

    /// Eight bytes in host order.
    #[must_use]
    pub fn u64(kind: u16, value: u64) -> Self {
        Self::bytes(kind, value.to_ne_bytes())
    }

    /// A NUL-terminated string.
    #[must_use]
    pub fn text(kind: u16, text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        Self::Bytes { kind, value }
    }

    /// Attributes inside one that carries no flag, as most of traffic control has it.
    #[must_use]
    pub fn nest(kind: u16, children: Vec<Self>) -> Self {
        Self::Nest { kind, children }
    }

    /// Attributes inside one that says so (act_ct's parser insists).
    #[must_use]
    pub fn flagged_nest(kind: u16, children: Vec<Self>) -> Self {
        Self::Nest { kind: kind | NLA_F_NESTED, children }
    }
}

impl Nla for Attr {
    fn value_len(&self) -> usize {
        match self {
            Self::Bytes { value, .. } => value.len(),
            Self::Nest { children, .. } => children.as_slice().buffer_len(),
        }
    }

    fn kind(&self) -> u16 {
        match self {
            Self::Bytes { kind, .. } | Self::Nest { kind, .. } => *kind,
        }
    }

    fn emit_value(&self, buffer: &mut [u8]) {
        match self {
            Self::Bytes { value, .. } => buffer.copy_from_slice(value),
            Self::Nest { children, .. } => children.as_slice().emit(buffer),
        }
    }
}

/// The attributes of one level, in the order they stand: number without flags, payload. Bytes that are no attributes any
/// more end the list; [`well_formed`] tells whether there were any.
pub fn parse(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(Result::ok).filter_map(|nla| {
        let (kind, length) = (nla.kind(), nla.value_length());
        nla.into_inner().get(NLA_HEADER_SIZE..NLA_HEADER_SIZE + length).map(|value| (kind, value))
    })
}

/// Whether these bytes are attributes to their end.
#[must_use]
pub fn well_formed(bytes: &[u8]) -> bool {
    NlasIterator::new(bytes).all(|nla| nla.is_ok())
}

/// The payload of the first attribute with this number.
#[must_use]
pub fn find(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    parse(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// A payload as a u32 in host order.
#[must_use]
pub fn as_u32(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.get(..4)?.try_into().ok()?))
}

/// A payload as a u64 in host order.
#[must_use]
pub fn as_u64(value: &[u8]) -> Option<u64> {
    Some(u64::from_ne_bytes(value.get(..8)?.try_into().ok()?))
}

/// A payload as text up to its first NUL.
#[must_use]
pub fn as_text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}
