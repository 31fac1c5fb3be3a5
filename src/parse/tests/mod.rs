//! Tests of the parser as a whole.

mod errors;
mod language;
mod layouts;
mod load;
mod print;
mod random;
mod sketch;
