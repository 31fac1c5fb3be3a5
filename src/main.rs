//! The `ctpolicy` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(ctpolicy::cli::run(std::env::args_os()) as u8)
}
