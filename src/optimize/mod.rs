//! What makes a ruleset cheap for the packet: a packet pays a dissection and a lookup for every (chain, prio, mask) it
//! visits (kernel-facts 2.1), so the fewer of them the better. One file a means, each opening with why no verdict changes.

pub mod prios;
