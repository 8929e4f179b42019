//! A waist without a store: the real decision, state machine and tokens, in memory, and a switch
//! that makes every `tell` fail.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use farrier::boot::token::fill;
use farrier::boot::{Scope, Situation, TokenHash, TokenKey, decide};
use farrier::control::{Authorised, TellError, Told};
use farrier::lifecycle::{scope_open, step};
use farrier::model::{
    Artefact, ArtefactIndex, ArtefactRef, Build, BuildKey, Deadlines, Decision, DhcpMode, Digest,
    DiskRule, Document, Door, Event, EventKind, Facts, Firmware, Interface, MacAddr, Machine, Name,
    Nature, Phase, Pinned, PlannedFile, ProfileKind, Purpose, Site, Subnet, System, Timestamp, Way,
};
use farrier::render::release;
use farrier::serve::Waist;
use farrier::serve::waist::{Keeping, Settling, Telling};
use zeroize::Zeroizing;

pub(crate) struct Standin {
    pub(crate) site: Arc<Site>,
    pub(crate) index: Arc<ArtefactIndex>,
    pub(crate) key: TokenKey,
    /// Every `tell` fails as if the disk were full.
    pub(crate) down: AtomicBool,
    /// While a test holds this, what was told is not acknowledged.
    pub(crate) commits: tokio::sync::Mutex<()>,
    /// Seconds since the tests began, as the waist's clock has them.
    pub(crate) seconds: AtomicI64,
    /// Nobody has seen the firmware of any machine, and what is pinned is for one kind.
    pub(crate) unseen: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    machines: HashMap<Name, Machine>,
    pinned: HashMap<BuildKey, Arc<Pinned>>,
    told: Vec<EventKind>,
    noted: Vec<EventKind>,
    seen: Vec<(MacAddr, String)>,
    lent: HashMap<Ipv4Addr, MacAddr>,
    settled: Vec<Option<Firmware>>,
    unfit: Option<Change>,
}

/// What is changed in what a build pinned.
type Change = Box<dyn FnOnce(&mut Pinned) + Send>;

pub(crate) fn mac(last: u8) -> MacAddr {
    MacAddr([0x52, 0x54, 0, 0, 0, last])
}

pub(crate) fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, 10 + last)
}

pub(crate) fn name(last: u8) -> Name {
    format!("web{last:02}").parse().expect("a name")
}

const BEGAN: i64 = 1_700_000_000;

fn system(last: u8) -> Arc<System> {
    Arc::new(System {
        name: name(last),
        interfaces: vec![Interface {
            mac: mac(last),
            ip: Some(ip(last)),
            static_ip: false,
            name: None,
            ip6: None,
        }],
        profile: "debian-12".parse().expect("a name"),
        tags: Vec::new(),
        vars: serde_json::Map::new(),
        intent: None,
        disk: None,
        wipe: false,
        protected: false,
        secure_boot: false,
        ssh_keys: Vec::new(),
        broken: None,
        bmc: None,
    })
}

/// A file on disk as the index knows it.
pub(crate) fn artefact(
    dir: &std::path::Path,
    distro: &str,
    name: &str,
    contents: &[u8],
) -> Artefact {
    let path = dir.join(format!("{distro}-{name}-{}", Digest::of(contents).short()));
    std::fs::write(&path, contents).expect("written");
    Artefact {
        id: ArtefactRef {
            distro: distro.into(),
            name: name.into(),
        },
        path,
        digest: Digest::of(contents),
        size: contents.len() as u64,
        bytes: (distro == "loaders").then(|| Arc::from(contents)),
        nature: Nature::default(),
    }
}

pub(crate) fn planned(artefact: &Artefact) -> PlannedFile {
    PlannedFile {
        id: artefact.id.clone(),
        digest: artefact.digest,
        size: artefact.size,
    }
}

impl Standin {
    /// Systems web01 to web09 at 127.0.0.11 to 19, and these artefacts.
    pub(crate) fn new(artefacts: Vec<Artefact>) -> Arc<Standin> {
        Standin::with(artefacts, |_| {})
    }

    /// The same beside a server that hands out the addresses; web09 declares none.
    pub(crate) fn proxy(artefacts: Vec<Artefact>) -> Arc<Standin> {
        Standin::with(artefacts, |site| {
            site.dhcp = DhcpMode::Proxy;
            let mut bare = (*system(9)).clone();
            bare.interfaces[0].ip = None;
            let bare = Arc::new(bare);
            site.by_ip.remove(&ip(9));
            site.by_mac.insert(mac(9), bare.clone());
            site.systems.insert(name(9), bare);
        })
    }

    fn with(artefacts: Vec<Artefact>, change: impl FnOnce(&mut Site)) -> Arc<Standin> {
        let mut site = Site {
            subnets: vec![Subnet {
                network: "127.0.0.0/24".parse().expect("a network"),
                router: None,
                dns: Vec::new(),
                domain: None,
                ntp: Vec::new(),
                pool: Vec::new(),
                lease: Duration::from_secs(3600),
                server: None,
            }],
            ..Site::default()
        };
        for last in 1..10 {
            let system = system(last);
            site.by_mac.insert(mac(last), system.clone());
            site.by_ip.insert(ip(last), system.clone());
            site.systems.insert(system.name.clone(), system);
        }
        change(&mut site);
        let mut index = ArtefactIndex::default();
        for artefact in artefacts {
            // what is named again supersedes
            if let Some(old) = index.get(&artefact.id.distro, &artefact.id.name) {
                let old = (**old).clone();
                index.insert_older(old);
            }
            index.insert(artefact);
        }
        Arc::new(Standin {
            site: Arc::new(site),
            index: Arc::new(index),
            key: TokenKey::new([7; 32]),
            down: AtomicBool::new(false),
            commits: tokio::sync::Mutex::default(),
            seconds: AtomicI64::new(0),
            unseen: AtomicBool::new(false),
            known: Mutex::default(),
        })
    }

    /// Flags a system, with this kernel and initrd.
    pub(crate) fn flag(
        &self,
        last: u8,
        kernel: PlannedFile,
        initrds: Vec<PlannedFile>,
    ) -> BuildKey {
        let mut known = self.known.lock().expect("a lock");
        let machine = known
            .machines
            .entry(name(last))
            .or_insert_with(|| Machine::new(name(last)));
        let flagged = EventKind::Flagged {
            purpose: Purpose::Install,
            profile: "debian-12".parse().expect("a name"),
            revision: Digest([0; 32]),
            expires: self.now() + Duration::from_secs(3600),
            attempts: 2,
            retry_after_write: false,
            revoke: Vec::new(),
            actor: "test".into(),
        };
        let build = step(
            &name(last),
            machine.build.as_ref(),
            machine.last_epoch(),
            &flagged,
            &Deadlines::default(),
            self.now(),
        )
        .expect("flagged")
        .expect("a build");
        let key = build.key.clone();
        machine.build = Some(build);
        let pinned = Pinned {
            kind: ProfileKind::Preseed,
            secure_boot: false,
            kernel,
            kernel_uefi: None,
            initrds,
            artefacts: Vec::new(),
            cmdline: "quiet url=http://127.0.0.1/b/FARRIER-READ-TOKEN----------------------/p"
                .into(),
            documents: documents(),
            deadlines: Deadlines::default(),
            disk: DiskRule::default(),
            second: None,
            may_destroy: vec!["linux".into()],
            wipe: false,
            handoff: true,
            server: None,
            uefi: None,
            way: Way::default(),
            macs: Vec::new(),
            identity: None,
            push: None,
            agent: None,
        };
        known.pinned.insert(key.clone(), Arc::new(pinned));
        key
    }

    /// Changes what a build pinned.
    pub(crate) fn repin(&self, key: &BuildKey, change: impl FnOnce(&mut Pinned)) {
        let mut known = self.known.lock().expect("a lock");
        let mut pinned = (*known.pinned[key]).clone();
        change(&mut pinned);
        known.pinned.insert(key.clone(), Arc::new(pinned));
    }

    /// The same, when the next build is made to fit.
    pub(crate) fn repin_at_boot(&self, change: impl FnOnce(&mut Pinned) + Send + 'static) {
        self.known.lock().expect("a lock").unfit = Some(Box::new(change));
    }

    /// The firmware that builds were made to fit so far.
    pub(crate) fn settled(&self) -> Vec<Option<Firmware>> {
        self.known.lock().expect("a lock").settled.clone()
    }

    fn now(&self) -> Timestamp {
        let seconds = BEGAN + self.seconds.load(Ordering::SeqCst);
        Timestamp::from_second(seconds).expect("a time")
    }

    pub(crate) fn token(&self, key: &BuildKey, scope: Scope) -> String {
        self.key.token(key, scope).reveal().to_string()
    }

    /// The token of the address that a Puppet server reports to.
    pub(crate) fn report_token(&self) -> String {
        self.key.site_token("puppet-report").reveal().to_string()
    }

    pub(crate) fn build(&self, last: u8) -> Option<Build> {
        let known = self.known.lock().expect("a lock");
        known.machines.get(&name(last))?.build.clone()
    }

    pub(crate) fn phase(&self, last: u8) -> Phase {
        self.build(last).map_or(Phase::Idle, |b| b.phase)
    }

    /// Words of the events told so far.
    pub(crate) fn told(&self) -> Vec<&'static str> {
        let known = self.known.lock().expect("a lock");
        known.told.iter().map(EventKind::word).collect()
    }

    pub(crate) fn noted(&self) -> Vec<EventKind> {
        self.known.lock().expect("a lock").noted.clone()
    }

    pub(crate) fn seen(&self) -> Vec<(MacAddr, String)> {
        self.known.lock().expect("a lock").seen.clone()
    }

    /// Gives an address to an interface, beside the reserved ones.
    pub(crate) fn lend(&self, ip: Ipv4Addr, mac: MacAddr) {
        self.known.lock().expect("a lock").lent.insert(ip, mac);
    }

    pub(crate) fn fail(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    fn step(&self, event: Event) -> Result<Told, TellError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(TellError::Store("the disk is full".into()));
        }
        let mut known = self.known.lock().expect("a lock");
        let machine = known
            .machines
            .get(&event.system)
            .cloned()
            .unwrap_or_else(|| Machine::new(event.system.clone()));
        let was = machine.build.clone();
        let next = step(
            &event.system,
            was.as_ref(),
            machine.last_epoch(),
            &event.kind,
            &Deadlines::default(),
            self.now(),
        )
        .map_err(TellError::Refused)?;
        let build = next.or(was).expect("a build");
        known.told.push(event.kind);
        let machine = Machine {
            build: Some(build.clone()),
            ..machine
        };
        known.machines.insert(event.system, machine);
        Ok(Told { build })
    }
}

fn documents() -> BTreeMap<String, Arc<Document>> {
    let document = |name: &str, text: &str, gzip, secret| {
        let document = Document {
            name: name.into(),
            content_type: "text/plain".into(),
            bytes: text.into(),
            gzip,
            secret,
        };
        (name.to_string(), Arc::new(document))
    };
    let read = Scope::Read.placeholder();
    let secret = Scope::Secret.placeholder();
    BTreeMap::from([
        document("preseed.cfg", &format!("# {read} {secret}\n"), false, false),
        document("config.tar.gz", "tar tar tar", true, false),
        document("10-motd.sh", &format!("echo {secret}\n"), false, true),
    ])
}

impl Waist for Standin {
    fn ask(&self, facts: &Facts) -> Decision {
        let known = self.known.lock().expect("a lock");
        let system = self.site.by_mac.get(&facts.mac);
        let machine = system.and_then(|s| known.machines.get(&s.name));
        let pinned = machine
            .and_then(|m| m.build.as_ref())
            .and_then(|b| known.pinned.get(&b.key));
        let situation = Situation {
            system: system.map(Arc::as_ref),
            machine,
            pinned: pinned.map(Arc::as_ref),
            once_pinned: None,
            artefacts: &self.index,
            frozen: None,
            ignore_unknown: false,
            now: self.now(),
        };
        decide(facts, &situation)
    }

    fn tell(&self, event: Event) -> Telling<'_> {
        let told = self.step(event);
        Box::pin(async move {
            tokio::task::yield_now().await;
            drop(self.commits.lock().await);
            told
        })
    }

    fn settle<'a>(
        &'a self,
        _at: Ipv4Addr,
        firmware: Option<Firmware>,
        build: &'a BuildKey,
    ) -> Settling<'a> {
        let unfit = {
            let mut known = self.known.lock().expect("a lock");
            known.settled.push(firmware);
            known.unfit.take()
        };
        let changed = unfit.is_some();
        if let Some(change) = unfit {
            self.repin(build, change);
        }
        Box::pin(async move { Ok(changed) })
    }

    fn note(&self, event: Event) {
        self.known.lock().expect("a lock").noted.push(event.kind);
    }

    fn observe(&self, mac: MacAddr, _door: Door, text: String) {
        self.known.lock().expect("a lock").seen.push((mac, text));
    }

    fn hear(&self, mac: MacAddr, line: &str) {
        let heard = (mac, format!("heard: {line}"));
        self.known.lock().expect("a lock").seen.push(heard);
    }

    fn keep_log<'a>(&'a self, build: &'a BuildKey, source: &'a str, text: &'a str) -> Keeping<'a> {
        let down = self.down.load(Ordering::SeqCst);
        if !down {
            let kept = format!("kept {source} of build {}: {text}", build.epoch);
            let mut known = self.known.lock().expect("a lock");
            known.seen.push((mac(0), kept));
        }
        Box::pin(async move {
            match down {
                true => Err(TellError::Store("the disk is full".into())),
                false => Ok(()),
            }
        })
    }

    fn keep_bundle<'a>(&'a self, build: &'a BuildKey, bytes: bytes::Bytes) -> Keeping<'a> {
        let text = format!("bundle of {} bytes", bytes.len());
        Box::pin(async move { self.keep_log(build, "bundle", &text).await })
    }

    fn authorise(&self, token: &str, scope: Scope) -> Option<Authorised> {
        let known = self.known.lock().expect("a lock");
        let wanted = TokenHash::of(token);
        let build = known
            .machines
            .values()
            .filter_map(|m| m.build.clone())
            .find(|b| self.key.token(&b.key, scope).hash() == wanted)?;
        scope_open(&build, scope, self.now()).then(|| Authorised {
            pinned: known.pinned[&build.key].clone(),
            system: self.site.systems.get(&build.key.system).cloned(),
            build,
        })
    }

    fn open_build(&self, mac: MacAddr) -> Option<BuildKey> {
        let known = self.known.lock().expect("a lock");
        let system = self.site.by_mac.get(&mac)?;
        Some(
            known
                .machines
                .get(&system.name)?
                .build
                .as_ref()?
                .key
                .clone(),
        )
    }

    fn waits_for_firmware(&self, _build: &BuildKey) -> bool {
        self.unseen.load(Ordering::SeqCst)
    }

    fn document(&self, build: &BuildKey, name: &str) -> Option<Arc<Document>> {
        let known = self.known.lock().expect("a lock");
        let document = known.pinned.get(build)?.documents.get(name)?;
        (!document.secret).then(|| document.clone())
    }

    fn holder(&self, ip: Ipv4Addr) -> Option<MacAddr> {
        if let Some(system) = self.site.by_ip.get(&ip) {
            return Some(system.interfaces[0].mac);
        }
        let known = self.known.lock().expect("a lock");
        let bound = |m: &&Machine| m.current().and_then(|b| b.address) == Some(ip);
        let machine = known.machines.values().find(bound);
        let system = machine.and_then(|m| self.site.systems.get(&m.name));
        system
            .map(|s| s.interfaces[0].mac)
            .or_else(|| known.lent.get(&ip).copied())
    }

    fn bound(&self, system: &Name) -> Option<Ipv4Addr> {
        let known = self.known.lock().expect("a lock");
        known.machines.get(system)?.current()?.address
    }

    fn site(&self) -> Arc<Site> {
        self.site.clone()
    }

    fn artefacts(&self) -> Arc<ArtefactIndex> {
        self.index.clone()
    }

    fn key(&self) -> &TokenKey {
        &self.key
    }

    fn released(
        &self,
        document: &Document,
        build: &BuildKey,
    ) -> Result<Zeroizing<Vec<u8>>, String> {
        let filled = fill(&document.bytes, &self.key, build, true);
        release(&filled, &|name| Err(format!("`{name}` is not set")))
    }

    fn is_report_token(&self, token: &str) -> bool {
        self.key.site_token("puppet-report").reveal() == token
    }

    fn run_reported<'a>(&'a self, text: &'a str) -> farrier::serve::waist::Reporting<'a> {
        let read = match text {
            "no report" => Err(farrier::control::TellReport::Unreadable("no".into())),
            text => Ok(text.to_string()),
        };
        Box::pin(std::future::ready(read))
    }

    fn enrol<'a>(
        &'a self,
        _build: &'a Build,
        key: &'a str,
    ) -> farrier::serve::waist::Enrolling<'a> {
        let enrolled = match key {
            "later" => Err(("later".to_string(), true)),
            "never" => Err(("never".to_string(), false)),
            _ => Ok(()),
        };
        Box::pin(std::future::ready(enrolled))
    }

    fn http_port(&self) -> u16 {
        80
    }
}
