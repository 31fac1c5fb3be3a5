pub mod eval;
pub mod outcome;
pub mod policy;
