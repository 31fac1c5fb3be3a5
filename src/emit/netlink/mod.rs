//! The netlink emitter: a Program as messages, and a kernel that holds exactly this Program or the one before.
//!
//! Pure: [`nla`] (attributes), [`filter`] and [`action`] (a Program's parts as attributes), [`message`] (whole requests),
//! [`compare`] (sent against held), [`place`] (blocks and generation), [`live`] (what a dump says).
//! IO: [`socket`] (the hot path), [`links`] (rtnetlink), [`dump`], [`apply`], [`remove`], [`lock`].

pub mod action;
pub mod apply;
pub mod compare;
pub mod dump;
pub mod error;
pub mod filter;
pub mod foreign;
pub mod links;
pub mod live;
pub mod load;
pub mod lock;
pub mod message;
pub mod nla;
pub mod place;
pub mod remove;
pub mod socket;
pub mod switch;

use std::collections::BTreeMap;

pub use apply::{ApplyOptions, Outcome, Receipt};
pub use error::ApplyError;
pub use links::DeviceAddresses;
pub use live::Live;
pub use remove::Removed;

use links::Links;
use socket::Socket;

/// A connection to the kernel, in the network namespace of the calling thread.
#[derive(Debug)]
pub struct Session {
    links: Links,
    socket: Socket,
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

fn read_live(socket: &mut Socket, links: &BTreeMap<String, u32>) -> Result<Live, ApplyError> {
    dump::live(socket, links).map_err(|source| ApplyError::Socket { what: "read what is live".to_owned(), source })
}
