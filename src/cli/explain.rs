//! `ctpolicy explain`: the page of a lint.

use std::fmt::Write;

use super::{Exit, Failure, Out};
use crate::diag::Lint;
use crate::explain::{find, lints};

/// Arguments of `ctpolicy explain`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example: ctpolicy explain unknown-name")]
pub struct Args {
    /// The name in brackets of a finding; without it, all names
    pub name: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// [`Failure::Usage`] for a name that no lint has.
pub fn run(args: &Args, out: Out) -> Result<Exit, Failure> {
    let text = match &args.name {
        None => list(),
        Some(name) => page(find(name).ok_or_else(|| unknown(name))?),
    };
    out.result(&text)?;
    Ok(Exit::Done)
}

fn list() -> String {
    let mut sorted: Vec<&Lint> = lints().collect();
    sorted.sort_by_key(|lint| lint.name);
    let width = sorted.iter().map(|lint| lint.name.len()).max().unwrap_or_default();
    sorted.iter().fold(String::new(), |mut text, lint| {
        let _ = writeln!(text, "{:width$}  {:7}  {}", lint.name, lint.level.word(), lint.summary);
        text
    })
}

fn page(lint: &Lint) -> String {
    format!("{} ({}): {}\n\n{}\n", lint.name, lint.level.word(), lint.summary, lint.doc.trim())
}

/// The failure for a name that no lint has, with the nearest that one does.
pub fn unknown(name: &str) -> Failure {
    let near = lints().map(|lint| (distance(lint.name, name), lint.name)).min();
    let help = match near {
        Some((distance, near)) if distance <= 3 => format!("did you mean `{near}`?"),
        _ => "`ctpolicy explain` lists all names".to_owned(),
    };
    Failure::Usage { message: format!("no lint is called `{name}`"), help: Some(help) }
}

/// Letters to insert, delete or replace to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.chars().zip(row.iter_mut().skip(1)) {
            let best = (diagonal + usize::from(x != y)).min(*cell + 1).min(left + 1);
            diagonal = std::mem::replace(cell, best);
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("unknown-name", "unknown-name"), 0);
        assert_eq!(distance("unknown-name", "unkown-name"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
