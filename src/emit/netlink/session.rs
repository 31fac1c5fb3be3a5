//! A connection to the kernel, and what it tells without being changed.

use std::collections::BTreeMap;

use super::dump;
use super::error::ApplyError;
use super::links::{DeviceAddresses, Links};
use super::live::Live;
use super::socket::Socket;

/// A connection to the kernel, in the network namespace of the calling thread.
#[derive(Debug)]
pub struct Session {
    pub(super) links: Links,
    pub(super) socket: Socket,
}

impl Session {
    /// Connects. Takes no privilege yet.
    ///
    /// # Errors
    /// When the system has no netlink.
    pub fn open() -> Result<Self, ApplyError> {
        let failed = |source| ApplyError::Io { what: "open a netlink socket".to_owned(), source };
        Ok(Self { links: Links::open()?, socket: Socket::open().map_err(failed)? })
    }

    /// Devices of the network namespace: index by name.
    ///
    /// # Errors
    /// When the kernel refuses, or does not answer.
    pub fn devices(&self) -> Result<BTreeMap<String, u32>, ApplyError> {
        self.links.names()
    }

    /// A device's own addresses, for `masquerade`; `None` if there is no such device.
    ///
    /// # Errors
    /// When the kernel refuses, or does not answer.
    pub fn addresses(&self, device: &str) -> Result<Option<DeviceAddresses>, ApplyError> {
        let index = self.links.names()?.get(device).copied();
        index.map(|index| self.links.addresses(index)).transpose()
    }

    /// Reads what is live. Takes no privilege.
    ///
    /// # Errors
    /// When the kernel refuses, or does not answer.
    pub fn live(&mut self) -> Result<Live, ApplyError> {
        let links = self.links.names()?;
        read_live(&mut self.socket, &links)
    }
}

/// Reads what is live, with the devices' names at hand.
///
/// # Errors
/// When the kernel refuses, or does not answer.
pub(super) fn read_live(socket: &mut Socket, links: &BTreeMap<String, u32>) -> Result<Live, ApplyError> {
    dump::live(socket, links).map_err(|source| ApplyError::Socket { what: "read what is live".to_owned(), source })
}
