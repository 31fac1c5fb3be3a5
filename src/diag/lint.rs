//! Lints: every finding has a name, a default level and a page of documentation.

use super::Level;

/// A kind of finding. One static per kind, declared with [`declare_lint!`](crate::declare_lint) beside the code that reports it.
#[derive(Debug)]
pub struct Lint {
    /// Name that states the fault: `unknown-name`. Users write it in `--deny` and `--allow`.
    pub name: &'static str,
    /// Level unless the user says otherwise.
    pub level: Level,
    /// One line: what is wrong.
    pub summary: &'static str,
    /// What, why, an example, and the remedy; shown by `ctpolicy explain`.
    pub doc: &'static str,
}

/// Declares lints and the list of them for this room.
///
/// ```ignore
/// declare_lints! {
///     /// A name that nothing defines.
///     pub UNKNOWN_NAME: Error = "unknown-name", "a name that nothing defines", "doc text";
/// }
/// ```
/// makes one `pub static UNKNOWN_NAME: Lint` each, and `pub const LINTS: &[&Lint]` with all of them.
#[macro_export]
macro_rules! declare_lints {
    ($($(#[$meta:meta])* pub $id:ident: $level:ident = $name:literal, $summary:literal, $doc:expr;)*) => {
        $($(#[$meta])* pub static $id: $crate::diag::Lint = $crate::diag::Lint {
            name: $name,
            level: $crate::diag::Level::$level,
            summary: $summary,
            doc: $doc,
        };)*
        /// Every lint of this room, in the order of declaration.
        pub const LINTS: &[&$crate::diag::Lint] = &[$(&$id),*];
    };
}
