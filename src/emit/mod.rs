pub mod eval;
pub mod program;
