//! Sets of addresses, IPv4 and IPv6 side by side.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::names::{self, Found, Value};
use super::number::MALFORMED_VALUE;
use super::sets::Domain;
use super::{Cx, unknown, words};
use crate::diag::Diagnostic;
use crate::field::value::{Intervals, ones};
use crate::parse::ast::DefineKind;
use crate::source::{FileId, Span};

crate::declare_lints! {
    /// A prefix with bits behind its length.
    pub HOST_BITS_SET: Error = "host-bits-set", "a prefix with bits set behind its length",
        "`10.0.0.1/24` may mean the network or the one address; a policy that means one thing must not leave it open.\n\nExample:\n\n    \
         allow from 10.0.0.1/24\n\nRemedy: write the network (`10.0.0.0/24`) or the address alone (`10.0.0.1`).";
    /// A name that only the DNS could resolve.
    pub DNS_NAME: Error = "dns-name", "a host name where an address is needed",
        "A policy holds addresses. A name that the DNS resolves may change, may lie, and may not answer while the policy is applied.\n\n\
         Example:\n\n    allow to www.example.com\n\nRemedy: write the address, or define `net www = 203.0.113.7` and use the name.";
}

/// Addresses of both families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addrs {
    /// IPv4, 32 bits.
    pub v4: Intervals,
    /// IPv6, 128 bits.
    pub v6: Intervals,
}

/// One address, prefix or range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    V4(u32, u32),
    V6(u128, u128),
}

/// What is wrong with a written address.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    NotAnAddress,
    Length(u8),
    HostBits { network: String, address: String },
    Netmask(String),
    Backwards(String),
    TwoFamilies,
    Mapped(String),
}

fn block(text: &str) -> Result<Block, Fault> {
    if let Some(plain) = mapped(text) {
        return Err(Fault::Mapped(plain));
    }
    if let Some((address, length)) = text.split_once('/') {
        return prefix(address, length);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(span_of(address, 0));
    }
    let Some((first, last)) = text.split_once('-') else { return Err(Fault::NotAnAddress) };
    let ends = first.parse::<IpAddr>().ok().zip(last.parse::<IpAddr>().ok());
    let (first, last) = ends.ok_or(Fault::NotAnAddress)?;
    match (first, last) {
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => Err(Fault::TwoFamilies),
        _ if first > last => Err(Fault::Backwards(format!("{last}-{first}"))),
        (IpAddr::V4(first), IpAddr::V4(last)) => Ok(Block::V4(first.into(), last.into())),
        (IpAddr::V6(first), IpAddr::V6(last)) => Ok(Block::V6(first.into(), last.into())),
    }
}

/// The IPv4 address, or prefix, that is written as one of IPv6: `::ffff:10.0.0.1`, `::ffff:10.0.0.0/104`. The whole of
/// them is a bogon, and a policy may well name it.
fn mapped(text: &str) -> Option<String> {
    if !text.contains(':') {
        return None;
    }
    let (address, length) = text.split_once('/').unwrap_or((text, "128"));
    let plain = address.parse::<Ipv6Addr>().ok()?.to_ipv4_mapped()?;
    let length = length.parse::<u8>().ok()?.checked_sub(96).filter(|length| (1..=32).contains(length))?;
    Some(if length == 32 { plain.to_string() } else { format!("{plain}/{length}") })
}

fn prefix(address: &str, length: &str) -> Result<Block, Fault> {
    let address: IpAddr = address.parse().map_err(|_| Fault::NotAnAddress)?;
    let bits: u8 = if address.is_ipv4() { 32 } else { 128 };
    if let (IpAddr::V4(_), Ok(mask)) = (address, length.parse::<Ipv4Addr>()) {
        let mask = u32::from(mask);
        let contiguous = mask.leading_ones() + mask.trailing_zeros() == 32 || mask == 0;
        return Err(if contiguous {
            Fault::Netmask(format!("{address}/{}", mask.leading_ones()))
        } else {
            Fault::Length(bits)
        });
    }
    let digits = !length.is_empty() && length.len() <= 3 && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = digits.then(|| length.parse::<u8>().ok()).flatten().filter(|length| *length <= bits);
    let length = length.ok_or(Fault::Length(bits))?;
    let block = span_of(address, bits - length);
    let network = match block {
        Block::V4(first, _) => IpAddr::V4(first.into()),
        Block::V6(first, _) => IpAddr::V6(first.into()),
    };
    if network == address {
        Ok(block)
    } else {
        Err(Fault::HostBits { network: format!("{network}/{length}"), address: address.to_string() })
    }
}

/// All addresses that differ from `address` in the `host` lowest bits only.
fn span_of(address: IpAddr, host: u8) -> Block {
    match address {
        IpAddr::V4(address) => {
            let (address, host) = (u32::from(address), u32::MAX.checked_shr(32 - u32::from(host)).unwrap_or(0));
            Block::V4(address & !host, address | host)
        }
        IpAddr::V6(address) => {
            let (address, host) = (u128::from(address), ones(host));
            Block::V6(address & !host, address | host)
        }
    }
}

fn finding(fault: Fault, text: &str, span: Span) -> Diagnostic {
    let malformed = |message: String| Diagnostic::new(&MALFORMED_VALUE, span, message);
    match fault {
        Fault::NotAnAddress => {
            malformed(format!("`{text}` is no address")).help(with_port(text).unwrap_or_else(|| {
                "addresses are written `10.0.0.1`, `10.0.0.0/8`, `10.0.0.1-10.0.0.9`, or the same in IPv6".to_owned()
            }))
        }
        Fault::Length(bits) => malformed(format!("`{text}` has no prefix length"))
            .help(format!("the length after `/` is a number from 0 to {bits}")),
        Fault::HostBits { network, address } => {
            Diagnostic::new(&HOST_BITS_SET, span, format!("`{text}` has bits set behind its prefix length"))
                .help(format!("write `{network}` for the network, or `{address}` for the one address"))
        }
        Fault::Netmask(fixed) => {
            malformed(format!("`{text}` has a netmask")).help(format!("write the prefix length: `{fixed}`"))
        }
        Fault::Backwards(fixed) => {
            malformed(format!("the range `{text}` ends before it begins")).help(format!("write `{fixed}`"))
        }
        Fault::Mapped(plain) => {
            malformed(format!("no packet carries `{text}`: it is an IPv4 address in the spelling of IPv6"))
                .help(format!("write `{plain}`"))
        }
        Fault::TwoFamilies => {
            malformed(format!("`{text}` begins and ends in different IP versions")).help("write one range for each")
        }
    }
}

/// The remedy for `10.0.0.1:80`.
fn with_port(text: &str) -> Option<String> {
    let (address, port) = text.rsplit_once(':')?;
    let known = address.parse::<Ipv4Addr>().is_ok() && !port.is_empty();
    (known && port.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'))
        .then(|| format!("the port is a part of its own: `{address} port {port}`"))
}

/// Whether a word can only be meant as an address.
#[must_use]
pub fn looks_like_address(text: &str) -> bool {
    text.contains([':', '/'])
        || (text.starts_with(|first: char| first.is_ascii_digit())
            && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-'))
}

/// The kind of set that addresses are in.
pub struct Nets;

impl Nets {
    fn other_word(text: &str, span: Span, fault: Fault, cx: &mut Cx<'_>) {
        if looks_like_address(text) || fault != Fault::NotAnAddress {
            cx.report(finding(fault, text, span));
        } else if text.contains('.') && unknown::suggestion(DefineKind::Net, text, cx).is_none() && !cx.names.blind {
            let help =
                format!("write its address, or define a name for it: `net {} = ADDRESS`", text.replace('.', "-"));
            cx.report(
                Diagnostic::new(&DNS_NAME, span, format!("`{text}` is a host name, and no policy asks the DNS"))
                    .help(help),
            );
        } else {
            unknown::report_unknown(DefineKind::Net, span, cx);
        }
    }
}

impl Domain for Nets {
    type Value = Addrs;

    fn word(&self, span: Span, cx: &mut Cx<'_>) -> Option<Addrs> {
        let text = cx.text(span);
        if text == "any" {
            return Some(Addrs { v4: Intervals::all(32), v6: Intervals::all(128) });
        }
        let fault = match block(text) {
            Ok(Block::V4(lo, hi)) => {
                return Some(Addrs { v4: Intervals::one(lo.into(), hi.into()), v6: Intervals::default() });
            }
            Ok(Block::V6(lo, hi)) => {
                return Some(Addrs { v4: Intervals::default(), v6: Intervals::one(lo, hi) });
            }
            Err(fault) => fault,
        };
        match names::lookup(DefineKind::Net, text, span, cx) {
            Found::Value(value) => match &*value {
                Value::Net(addrs) => return Some(addrs.clone()),
                _ => return None,
            },
            Found::Failed => {}
            Found::Nothing if words::is_word(text) => {
                let message = format!("`{text}` is a word of the language, not an address");
                cx.report(
                    Diagnostic::new(&MALFORMED_VALUE, span, message)
                        .help("an address or the name of a `net` is needed here"),
                );
            }
            Found::Nothing => Self::other_word(text, span, fault, cx),
        }
        None
    }

    fn file(&self, _path: Span, file: FileId, cx: &mut Cx<'_>) -> Option<Addrs> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        cx.lines(file, |line, span| {
            match block(line).map_err(|fault| Box::new(finding(fault, line, span)))? {
                Block::V4(lo, hi) => v4.push((lo.into(), hi.into())),
                Block::V6(lo, hi) => v6.push((lo, hi)),
            }
            Ok(())
        })?;
        Some(Addrs { v4: Intervals::new(v4), v6: Intervals::new(v6) })
    }

    fn union(&self, parts: Vec<Addrs>) -> Addrs {
        let v4 = parts.iter().flat_map(|part| part.v4.list().iter().copied()).collect();
        let v6 = parts.iter().flat_map(|part| part.v6.list().iter().copied()).collect();
        Addrs { v4: Intervals::new(v4), v6: Intervals::new(v6) }
    }

    fn intersect(&self, a: &Addrs, b: &Addrs) -> Addrs {
        Addrs { v4: a.v4.intersect(&b.v4), v6: a.v6.intersect(&b.v6) }
    }

    fn complement(&self, value: &Addrs) -> Addrs {
        Addrs { v4: value.v4.complement(32), v6: value.v6.complement(128) }
    }

    fn is_empty(&self, value: &Addrs) -> bool {
        value.v4.is_empty() && value.v6.is_empty()
    }
}

/// First and last address of each family that the word names, where that is one stretch each.
pub struct Stretch {
    /// IPv4.
    pub v4: Option<(Ipv4Addr, Ipv4Addr)>,
    /// IPv6.
    pub v6: Option<(Ipv6Addr, Ipv6Addr)>,
}

impl Addrs {
    /// The two stretches; `None` where a family has holes.
    #[must_use]
    pub fn stretch(&self) -> Option<Stretch> {
        let v4 = match self.v4.list() {
            [] => None,
            [(lo, hi)] => Some((u32::try_from(*lo).ok()?.into(), u32::try_from(*hi).ok()?.into())),
            _ => return None,
        };
        let v6 = match self.v6.list() {
            [] => None,
            [(lo, hi)] => Some(((*lo).into(), (*hi).into())),
            _ => return None,
        };
        Some(Stretch { v4, v6 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_every_form() {
        assert_eq!(block("10.0.0.1"), Ok(Block::V4(0x0a00_0001, 0x0a00_0001)));
        assert_eq!(block("10.0.0.0/8"), Ok(Block::V4(0x0a00_0000, 0x0aff_ffff)));
        assert_eq!(block("0.0.0.0/0"), Ok(Block::V4(0, u32::MAX)));
        assert_eq!(block("10.0.0.1-10.0.0.9"), Ok(Block::V4(0x0a00_0001, 0x0a00_0009)));
        assert_eq!(block("2001:db8::/127"), Ok(Block::V6(0x2001_0db8 << 96, (0x2001_0db8 << 96) + 1)));
        assert_eq!(block("::/0"), Ok(Block::V6(0, u128::MAX)));
    }

    #[test]
    fn faults_of_every_form() {
        let bits = |network: &str, address: &str| Fault::HostBits { network: network.into(), address: address.into() };
        assert_eq!(block("10.0.0.1/24"), Err(bits("10.0.0.0/24", "10.0.0.1")));
        assert_eq!(block("2001:db8::1/64"), Err(bits("2001:db8::/64", "2001:db8::1")));
        assert_eq!(block("10.0.0.0/33"), Err(Fault::Length(32)));
        assert_eq!(block("10.0.0.0/+8"), Err(Fault::Length(32)));
        assert_eq!(block("10.0.0.0/255.0.0.0"), Err(Fault::Netmask("10.0.0.0/8".into())));
        assert_eq!(block("10.0.0.9-10.0.0.1"), Err(Fault::Backwards("10.0.0.1-10.0.0.9".into())));
        assert_eq!(block("10.0.0.1-::1"), Err(Fault::TwoFamilies));
        assert_eq!(block("10.0.0"), Err(Fault::NotAnAddress));
        assert_eq!(block("10.0.0.256"), Err(Fault::NotAnAddress));
        assert_eq!(block("::ffff:10.0.0.1"), Err(Fault::Mapped("10.0.0.1".into())));
        assert_eq!(block("::ffff:10.0.0.0/104"), Err(Fault::Mapped("10.0.0.0/8".into())));
        assert!(block("::ffff:0:0/96").is_ok());
    }
}
