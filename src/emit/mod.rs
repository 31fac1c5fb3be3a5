//! From the Program to what the kernel takes.

pub mod eval;
pub mod linearize;
pub mod program;
