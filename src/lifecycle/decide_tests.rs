//! What decides beside the state of a build: how it is started, and what runs from here.

use std::collections::BTreeMap;

use super::step::tests::{at, build_in};
use crate::boot::decide::{Situation, decide};
use crate::model::{
    Action, Arch, Artefact, ArtefactIndex, Content, Decision, Facts, Firmware, Machine, Module,
    Nature, Pair, Phase, Pinned, Processor, System, Why,
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
        uefi: None,
        macs: Vec::new(),
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
    ask_with(machine, pinned, firmware, frozen, &here(pinned))
}

fn ask_with(
    machine: &Machine,
    pinned: &Pinned,
    firmware: Firmware,
    frozen: Option<&str>,
    artefacts: &ArtefactIndex,
) -> Decision {
    let system = system();
    let facts = Facts {
        mac: "52:54:00:00:00:01".parse().expect("a mac"),
        ip: None,
        door: Door::Dhcp,
        firmware: Some(firmware),
        stage: ClientStage::Rom,
    };
    let situation = Situation {
        artefacts,
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

/// What a machine with Secure Boot is told whose distro has a shim and a GRUB of its own, of what is here.
fn with_pair(firmware: Firmware, change: impl FnOnce(&mut ArtefactIndex)) -> Decision {
    let armed = in_phase(Phase::Armed);
    let mut pinned = pinned(ProfileKind::Kickstart, Start::Linux);
    pinned.secure_boot = true;
    pinned.way.pair = Some(Pair {
        arch: Arch::X64Uefi,
        shim: file("shimx64.efi"),
        grub: file("grubx64.efi"),
    });
    let mut index = here(&pinned);
    for name in ["shimx64.efi", "grubx64.efi"] {
        let kernel = index.get("d", "unix").expect("here");
        let mut one = (**kernel).clone();
        one.id.name = name.into();
        one.digest = file(name).digest;
        index.insert(one);
    }
    change(&mut index);
    ask_with(&armed, &pinned, firmware, None, &index)
}

#[test]
fn a_distros_own_pair_needs_nothing_of_the_servers() {
    let http = Firmware::from_code(0x10);
    let without_loaders = |index: &mut ArtefactIndex| {
        let mut own = ArtefactIndex::default();
        for artefact in index.iter().filter(|a| a.id.distro == "d") {
            own.insert((**artefact).clone());
        }
        *index = own;
    };
    let told = with_pair(Firmware::UEFI, without_loaders);
    let Action::Boot(plan) = &told.action else {
        panic!("{}", told.why);
    };
    assert!(plan.way.pair(Arch::X64Uefi).is_some());
    assert!(plan.way.pair(Arch::Arm64Uefi).is_none());
    // what it pinned is gone
    let gone = with_pair(Firmware::UEFI, |index| {
        let mut less = ArtefactIndex::default();
        for artefact in index.iter().filter(|a| a.id.name != "grubx64.efi") {
            less.insert((**artefact).clone());
        }
        *index = less;
    });
    assert_eq!(gone.action, Action::LocalDisk);
    assert_eq!(
        gone.why.to_string(),
        "`grubx64.efi` of distro `d` is not on this server"
    );
    // its own GRUB counts, not the server's
    let server_has_http = |index: &mut ArtefactIndex| {
        let mut grub = (**index.loader("grubx64.efi").expect("here")).clone();
        grub.nature.http = true;
        index.insert(grub);
    };
    let no_http = with_pair(http, server_has_http);
    assert!(
        no_http
            .why
            .to_string()
            .contains("`grubx64.efi` of distro `d` has no HTTP, so it is left to boot by PXE"),
        "{}",
        no_http.why
    );
    let by_http = with_pair(http, |index| {
        let mut grub = (**index.get("d", "grubx64.efi").expect("here")).clone();
        grub.nature.http = true;
        index.insert(grub);
    });
    assert!(matches!(by_http.action, Action::Boot(_)), "{}", by_http.why);
    // a machine that it is not for is not concerned
    let bios = with_pair(Firmware::BIOS, |_| {});
    assert!(matches!(bios.action, Action::Boot(_)), "{}", bios.why);
}

#[test]
fn who_does_not_say_what_it_runs_on_is_given_a_kernel_for_any_processor() {
    let armed = in_phase(Phase::Armed);
    let pinned = pinned(ProfileKind::Preseed, Start::Linux);
    let mut artefacts = here(&pinned);
    let mut kernel = (**artefacts.get("d", "unix").expect("here")).clone();
    kernel.nature.processor = Some(Processor::Arm64);
    artefacts.insert(kernel);
    let system = system();
    let told = |door, firmware| {
        let facts = Facts {
            mac: "52:54:00:00:00:01".parse().expect("a mac"),
            ip: None,
            door,
            firmware,
            stage: ClientStage::Pxelinux,
        };
        let situation = Situation {
            artefacts: &artefacts,
            system: Some(&system),
            machine: Some(&armed),
            pinned: Some(&pinned),
            once_pinned: None,
            frozen: None,
            ignore_unknown: false,
            now: at(1),
        };
        decide(&facts, &situation)
    };
    let unsaid = told(Door::Tftp, None);
    assert!(matches!(unsaid.action, Action::Boot(_)), "{}", unsaid.why);
    for bios in [
        told(Door::Tftp, Some(Firmware::BIOS)),
        told(Door::Dhcp, None),
    ] {
        assert_eq!(bios.action, Action::LocalDisk);
        assert!(
            bios.why.to_string().contains("is for arm64"),
            "{}",
            bios.why
        );
    }
}
