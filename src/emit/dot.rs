//! The Program as a picture source for Graphviz: chains, and the rules that lead from one to the next or to a verdict.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::program::{Action, Attached, Chain, Control, Filter, Mirred, Placement, Program, Role, chain_number};
use super::tc::attach_title;

/// Rules named on one edge before the rest is only counted.
const NAMED: usize = 3;

/// The Program as a `digraph`.
#[must_use]
pub fn dot(program: &Program, placement: &Placement) -> String {
    Picture { program, generation: placement.generation }.to_string()
}

struct Picture<'a> {
    program: &'a Program,
    generation: u16,
}

/// Where a filter's last action leads.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target<'a> {
    Chain(u32),
    Pass,
    Drop,
    Device(&'a str),
}

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "digraph ctpolicy {{\n  rankdir=LR;\n  node [shape=box, fontname=\"monospace\"];")?;
        for (number, attached) in self.program.attaches.iter().enumerate() {
            self.cluster(f, number, attached)?;
        }
        f.write_str("}\n")
    }
}

impl Picture<'_> {
    fn cluster(&self, f: &mut fmt::Formatter<'_>, number: usize, attached: &Attached) -> fmt::Result {
        writeln!(f, "  subgraph cluster_{number} {{\n    label=\"{}\";", Escaped(&attach_title(attached)))?;
        let chains = || [&attached.entry].into_iter().chain(&attached.chains);
        for chain in chains() {
            let kernel = chain_number(self.generation, chain.index);
            let (title, count) = (Escaped(&chain.title), chain.filters.len());
            let index = chain.index;
            let s = if count == 1 { "" } else { "s" };
            writeln!(f, "    p{number}_c{index} [label=\"chain {kernel}\\n{title}\\n{count} filter{s}\"];")?;
        }
        let edges: Vec<_> = chains().map(|chain| (chain.index, self.edges(chain))).collect();
        let mut verdicts: Vec<Target> = edges.iter().flat_map(|(_, to)| to.keys().copied()).collect();
        verdicts.sort_unstable();
        verdicts.dedup();
        for target in verdicts {
            match target {
                Target::Chain(_) => {}
                Target::Pass => writeln!(f, "    p{number}_pass [label=\"accept\", shape=ellipse];")?,
                Target::Drop => writeln!(f, "    p{number}_drop [label=\"drop\", shape=ellipse];")?,
                Target::Device(name) => {
                    let name = Escaped(name);
                    writeln!(f, "    \"p{number}_to_{name}\" [label=\"to {name}\", shape=ellipse];")?;
                }
            }
        }
        for (from, to) in &edges {
            for (target, rules) in to {
                write!(f, "    p{number}_c{from} -> ")?;
                match target {
                    Target::Chain(index) => write!(f, "p{number}_c{index}")?,
                    Target::Pass => write!(f, "p{number}_pass")?,
                    Target::Drop => write!(f, "p{number}_drop")?,
                    Target::Device(name) => write!(f, "\"p{number}_to_{}\"", Escaped(name))?,
                }
                writeln!(f, " [label=\"{}\"];", Escaped(&label(rules)))?;
            }
        }
        writeln!(f, "  }}")
    }

    /// For each target of a chain, the names of the rules that lead there, in order.
    fn edges<'a>(&self, chain: &'a Chain) -> BTreeMap<Target<'a>, Vec<String>> {
        let mut edges: BTreeMap<Target, Vec<String>> = BTreeMap::new();
        for filter in &chain.filters {
            let Some(target) = target(filter) else { continue };
            let name = self.program.rules.get(filter.rule).map_or_else(String::new, |rule| match rule.role {
                Role::Rule => format!("rule {}", rule.position),
                _ => rule.text.clone(),
            });
            let names = edges.entry(target).or_default();
            if names.last() != Some(&name) {
                names.push(name);
            }
        }
        edges
    }
}

/// Where a filter ends; `None` where the packet goes on with the next filter.
fn target(filter: &Filter) -> Option<Target<'_>> {
    let last = filter.actions.last()?;
    if let Action::Mirred(Mirred { redirect: true, device, .. }) = last {
        return Some(Target::Device(device));
    }
    match last.control() {
        Control::Pass => Some(Target::Pass),
        Control::Drop => Some(Target::Drop),
        Control::Goto(index) => Some(Target::Chain(index)),
        Control::Pipe | Control::Continue => None,
    }
}

fn label(rules: &[String]) -> String {
    let mut text = rules.iter().take(NAMED).cloned().collect::<Vec<_>>().join("\n");
    if rules.len() > NAMED {
        let _ = write!(text, "\nand {} more", rules.len() - NAMED);
    }
    text
}

/// Text inside a quoted string of dot.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '"' | '\\' => write!(f, "\\{c}"),
            '\n' => f.write_str("\\n"),
            c if c.is_control() => f.write_char(' '),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::policy::Hook;

    #[test]
    fn chains_and_verdicts_are_nodes() {
        let filter = |control| Filter {
            prio: 1,
            handle: 1,
            protocol: 3,
            keys: Vec::new(),
            actions: vec![Action::Gact(control)].into(),
            rule: 0,
        };
        let chain = |index, controls: &[Control]| Chain {
            index,
            title: "say \"hi\"".into(),
            filters: controls.iter().map(|c| filter(*c)).collect(),
        };
        let attached = Attached {
            name: "web".into(),
            devices: vec!["eth0".into()],
            hook: Hook::Ingress,
            entry: chain(0, &[Control::Goto(1)]),
            chains: vec![chain(1, &[Control::Pass, Control::Continue, Control::Drop])],
        };
        let program = Program { attaches: vec![attached], rules: Vec::new(), digest: 0 };
        let text = dot(&program, &Placement::fresh(&program));
        assert!(text.contains("p0_c1 [label=\"chain 65537\\nsay \\\"hi\\\"\\n3 filters\"];"), "{text}");
        for edge in ["p0_c0 -> p0_c1", "p0_c1 -> p0_pass", "p0_c1 -> p0_drop"] {
            assert!(text.contains(edge), "{text}");
        }
        assert_eq!(text.matches("->").count(), 3);
    }
}
