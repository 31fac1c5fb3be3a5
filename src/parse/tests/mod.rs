//! Tests of the parser as a whole.

mod language;
mod print;
mod sketch;
