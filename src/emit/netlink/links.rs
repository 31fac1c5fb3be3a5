//! Devices and their addresses, through rtnetlink on a runtime of our own: outside, all is synchronous.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use futures_util::TryStreamExt;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::LinkAttribute;
use rtnetlink::Handle;
use tokio::runtime::{Builder, Runtime};

use super::error::{ApplyError, SocketError};

/// How long the kernel may take over a dump of devices or addresses.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The addresses that `masquerade` would use on a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceAddresses {
    /// First global IPv4 address that is not a secondary one.
    pub v4: Option<Ipv4Addr>,
    /// First global IPv6 address that is neither temporary, tentative nor deprecated.
    pub v6: Option<Ipv6Addr>,
}

/// A connection to rtnetlink.
#[derive(Debug)]
pub struct Links {
    runtime: Runtime,
    handle: Handle,
}

impl Links {
    /// Connects in the calling thread's network namespace.
    ///
    /// # Errors
    /// When the system has no netlink or no more file descriptors.
    pub fn open() -> Result<Self, ApplyError> {
        let failed = |source| ApplyError::Io { what: "open a netlink socket".to_owned(), source };
        let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(failed)?;
        // A connection's socket registers with the runtime that is entered.
        let guard = runtime.enter();
        let (connection, handle, _) = rtnetlink::new_connection().map_err(failed)?;
        drop(guard);
        runtime.spawn(connection);
        Ok(Self { runtime, handle })
    }

    /// All devices: index by name.
    ///
    /// # Errors
    /// When the kernel refuses, or does not answer.
    pub fn names(&self) -> Result<BTreeMap<String, u32>, ApplyError> {
        let links = self.wait("list the devices", self.handle.link().get().execute().try_collect::<Vec<_>>())?;
        let named = |attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        };
        let pairs = links.into_iter().filter_map(|link| {
            let name = link.attributes.into_iter().find_map(named)?;
            Some((name, link.header.index))
        });
        Ok(pairs.collect())
    }

    /// A device's own addresses.
    ///
    /// # Errors
    /// When the kernel refuses, or does not answer.
    pub fn addresses(&self, ifindex: u32) -> Result<DeviceAddresses, ApplyError> {
        let request = self.handle.address().get().set_link_index_filter(ifindex).execute();
        let messages = self.wait("list the addresses", request.try_collect::<Vec<_>>())?;
        let unusable = AddressHeaderFlags::Secondary
            | AddressHeaderFlags::Tentative
            | AddressHeaderFlags::Dadfailed
            | AddressHeaderFlags::Deprecated;
        let usable = |message: &&AddressMessage| {
            message.header.scope == AddressScope::Universe && !message.header.flags.intersects(unusable)
        };
        let own: Vec<IpAddr> = messages.iter().filter(usable).filter_map(own_address).collect();
        Ok(DeviceAddresses {
            v4: own.iter().find_map(|address| if let IpAddr::V4(v4) = address { Some(*v4) } else { None }),
            v6: own.iter().find_map(|address| if let IpAddr::V6(v6) = address { Some(*v6) } else { None }),
        })
    }

    fn wait<T>(&self, what: &str, future: impl Future<Output = Result<T, rtnetlink::Error>>) -> Result<T, ApplyError> {
        let what = || what.to_owned();
        self.runtime
            .block_on(async { tokio::time::timeout(TIMEOUT, future).await })
            .map_err(|_| ApplyError::Socket { what: what(), source: SocketError::Timeout(TIMEOUT) })?
            .map_err(|source| ApplyError::Links { what: what(), source: Box::new(source) })
    }
}

/// On point-to-point devices `IFA_ADDRESS` is the peer's, `IFA_LOCAL` ours; IPv6 has no `IFA_LOCAL` otherwise.
fn own_address(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })
}
