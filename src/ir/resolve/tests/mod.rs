//! Meaning and refusals, from text.

mod long;
mod meaning;
mod refusals;

use std::collections::BTreeMap;

use super::{Addresses, BareAttach, Options, resolve};
use crate::diag::Diagnostics;
use crate::ir::policy::{Hook, Policy};
use crate::parse::load;
use crate::source::SourceMap;

/// What came of a text: the policy, and the findings, one line each: `line:col level[name]: message (help)`.
pub struct Outcome {
    pub policy: Policy,
    pub findings: Vec<String>,
    pub text: String,
}

pub fn options() -> Options {
    let v4 = Some("203.0.113.2".parse().unwrap());
    Options { addresses: BTreeMap::from([("eth0".to_owned(), Addresses { v4, v6: None })]), ..Options::default() }
}

pub fn bare() -> Options {
    let bare = BareAttach { devices: vec!["eth0".into()], hook: Hook::Ingress, zone: None };
    Options { bare: Some(bare), ..options() }
}

pub fn run_files(files: &[(&str, &str)], options: &Options) -> Outcome {
    let memory: BTreeMap<String, Vec<u8>> = files.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
    let (mut map, mut diags) = (SourceMap::default(), Diagnostics::default());
    let asts = load(files[0].0, &memory, &mut map, &mut diags).unwrap();
    let policy = resolve(&asts, &map, options, &mut diags);
    diags.sort();
    let findings = diags.list().iter().map(|finding| {
        let at = map.line_col(finding.primary.span).unwrap();
        let (id, _) = map.find(finding.primary.span).unwrap();
        let file = if id.0 == 0 { String::new() } else { format!("{}:", map.file(id).unwrap().name) };
        let help = finding.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
        format!(
            "{file}{}:{} {}[{}]: {}{help}",
            at.line,
            at.col,
            finding.level.word(),
            finding.lint.name,
            finding.message
        )
    });
    Outcome { policy, findings: findings.collect(), text: files[0].1.to_owned() }
}

pub fn run(text: &str, options: &Options) -> Outcome {
    run_files(&[("t.pol", text)], options)
}

/// A policy that must have no errors.
pub fn good(text: &str) -> Policy {
    let outcome = run(text, &options());
    let errors: Vec<&String> = outcome.findings.iter().filter(|finding| finding.contains(" error[")).collect();
    assert!(errors.is_empty(), "{}\n{errors:#?}", outcome.text);
    outcome.policy
}

/// One rule in a tracked policy on one device, zone 1.
pub fn rule(text: &str) -> crate::ir::policy::Rule {
    let policy = good(&format!("policy p on eth0 ingress zone 1 {{\n{text}\ndefault drop\n}}\n"));
    policy.attaches[0].rules[0].clone()
}

/// One rule in a prefilter.
pub fn early(text: &str) -> crate::ir::policy::Rule {
    let policy = good(&format!("policy p on eth0 ingress zone 1 {{\nprefilter {{ {text} }}\ndefault drop\n}}\n"));
    policy.attaches[0].prefilter[0].clone()
}

/// The findings about one rule in a tracked policy (zone 1, line 2), notes left out.
pub fn refused(text: &str) -> String {
    let outcome = run(&format!("policy p on eth0 ingress zone 1 {{\n{text}\ndefault drop\n}}\n"), &options());
    outcome.findings.into_iter().filter(|finding| !finding.contains(" note[")).collect::<Vec<_>>().join("\n")
}
