//! The blocking socket of the hot path: many messages per send, one acknowledgement for all, errors by sequence number.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_ALIGNTO, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN, NetlinkBuffer,
};

use crate::abi::nlmsgerr;

use super::error::{Refusal, SocketError};
use super::message::{HEADER, Request};
use super::nla;
use super::wire::{Kernel, Wire};

/// How long the kernel may take over one batch (a driver may push every filter into hardware).
const TIMEOUT: Duration = Duration::from_mins(1);

/// Most messages of a send: should all of them fail, their acknowledgements (about 1 KiB each in the kernel's accounts)
/// must fit even into an unprivileged receive buffer.
const BATCH_MESSAGES: usize = 128;

/// Most bytes of a send, where the send buffer (208 KiB by default) takes that much.
const BATCH_BYTES: usize = 128 << 10;

/// Largest part of a dump that the kernel sends at once is 32 KiB.
const PART: usize = 64 << 10;

/// A message that was refused: its position in what was sent, from 0.
pub type Failure = (usize, Refusal);

/// A netlink route socket.
#[derive(Debug)]
pub struct Socket {
    wire: Box<dyn Wire>,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens one in the calling thread's network namespace.
    ///
    /// # Errors
    /// When the system has no netlink, or refuses its options.
    pub fn open() -> io::Result<Self> {
        Ok(Self::over(Box::new(Kernel::open(TIMEOUT)?)))
    }

    /// Speaks over this line.
    pub(super) fn over(wire: Box<dyn Wire>) -> Self {
        Self { wire, sequence: 0, buffer: Vec::with_capacity(PART) }
    }

    /// The index of a device by its name, asked for without a message that a crate could fail to read.
    #[must_use]
    pub fn index_of(&self, device: &str) -> Option<u32> {
        self.wire.index_of(device)
    }

    /// Asks for room for one send of so many bytes; returns how many fit.
    pub fn room(&mut self, bytes: usize) -> usize {
        self.wire.room(bytes)
    }

    /// Sends one request and waits for its acknowledgement.
    ///
    /// # Errors
    /// When the kernel refuses, or does not answer.
    pub fn run(&mut self, request: Request) -> Result<(), SocketError> {
        let failures = self.run_all(std::iter::once(request), true)?;
        failures.into_iter().next().map_or(Ok(()), |(_, refusal)| Err(SocketError::Refused(refusal)))
    }

    /// Sends requests in order, many at once, and returns those that were refused. The kernel goes on after an error; with
    /// `stop` no further batch is sent then.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn run_all(
        &mut self,
        requests: impl Iterator<Item = Request>,
        stop: bool,
    ) -> Result<Vec<Failure>, SocketError> {
        let room = self.wire.room(BATCH_BYTES).min(BATCH_BYTES);
        self.run_batches(requests, stop, BATCH_MESSAGES, room)
    }

    /// Sends requests in one send, for which there has to be [`Socket::room`].
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn run_at_once(&mut self, requests: impl Iterator<Item = Request>) -> Result<Vec<Failure>, SocketError> {
        self.run_batches(requests, false, usize::MAX, usize::MAX)
    }

    fn run_batches(
        &mut self,
        requests: impl Iterator<Item = Request>,
        stop: bool,
        most_messages: usize,
        most_bytes: usize,
    ) -> Result<Vec<Failure>, SocketError> {
        let mut failures = Vec::new();
        let mut sent = 0;
        let mut requests = requests.peekable();
        let mut batch = Vec::with_capacity(BATCH_BYTES);
        while requests.peek().is_some() {
            batch.clear();
            let first = self.sequence.wrapping_add(1);
            let mut count = 0;
            let mut last = 0;
            // One message goes out whatever its size: the kernel will say what is wrong with it.
            while let Some(request) = requests
                .next_if(|next| batch.is_empty() || count < most_messages && batch.len() + next.length() <= most_bytes)
            {
                self.sequence = self.sequence.wrapping_add(1);
                last = batch.len();
                batch.extend(request.bytes(self.sequence, false));
                count += 1;
            }
            // The kernel answers errors anyway; the acknowledgement of the last message tells that all were worked off.
            set_ack(&mut batch, last);
            let refused = self.exchange(&batch, first, count)?;
            failures.extend(refused.into_iter().map(|(at, refusal)| (sent + at, refusal)));
            if stop && !failures.is_empty() {
                break;
            }
            sent += count;
        }
        Ok(failures)
    }

    /// Sends one batch and collects its errors until the last message is answered.
    fn exchange(&mut self, batch: &[u8], first: u32, count: usize) -> Result<Vec<Failure>, SocketError> {
        self.wire.send(batch)?;
        let mut failures = BTreeMap::new();
        loop {
            self.receive()?;
            for (header, body) in messages(&self.buffer) {
                let at = header.sequence_number().wrapping_sub(first) as usize;
                match header.message_type() {
                    NLMSG_OVERRUN => return Err(SocketError::Overrun),
                    NLMSG_ERROR if at < count => {
                        if let Some(refusal) = refusal(&header, body) {
                            failures.insert(at, refusal);
                        }
                        if at + 1 == count {
                            return Ok(failures.into_iter().collect());
                        }
                    }
                    // A late answer to something that timed out.
                    _ => {}
                }
            }
        }
    }

    /// Runs a dump and hands each message's type and body (behind `nlmsghdr`) to `each`.
    ///
    /// # Errors
    /// When the kernel refuses, or does not answer.
    pub fn dump(&mut self, request: &Request, each: &mut dyn FnMut(u16, &[u8])) -> Result<(), SocketError> {
        self.sequence = self.sequence.wrapping_add(1);
        self.wire.send(&request.bytes(self.sequence, false))?;
        loop {
            self.receive()?;
            for (header, body) in messages(&self.buffer) {
                if header.sequence_number() != self.sequence {
                    continue;
                }
                match header.message_type() {
                    NLMSG_OVERRUN => return Err(SocketError::Overrun),
                    // Both begin with an error number; a dump may fail midway and say so in its last message.
                    NLMSG_DONE | NLMSG_ERROR => {
                        return refusal(&header, body).map_or(Ok(()), |refusal| Err(SocketError::Refused(refusal)));
                    }
                    kind => each(kind, body),
                }
            }
        }
    }

    fn receive(&mut self) -> Result<(), SocketError> {
        loop {
            self.buffer.clear();
            match self.wire.receive(&mut self.buffer) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(SocketError::Timeout(TIMEOUT)),
                Err(error) if error.raw_os_error() == Some(crate::abi::errno::ENOBUFS) => {
                    return Err(SocketError::Overrun);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Sets `NLM_F_ACK` on the message at `at`.
fn set_ack(batch: &mut [u8], at: usize) {
    if let Some(message) = batch.get_mut(at..)
        && message.len() >= HEADER
    {
        let mut header = NetlinkBuffer::new(message);
        let flags = header.flags();
        header.set_flags(flags | netlink_packet_core::NLM_F_ACK);
    }
}

/// The messages of a datagram: header and body.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (NetlinkBuffer<&[u8]>, &[u8])> {
    std::iter::from_fn(move || {
        let header = NetlinkBuffer::new_checked(bytes).ok()?;
        let length = header.length() as usize;
        let body = bytes.get(HEADER..length)?;
        let message = NetlinkBuffer::new(bytes.get(..length)?);
        bytes = bytes.get(length.next_multiple_of(NLMSG_ALIGNTO.into())..).unwrap_or_default();
        Some((message, body))
    })
}

/// The error in an acknowledgement or at a dump's end; `None` when it says success.
fn refusal(header: &NetlinkBuffer<&[u8]>, body: &[u8]) -> Option<Refusal> {
    let code = i32::from_ne_bytes(body.get(..4)?.try_into().ok()?);
    if code >= 0 {
        return None;
    }
    // Behind the error number an acknowledgement repeats the refused message, or only its header if it is capped.
    let skip = match body.get(4..4 + HEADER) {
        Some(_) if header.message_type() == NLMSG_DONE => 4,
        Some(_) if header.flags() & NLM_F_CAPPED != 0 => 4 + HEADER,
        Some(refused) => 4 + (NetlinkBuffer::new(refused).length() as usize).next_multiple_of(4),
        None => 4,
    };
    let attrs = if header.flags() & NLM_F_ACK_TLVS == 0 { &[] } else { body.get(skip..).unwrap_or_default() };
    Some(Refusal { errno: -code, text: nla::find(attrs, nlmsgerr::MSG).map(nla::as_text) })
}
