//! Taking everything of ours out, and nothing else.

use std::time::Duration;

use super::error::{ApplyError, during};
use super::grace::grace;
use super::live::{Live, LiveBlock};
use super::lock;
use super::message::{self, Request};
use super::session::{Session, read_live};
use super::socket::Socket;

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Devices that are open now, sorted.
    pub devices: Vec<String>,
    /// What could not be removed, or was left for someone else, in one line each.
    pub notes: Vec<String>,
}

impl Session {
    /// Takes everything of ours out, from one device or all. The devices are open then.
    ///
    /// # Errors
    /// When privileges are missing, the device does not exist, or the kernel refuses.
    pub fn remove(&mut self, on: Option<&str>) -> Result<Removed, ApplyError> {
        lock::check_privilege()?;
        let _lock = lock::take()?;
        let links = self.links.names()?;
        if let Some(device) = on.filter(|device| !links.contains_key(*device)) {
            let known = links.keys().cloned().collect();
            return Err(ApplyError::NoDevice { devices: vec![device.to_owned()], known });
        }
        let live = read_live(&mut self.socket, &links)?;
        let names = live.devices.iter().map(|device| device.blocks.device.clone());
        let names: Vec<String> = names.filter(|name| on.is_none_or(|device| device == name)).collect();
        let (devices, notes) = detach(&mut self.socket, &live, &names);
        // The kernel frees filters a grace period later, by a worker; until then an action of theirs can be bound again by its
        // index. An apply that follows at once should not meet it.
        grace();
        std::thread::sleep(Duration::from_millis(20));
        Ok(Removed { devices, notes })
    }
}

/// Removes the clsact of these devices; returns those that are open now, and notes on what stays.
pub(super) fn detach(socket: &mut Socket, live: &Live, names: &[String]) -> (Vec<String>, Vec<String>) {
    let mut open = Vec::new();
    let mut notes = Vec::new();
    for device in live.devices.iter().filter(|device| names.contains(&device.blocks.device)) {
        let name = &device.blocks.device;
        let numbers = [device.blocks.ingress, device.blocks.egress];
        let shared =
            numbers.iter().find(|number| live.blocks.get(number).is_some_and(|block| block.foreign().next().is_some()));
        let done = if let Some(number) = shared {
            notes.push(format!("`{name}` keeps its clsact: block {number} holds filters that ctpolicy did not make"));
            let used = |number: &u32| {
                let others =
                    live.devices.iter().map(|other| &other.blocks).filter(|other| !names.contains(&other.device));
                others.into_iter().any(|other| [other.ingress, other.egress].contains(number))
            };
            let free = numbers.into_iter().filter(|number| !used(number));
            let requests = free.filter_map(|number| Some((number, live.blocks.get(&number)?)));
            let requests: Vec<Request> = requests.flat_map(|(number, block)| our_filters(number, block)).collect();
            socket.run_all(requests.into_iter(), false).map(|_| ())
        } else {
            socket.run(message::del_clsact(device.ifindex))
        };
        match done {
            Ok(()) => open.push(name.clone()),
            Err(error) => {
                let error = during(&format!("the removal of the clsact on `{name}`"))(error);
                notes.push(error.to_string());
            }
        }
    }
    (open, notes)
}

/// Requests that remove our filters from a block that holds others as well: entries first.
fn our_filters(number: u32, block: &LiveBlock) -> Vec<Request> {
    let ours = block.filters.iter().filter(|filter| filter.origin().is_some());
    ours.map(|filter| message::del_filter(number, filter.chain, filter.prio, filter.protocol, filter.handle)).collect()
}
