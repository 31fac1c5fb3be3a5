//! A Program's cost, for people and for programs; beside the cost that it had before it was optimised, where there is one.

use std::fmt::{self, Display, Write as _};

use serde::Serialize;

use super::{AttachCost, Cost, PacketCost, RuleCost};
use crate::optimize::notes::{self, Note};
use crate::source::braced;

/// Version of the JSON's shape.
pub const VERSION: u32 = 1;

/// Rules that the table shows.
const RULES: usize = 8;

/// Longest text of a rule in the table, in characters.
const TEXT: usize = 60;

/// One Program's cost, or two side by side.
#[derive(Clone, Debug, Serialize)]
pub struct Stats {
    /// Of the same policy without optimisation.
    pub before: Option<Cost>,
    /// Of what is emitted.
    pub after: Cost,
    /// Of the same policy at other budgets, where that is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frontier: Vec<Point>,
}

/// What a policy costs at one budget.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// The budget, as `--filter-budget` has it.
    pub budget: String,
    /// Filters of all policies.
    pub filters: usize,
    /// Chains of all policies.
    pub chains: usize,
    /// Lookups of the dearest packet of any policy.
    pub masks: u32,
    /// Its modelled instructions, without conntrack's.
    pub instructions: u64,
}

impl Point {
    /// The point of this cost; `growth` is the budget in percent, less a hundred.
    #[must_use]
    pub fn of(growth: u32, cost: &Cost) -> Self {
        let worst = || cost.policies.iter().filter_map(|policy| policy.worst.any);
        Self {
            budget: format!("{}x", tenths(growth as usize + 100, 100)),
            filters: cost.filters,
            chains: cost.policies.iter().map(|policy| policy.sizes.chains).sum(),
            masks: worst().map(|packet| packet.masks).max().unwrap_or_default(),
            instructions: worst().map(|packet| packet.instructions - packet.conntrack).max().unwrap_or_default(),
        }
    }
}

/// What the optimizer did and what a Program costs, as far as each is asked for.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Account<'a> {
    /// What the passes did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<&'a [Note]>,
    /// The cost.
    #[serde(flatten)]
    pub stats: Option<&'a Stats>,
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    #[serde(flatten)]
    account: &'a Account<'a>,
}

impl Account<'_> {
    /// As pretty JSON that ends in a newline.
    ///
    /// # Errors
    /// None in practice; the serializer's own, if a value had no JSON form.
    pub fn json(&self) -> serde_json::Result<String> {
        let mut text = serde_json::to_string_pretty(&Document { version: VERSION, account: self })?;
        text.push('\n');
        Ok(text)
    }
}

impl Display for Account<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(notes) = self.notes {
            f.write_str(&notes::text(notes))?;
        }
        if self.notes.is_some_and(|notes| !notes.is_empty()) && self.stats.is_some() {
            f.write_char('\n')?;
        }
        self.stats.map_or(Ok(()), |stats| stats.fmt(f))
    }
}

/// The table.
impl Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, policy) in self.after.policies.iter().enumerate() {
            let before = self.before.as_ref().and_then(|before| before.policies.get(at));
            attach(f, before, policy)?;
        }
        rules(f, &self.after.rules)?;
        frontier(f, &self.frontier)
    }
}

/// One line for each budget: what it takes, and what the dearest packet pays for it.
fn frontier(f: &mut fmt::Formatter<'_>, points: &[Point]) -> fmt::Result {
    if points.is_empty() {
        return Ok(());
    }
    writeln!(
        f,
        "\n  {:>13} {:>9} {:>9} {:>9} {:>14}",
        "filter budget", "filters", "chains", "lookups", "instructions"
    )?;
    for point in points {
        let [filters, chains] = [point.filters, point.chains].map(|count| grouped(count as u64));
        let [masks, instructions] = [point.masks.into(), point.instructions].map(grouped);
        writeln!(f, "  {:>13} {filters:>9} {chains:>9} {masks:>9} {instructions:>14}", point.budget)?;
    }
    Ok(())
}

fn attach(f: &mut fmt::Formatter<'_>, before: Option<&AttachCost>, after: &AttachCost) -> fmt::Result {
    let name = if after.policy.is_empty() { "bare rules".to_owned() } else { format!("policy {}", after.policy) };
    writeln!(f, "{name} on {} {}", braced(&after.devices), after.hook)?;
    let size = |name: &str, of: fn(&AttachCost) -> usize| {
        format!("{name} {}", change(before.map(|before| of(before) as u64), of(after) as u64))
    };
    writeln!(
        f,
        "  {}, {}, {}, {}, {}, {}",
        size("filters", |cost| cost.sizes.filters),
        size("chains", |cost| cost.sizes.chains),
        size("prios", |cost| cost.sizes.prios),
        size("hash tables", |cost| cost.sizes.tables),
        size("masks", |cost| cost.sizes.masks),
        size("gotos at most", |cost| cost.sizes.gotos as usize),
    )?;
    let heads = ["masks", "prios", "gotos", "instructions"].map(str::to_owned);
    let wide = before.is_some();
    row(f, wide, "dearest packet", &heads, "of conntrack")?;
    let old = before.map(|before| before.worst.named().map(|(_, cost)| cost)).unwrap_or_default();
    for (before, (name, after)) in old.into_iter().zip(after.worst.named()) {
        if let Some(after) = after {
            packet(f, wide, name, before, after)?;
        }
    }
    f.write_char('\n')
}

fn packet(
    f: &mut fmt::Formatter<'_>,
    wide: bool,
    name: &str,
    before: Option<PacketCost>,
    after: PacketCost,
) -> fmt::Result {
    let column = |of: fn(PacketCost) -> u64| change(before.map(of), of(after));
    let columns = [
        column(|cost| cost.masks.into()),
        column(|cost| cost.prios.into()),
        column(|cost| cost.gotos.into()),
        column(|cost| cost.instructions),
    ];
    row(f, wide, name, &columns, &grouped(after.conntrack))
}

/// One line of the table, with room for two figures in a column where there are two.
fn row(f: &mut fmt::Formatter<'_>, wide: bool, name: &str, columns: &[String; 4], last: &str) -> fmt::Result {
    let widths = if wide { [15, 15, 9, 21] } else { [8, 8, 8, 14] };
    write!(f, "  {name:18}")?;
    for (column, width) in columns.iter().zip(widths) {
        write!(f, "{column:>width$}")?;
    }
    writeln!(f, "  {last:>12}")
}

fn rules(f: &mut fmt::Formatter<'_>, rules: &[RuleCost]) -> fmt::Result {
    let own = || rules.iter().filter(|rule| rule.lists > 0);
    if own().next().is_none() {
        return Ok(());
    }
    writeln!(f, "  {:>9} {:>9} {:>9}  rule", "filters", "listed", "for each")?;
    for rule in own().take(RULES) {
        let text = if rule.text.chars().count() > TEXT {
            rule.text.chars().take(TEXT - 3).chain("...".chars()).collect()
        } else {
            rule.text.clone()
        };
        let each = tenths(rule.filters, rule.lists);
        let (filters, lists) = (grouped(rule.filters as u64), grouped(rule.lists as u64));
        writeln!(f, "  {filters:>9} {lists:>9} {each:>9}  {text}  {}", rule.place)?;
    }
    let rest = own().count().saturating_sub(RULES);
    if rest > 0 {
        let filters: usize = own().skip(RULES).map(|rule| rule.filters).sum();
        writeln!(f, "  {:>9} {:>9} {:>9}  in {rest} further rules", grouped(filters as u64), "", "")?;
    }
    Ok(())
}

/// `12`, or `12 -> 3` where it was something else before.
fn change(before: Option<u64>, after: u64) -> String {
    match before.filter(|before| *before != after) {
        Some(before) => format!("{} -> {}", grouped(before), grouped(after)),
        None => grouped(after),
    }
}

/// `12,345`: a number for people.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A ratio with one decimal.
fn tenths(a: usize, b: usize) -> String {
    let tenths = (a * 10 + b / 2).checked_div(b).unwrap_or_default();
    format!("{}.{}", tenths / 10, tenths % 10)
}
