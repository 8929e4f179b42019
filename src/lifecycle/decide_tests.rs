//! What decides beside the state of a build: how it is started, and what runs from here.

use std::collections::BTreeMap;

use super::step::tests::{at, build_in};
use crate::boot::decide::{Situation, decide};
use crate::model::{
    Action, Artefact, ArtefactIndex, Content, Decision, Facts, Firmware, Machine, Module, Nature,
    Phase, Pinned, System, Why,
};
use crate::model::{
    ArtefactRef, ClientStage, Deadlines, Digest, DiskRule, Door, Name, PlannedFile, ProfileKind,
    Start, Way,
};

fn name() -> Name {
    "web01".parse().expect("a name")
}

fn system() -> System {
    System {
        name: name(),
        interfaces: Vec::new(),
        profile: name(),
        tags: Vec::new(),
        vars: serde_json::Map::new(),
        disk: None,
        wipe: false,
        protected: false,
        secure_boot: false,
        ssh_keys: Vec::new(),
        broken: None,
        bmc: None,
        intent: None,
    }
}

fn file(name: &str) -> PlannedFile {
    PlannedFile {
        id: ArtefactRef {
            distro: "d".into(),
            name: name.into(),
        },
        digest: Digest::of(name.as_bytes()),
        size: 1,
    }
}

fn module(content: Content) -> Module<Content> {
    Module {
        content,
        name: "m".into(),
        arguments: String::new(),
        path: None,
    }
}

fn pinned(kind: ProfileKind, start: Start) -> Pinned {
    let answers = Content::Document {
        token: "t".into(),
        name: "answers.json".into(),
    };
    Pinned {
        kind,
        secure_boot: false,
        kernel: file("unix"),
        kernel_uefi: None,
        initrds: Vec::new(),
        artefacts: Vec::new(),
        cmdline: String::new(),
        documents: BTreeMap::new(),
        deadlines: Deadlines::default(),
        disk: DiskRule::default(),
        second: None,
        may_destroy: Vec::new(),
        wipe: false,
        handoff: true,
        server: None,
        identity: None,
        push: None,
        agent: None,
        way: Way {
            start,
            modules: vec![module(Content::File(file("archive"))), module(answers)],
            ..Way::default()
        },
    }
}

/// Everything it pins, and every loader.
fn here(pinned: &Pinned) -> ArtefactIndex {
    let mut index = ArtefactIndex::default();
    let of_modules = pinned.way.modules.iter().filter_map(|m| match &m.content {
        Content::File(file) => Some(file.clone()),
        Content::Document { .. } => None,
    });
    let loaders = crate::boot::paths::LOADERS.map(|name| PlannedFile {
        id: ArtefactRef {
            distro: "loaders".into(),
            name: name.into(),
        },
        digest: Digest::of(name.as_bytes()),
        size: 1,
    });
    let kernel = [pinned.kernel.clone()];
    for file in of_modules.chain(loaders).chain(kernel) {
        index.insert(Artefact {
            id: file.id,
            path: std::path::PathBuf::new(),
            digest: file.digest,
            size: 1,
            bytes: None,
            nature: Nature::default(),
        });
    }
    index
}

fn in_phase(phase: Phase) -> Machine {
    let build = build_in(phase);
    Machine {
        name: name(),
        build: Some(build),
        once: None,
    }
}

fn ask(machine: &Machine, pinned: &Pinned, firmware: Firmware, frozen: Option<&str>) -> Decision {
    let system = system();
    let facts = Facts {
        mac: "52:54:00:00:00:01".parse().expect("a mac"),
        ip: None,
        door: Door::Dhcp,
        firmware: Some(firmware),
        stage: ClientStage::Rom,
    };
    let artefacts = here(pinned);
    let situation = Situation {
        artefacts: &artefacts,
        system: Some(&system),
        machine: Some(machine),
        pinned: Some(pinned),
        once_pinned: None,
        frozen,
        ignore_unknown: false,
        now: at(1),
    };
    decide(&facts, &situation)
}

#[test]
fn what_no_chain_starts_boots_its_own_disk_and_says_why() {
    let armed = in_phase(Phase::Armed);
    let bios = ask(
        &armed,
        &pinned(ProfileKind::Smartos, Start::Multiboot),
        Firmware::BIOS,
        None,
    );
    assert!(matches!(bios.action, Action::Boot(_)));
    let uefi = ask(
        &armed,
        &pinned(ProfileKind::Smartos, Start::Multiboot),
        Firmware::UEFI,
        None,
    );
    assert_eq!(uefi.action, Action::LocalDisk);
    assert!(
        uefi.why.to_string().contains("on BIOS only"),
        "{}",
        uefi.why
    );
    let mut secure = pinned(ProfileKind::Windows, Start::Wimboot);
    secure.secure_boot = true;
    let refused = ask(&armed, &secure, Firmware::UEFI, None);
    assert!(
        refused.why.to_string().contains("wimboot"),
        "{}",
        refused.why
    );
}

#[test]
fn what_runs_from_here_is_booted_at_every_boot_without_its_answers() {
    let smartos = pinned(ProfileKind::Smartos, Start::Multiboot);
    let modules = |decision: &Decision| match &decision.action {
        Action::Boot(plan) => Some((plan.way.modules.len(), plan.resident)),
        _ => None,
    };
    let flagged = ask(&in_phase(Phase::Armed), &smartos, Firmware::BIOS, None);
    assert_eq!(modules(&flagged), Some((2, false)));
    for frozen in [None, Some("moving racks")] {
        let ready = ask(&in_phase(Phase::Ready), &smartos, Firmware::BIOS, frozen);
        assert_eq!(modules(&ready), Some((1, true)), "{frozen:?}");
        assert_eq!(ready.why, Why::Resident);
    }
    for phase in Phase::ALL {
        let boots = matches!(
            phase,
            Phase::Armed | Phase::Booting | Phase::Installing | Phase::Ready
        );
        let decision = ask(&in_phase(phase), &smartos, Firmware::BIOS, None);
        assert_eq!(modules(&decision).is_some(), boots, "{phase}");
    }
    let frozen = ask(&in_phase(Phase::Armed), &smartos, Firmware::BIOS, Some("x"));
    assert_eq!(frozen.action, Action::LocalDisk, "nothing is installed");
    // whatever else is ready boots its own disk
    for (_, kind) in ProfileKind::WORDS
        .into_iter()
        .filter(|(_, k)| !k.resident())
    {
        let other = pinned(kind, Start::Linux);
        let ready = ask(&in_phase(Phase::Ready), &other, Firmware::BIOS, None);
        assert_eq!(ready.action, Action::LocalDisk, "{kind:?}");
    }
}
