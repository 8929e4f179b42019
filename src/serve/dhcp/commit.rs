//! ACKs that wait for their lease to be durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use tokio::sync::oneshot;

use super::batch::Letter;
use super::deliver::deliver;
use super::running::Shared;
use crate::control::TellError;
use crate::dhcp::{Granted, Place};
use crate::net::DhcpSocket;

/// A group of leases on its way to the store, and what to send when it is there.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) stored: oneshot::Receiver<Result<(), TellError>>,
    pub(super) leases: usize,
    pub(super) granted: Vec<Granted>,
    pub(super) letters: Vec<Letter>,
    pub(super) socket: Arc<DhcpSocket>,
    pub(super) place: Arc<Place>,
}

/// Until every door is shut. Groups become durable in the order they were handed in.
pub(super) fn run(shared: &Shared, groups: &Receiver<Pending>) {
    for group in groups {
        let stored = group
            .stored
            .blocking_recv()
            .unwrap_or(Err(TellError::Stopped));
        match stored {
            Ok(()) => deliver(shared, &group.socket, &group.place, group.letters),
            Err(error) => refuse(shared, group.leases, &group.granted, &error),
        }
    }
}

/// Nothing is sent; the clients ask again, and what they had before holds. Reserved addresses need
/// no store and go on.
fn refuse(shared: &Shared, leases: usize, granted: &[Granted], error: &TellError) {
    let counted = leases as u64;
    let before = shared
        .counters
        .uncommitted
        .fetch_add(counted, Ordering::Relaxed);
    if before == 0 || shared.gate.pass() {
        tracing::error!("{counted} leases could not be made durable and are not given: {error}");
    }
    let now = shared.control.clock();
    let mut table = shared.control.leases().table();
    for granted in granted {
        table.uncommitted(granted, now);
    }
}
