//! From the Program to what the kernel takes.

pub mod cost;
pub mod dot;
pub mod eval;
pub mod json;
pub mod linearize;
pub mod netlink;
pub mod program;
pub mod tc;
pub mod unreached;
