//! What a policy means: names resolved, values checked, then lowered to a graph.

pub mod policy;
pub mod resolve;
