//! One socket and the loop that serves it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::batch::{Batch, Heard, Moment};
use super::check::{self, Parked};
use super::commit::{self, Pending};
use super::deliver::deliver;
use super::running::Shared;
use crate::boot::paths;
use crate::control::{Snapshot, TellError};
use crate::dhcp::{LeaseTable, Place};
use crate::model::{ArtefactIndex, DhcpMode};
use crate::net::{DhcpSocket, Inbox, interfaces};

/// How often an interface's addresses are looked up again.
const LOOK: Duration = Duration::from_secs(5);

/// One socket with what it needs.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) shared: Arc<Shared>,
    socket: Arc<DhcpSocket>,
    place: Mutex<Arc<Place>>,
    /// The artefacts that the place's loaders were last looked up in.
    artefacts: Mutex<Weak<ArtefactIndex>>,
    groups: SyncSender<Pending>,
}

impl Door {
    pub(super) fn new(
        shared: Arc<Shared>,
        socket: DhcpSocket,
        groups: SyncSender<Pending>,
    ) -> Arc<Door> {
        let place = Place {
            interface: socket.interface().name.clone(),
            networks: socket.interface().addresses.clone(),
            own: socket
                .interface()
                .addresses
                .iter()
                .map(|a| a.addr())
                .collect(),
            mode: DhcpMode::Off,
            door: match socket.port() {
                4011 => crate::model::Door::Proxy,
                _ => crate::model::Door::Dhcp,
            },
            http_port: 80,
            loaders: Vec::new(),
        };
        Arc::new(Door {
            shared,
            socket: Arc::new(socket),
            place: Mutex::new(Arc::new(place)),
            artefacts: Mutex::new(Weak::new()),
            groups,
        })
    }

    /// Until told to stop.
    pub(super) fn run(self: &Arc<Door>) {
        let mut inbox = Inbox::default();
        let mut looked: Option<Instant> = None;
        while !self.shared.stop.load(Ordering::Relaxed) {
            if looked.is_none_or(|at| at.elapsed() > LOOK) {
                self.look();
                looked = Some(Instant::now());
            }
            match self.socket.receive(&mut inbox) {
                Ok(0) => {}
                Ok(count) => {
                    let received = &self.shared.counters.received;
                    received.fetch_add(count as u64, Ordering::Relaxed);
                    self.serve(&inbox);
                }
                Err(error) => {
                    // The interface is down or gone; it may come back.
                    tracing::warn!(interface = self.socket.interface().name, "{error}");
                    std::thread::sleep(Duration::from_millis(500));
                }
            }
        }
    }

    /// Answers a batch.
    fn serve(self: &Arc<Door>, inbox: &Inbox) {
        let own = self.socket.interface().index;
        let heard: Vec<Heard<'_>> = inbox
            .iter()
            .filter(|d| d.interface == own)
            .map(|d| Heard {
                bytes: d.bytes,
                source: d.source,
                destination: d.destination,
            })
            .collect();
        self.answer(&heard);
    }

    /// Answers a datagram whose address was checked meanwhile.
    pub(super) fn again(self: &Arc<Door>, heard: Heard<'_>) {
        self.answer(&[heard]);
    }

    fn answer(self: &Arc<Door>, heard: &[Heard<'_>]) {
        let control = &self.shared.control;
        let snapshot = control.snapshot();
        let place = self.present(&snapshot);
        let moment = Moment {
            shared: &self.shared,
            snapshot,
            place: &place,
            now: control.clock(),
        };
        let mut batch = Batch::default();
        let mut table = control.leases().table();
        for (number, heard) in heard.iter().enumerate() {
            self.guarded(&moment, *heard, number, &mut table, &mut batch);
        }
        drop(table);
        deliver(
            &self.shared,
            &self.socket,
            &place,
            std::mem::take(&mut batch.ready),
        );
        if !batch.leases.is_empty() {
            self.commit(&mut batch, &place);
        }
        for (ip, number) in std::mem::take(&mut batch.checks) {
            let parked = Parked {
                door: self.clone(),
                bytes: heard[number].bytes.to_vec(),
                source: heard[number].source,
                destination: heard[number].destination,
            };
            check::begin(ip, parked);
        }
        batch.tell(&self.shared);
    }

    /// Hands leases to the store, and what is sent once they are there to the committer. Never waits.
    fn commit(&self, batch: &mut Batch, place: &Arc<Place>) {
        let leases = std::mem::take(&mut batch.leases);
        let granted = std::mem::take(&mut batch.granted);
        let letters = std::mem::take(&mut batch.held);
        let count = leases.len();
        if !self.shared.under_way.begin() {
            // Before the store hears of them, which would keep what nobody was given.
            let behind = TellError::Store("the store is too far behind".to_string());
            commit::refuse(&self.shared, count, &granted, &behind);
            return;
        }
        let group = Pending {
            stored: self.shared.control.commit_leases(leases),
            leases: count,
            granted,
            letters,
            socket: self.socket.clone(),
            place: place.clone(),
        };
        // There is room for as many as may be under way, and the committer only ends after this
        // thread.
        let _committer_gone = self.groups.send(group);
    }

    /// One packet must not take the door down, whatever is in it.
    fn guarded(
        &self,
        moment: &Moment<'_>,
        heard: Heard<'_>,
        number: usize,
        table: &mut LeaseTable,
        batch: &mut Batch,
    ) {
        let work = AssertUnwindSafe(|| moment.answer(heard, number, table, batch));
        if catch_unwind(work).is_err() {
            self.shared.counters.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(client.ip = %heard.source, "a packet was given up: this is a mistake in Farrier");
        }
    }

    /// The place, in the mode and with the boot server that hold now. The addresses are those that
    /// the doors for loaders and scripts are open on: no other is ever told to a machine.
    fn present(&self, snapshot: &Snapshot) -> Arc<Place> {
        let mode = snapshot.site.dhcp;
        let places = self.shared.control.places();
        let http_port = match places.http_port {
            0 => snapshot.site.server.http_port,
            port => port,
        };
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let here = || places.networks_on(&place.interface);
        let moved = here().next().is_some() && !here().eq(place.networks.iter().copied());
        if place.mode != mode || place.http_port != http_port || moved {
            let networks = if moved {
                here().collect()
            } else {
                place.networks.clone()
            };
            *place = Arc::new(Place {
                mode,
                http_port,
                networks,
                ..(**place).clone()
            });
        }
        let mut seen = self
            .artefacts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !std::ptr::eq(seen.as_ptr(), Arc::as_ptr(&snapshot.artefacts)) {
            *seen = Arc::downgrade(&snapshot.artefacts);
            let here = |name: &&str| snapshot.artefacts.loader(name).is_some();
            *place = Arc::new(Place {
                loaders: paths::LOADERS.into_iter().filter(here).collect(),
                ..(**place).clone()
            });
        }
        place.clone()
    }

    /// Looks the host's addresses up, none of which is given to a machine: they may change while it
    /// serves.
    fn look(&self) {
        let Ok(all) = interfaces() else { return };
        let own: Vec<_> = all
            .iter()
            .flat_map(|i| i.addresses.iter().map(|a| a.addr()))
            .collect();
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.own != own {
            *place = Arc::new(Place {
                own,
                ..(**place).clone()
            });
        }
    }
}
