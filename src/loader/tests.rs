use super::*;
use crate::boot::paths::Urls;
use crate::model::{
    ArtefactRef, BuildKey, Content, Digest, Firmware, LoaderKind, MacAddr, Module, PlannedFile,
    ProfileKind, Way, Why,
};

fn urls() -> Urls {
    Urls {
        server: "10.77.0.1:80".parse().expect("an address"),
    }
}

fn mac() -> MacAddr {
    "52:54:00:00:00:01".parse().expect("a mac")
}

fn file(name: &str) -> PlannedFile {
    PlannedFile {
        id: ArtefactRef {
            distro: "debian-12".into(),
            name: name.into(),
        },
        digest: Digest::of(name.as_bytes()),
        size: 1,
    }
}

fn boots(cmdline: &str, initrds: &[&str]) -> Decision {
    let system: crate::model::Name = "web01".parse().expect("a name");
    Decision {
        system: Some(system.clone()),
        action: Action::Boot(Box::new(BootPlan {
            build: BuildKey { system, epoch: 3 },
            profile: "debian-12".parse().expect("a name"),
            loader: LoaderKind::Ipxe,
            kernel: file("linux"),
            initrds: initrds.iter().map(|n| file(n)).collect(),
            cmdline: cmdline.into(),
            kind: ProfileKind::Preseed,
            way: Way::default(),
            resident: false,
        })),
        why: Why::Flagged {
            epoch: 3,
            attempt: 1,
            allowed: 2,
        },
    }
}

fn every(decision: &Decision) -> [(&'static str, Script); 3] {
    [
        ("ipxe", ipxe::script(decision, &urls(), mac())),
        (
            "grub",
            grub::config(decision, &urls(), mac(), Firmware::UEFI, grub::Via::Tftp),
        ),
        ("pxelinux", pxelinux::config(decision, mac())),
    ]
}

#[test]
fn syntax_in_a_command_line_is_refused_and_said_on_the_screen() {
    // (command line, which loaders refuse it)
    let check = |line: &str, refused_by: &[&str]| {
        for (loader, script) in every(&boots(line, &["initrd.gz"])) {
            assert_eq!(
                script.boots,
                !refused_by.contains(&loader),
                "{loader}: {line:?}"
            );
            if !script.boots {
                assert!(
                    script.text.contains("would act upon"),
                    "{loader}: {line:?}: {}",
                    script.text
                );
                assert!(!script.text.contains("initrd.gz"), "{}", script.text);
            }
        }
    };
    let all = ["ipxe", "grub", "pxelinux"];
    check("quiet console=ttyS0,115200n8 --- x", &[]);
    check("a\nboot", &all);
    check("a\tb", &all);
    check("a é", &all);
    check("a ${net0/mac}", &["ipxe"]);
    check("a && b", &["ipxe"]);
    check("a || b", &["ipxe"]);
    check("a ; b", &["ipxe"]);
    check("a #b", &["ipxe"]);
    check("a b#c;d&e", &[]);
    check("a b\\", &["ipxe", "grub"]);
    check("a 'b'", &["grub"]);
    check("a x=\"b c\"", &[]);
    check("a x=\"b", &["grub"]);
}

#[test]
fn grub_words_reach_the_kernel_unchanged() {
    let [_, (_, script), _] = every(&boots("a  x=\"b c\" y=$z r={1}", &[]));
    assert!(
        script.text.contains(" a 'x=b c' 'y=$z' 'r={1}'; then"),
        "{}",
        script.text
    );
}

#[test]
fn the_screen_says_why_and_what_to_type() {
    let decision = Decision {
        system: None,
        action: Action::LocalDisk,
        why: Why::Unknown,
    };
    for (loader, script) in every(&decision) {
        assert!(!script.boots);
        for needle in [
            "no declared system has this interface",
            "farrier add NAME 52:54:00:00:00:01 PROFILE",
        ] {
            assert!(script.text.contains(needle), "{loader}: {}", script.text);
        }
    }
}

#[test]
fn what_an_operator_wrote_cannot_leave_its_line() {
    let decision = Decision {
        system: Some("web01".parse().expect("a name")),
        action: Action::LocalDisk,
        why: Why::Frozen {
            note: "x'; exit\nboot ${y} && \"z\" ` # \u{1b}[2J é".into(),
        },
    };
    for (loader, script) in every(&decision) {
        let line = script
            .text
            .lines()
            .find(|l| l.contains("frozen"))
            .expect("the reason");
        assert!(line.contains("x, exit?boot ??y? ??"), "{loader}: {line}");
        for bad in ["${", "&&", "`", "\"", "#", "\u{1b}"] {
            assert!(!line.contains(bad), "{loader}: {line}");
        }
    }
}

#[test]
fn a_bare_kernel_has_no_initrd() {
    let decision = boots("", &[]);
    for (loader, script) in every(&decision) {
        assert!(
            script.boots && !script.text.to_lowercase().contains("initrd"),
            "{loader}"
        );
    }
    let bios = grub::config(&decision, &urls(), mac(), Firmware::BIOS, grub::Via::Tftp);
    assert!(bios.text.contains("linux16 ("), "{}", bios.text);
}

#[test]
fn an_initrd_begins_where_linux_looks_for_it() {
    let sized = |sizes: &[u64]| {
        let names = ["a.gz", "b.img", "c.cpio"];
        let mut decision = boots("", &names[..sizes.len()]);
        let Action::Boot(plan) = &mut decision.action else {
            unreachable!()
        };
        for (file, size) in plan.initrds.iter_mut().zip(sizes) {
            file.size = *size;
        }
        ipxe::script(&decision, &urls(), mac()).text
    };
    // of the last nothing follows; a multiple of four needs nothing
    for sizes in [&[5][..], &[8, 5], &[4, 512, 1]] {
        assert!(!sized(sizes).contains("zeros"), "{sizes:?}");
    }
    let script = sized(&[6, 8, 7]);
    let zeros = "initrd --name farrier-zeros-0 http://10.77.0.1/zeros/2 || goto failed";
    let loads: Vec<&str> = script
        .lines()
        .filter(|l| l.starts_with("initrd "))
        .collect();
    assert_eq!(loads.len(), 4, "{script}");
    assert_eq!(loads[1], zeros);
    let words = "initrd=a.gz initrd=farrier-zeros-0 initrd=b.img initrd=c.cpio";
    assert!(script.contains(words), "{script}");
    for (size, missing) in [(1, 3), (2, 2), (3, 1)] {
        let url = format!("/zeros/{missing} ");
        assert!(sized(&[size, 8]).contains(&url), "{size}");
    }
    // an artefact among the modules is an initrd like the others
    let mut decision = boots("", &["a.gz"]);
    let Action::Boot(plan) = &mut decision.action else {
        unreachable!()
    };
    for name in ["b.xz", "c.xz"] {
        plan.way.modules.push(Module {
            content: Content::File(file(name)),
            name: name.into(),
            arguments: String::new(),
            path: None,
        });
    }
    let script = ipxe::script(&decision, &urls(), mac()).text;
    let words = "initrd=a.gz initrd=farrier-zeros-0 initrd=b.xz initrd=farrier-zeros-1 initrd=c.xz";
    assert!(script.contains(words), "{script}");
}

#[test]
fn a_command_line_may_name_its_initrd_itself() {
    let script = ipxe::script(&boots("initrd=magic", &["a.gz"]), &urls(), mac());
    assert!(!script.text.contains("initrd=a.gz"), "{}", script.text);
}
