//! ctpolicy: a compiler for a firewall-style policy language onto Linux tc + connection tracking.
//!
//! ```text
//! text -> SourceMap -> Ast -> Policy -> Graph -> Program -> script (tc -batch)
//!         parse::load  parse  ir::resolve  ir::lower  emit::linearize \-> netlink messages -> Receipt (apply)
//! ```
//!
//! ARCHITECTURE.md says what each room holds, and what it must not.

// pest's generated code names it.
extern crate alloc;

pub mod abi;
pub mod cli;
pub mod diag;
pub mod emit;
pub mod explain;
pub mod field;
pub mod hash;
pub mod ir;
pub mod live;
pub mod optimize;
pub mod parse;
pub mod pipeline;
pub mod source;
pub mod verify;
