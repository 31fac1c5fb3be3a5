//! From the Program to what the kernel takes.

pub mod eval;
pub mod dot;
pub mod json;
pub mod linearize;
pub mod netlink;
pub mod program;
pub mod tc;
