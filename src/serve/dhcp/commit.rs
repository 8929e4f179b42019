//! ACKs that wait for their lease to be durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;

use futures_lite::future;
use tokio::sync::oneshot;

use super::batch::Letter;
use super::deliver::deliver;
use super::running::Shared;
use crate::control::TellError;
use crate::dhcp::{Granted, Place};
use crate::net::DhcpSocket;

/// Groups of leases that may be on their way to the store at once. Beyond that none is taken: a
/// store that hangs must not keep those waiting who need no store.
pub(super) const MOST: usize = 256;

/// How many groups are on their way to the store.
#[derive(Debug, Default)]
pub(super) struct UnderWay(AtomicUsize);

impl UnderWay {
    /// Whether one more may set out.
    pub(super) fn begin(&self) -> bool {
        let may = self.0.fetch_add(1, Ordering::Relaxed) < MOST;
        if !may {
            self.end();
        }
        may
    }

    fn end(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

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
    let mut given_up = shared.given_up.subscribe();
    for group in groups {
        let Pending {
            stored,
            leases,
            granted,
            letters,
            socket,
            place,
        } = group;
        let stored = async { stored.await.unwrap_or(Err(TellError::Stopped)) };
        let too_long = async {
            let _gone = given_up.wait_for(|given_up| *given_up).await;
            Err::<(), _>(TellError::Stopped)
        };
        match future::block_on(future::or(stored, too_long)) {
            Ok(()) => deliver(shared, &socket, &place, letters),
            Err(error) => refuse(shared, leases, &granted, &error),
        }
        shared.under_way.end();
    }
}

/// Nothing is sent; the clients ask again, and what they had before holds. Reserved addresses need
/// no store and go on.
pub(super) fn refuse(shared: &Shared, leases: usize, granted: &[Granted], error: &TellError) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_groups_are_under_way() {
        let under_way = UnderWay::default();
        assert!((0..MOST).all(|_| under_way.begin()));
        for _ in 0..3 {
            assert!(!under_way.begin(), "however often it is asked for");
        }
        under_way.end();
        assert!(under_way.begin());
        assert!(!under_way.begin());
    }
}
