//! Policies compiled for the machine at hand.

use std::cell::OnceCell;
use std::io;

use super::policy::tell_of_pieces;
use super::{Failure, Out, PolicyArgs};
use crate::diag::render;
use crate::emit::netlink::Session;
use crate::ir::resolve::{Addresses, Options};
use crate::parse::{DiskFiles, Files};
use crate::pipeline::{self, Compiled};

/// Compiles with the addresses that the devices have, and shows the findings.
///
/// # Errors
/// [`Failure`] for files, and where the kernel does not tell the addresses.
pub fn compile(file: &str, args: &PolicyArgs, session: &Session, out: Out) -> Result<Compiled, Failure> {
    let mut options = args.options();
    let files = ReadOnce::default();
    let mut compiled = pipeline::compile_with(file, &files, &options, args.proving())?;
    // Only `masquerade` asks for addresses.
    if compiled.map.files().iter().any(|file| file.text.contains("masquerade")) {
        add_addresses(&mut options, session)?;
        compiled = pipeline::compile_with(file, &files, &options, args.proving())?;
    }
    out.message(&render::text(&compiled.diags, &compiled.map, out.color_err()));
    tell_of_pieces(file, &compiled, out);
    Ok(compiled)
}

/// The addresses of all devices; those given with `--address` stay.
fn add_addresses(options: &mut Options, session: &Session) -> Result<(), Failure> {
    for device in session.devices()?.into_keys() {
        let Some(own) = session.addresses(&device)? else { continue };
        let known: &mut Addresses = options.addresses.entry(device).or_default();
        known.v4 = known.v4.or(own.v4);
        known.v6 = known.v6.or(own.v6);
    }
    Ok(())
}

/// The files of the disk, and standard input, which the system gives only once.
#[derive(Default)]
struct ReadOnce {
    stdin: OnceCell<Vec<u8>>,
}

impl Files for ReadOnce {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        match self.stdin.get() {
            Some(bytes) if path == "-" => Ok(bytes.clone()),
            _ => {
                let bytes = DiskFiles.read(path)?;
                if path == "-" {
                    let _ = self.stdin.set(bytes.clone());
                }
                Ok(bytes)
            }
        }
    }

    fn identity(&self, path: &str) -> String {
        DiskFiles.identity(path)
    }
}
