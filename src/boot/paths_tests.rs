//! Every name is minted and parsed by the same table.

use proptest::prelude::*;

use super::*;

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
