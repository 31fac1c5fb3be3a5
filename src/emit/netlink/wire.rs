//! The line to the kernel: datagrams there and back. Tests put a scripted kernel at its end (`fake`).

use std::fmt;
use std::io;
use std::time::Duration;

use netlink_sys::SocketAddr;
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::net::sockopt::{self, Timeout};

/// Receive buffer asked for; with CAP_NET_ADMIN the system's limit does not apply.
const RECEIVE_BUFFER: usize = 8 << 20;

/// What the kernel keeps of a send buffer for itself (`netlink_sendmsg`, `net/netlink/af_netlink.c`).
const KEPT: usize = 32;

/// A line to a kernel.
pub(super) trait Wire: fmt::Debug {
    /// Sends one datagram.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Receives one datagram into an empty buffer.
    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()>;

    /// Asks for room for one datagram of so many bytes; returns how many fit.
    fn room(&mut self, bytes: usize) -> usize;

    /// The index of a device by its name.
    fn index_of(&self, device: &str) -> Option<u32>;
}

/// The kernel of this machine, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Kernel(netlink_sys::Socket);

impl Kernel {
    /// Connects; it gives up waiting for an answer after `patience`.
    ///
    /// # Errors
    /// When the system has no netlink, or refuses its options.
    pub fn open(patience: Duration) -> io::Result<Self> {
        let mut inner = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        inner.bind_auto()?;
        inner.connect(&SocketAddr::new(0, 0))?;
        inner.set_ext_ack(true)?;
        inner.set_cap_ack(true)?;
        // Without the right to pass the limit the default has to do: batches are made for it.
        let _ = sockopt::set_socket_recv_buffer_size_force(&inner, RECEIVE_BUFFER);
        sockopt::set_socket_timeout(&inner, Timeout::Recv, Some(patience))?;
        Ok(Self(inner))
    }

    fn fits(&self) -> usize {
        sockopt::socket_send_buffer_size(&self.0).unwrap_or_default().saturating_sub(KEPT)
    }
}

impl Wire for Kernel {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.send(bytes, 0).map(drop)
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        self.0.recv(buffer, 0).map(drop)
    }

    fn room(&mut self, bytes: usize) -> usize {
        if self.fits() < bytes {
            // The kernel doubles what is asked for. Only an administrator of the whole machine may pass `net.core.wmem_max`.
            let forced = sockopt::set_socket_send_buffer_size_force(&self.0, bytes);
            let _ = forced.or_else(|_| sockopt::set_socket_send_buffer_size(&self.0, bytes));
        }
        self.fits()
    }

    fn index_of(&self, device: &str) -> Option<u32> {
        rustix::net::netdevice::name_to_index(&self.0, device).ok()
    }
}
