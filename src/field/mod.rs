//! The match fields that filters are made of: one row of [`table::FIELDS`] each, and the values they hold.

mod conds;
pub mod table;
pub mod value;

pub use conds::Conds;
pub use table::{Field, Kind, MaskKind, Row};
pub use value::{Cond, Key};
