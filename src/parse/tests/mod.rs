//! Tests of the parser as a whole.

mod errors;
mod language;
mod print;
mod sketch;
