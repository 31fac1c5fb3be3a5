//! The netlink emitter: a Program as messages, and a kernel that holds exactly this Program or the one before.
//!
//! Pure: [`nla`] (attributes), [`filter`] and [`action`] (a Program's parts as attributes), [`message`] (whole requests),
//! [`compare`] (sent against held), [`place`] (blocks and generation), [`live`] (what a dump says).
//! IO: [`socket`] (the hot path, over a `wire`), [`links`] (rtnetlink), [`dump`], [`session`], [`lock`], [`load`], [`switch`],
//! [`apply`], [`remove`]. No module here imports one that imports it (`tests/house.rs`).

pub mod action;
pub mod apply;
pub mod compare;
pub mod dump;
pub mod error;
pub mod filter;
pub mod foreign;
mod grace;
pub mod links;
pub mod live;
pub mod load;
pub mod lock;
pub mod message;
pub mod nla;
pub mod place;
pub mod remove;
pub mod session;
pub mod socket;
pub mod switch;
mod wire;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use apply::{ApplyOptions, Outcome, Receipt};
pub use error::ApplyError;
pub use links::DeviceAddresses;
pub use live::Live;
pub use remove::Removed;
pub use session::Session;
