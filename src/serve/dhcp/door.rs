//! One socket and the loop that serves it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::batch::{Batch, Heard, Moment};
use super::check::{self, Parked};
use super::commit::Pending;
use super::deliver::deliver;
use super::running::Shared;
use crate::boot::paths;
use crate::control::Snapshot;
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
            let group = Pending {
                stored: control.commit_leases(batch.leases.clone()),
                leases: std::mem::take(&mut batch.leases),
                letters: std::mem::take(&mut batch.held),
                socket: self.socket.clone(),
                place: place.clone(),
            };
            // A full queue means that the disk is far behind: the kernel's queue fills next, and
            // clients back off. The committer only ends after this thread.
            let _committer_gone = self.groups.send(group);
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

    /// The place, in the mode and with the boot server that hold now.
    fn present(&self, snapshot: &Snapshot) -> Arc<Place> {
        let mode = snapshot.site.dhcp;
        let http_port = match self.shared.control.places().http_port {
            0 => snapshot.site.server.http_port,
            port => port,
        };
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if place.mode != mode || place.http_port != http_port {
            *place = Arc::new(Place {
                mode,
                http_port,
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

    /// Looks the host's addresses up: they may change while it serves.
    fn look(&self) {
        let Ok(all) = interfaces() else { return };
        let own: Vec<_> = all
            .iter()
            .flat_map(|i| i.addresses.iter().map(|a| a.addr()))
            .collect();
        let here = all
            .iter()
            .find(|i| i.index == self.socket.interface().index);
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let networks = here
            .map(|i| i.addresses.clone())
            .filter(|a| !a.is_empty())
            .unwrap_or_else(|| place.networks.clone());
        if place.own != own || place.networks != networks {
            *place = Arc::new(Place {
                own,
                networks,
                ..(**place).clone()
            });
        }
    }
}
