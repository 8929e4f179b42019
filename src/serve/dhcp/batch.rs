//! What one batch of datagrams comes to.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::running::Shared;
use crate::control::Snapshot;
use crate::dhcp::describe::{client, describe};
use crate::dhcp::{
    Answer, Destination, Granted, LeaseTable, Outcome, Place, Reply, Request, Silence,
};
use crate::dhcp::{answer, encode, parse, route};
use crate::model::view::DiscoveredView;
use crate::model::{
    ClientStage, Door, Event, EventKind, Firmware, Lease, MacAddr, Name, Timestamp,
};

/// An answer on its way.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) bytes: Vec<u8>,
    pub(super) from: Ipv4Addr,
    pub(super) to: Destination,
    /// What to say once it is sent.
    pub(super) told: Option<Event>,
}

/// Everything to be done after the lock is given back.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// To send now.
    pub(super) ready: Vec<Letter>,
    /// To send once `leases` are durable.
    pub(super) held: Vec<Letter>,
    pub(super) leases: Vec<Lease>,
    /// Those of `leases` that are not valid before they are durable.
    pub(super) granted: Vec<Granted>,
    /// Addresses to ping, each with the number of its datagram in the batch.
    pub(super) checks: Vec<(Ipv4Addr, usize)>,
    /// Steps to write down.
    seen: Vec<(MacAddr, Door, String)>,
    firmware: Vec<(MacAddr, Firmware)>,
    began: Vec<Event>,
    strangers: Vec<DiscoveredView>,
}

/// A datagram, wherever it is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) source: SocketAddrV4,
    pub(super) destination: Ipv4Addr,
}

/// The moment that a batch is answered at.
pub(super) struct Moment<'a> {
    pub(super) shared: &'a Shared,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) place: &'a Place,
    pub(super) now: Timestamp,
}

impl Moment<'_> {
    /// Answers one datagram, the `number`th of its batch.
    pub(super) fn answer(
        &self,
        heard: Heard<'_>,
        number: usize,
        table: &mut LeaseTable,
        batch: &mut Batch,
    ) {
        let counters = &self.shared.counters;
        let request = match parse(heard.bytes) {
            Ok(request) => request,
            Err(malformed) => {
                counters.malformed.fetch_add(1, Ordering::Relaxed);
                let name = format!("dhcp.malformed.{}", malformed.word());
                self.shared.control.tally().count(&name);
                tracing::debug!(client.ip = %heard.source, "not a DHCP request: {malformed}");
                return;
            }
        };
        let ask = |facts: &_| self.shared.control.ask(facts);
        let site = &self.snapshot.site;
        let answer = answer(
            &request,
            heard.source,
            self.place,
            site,
            &ask,
            table,
            self.now,
        );
        let active = self.is_active(&answer);
        if active || self.shared.gate.pass() {
            if answer.system.is_none() {
                batch.strangers.push(self.stranger(&request, &answer));
            }
            let text = describe(&request, &answer);
            tracing::debug!(machine.mac = %request.mac, "{text}");
            batch.seen.push((request.mac, self.place.door, text));
        }
        self.tell_obstacle(&request, &answer);
        self.remember(&request, &answer, active, batch);
        batch.leases.extend(answer.records.iter().cloned());
        match &answer.outcome {
            Outcome::Silent(silence) => {
                counters.silent.fetch_add(1, Ordering::Relaxed);
                if *silence == Silence::Conflict {
                    self.conflict(&request);
                }
            }
            Outcome::Reply(reply) => {
                let letter = self.letter(heard, &request, &answer, reply, active);
                batch.ready.push(letter);
            }
            Outcome::Commit(granted, reply) => {
                let letter = self.letter(heard, &request, &answer, reply, active);
                batch.leases.push(granted.lease.clone());
                batch.granted.push(granted.clone());
                batch.held.push(letter);
            }
            Outcome::Record(lease, silence) => {
                if matches!(silence, Silence::Declined | Silence::Conflict) {
                    self.conflict(&request);
                }
                batch.leases.push(lease.clone());
            }
            Outcome::Check(ip) => batch.checks.push((*ip, number)),
        }
    }

    /// A client found the address it was given in use by another machine.
    fn conflict(&self, request: &Request<'_>) {
        let conflicts = &self.shared.counters.conflicts;
        conflicts.fetch_add(1, Ordering::Relaxed);
        if self.shared.gate.pass() {
            let ip = request.requested.unwrap_or(Ipv4Addr::UNSPECIFIED);
            tracing::warn!(machine.mac = %request.mac, "{ip} is in use by another machine, says the one that was given it");
        }
    }

    /// A machine that was flagged and cannot be booted begins a boot.
    fn tell_obstacle(&self, request: &Request<'_>, answer: &Answer<'_>) {
        let decision = answer.decision.as_ref().filter(|d| d.why.is_obstacle());
        let Some(decision) = decision.filter(|_| request.begins(self.place.door)) else {
            return;
        };
        if self.shared.gate.pass() {
            let name = decision.system.as_ref().map_or("", |n| n.as_str());
            let hint = decision.why.hint(decision.system.as_ref());
            let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
            tracing::warn!(machine.name = name, machine.mac = %request.mac, "it is flagged and boots its own disk: {}{hint}", decision.why);
        }
    }

    /// A machine that nobody declared.
    fn stranger(&self, request: &Request<'_>, answer: &Answer<'_>) -> DiscoveredView {
        DiscoveredView {
            mac: request.mac,
            firmware: answer.facts.firmware.map(|f| f.word().to_string()),
            uuid: request.machine_id().map(|id| id.as_str().to_string()),
            hostname: request.hostname(),
            relay: request.giaddr,
            first_seen: self.now,
            last_seen: self.now,
            times: 1,
        }
    }

    /// Whether the machine has a build under way, so that every step of it is worth a line.
    fn is_active(&self, answer: &Answer<'_>) -> bool {
        let machines = &self.snapshot.machines;
        let machine = answer.system.and_then(|s| machines.get(&s.name));
        machine.is_some_and(|m| {
            [&m.build, &m.once]
                .into_iter()
                .flatten()
                .any(|b| b.phase.is_active())
        })
    }

    /// Takes note of firmware that begins a boot.
    fn remember(
        &self,
        request: &Request<'_>,
        answer: &Answer<'_>,
        active: bool,
        batch: &mut Batch,
    ) {
        let firmware = answer.facts.firmware.unwrap_or(Firmware::BIOS);
        if !request.begins(self.place.door)
            || answer.facts.stage == ClientStage::Os
            || answer.system.is_none()
        {
            return;
        }
        if answer.facts.stage == ClientStage::Rom {
            batch.firmware.push((request.mac, firmware));
        }
        if let Some(system) = answer.system.filter(|_| active) {
            batch.began.push(Event {
                system: system.name.clone(),
                epoch: None,
                kind: EventKind::BootBegan {
                    mac: request.mac,
                    firmware,
                    uuid: request.machine_id(),
                },
            });
        }
    }

    fn letter(
        &self,
        heard: Heard<'_>,
        request: &Request<'_>,
        answer: &Answer<'_>,
        reply: &Reply<'_>,
        active: bool,
    ) -> Letter {
        let mut bytes = Vec::with_capacity(548);
        encode(reply, &mut bytes);
        let acknowledged = reply.is_ack() && !reply.yiaddr.is_unspecified();
        let leased = |name: &Name| Event {
            system: name.clone(),
            epoch: None,
            kind: EventKind::Leased {
                mac: request.mac,
                ip: reply.yiaddr,
                client: client(request, answer.facts.stage).to_string(),
            },
        };
        Letter {
            bytes,
            from: self.from(heard, reply),
            to: route(request, reply, heard.source, self.place.door),
            told: answer
                .system
                .filter(|_| active && acknowledged)
                .map(|s| leased(&s.name)),
        }
    }

    /// The address to answer from: the one that was spoken to, else the one in the client's network.
    fn from(&self, heard: Heard<'_>, reply: &Reply<'_>) -> Ipv4Addr {
        if self.place.own.contains(&heard.destination) {
            return heard.destination;
        }
        let networks = &self.place.networks;
        networks
            .iter()
            .find(|n| n.contains(&reply.yiaddr))
            .or(networks.first())
            .map_or(Ipv4Addr::UNSPECIFIED, ipnet::Ipv4Net::addr)
    }
}

impl Batch {
    /// Says what was seen. After the answers are on their way: nothing of it is urgent.
    pub(super) fn tell(&mut self, shared: &Shared) {
        for event in self.began.drain(..) {
            shared.control.note(event);
        }
        for stranger in self.strangers.drain(..) {
            shared.control.discover(stranger);
        }
        for (mac, firmware) in self.firmware.drain(..) {
            shared.control.seen_firmware(mac, firmware);
        }
        for (mac, door, text) in self.seen.drain(..) {
            shared.control.observe(mac, door, text);
        }
    }
}
