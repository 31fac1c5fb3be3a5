//! The findings about the form of a policy.

crate::declare_lints! {
    /// A statement that does not fit the language.
    pub SYNTAX: Error = "syntax", "a statement that does not fit the language",
        "A word or a sign stands where the language has no place for it, or one that must stand there is missing. The \
        message says what was expected.\n\nExample: `allow tcp from port` names no port.\n\nRemedy: write what the help \
        shows. One mistake costs one statement only; all others of the file are still read.";
    /// A statement that begins with an unknown word.
    pub UNKNOWN_VERDICT: Error = "unknown-verdict", "a statement that begins with no word of the language",
        "Every rule begins with its verdict: `allow`, `drop`, `continue`, `use GROUP` or `default`; other statements \
        begin with `policy`, `group`, `prefilter`, `include`, `interface`, `zone`, `net`, `port`, `service` or \
        `reserve`.\n\nExample: `alow tcp to port 22`.\n\nRemedy: the help names the nearest word.";
    /// An unknown match or action.
    pub UNKNOWN_WORD: Error = "unknown-word", "a word that is no match and no action",
        "A rule is a verdict, matches, and actions after commas. This word is none of them here; often it is another \
        firewall's, is misspelt, or is a value without the word that says what it is.\n\nExample: `allow tcp dport 22`.\n\n\
        Remedy: `allow tcp to port 22`; the help names the word.";
    /// Something that tc cannot do.
    pub UNSUPPORTED: Error = "unsupported", "something that the kernel's tc cannot do",
        "The policy asks for something that tc and its conntrack action do not have: rejecting with an answer, logging, \
        a limit for each source, time of day, handing packets to a program.\n\nExample: `reject tcp to port 113`.\n\n\
        Remedy: `drop` instead of `reject`; counters (`ctpolicy status`) and `mirror to DEV` instead of `log`; a rule \
        with a `limit` for each source; a timer that applies another policy.";
    /// A comma is missing.
    pub MISSING_COMMA: Error = "missing-comma", "a missing comma before an action or between items of a set",
        "Actions stand after commas, and so do the items of a set after the first: without the comma an action would \
        read as a match (`snat` and `dnat` are both).\n\nExample: `allow tcp snat 192.0.2.1`.\n\n\
        Remedy: `allow tcp, snat 192.0.2.1`.";
    /// A match among the actions, or the other way round.
    pub MISPLACED_WORD: Error = "misplaced-word", "a match or a verdict where an action is expected",
        "Matches stand before a rule's first comma, actions after it, and the verdict comes first.\n\nExample: \
        `allow established, related` asks for an action `related`.\n\nRemedy: `allow { established, related }`.";
    /// A character that no word has.
    pub UNEXPECTED_CHARACTER: Error = "unexpected-character", "a character that no word has",
        "Words are made of letters, digits and `. : / - _ + %`; beside them there are braces, commas, `=`, `;`, `@` \
        before an annotation, `#` before a comment and double quotes round a path or a note.\n\nExample: `allow !tcp`.\n\n\
        Remedy: `allow not tcp`.";
    /// A `{` without its `}`.
    pub UNCLOSED_BRACE: Error = "unclosed-brace", "a `{` that is never closed",
        "A set or a block has no end. The second label shows what cannot stand inside it; the indentation is believed \
        where the braces do not balance.\n\nExample: `allow from { 10.0.0.0/8, 10.1.0.0/16` at the end of a line.\n\n\
        Remedy: add the `}`.";
    /// A `}` without its `{`.
    pub STRAY_BRACE: Error = "stray-brace", "a `}` that closes nothing",
        "There is one `}` more than there are `{`.\n\nExample: `drop }` outside of any block.\n\nRemedy: take it away, or \
        add the `{` that it should close.";
    /// A string without its end.
    pub UNCLOSED_STRING: Error = "unclosed-string", "a string without its closing quote",
        "Paths and notes stand between double quotes, on one line.\n\nExample: `include \"nets.pol`.\n\nRemedy: add the \
        closing quote.";
    /// Braces or includes nested too deep.
    pub NESTED_TOO_DEEP: Error = "nested-too-deep", "braces or includes nested too deep",
        "Braces may be nested 64 deep, and so may includes: more is a mistake, or an attack on whoever reads the \
        policy.\n\nExample: 65 sets in each other.\n\nRemedy: give the inner sets names; include files from one place.";
    /// An annotation that belongs to no rule.
    pub MISPLACED_ANNOTATION: Error = "misplaced-annotation", "an annotation that belongs to no rule",
        "`@key value` speaks of the rule that follows it. Definitions, blocks, `use` and `include` take none.\n\nExample: \
        `@owner netops` before `policy p on eth0 ingress {`.\n\nRemedy: move it to the rules it speaks of, or make it a \
        comment.";
    /// More mistakes in a file than are shown.
    pub TOO_MANY_ERRORS: Error = "too-many-errors", "more mistakes in a file than are shown",
        "After 50 mistakes of form the rest of the file is not read.\n\nExample: a file that is no policy at all.\n\n\
        Remedy: mend the first ones and run again.";
    /// An include that leads back to itself.
    pub INCLUDE_CYCLE: Error = "include-cycle", "files that include each other",
        "A file may include others, but none that leads back to it. The labels show every step of the ring.\n\nExample: \
        `a.pol` includes `b.pol`, which includes `a.pol`.\n\nRemedy: all included files share one name space, so the \
        including file's names need no include; what both need can stand in a third file.";
    /// A file that cannot be read.
    pub UNREADABLE_FILE: Error = "unreadable-file", "an include or a set's file that cannot be read",
        "The file that `include \"...\"` or `file \"...\"` names is missing, or may not be read. Paths are relative to \
        the file that names them.\n\nExample: `include \"nets.pol\"` where there is no such file.\n\nRemedy: correct the \
        path or the file's permissions.";
    /// A file that is not text.
    pub NOT_UTF8: Error = "not-utf8", "a file that is not UTF-8 text",
        "A policy, and the file of a set, is UTF-8 text without NUL bytes. Nothing of another file is read.\n\nExample: a \
        file saved as Latin-1 or UTF-16, or a binary one.\n\nRemedy: save it as UTF-8.";
    /// A file above the size limit.
    pub FILE_TOO_LARGE: Error = "file-too-large", "a file larger than the limit",
        "One file may have 256 MiB.\n\nExample: `file \"/dev/zero\"`.\n\nRemedy: split it.";
}
