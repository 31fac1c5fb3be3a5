//! What is live, told in rules: the plan of an apply, and the state of now.
//!
//! The kernel knows a rule only by the hashes in its filters' cookies; the words come from the file at hand, or from the
//! [`record`] that `apply` left beside the kernel. A lost record costs words, never a decision.

mod age;
pub mod applied;
pub mod counts;
pub mod plan;
pub mod record;
pub mod report;
pub mod status;

#[cfg(test)]
mod shapes;
