//! The chain of stages: Source, Ast, Policy, Graph, Program, and the proof that the last means what the third says. It stops
//! after a stage that reported an error.

use crate::diag::Diagnostics;
use crate::emit::linearize::{FILTERS_MAX, linearize, noted};
use crate::emit::program::Program;
use crate::emit::{cost, unreached};
use crate::ir::lower::lower;
use crate::ir::policy::Policy;
use crate::ir::resolve::{Options, resolve};
use crate::optimize::{self, notes::Notes, price::Scale};
use crate::parse::{Files, LoadError, load};
use crate::source::SourceMap;
use crate::verify::{Budget, Proof, asserts, report};

/// What one policy file (with all that it includes) became, as far as it came.
#[derive(Debug, Default)]
pub struct Compiled {
    /// The text.
    pub map: SourceMap,
    /// What the stages had to say, in the order of the text.
    pub diags: Diagnostics,
    /// What the file means; `None` after an error.
    pub policy: Option<Policy>,
    /// What the kernel is to hold; `None` after an error.
    pub program: Option<Program>,
    /// That it decides every packet as the file says; `None` where it was left out, and where there is none.
    pub proof: Option<Proof>,
    /// What the optimizer did.
    pub notes: Notes,
}

/// How a Program is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proving {
    /// How much it may take.
    pub budget: Budget,
    /// Whether a policy too large for that is compiled nevertheless, with a warning.
    pub accept_unproven: bool,
}

/// Runs all stages on the policy at `path` (`-` is standard input).
///
/// # Errors
/// [`LoadError`] when a file cannot be read. Mistakes in the policy are no errors here: they are in [`Compiled::diags`].
pub fn compile(path: &str, files: &dyn Files, options: &Options) -> Result<Compiled, LoadError> {
    compile_with(path, files, options, Some(Proving::default()))
}

/// As [`compile`], with a say in the proof that the Program means the policy; `None` leaves it out.
///
/// # Errors
/// [`LoadError`]
pub fn compile_with(
    path: &str,
    files: &dyn Files,
    options: &Options,
    proving: Option<Proving>,
) -> Result<Compiled, LoadError> {
    let mut run = Compiled::default();
    let done = stages(path, files, options, proving, &mut run);
    run.diags.sort();
    done.map(|_| run)
}

/// The text, and what it means. Names are looked up even in a file that did not parse as a whole, so that one run reports every mistake.
fn read(path: &str, files: &dyn Files, options: &Options, run: &mut Compiled) -> Result<Policy, LoadError> {
    let asts = load(path, files, &mut run.map, &mut run.diags)?;
    Ok(resolve(&asts, &run.map, options, &mut run.diags))
}

fn stages(
    path: &str,
    files: &dyn Files,
    options: &Options,
    proving: Option<Proving>,
    run: &mut Compiled,
) -> Result<Option<()>, LoadError> {
    let policy = read(path, files, options, run)?;
    if run.diags.has_errors() {
        return Ok(None);
    }
    asserts::check(&policy, proving.map_or_else(Budget::default, |proving| proving.budget), &mut run.diags);
    let most = options.filters_max.map_or(FILTERS_MAX, |most| FILTERS_MAX.max(most as u64));
    if let Some(finding) = cost::limit::values(&policy, most) {
        run.diags.push(finding);
        return Ok(None);
    }
    let mut graph = lower(&policy, &run.map);
    graph.most = Some(most);
    let graph = optimize::run(graph, Scale::default());
    let (program, notes) = noted(graph, &policy, Scale::default(), most, &mut run.diags);
    run.notes = notes;
    if let Some(most) = options.filters_max.filter(|_| !run.diags.has_errors()) {
        cost::limit::check(&program, &policy, most, &mut run.diags);
    }
    if !run.diags.has_errors() {
        unreached::check(&program, &policy, &run.notes, &mut run.diags);
    }
    if let Some(proving) = proving.filter(|_| !run.diags.has_errors()) {
        run.proof = report::check(&policy, &program, proving.budget, proving.accept_unproven, &mut run.diags);
    }
    run.policy = Some(policy);
    if !run.diags.has_errors() {
        run.program = Some(program);
    }
    Ok(Some(()))
}

/// Reads the policy at `path` only as far as what it means.
///
/// # Errors
/// [`LoadError`]
pub fn meaning(path: &str, files: &dyn Files, options: &Options) -> Result<Compiled, LoadError> {
    let mut run = Compiled::default();
    let policy = read(path, files, options, &mut run)?;
    run.policy = Some(policy).filter(|_| !run.diags.has_errors());
    run.diags.sort();
    Ok(run)
}

/// The Program that the policy would become without optimisation, to be compared with; `None` where it was not compiled, or
/// where that Program would be larger than any may be.
#[must_use]
pub fn plain(compiled: &Compiled) -> Option<Program> {
    let policy = compiled.policy.as_ref()?;
    let mut diags = Diagnostics::default();
    let program = linearize(lower(policy, &compiled.map), policy, Scale::PLAIN, FILTERS_MAX, &mut diags);
    (!diags.has_errors()).then_some(program)
}
