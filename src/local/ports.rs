//! Free TCP ports on the loopback address.
//!
//! A port found free can be taken before the server binds it, so starts are tried again on another port;
//! ports outside the kernel's range for outgoing connections make that rare.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;

/// Where ports are looked for: above the well-known services, below Linux's ephemeral range (32768 and up).
const PORTS: RangeInclusive<u16> = 17_200..=31_999;

/// Hands out ports that are free now, none twice.
#[derive(Debug)]
pub(super) struct Ports {
    next: u16,
    given: BTreeSet<u16>,
}

impl Ports {
    /// Starts at `first`, or at a random place so that clusters started at once do not race for the same.
    pub(super) fn new(first: Option<u16>) -> Self {
        Self { next: first.unwrap_or_else(random_port), given: BTreeSet::new() }
    }

    /// A free port: `wanted` if that is free, otherwise the next one. `None` when there is no free port.
    pub(super) fn take(&mut self, wanted: Option<u16>) -> Option<u16> {
        if let Some(port) = wanted
            && self.try_take(port)
        {
            return Some(port);
        }
        for _ in PORTS {
            let port = self.next;
            self.next = if port >= *PORTS.end() { *PORTS.start() } else { port + 1 };
            if self.try_take(port) {
                return Some(port);
            }
        }
        None
    }

    fn try_take(&mut self, port: u16) -> bool {
        port != 0
            && !self.given.contains(&port)
            && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            && self.given.insert(port)
    }
}

fn random_port() -> u16 {
    let mut bytes = [0; 2];
    // Without randomness every start begins at the same port: slower, not wrong.
    let _ = getrandom::fill(&mut bytes);
    let span = PORTS.end() - PORTS.start();
    PORTS.start() + u16::from_le_bytes(bytes) % span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_given_once() {
        let mut ports = Ports::new(None);
        let first = ports.take(None).unwrap();
        let second = ports.take(Some(first)).unwrap();
        assert_ne!(first, second);
        assert!(PORTS.contains(&first) && PORTS.contains(&second));
    }

    #[test]
    fn a_port_in_use_is_passed_over() {
        let mut ports = Ports::new(None);
        let port = ports.take(None).unwrap();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let taken = Ports::new(None).take(Some(port)).unwrap();
        assert_ne!(taken, port);
    }
}
