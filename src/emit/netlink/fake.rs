//! A kernel for tests: it keeps qdiscs and filters as they were sent, and refuses what its script says.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;

use netlink_packet_core::{NLM_F_ACK, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP, NLMSG_DONE, NLMSG_ERROR};

use crate::abi::{errno, nlmsgerr, rtm, tca};

use super::message::HEADER;
use super::nla;
use super::wire::Wire;

/// Bytes of `struct tcmsg`.
const TCMSG: usize = 20;

/// Block, chain, prio, handle.
pub type Place = (u32, u32, u16, u32);

#[derive(Debug, Default)]
pub struct State {
    /// Blocks of each device's clsact.
    pub clsacts: BTreeMap<u32, (u32, u32)>,
    /// `info` of the header (prio and protocol), and attributes.
    pub filters: BTreeMap<Place, (u32, Vec<u8>)>,
    /// Changes of chain 0 that were asked for so far.
    pub switched: usize,
    /// Error numbers by the count of changes of chain 0, from 1.
    pub refuse: BTreeMap<usize, i32>,
    /// Longest datagram.
    pub room: usize,
    /// Longest datagram that was sent.
    pub longest: usize,
    replies: VecDeque<Vec<u8>>,
}

/// The line to it; the test keeps another handle on the same state.
#[derive(Clone, Debug, Default)]
pub struct Fake(pub Rc<RefCell<State>>);

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(flags.to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend(0u32.to_ne_bytes());
    out.extend(body);
    out
}

fn tcmsg(ifindex: u32, handle: u32, parent: u32, info: u32) -> Vec<u8> {
    [0, ifindex, handle, parent, info].into_iter().flat_map(u32::to_ne_bytes).collect()
}

impl State {
    fn change(&mut self, kind: u16, header: &[u8], attrs: &[u8]) -> Result<(), i32> {
        let [ifindex, handle, block, info] = [4, 8, 12, 16].map(|at| u32_at(header, at));
        let attr = |number| nla::find(attrs, number).and_then(nla::as_u32).unwrap_or_default();
        let chain = attr(tca::CHAIN);
        let prio = u16::try_from(info >> 16).unwrap();
        if matches!(kind, rtm::NEWTFILTER | rtm::DELTFILTER) && chain == 0 {
            self.switched += 1;
            if let Some(number) = self.refuse.get(&self.switched) {
                return Err(*number);
            }
        }
        match kind {
            rtm::NEWQDISC => drop(self.clsacts.insert(ifindex, (attr(tca::INGRESS_BLOCK), attr(tca::EGRESS_BLOCK)))),
            rtm::DELQDISC => {
                self.clsacts.remove(&ifindex).ok_or(errno::ENOENT)?;
                let used: Vec<u32> = self.clsacts.values().flat_map(|(a, b)| [*a, *b]).collect();
                self.filters.retain(|place, _| used.contains(&place.0));
            }
            rtm::NEWTFILTER => drop(self.filters.insert((block, chain, prio, handle), (info, attrs.to_vec()))),
            rtm::DELTFILTER if prio == 0 => self.filters.retain(|place, _| (place.0, place.1) != (block, chain)),
            rtm::DELTFILTER => drop(self.filters.remove(&(block, chain, prio, handle)).ok_or(errno::ENOENT)?),
            other => panic!("message {other}"),
        }
        Ok(())
    }

    fn dump(&mut self, kind: u16, header: &[u8], attrs: &[u8], sequence: u32) {
        let block = u32_at(header, 12);
        let chain = nla::find(attrs, tca::CHAIN).and_then(nla::as_u32);
        let mut out = Vec::new();
        if kind == rtm::GETQDISC {
            for (ifindex, (ingress, egress)) in &self.clsacts {
                let blocks = super::message::new_clsact(
                    *ifindex,
                    &crate::emit::program::DeviceBlocks { device: String::new(), ingress: *ingress, egress: *egress },
                );
                out.push(message(rtm::NEWQDISC, 0, sequence, &blocks.bytes(0, false)[HEADER..]));
            }
        } else {
            for (place, (info, attrs)) in &self.filters {
                if place.0 == block && chain.is_none_or(|chain| chain == place.1) {
                    let body = [tcmsg(u32::MAX, place.3, block, *info), attrs.clone()].concat();
                    out.push(message(rtm::NEWTFILTER, 0, sequence, &body));
                }
            }
        }
        out.push(message(NLMSG_DONE, 0, sequence, &0i32.to_ne_bytes()));
        self.replies.extend(out);
    }

    fn answer(&mut self, sent: &[u8], sequence: u32, number: i32) {
        let text = format!("scripted refusal {number}\0");
        let mut body = (-number).to_ne_bytes().to_vec();
        body.extend(&sent[..HEADER]);
        let mut flags = NLM_F_CAPPED;
        if number != 0 {
            flags |= NLM_F_ACK_TLVS;
            body.extend(u16::try_from(4 + text.len()).unwrap().to_ne_bytes());
            body.extend(nlmsgerr::MSG.to_ne_bytes());
            body.extend(text.bytes());
            body.resize(body.len().next_multiple_of(4), 0);
        }
        self.replies.push_back(message(NLMSG_ERROR, flags, sequence, &body));
    }
}

impl Wire for Fake {
    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        if bytes.len() > state.room {
            return Err(io::Error::other("message too long"));
        }
        state.longest = state.longest.max(bytes.len());
        while bytes.len() >= HEADER {
            let length = u32_at(bytes, 0) as usize;
            let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
            let flags = u16::from_ne_bytes([bytes[6], bytes[7]]);
            let sequence = u32_at(bytes, 8);
            let (header, attrs) = bytes[HEADER..length].split_at(TCMSG);
            if flags & NLM_F_DUMP == NLM_F_DUMP {
                state.dump(kind, header, attrs, sequence);
            } else {
                let done = state.change(kind, header, attrs);
                if done.is_err() || flags & NLM_F_ACK != 0 {
                    state.answer(bytes, sequence, done.err().unwrap_or_default());
                }
            }
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let reply = self.0.borrow_mut().replies.pop_front();
        buffer.extend(reply.ok_or_else(|| io::Error::from(io::ErrorKind::WouldBlock))?);
        Ok(())
    }

    fn room(&mut self, _bytes: usize) -> usize {
        self.0.borrow().room
    }

    fn index_of(&self, _device: &str) -> Option<u32> {
        None
    }
}
