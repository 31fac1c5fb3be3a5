//! Who may change a network namespace: the right to, and one at a time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use crate::abi::CAP_NET_ADMIN;

use super::error::ApplyError;

/// How long to wait for another run.
const PATIENCE: Duration = Duration::from_secs(10);

/// Held as long as it lives; the system releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the lock of the calling thread's network namespace.
///
/// # Errors
/// [`ApplyError::Busy`] when another run holds it for too long, [`ApplyError::Lock`] when it cannot be made.
pub fn take() -> Result<Lock, ApplyError> {
    let namespace = fs::metadata("/proc/thread-self/ns/net").map(|data| data.ino()).unwrap_or_default();
    let path = format!("/run/ctpolicy-{namespace}.lock");
    let failed = |source: io::Error| ApplyError::Lock { path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::WouldBlock) => return Err(ApplyError::Busy { path }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
}

/// Fails early, before anything is read or locked, where the process has no CAP_NET_ADMIN.
///
/// # Errors
/// [`ApplyError::NotPermitted`].
pub fn check_privilege() -> Result<(), ApplyError> {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    match effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()) {
        Some(bits) if bits & (1 << CAP_NET_ADMIN) == 0 => Err(ApplyError::NotPermitted),
        // Without /proc the kernel itself will say so.
        _ => Ok(()),
    }
}
