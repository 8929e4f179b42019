//! Every name is minted and parsed by the same table.

use proptest::prelude::*;

use super::*;
use crate::model::Arch;

#[test]
fn what_is_minted_is_parsed() {
    let urls = Urls {
        server: "10.77.0.1:80".parse().expect("an address"),
    };
    let mac: MacAddr = "52:54:00:00:00:01".parse().expect("a mac");
    let path = |url: String| {
        url.strip_prefix("http://10.77.0.1")
            .expect("the base")
            .to_string()
    };
    assert_eq!(parse_http(&path(urls.ipxe(mac))), Some(HttpPath::Ipxe(mac)));
    assert_eq!(
        parse_http(&path(urls.loader(SHIM))),
        Some(HttpPath::Loader(SHIM.to_string()))
    );
    let file = PlannedFile {
        id: ArtefactRef {
            distro: "debian-12".into(),
            name: "linux".into(),
        },
        digest: Digest::of(b"x"),
        size: 1,
    };
    let artefact = parse_http(&path(urls.artefact(&file)));
    assert!(matches!(artefact, Some(HttpPath::Artefact { id, .. }) if id == file.id));
    assert!(matches!(
        parse_tftp(&artefact_path(&file.id, &file.digest)),
        Some(TftpName::Artefact { id, .. }) if id == file.id
    ));
    assert_eq!(parse_tftp(&tftp_grub(mac)), Some(TftpName::Grub(mac)));
    for loader in LOADERS {
        assert_eq!(
            parse_tftp(loader),
            Some(TftpName::Loader(loader.to_string()))
        );
    }
    for count in 1..=3 {
        let zeros = parse_http(&path(urls.zeros(count)));
        assert_eq!(zeros, Some(HttpPath::Zeros(count)));
    }
    assert_eq!(parse_http("/zeros/4"), None);
    let deep = urls.artefact_at(&file, Some("platform/i86pc/kernel/amd64/unix"));
    assert!(
        matches!(parse_http(&path(deep)), Some(HttpPath::Artefact { id, .. }) if id == file.id)
    );
    assert_eq!(
        parse_http(&path(urls.mine("answer.toml"))),
        Some(HttpPath::Mine("answer.toml".into()))
    );
    assert_eq!(
        parse_http(&install_conf(mac)),
        Some(HttpPath::InstallConf(mac))
    );
    let own = "01-52-54-00-00-00-01/boot.cfg";
    assert_eq!(
        parse_http(&path(urls.own(own))),
        Some(HttpPath::Own(own.into()))
    );
    for name in [own_path(own), own.to_string(), format!("/{own}")] {
        assert_eq!(parse_tftp(&name), Some(TftpName::Own(own.into())), "{name}");
    }
    assert_eq!(
        parse_tftp(&document_path("T0", "overlay.cpio")),
        Some(TftpName::Document {
            token: "T0".into(),
            name: "overlay.cpio".into()
        })
    );
    let medium = ArtefactRef {
        distro: "rocky-9".into(),
        name: "media.iso".into(),
    };
    let tree = path(urls.tree(&medium, &file.digest));
    let on = |rest: &str| match parse_http(&format!("{tree}/{rest}")) {
        Some(HttpPath::Tree { id, path, .. }) if id == medium => Some(path),
        _ => None,
    };
    for (asked, path) in [
        (".treeinfo", ".treeinfo"),
        ("a/b%2B%2b-1.rpm", "a/b++-1.rpm"),
        ("%E4%BE%8B", "例"),
        ("./x//y", "./x//y"),
    ] {
        assert_eq!(on(asked).as_deref(), Some(path), "{asked}");
    }
    for asked in [
        "", "..", "a/../b", "%2e%2e/x", "a%", "a%2", "a%+1", "%ff", "a%00", "a%0a",
    ] {
        assert_eq!(on(asked), None, "{asked}");
    }
    assert_eq!(parse_http(&tree), None, "no listing");
    let report = parse_http(&path(format!("{}/progress/extract", urls.report("T0"))));
    assert!(matches!(report, Some(HttpPath::Report { stage: Some(s), .. }) if s == "extract"));
    let secure = SecureUrls {
        server: "10.77.0.1:443".parse().expect("an address"),
    };
    let handoff = format!("{}/bundle", secure.handoff("T0"));
    let handoff = handoff.strip_prefix("https://10.77.0.1").expect("the base");
    assert!(
        matches!(parse_http(handoff), Some(HttpPath::Handoff { verb, .. }) if verb == "bundle")
    );
    assert_eq!(
        parse_http("/mirror/debian/dists/bookworm/Release"),
        Some(HttpPath::Mirror {
            name: "debian".into(),
            path: "dists/bookworm/Release".into()
        })
    );
}

/// A distro's own pair, as it is pinned.
fn pair(arch: Arch, distro: &str) -> Pair {
    let (shim, grub) = match arch {
        Arch::Arm64Uefi => (SHIM_ARM64, GRUB_ARM64),
        _ => (SHIM, GRUB),
    };
    let file = |name: &str| PlannedFile {
        id: ArtefactRef {
            distro: distro.into(),
            name: name.into(),
        },
        digest: Digest::of(name.as_bytes()),
        size: 1,
    };
    Pair {
        arch,
        shim: file(shim),
        grub: file(grub),
    }
}

#[test]
fn a_pair_is_found_by_every_name_that_shim_asks_for() {
    let urls = Urls {
        server: "10.77.0.1:80".parse().expect("an address"),
    };
    for (arch, suse) in [(Arch::X64Uefi, false), (Arch::Arm64Uefi, true)] {
        let pair = pair(arch, "rocky-9");
        let path = pair_path(&pair);
        assert_eq!(urls.pair(&pair), format!("http://10.77.0.1/{path}"));
        let (dir, _) = path.rsplit_once('/').expect("a directory");
        let grub = if suse { "grub.efi" } else { &pair.grub.id.name };
        for (name, file) in [(pair.shim.id.name.as_str(), &pair.shim), (grub, &pair.grub)] {
            let (id, digest) = (file.id.clone(), file.digest.short());
            // shim joins with its own slash, with and without taking away the one that is there
            for asked in [
                format!("{dir}/{name}"),
                format!("/{dir}/{name}"),
                format!("{dir}//{name}"),
            ] {
                let (id, digest) = (id.clone(), digest.clone());
                assert_eq!(
                    parse_tftp(&asked),
                    Some(TftpName::Artefact { id, digest }),
                    "{asked}"
                );
            }
            assert_eq!(
                parse_http(&format!("/{dir}/{name}")),
                Some(HttpPath::Artefact { id, digest })
            );
        }
        for none in [
            "revocations.efi",
            "shim_certificate_0.efi",
            "mmx64.efi",
            "grub",
            "grub.cfg-0a4d000b-ffff-4fff-8fff-0a4d000b0a4d",
        ] {
            assert_eq!(parse_tftp(&format!("{dir}/{none}")), None, "{none}");
            assert_eq!(parse_http(&format!("/{dir}/{none}")), None, "{none}");
        }
    }
    for none in [
        "pair/x64/0/rocky-9/shimx64.efi",
        "pair/x64/0-1/rocky-9/shimaa64.efi",
        "pair/ia32/0-1/rocky-9/shimia32.efi",
        "pair/x64/0-1/../shimx64.efi",
        "pair/x64/0-1/shimx64.efi",
        "pair",
    ] {
        assert_eq!(parse_tftp(none), None, "{none}");
        assert_eq!(parse_http(&format!("/{none}")), None, "{none}");
    }
}

/// The names that each GRUB asks for, in the order of its source: one answer, wherever it was built to
/// look.
#[test]
fn every_grub_finds_the_configuration_of_its_machine() {
    let mac: MacAddr = "52:54:00:00:00:01".parse().expect("a mac");
    let pair = pair_path(&pair(Arch::X64Uefi, "rocky-9"));
    let (beside, _) = pair.rsplit_once('/').expect("a directory");
    let places = [
        "",
        "grub/",
        "boot/grub/",
        "boot/grub2/",
        "EFI/BOOT/",
        "EFI/redhat/",
        "EFI/rocky/",
        "debian-installer/amd64/grub/",
        &format!("{beside}/"),
        "loader/",
    ];
    for place in places {
        for (name, of) in [
            ("grub.cfg-01-52-54-00-00-00-01", Some(mac)),
            ("grub.cfg-52:54:00:00:00:01", Some(mac)),
            ("grub.cfg-0A4D000B", None),
            ("grub.cfg", None),
        ] {
            let (tftp, http) = match of {
                Some(mac) => (TftpName::Grub(mac), HttpPath::Grub(mac)),
                None => (TftpName::GrubGeneric, HttpPath::GrubGeneric),
            };
            let path = format!("{place}{name}");
            assert_eq!(parse_tftp(&path), Some(tftp.clone()), "{path}");
            assert_eq!(parse_tftp(&format!("/{path}")), Some(tftp), "{path}");
            assert_eq!(parse_http(&format!("/{path}")), Some(http), "{path}");
        }
        for none in [
            "grub.cfg-0A4D000",
            "grub.cfg-",
            "grub.cfg.bak",
            "grub.cfg-zz",
        ] {
            let found = parse_tftp(&format!("{place}{none}"));
            let own = matches!(found, None | Some(TftpName::Own(_)));
            assert!(own, "{place}{none}: {found:?}");
        }
    }
    // what else stands there is no configuration
    assert!(matches!(
        parse_http("/b/T0/grub.cfg"),
        Some(HttpPath::Document { .. })
    ));
    assert!(matches!(
        parse_http("/a/0/distro/grub.cfg"),
        Some(HttpPath::Artefact { .. })
    ));
}

/// A file's name as `boot/` and `profiles/` may give it.
fn file_name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_:+~-][A-Za-z0-9._:+~-]{0,127}"
}

proptest! {
    #[test]
    fn whatever_is_minted_is_parsed(
        distro in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?([.][a-z0-9]{1,63}){0,2}",
        (file, stage) in (file_name(), file_name()),
        mac in any::<[u8; 6]>().prop_map(|m| MacAddr([m[0] & 0xfe | 2, m[1], m[2], m[3], m[4], m[5]])),
        token in "[0-9a-f]{40}",
        port in any::<u16>(),
    ) {
        let server = SocketAddrV4::new([10, 77, 0, 1].into(), port);
        let (urls, secure) = (Urls { server }, SecureUrls { server });
        let path = |url: String| {
            let (_, rest) = url.split_once("://").expect("a URL");
            rest[rest.find('/').expect("a path")..].to_string()
        };
        let parsed = |url: String| parse_http(&path(url));
        let id = ArtefactRef { distro: distro.clone(), name: file.clone() };
        let planned = PlannedFile { id: id.clone(), digest: Digest::of(&mac.0), size: 1 };
        let digest = planned.digest.short();
        prop_assert_eq!(parsed(urls.ipxe(mac)), Some(HttpPath::Ipxe(mac)));
        prop_assert_eq!(parsed(urls.artefact(&planned)), Some(HttpPath::Artefact { id: id.clone(), digest: digest.clone() }));
        prop_assert_eq!(
            parse_tftp(&artefact_path(&id, &planned.digest)),
            Some(TftpName::Artefact { id, digest })
        );
        for loader in LOADERS {
            prop_assert_eq!(parsed(urls.loader(loader)), Some(HttpPath::Loader(loader.into())));
        }
        for arch in [Arch::X64Uefi, Arch::Arm64Uefi] {
            let pair = pair(arch, &distro);
            let (id, digest) = (pair.shim.id.clone(), pair.shim.digest.short());
            prop_assert_eq!(
                parsed(urls.pair(&pair)),
                Some(HttpPath::Artefact { id: id.clone(), digest: digest.clone() })
            );
            prop_assert_eq!(parse_tftp(&pair_path(&pair)), Some(TftpName::Artefact { id, digest }));
        }
        prop_assert_eq!(parse_tftp(&tftp_grub(mac)), Some(TftpName::Grub(mac)));
        prop_assert_eq!(
            parsed(format!("{}/{file}", urls.documents(&token))),
            Some(HttpPath::Document { token: token.clone(), name: file.clone() })
        );
        prop_assert_eq!(
            parsed(format!("{}/progress/{stage}", urls.report(&token))),
            Some(HttpPath::Report { token: token.clone(), verb: "progress".into(), stage: Some(stage) })
        );
        prop_assert_eq!(
            parsed(format!("{}/handoff", secure.report(&token))),
            Some(HttpPath::Report { token: token.clone(), verb: "handoff".into(), stage: None })
        );
        for url in [urls.puppet_report(&token), secure.puppet_report(&token)] {
            prop_assert_eq!(
                parsed(url),
                Some(HttpPath::PuppetReport { token: token.clone() })
            );
        }
        prop_assert_eq!(
            parsed(format!("{}/bundle", secure.handoff(&token))),
            Some(HttpPath::Handoff { token, verb: "bundle".into() })
        );
        prop_assert_eq!(
            parsed(format!("{}/pool/{file}", urls.mirror(&distro))),
            Some(HttpPath::Mirror { name: distro, path: format!("pool/{file}") })
        );
    }
}

#[test]
fn what_a_query_says_is_decoded_or_refused() {
    for (said, meant) in [
        (
            "no%20disk%3A+sda%0Aat%2520all",
            Some("no disk:+sda\nat%20all"),
        ),
        ("%C3%A9", Some("é")),
        ("", Some("")),
        ("%ff", None),
        ("100%", None),
        ("%+1", None),
    ] {
        assert_eq!(percent_decoded(said).as_deref(), meant, "{said}");
    }
}

#[test]
fn tricks_are_no_names() {
    for name in [
        "../etc/passwd",
        "own/../etc/passwd",
        "a\\..\\b",
        "%2e%2e/x",
        "",
        "x\0",
        "grub.cfg-zz",
    ] {
        assert_eq!(parse_tftp(name), None, "{name}");
    }
    for path in [
        "/a/../../etc/passwd",
        "/b//x",
        "/b/t/..",
        "/b/t/%2e%2e",
        "x",
        "/",
    ] {
        assert_eq!(parse_http(path), None, "{path}");
    }
    assert_eq!(
        parse_tftp("grub.cfg-52:54:00:00:00:01"),
        parse_tftp("/grub/grub.cfg-01-52-54-00-00-00-01")
    );
}
