//! What operators read: systems, reasons, events, leases.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Control, Observation, Snapshot};
use crate::boot::decide;
use crate::inventory;
use crate::lifecycle::expected_next;
use crate::lifecycle::usual::usual;
use crate::model::command::{EventPage, EventQuery, Selection, WhyRequest};
use crate::model::view::{
    BuildView, EventView, LeaseView, ShowView, StatusView, StepView, SystemView, WhyView,
};
use crate::model::{
    Build, ClientStage, Decision, Door, Facts, Firmware, MacAddr, Name, Phase, Record, Refusal,
    System, Why, size_word,
};

impl Control {
    /// Systems, by name; an empty selection means all.
    ///
    /// # Errors
    /// If a selector matches nothing.
    pub fn list(&self, selection: &Selection) -> Result<Vec<SystemView>, Refusal> {
        let snapshot = self.snapshot();
        let systems = self.resolve(&snapshot, selection, true)?;
        Ok(systems
            .iter()
            .map(|s| self.system_view(&snapshot, s))
            .collect())
    }

    /// One system by name or hardware address, with what is expected of it.
    ///
    /// # Errors
    /// If there is none.
    pub async fn show(&self, subject: &str) -> Result<ShowView, Refusal> {
        let snapshot = self.snapshot();
        let system = self.one(&snapshot, subject)?;
        let facts = self.facts_of(&system, None, None);
        let decision = facts.as_ref().map(|f| self.ask(f));
        let profile = snapshot.site.profile_of(&system);
        let events = self
            .store
            .latest_events(Some(std::slice::from_ref(&system.name)), None, 12)
            .await
            .unwrap_or_default();
        Ok(ShowView {
            system: self.system_view(&snapshot, &system),
            interfaces: system.interfaces.clone(),
            vars: profile.map_or_else(
                || system.vars.clone(),
                |p| crate::render::variables(&system, p),
            ),
            disk: system
                .disk
                .clone()
                .or_else(|| profile.map(|p| p.disk.clone()))
                .unwrap_or_default(),
            second: profile.and_then(|p| crate::render::second_disk(&system, p)),
            secure_boot: system.secure_boot,
            why: decision
                .as_ref()
                .map_or_else(String::new, |d| d.why.to_string()),
            hint: decision.as_ref().and_then(|d| hint(d, Some(&system))),
            expected: self.expected(&snapshot, &system).await,
            host_keys: self.store.host_keys(&system.name).await.unwrap_or_default(),
            events: events.iter().map(event_view).collect(),
        })
    }

    pub(super) fn system_view(&self, snapshot: &Snapshot, system: &System) -> SystemView {
        let machine = snapshot.machines.get(&system.name);
        let build = machine.and_then(|m| m.build.as_ref());
        let once = machine.and_then(|m| m.once.as_ref());
        SystemView {
            name: system.name.to_string(),
            macs: system.interfaces.iter().map(|i| i.mac).collect(),
            ip: system.ip().or_else(|| {
                system
                    .interfaces
                    .iter()
                    .find_map(|i| self.leases.address_of(i.mac, self.clock()))
            }),
            profile: system.profile.to_string(),
            tags: system.tags.clone(),
            phase: build.map_or(Phase::Idle, |b| b.phase),
            protected: system.protected,
            broken: system.broken.clone(),
            build: build.map(build_view),
            once: once.map(build_view),
        }
    }

    /// What is expected next of a system, and by when.
    async fn expected(&self, snapshot: &Snapshot, system: &System) -> Option<String> {
        let machine = snapshot.machines.get(&system.name)?;
        let needs = |build: &Build| {
            let memory = snapshot.pinned.get(&build.key)?.way.memory?;
            Some(size_word(memory))
        };
        let mut builds = [&machine.once, &machine.build].into_iter().flatten();
        let Some(build) = builds.find(|b| b.phase.is_active()) else {
            let build = machine.build.as_ref();
            let needs = needs(build.filter(|b| b.phase == Phase::Stalled)?)?;
            return Some(format!(
                "nothing; its installer needs {needs} of memory, and with less it may have hung in silence"
            ));
        };
        let mut text = expected_next(build)?.to_string();
        if let Some(at) = build.deadline {
            text.push_str(&format!(", by {at:.0}"));
        }
        // Machines alike, if there were any: another firmware takes another time.
        let (store, profile) = (&self.store, &build.profile);
        let mut beginnings = store
            .beginnings(profile, build.firmware)
            .await
            .unwrap_or_default();
        if beginnings.is_empty() {
            beginnings = store.beginnings(profile, None).await.unwrap_or_default();
        }
        if let Some(usual) = usual(&beginnings).get(build.phase.word()) {
            text.push_str(&format!(" (usually after {} s)", usual.as_secs()));
        }
        if let (Phase::Armed | Phase::Booting | Phase::Installing, Some(needs)) =
            (build.phase, needs(build))
        {
            text.push_str(&format!("; its installer needs {needs} of memory"));
        }
        Some(text)
    }

    /// The firmware last seen of a system's interfaces, else the one that its last build booted by.
    pub(super) fn firmware_of(&self, system: &System) -> Option<Firmware> {
        let mut interfaces = system.interfaces.iter();
        let seen = interfaces.find_map(|i| self.observed.firmware(i.mac));
        seen.or_else(|| {
            let snapshot = self.snapshot();
            let machine = snapshot.machines.get(&system.name)?;
            let builds = [&machine.once, &machine.build];
            builds.into_iter().flatten().find_map(|b| b.firmware)
        })
    }

    fn facts_of(
        &self,
        system: &System,
        arch: Option<u16>,
        stage: Option<ClientStage>,
    ) -> Option<Facts> {
        let mac = system.first()?.mac;
        Some(Facts {
            mac,
            ip: system.ip(),
            door: Door::Typed,
            firmware: arch
                .map(Firmware::from_code)
                .or_else(|| self.firmware_of(system)),
            stage: stage.unwrap_or(ClientStage::Rom),
        })
    }

    /// What a machine would be told if it asked now, why, and what was seen of it.
    ///
    /// # Errors
    /// If the subject is neither a declared name nor a hardware address.
    pub async fn why(&self, request: &WhyRequest) -> Result<WhyView, Refusal> {
        let snapshot = self.snapshot();
        let (system, facts) = match self.one(&snapshot, &request.subject) {
            Ok(system) => {
                let facts = self.facts_of(&system, request.arch, request.stage);
                (Some(system), facts)
            }
            Err(refusal) => match request.subject.parse::<MacAddr>() {
                Ok(mac) => {
                    let facts = Facts {
                        mac,
                        ip: None,
                        door: Door::Typed,
                        firmware: request
                            .arch
                            .map(Firmware::from_code)
                            .or_else(|| self.observed.firmware(mac)),
                        stage: request.stage.unwrap_or(ClientStage::Rom),
                    };
                    (None, Some(facts))
                }
                Err(_) => return Err(refusal),
            },
        };
        let facts = facts.ok_or_else(|| Refusal::failed("the system has no interface"))?;
        let decision = decide(&facts, &snapshot.situation(facts.mac, self.clock()));
        let mut seen: Vec<EventView> = Vec::new();
        if let Some(system) = &system {
            let recorded = self
                .store
                .latest_events(Some(std::slice::from_ref(&system.name)), None, 30)
                .await;
            seen.extend(recorded.unwrap_or_default().iter().map(event_view));
        }
        let macs: Vec<MacAddr> = system.as_ref().map_or_else(
            || vec![facts.mac],
            |s| s.interfaces.iter().map(|i| i.mac).collect(),
        );
        let mut conversation: Vec<(MacAddr, Observation)> = macs
            .iter()
            .flat_map(|mac| self.observations(*mac).into_iter().map(|step| (*mac, step)))
            .collect();
        conversation.sort_by_key(|(_, step)| step.time);
        let asked = request.subject.parse::<MacAddr>().ok();
        let last_seen = conversation.last().map(|(mac, _)| *mac);
        Ok(WhyView {
            mac: asked.or(last_seen).or(Some(facts.mac)),
            firmware: facts.firmware.map(|f| f.word().to_string()),
            conversation: conversation
                .into_iter()
                .map(|(_, step)| StepView {
                    time: step.time,
                    door: step.door,
                    text: step.text,
                })
                .collect(),
            why: decision.why.to_string(),
            hint: match system.as_deref() {
                None if decision.why == Why::Unknown => {
                    Some(format!("farrier add NAME {} PROFILE", facts.mac))
                }
                system => hint(&decision, system),
            },
            expected: match &system {
                Some(system) => self.expected(&snapshot, system).await,
                None => None,
            },
            bundle: match system.as_ref().and_then(|s| snapshot.machines.get(&s.name)) {
                Some(machine) => match machine.build.as_ref() {
                    Some(build) => self.bundles.find(&build.key),
                    None => None,
                },
                None => None,
            },
            stages: match &system {
                Some(system) => self.stages(&snapshot, &system.name).await,
                None => Vec::new(),
            },
            system: system.as_ref().map(|s| self.system_view(&snapshot, s)),
            decision,
            seen,
        })
    }

    /// Recorded events, oldest first.
    ///
    /// # Errors
    /// If a selector matches nothing or the store fails.
    pub async fn events(&self, query: &EventQuery) -> Result<EventPage, Refusal> {
        let snapshot = self.snapshot();
        let limit = i64::try_from(query.limit.unwrap_or(1000).min(10_000)).unwrap_or(1000);
        let systems = if query.selection.is_empty() {
            None
        } else {
            Some(self.named(&snapshot, &query.selection).await?)
        };
        let failed = |e: crate::store::StoreError| Refusal::failed(e.to_string());
        let names = systems.as_deref();
        // Taken first: what happens meanwhile is asked for again rather than missed.
        let last = match query.after {
            Some(after) => after,
            None => self.store.last_event().await.map_err(failed)?,
        };
        let records = match query.after {
            Some(after) => self.store.events(after, names, query.since, limit).await,
            None => self.store.latest_events(names, query.since, limit).await,
        };
        let records = records.map_err(failed)?;
        Ok(EventPage {
            events: records.iter().map(event_view).collect(),
            cursor: records.last().map_or(last, |r| r.number),
        })
    }

    /// The names that a selection of events means. Plain names may be of systems that are declared no
    /// more, as long as something is recorded of them.
    async fn named(
        &self,
        snapshot: &Snapshot,
        selection: &Selection,
    ) -> Result<Vec<Name>, Refusal> {
        let refusal = match self.resolve(snapshot, selection, true) {
            Ok(systems) => return Ok(systems.iter().map(|s| s.name.clone()).collect()),
            Err(refusal) => refusal,
        };
        let plain = selection.selectors.iter().map(|s| s.parse::<Name>());
        let Ok(names) = plain.collect::<Result<Vec<Name>, _>>() else {
            return Err(refusal);
        };
        if !selection.tags.is_empty() || !selection.phases.is_empty() {
            return Err(refusal);
        }
        for name in &names {
            let recorded = self
                .store
                .latest_events(Some(std::slice::from_ref(name)), None, 1)
                .await;
            let known = snapshot.site.systems.contains_key(name);
            if !known && recorded.map_or(true, |r| r.is_empty()) {
                return Err(refusal);
            }
        }
        Ok(names)
    }

    /// Who holds which address: reservations and leases.
    ///
    /// # Errors
    /// If a selector matches nothing.
    pub fn lease_views(&self, selection: &Selection) -> Result<Vec<LeaseView>, Refusal> {
        let snapshot = self.snapshot();
        let site = &snapshot.site;
        let now = self.clock();
        let mut views: Vec<LeaseView> = Vec::new();
        for system in self.resolve(&snapshot, selection, true)? {
            for interface in &system.interfaces {
                if let Some(ip) = interface.ip {
                    views.push(LeaseView {
                        ip,
                        mac: interface.mac,
                        system: Some(system.name.to_string()),
                        state: "reserved".to_string(),
                        expires: None,
                        hostname: Some(system.name.to_string()),
                    });
                }
            }
        }
        let all = selection.is_empty();
        for lease in self.leases.all() {
            let system = site.by_mac.get(&lease.mac).map(|s| s.name.to_string());
            let meant = all
                || views
                    .iter()
                    .any(|v| v.system.is_some() && v.system == system)
                || self
                    .resolve(&snapshot, selection, true)?
                    .iter()
                    .any(|s| Some(s.name.to_string()) == system);
            if !meant {
                continue;
            }
            let state = match lease.state {
                crate::model::LeaseState::Bound if lease.expires <= now => "expired",
                crate::model::LeaseState::Bound => "bound",
                crate::model::LeaseState::Released => "released",
                crate::model::LeaseState::Declined => "declined",
            };
            views.push(LeaseView {
                ip: lease.ip,
                mac: lease.mac,
                system,
                state: state.to_string(),
                expires: Some(lease.expires),
                hostname: lease.hostname,
            });
        }
        views.sort_by_key(|v| v.ip);
        Ok(views)
    }

    /// What the server says of itself. `doors` is what the wiring opened.
    pub fn status(&self) -> StatusView {
        let snapshot = self.snapshot();
        let mut phases: BTreeMap<String, usize> = BTreeMap::new();
        let mut attention = Vec::new();
        let mut alarms = Vec::new();
        // What is known of a system that is declared no more stays in the store.
        let mut flagged = 0;
        for (name, machine) in &snapshot.machines {
            if !snapshot.site.systems.contains_key(name) {
                continue;
            }
            flagged += 1;
            let phase = machine.build.as_ref().map_or(Phase::Idle, |b| b.phase);
            *phases.entry(phase.word().to_string()).or_default() += 1;
            if let Some(build) = &machine.build
                && let Some(alarm) = &build.alarm
            {
                alarms.push(format!("`{name}`, build {}: {alarm}", build.key.epoch));
            }
            if let Some(obstacle) = self.obstacle(&snapshot, name) {
                attention.push(obstacle);
            }
            let waits = machine.build.as_ref().filter(|b| b.phase == Phase::Armed);
            for revocation in waits.iter().flat_map(|b| &b.revoke) {
                if let Some(failed) = &revocation.failed {
                    attention.push(format!(
                        "`{name}` is flagged, and {} could not be taken back: {failed}; it is tried again",
                        revocation.identity
                    ));
                }
            }
            if matches!(phase, Phase::Failed | Phase::Stalled | Phase::Held) {
                let reason = machine
                    .build
                    .as_ref()
                    .and_then(|b| b.reason.clone())
                    .unwrap_or_default();
                attention.push(format!(
                    "`{name}` is {phase}: {reason}; see `farrier why {name}`"
                ));
            }
        }
        let idle = snapshot.site.systems.len().saturating_sub(flagged);
        *phases.entry(Phase::Idle.word().to_string()).or_default() += idle;
        attention.sort();
        alarms.sort();
        attention.splice(0..0, alarms.iter().map(|a| format!("ALARM: {a}")));
        for system in snapshot.site.systems.values() {
            if let Some(problem) = &system.broken {
                attention.push(format!(
                    "the entry of `{}` cannot be used: {problem}",
                    system.name
                ));
            }
        }
        if let Some(note) = &snapshot.site.frozen {
            attention.push(format!("the site is frozen: {note}"));
        }
        // first: without its doors no machine is answered at all
        attention.splice(0..0, self.counters.refused_doors());
        attention.truncate(50);
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_string(),
            pid: std::process::id(),
            started: self.started,
            revision: snapshot.site.revision.short(),
            stale: self.files.stale(),
            doors: self.doors(),
            phases,
            systems: snapshot.site.systems.len(),
            unrendered: self.unrendered(),
            attention,
            alarms,
            counters: self.counters(),
        }
    }

    /// Why a machine that was flagged would boot its own disk all the same, and the fix.
    fn obstacle(&self, snapshot: &Snapshot, name: &Name) -> Option<String> {
        let system = snapshot.site.systems.get(name)?;
        let facts = self.facts_of(system, None, None)?;
        let why = decide(&facts, &snapshot.situation(facts.mac, self.clock())).why;
        if !why.is_obstacle() {
            return None;
        }
        let fix = why.hint(Some(name)).unwrap_or_default();
        Some(format!(
            "`{name}` is flagged and would boot its own disk: {why}; {fix}"
        ))
    }

    /// One system by name, hardware address or its disk's serial number.
    pub(super) fn one(&self, snapshot: &Snapshot, subject: &str) -> Result<Arc<System>, Refusal> {
        if let Some(system) = snapshot.site.system(&subject.to_ascii_lowercase()) {
            return Ok(system.clone());
        }
        if let Ok(mac) = subject.parse::<MacAddr>()
            && let Some(system) = snapshot.site.by_mac.get(&mac)
        {
            return Ok(system.clone());
        }
        if let [one] = inventory::by_serial(&snapshot.site, subject).as_slice()
            && let Some(system) = snapshot.site.system(one)
        {
            return Ok(system.clone());
        }
        let names: Vec<String> = snapshot
            .site
            .systems
            .keys()
            .map(|n| n.to_string())
            .collect();
        let near = super::near(subject, &names);
        Err(Refusal::not_found("system", subject, &near).help_if_none("farrier ls"))
    }
}

/// What to type next: a system that cannot be used is mended before it is flagged.
fn hint(decision: &Decision, system: Option<&System>) -> Option<String> {
    match system {
        Some(system) if system.broken.is_some() => Some("farrier check".to_string()),
        system => decision.why.hint(system.map(|s| &s.name)),
    }
}

/// A build for people and JSON.
pub(super) fn build_view(build: &Build) -> BuildView {
    BuildView {
        number: build.key.epoch,
        epoch: build.key.epoch,
        purpose: build.purpose.clone(),
        profile: build.profile.to_string(),
        flagged: build.flagged,
        started: build.started,
        since: build.since,
        phase: build.phase,
        stage: build.stage.as_ref().map(|s| s.to_string()),
        observed: build.observed.as_ref().map(|s| s.to_string()),
        reason: build.reason.clone(),
        expected_by: build.deadline,
        ended: build.ended,
        attempts: [build.attempts, build.attempts_allowed],
        disk: build.disk.clone(),
        alarm: build.alarm.clone(),
        revision: build.revision.short(),
    }
}

/// A recorded event for people and JSON.
pub fn event_view(record: &Record) -> EventView {
    EventView {
        number: record.number,
        time: record.time,
        system: record.system.to_string(),
        build: record.epoch,
        kind: record.event.word().to_string(),
        detail: record.event.detail(),
        phase: record.phase,
        ended: record.ended.clone(),
    }
}
