//! Tests of the parser as a whole.

mod language;
mod sketch;
