//! The findings about the form of a policy.

crate::declare_lints! {
    /// A statement that does not fit the grammar.
    pub SYNTAX: Error = "syntax", "a statement that does not fit the language", "";
    /// A brace without its other half.
    pub UNCLOSED_BRACE: Error = "unclosed-brace", "a brace without its other half", "";
    /// An annotation that belongs to no rule.
    pub MISPLACED_ANNOTATION: Error = "misplaced-annotation", "an annotation that belongs to no rule", "";
    /// More mistakes in a file than are shown.
    pub TOO_MANY_ERRORS: Error = "too-many-errors", "more mistakes in a file than are shown", "";
    /// An include that leads back to itself.
    pub INCLUDE_CYCLE: Error = "include-cycle", "files that include each other", "";
    /// A file that cannot be read.
    pub UNREADABLE_FILE: Error = "unreadable-file", "an include or a set's file that cannot be read", "";
    /// A file that is not text.
    pub NOT_UTF8: Error = "not-utf8", "a file that is not UTF-8 text", "";
    /// A file above the size limit.
    pub FILE_TOO_LARGE: Error = "file-too-large", "a file larger than the limit", "";
    /// Includes nested too deep.
    pub NESTED_TOO_DEEP: Error = "nested-too-deep", "braces or includes nested too deep", "";
}
