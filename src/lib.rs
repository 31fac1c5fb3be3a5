//! ctpolicy: a compiler for a firewall-style policy language onto Linux tc + connection tracking.

pub mod abi;
pub mod cli;
pub mod diag;
pub mod emit;
pub mod explain;
pub mod field;
pub mod hash;
pub mod ir;
pub mod live;
pub mod parse;
pub mod pipeline;
pub mod source;
