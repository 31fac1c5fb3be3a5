//! Waiting until no packet is where it was.

use std::time::Duration;

use rustix::thread::{MembarrierCommand, membarrier};

/// Waits until no packet is still in a classifier that it entered before: one RCU grace period.
pub(super) fn grace() {
    // Refused on kernels with full dynticks; then some time has to do.
    if membarrier(MembarrierCommand::Global).is_err() {
        std::thread::sleep(Duration::from_millis(50));
    }
}
