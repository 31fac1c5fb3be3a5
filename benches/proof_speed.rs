//! How long the proof of policies takes, stage by stage.
//!
//!     cargo bench --bench proof_speed -- FILE.pol...

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::time::Instant;

use ctpolicy::diag::Diagnostics;
use ctpolicy::emit::linearize::{FILTERS_MAX, linearize};
use ctpolicy::ir::lower::lower;
use ctpolicy::ir::resolve::{Options, resolve};
use ctpolicy::optimize::{self, price::Scale};
use ctpolicy::parse::load;
use ctpolicy::source::SourceMap;
use ctpolicy::verify::{Budget, prove};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for path in std::env::args().skip(1).filter(|word| !word.starts_with("--")) {
        let files = BTreeMap::from([("x.pol".to_owned(), std::fs::read(&path)?)]);
        let (mut map, mut diags) = (SourceMap::default(), Diagnostics::default());
        let start = Instant::now();
        let asts = load("x.pol", &files, &mut map, &mut diags)?;
        let parsed = start.elapsed();
        let policy = resolve(&asts, &map, &Options::default(), &mut diags);
        let resolved = start.elapsed();
        let graph = optimize::run(lower(&policy, &map), Scale::default());
        let program = linearize(graph, &policy, Scale::default(), FILTERS_MAX, &mut diags);
        let compiled = start.elapsed();
        let filters: usize = program.attaches.iter().flat_map(|a| &a.chains).map(|chain| chain.filters.len()).sum();
        writeln!(
            out,
            "{path}: {filters} filters; parse {parsed:?}, resolve {:?}, program {:?}",
            resolved.saturating_sub(parsed),
            compiled.saturating_sub(resolved)
        )?;
        for attribute in [false, true] {
            let start = Instant::now();
            let proof = prove(&policy, &program, Budget { attribute, ..Budget::default() });
            writeln!(out, "    attribute {attribute}: {:?} {proof:?}", start.elapsed())?;
        }
    }
    Ok(())
}
