//! The policy's meaning, and the graph of tables that it becomes.

pub mod early;
pub mod eval;
pub mod graph;
pub mod lower;
pub mod outcome;
pub mod packet;
pub mod policy;
pub mod resolve;
