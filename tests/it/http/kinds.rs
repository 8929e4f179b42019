//! What only some installers ask: answers without a token, reports by GET, names of a boot program.

use farrier::model::{Content, LoaderKind, Module, Own, ProfileKind, Start, Way};

use super::*;

/// A flagged machine that has its boot script, with this much changed in what it pinned.
async fn booting(change: impl FnOnce(&mut farrier::model::Pinned)) -> (Door, String, String) {
    let door = open(Limits::default()).await;
    let key = door.flag(1);
    door.waist.repin(&key, change);
    let script = door
        .get(
            ip(1),
            &format!("/ipxe/{}?platform=pcbios&arch=i386", mac(1).dashed()),
        )
        .await;
    assert_eq!(script.status, 200);
    let report = door.waist.token(&key, Scope::Report);
    let read = door.waist.token(&key, Scope::Read);
    (door, format!("/r/{report}"), format!("/b/{read}"))
}

fn document(pinned: &mut farrier::model::Pinned, name: &str) {
    let document = farrier::model::Document {
        name: name.into(),
        content_type: "text/plain".into(),
        bytes: format!("answers {}\n", Scope::Read.placeholder()).into_bytes(),
        gzip: false,
        secret: false,
    };
    pinned.documents.insert(name.into(), Arc::new(document));
}

/// As `proxmox-fetch-answer` posts it: which product, the machine, its interfaces.
fn sysinfo(mac: &str) -> String {
    format!(
        r#"{{"$schema":{{"version":"1.0"}},"product":{{"fullname":"Proxmox VE","product":"pve"}},"iso":{{"release":"9.2"}},"dmi":{{"system":{{"serial":"S1"}}}},"network_interfaces":[{{"link":"eno1","mac":"aa:bb:cc:00:00:01"}},{{"link":"eno2","mac":"{mac}"}}]}}"#
    )
}

#[tokio::test]
async fn proxmox_posts_what_it_is_and_is_answered_its_own() {
    let (door, ..) = booting(|pinned| {
        pinned.kind = ProfileKind::Proxmox;
        document(pinned, "answer.toml");
    })
    .await;
    let ask = |from, body: String| {
        let request = format!(
            "POST /mine/answer.toml HTTP/1.1\r\nHost: x\r\nAccept: application/json, application/toml;q=0.5\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        (from, request)
    };
    for (from, request) in [
        ask(ip(2), sysinfo(&mac(2).to_string())),
        ask(ip(1), sysinfo(&mac(2).to_string())),
    ] {
        assert_eq!(
            door.ask(from, &request).await.status,
            404,
            "another machine's"
        );
    }
    for body in ["", "{}", "no JSON", r#"{"network_interfaces":[]}"#] {
        let (from, request) = ask(ip(1), body.to_string());
        assert_eq!(door.ask(from, &request).await.status, 400, "{body}");
    }
    assert_eq!(door.waist.phase(1), Phase::Booting, "nothing was given out");
    let (from, request) = ask(ip(1), sysinfo(&mac(1).to_string().to_uppercase()));
    let got = door.ask(from, &request).await;
    assert_eq!(got.status, 200);
    assert!(!got.text().contains("PLACEHOLDER") && got.text().starts_with("answers "));
    // given the answer it is permitted to write: cut off now, it does not start again by itself
    let build = door.waist.build(1).expect("a build");
    assert_eq!(build.phase, Phase::Installing);
    assert_eq!(
        build.disk.as_deref(),
        Some("the one that answer.toml names")
    );
    assert_eq!(
        door.ask(from, &request).await.status,
        200,
        "it may ask again"
    );
}

#[tokio::test]
async fn openbsd_asks_with_its_own_address_in_the_name() {
    let (door, ..) = booting(|pinned| {
        pinned.kind = ProfileKind::Openbsd;
        document(pinned, "install.conf");
    })
    .await;
    let path = |last| format!("/{}-install.conf?path=7.8/amd64", mac(last));
    assert_eq!(
        door.get(ip(2), &path(1)).await.status,
        404,
        "from elsewhere"
    );
    assert_eq!(door.get(ip(1), &path(2)).await.status, 404, "for another");
    assert_eq!(
        door.get(ip(1), "/install.conf?path=7.8/amd64").await.status,
        404
    );
    let got = door.get(ip(1), &path(1)).await;
    assert_eq!((got.status, door.waist.phase(1)), (200, Phase::Installing));
}

#[tokio::test]
async fn nothing_is_answered_by_address_before_or_after_a_build() {
    let door = open(Limits::default()).await;
    let key = door.flag(1);
    door.waist.repin(&key, |p| document(p, "answer.toml"));
    assert_eq!(
        door.get(ip(1), "/mine/answer.toml").await.status,
        404,
        "armed"
    );
    door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;
    assert_eq!(door.get(ip(1), "/mine/answer.toml").await.status, 200);
    assert_eq!(
        door.get(ip(1), "/mine/10-motd.sh").await.status,
        404,
        "a secret"
    );
    let report = door.waist.token(&key, Scope::Report);
    door.post(ip(1), &format!("/r/{report}/end"), "").await;
    assert_eq!(
        door.get(ip(1), "/mine/answer.toml").await.status,
        404,
        "over"
    );
}

#[tokio::test]
async fn a_get_ends_a_build_only_if_an_installer_meant_it() {
    let (door, report, _) = booting(|_| {}).await;
    let end = format!("{report}/end");
    // whoever follows the bare URL of an answer file
    assert_eq!(door.get(ip(1), &end).await.status, 405);
    assert_eq!(
        door.get(ip(1), &format!("{report}/fail/x")).await.status,
        405
    );
    let told = format!("{end}?detail=openbsd");
    assert_eq!(
        door.get(ip(1), &told).await.status,
        409,
        "nothing was heard yet"
    );
    assert_eq!(
        door.get(ip(1), &format!("{report}/start?detail=x"))
            .await
            .status,
        200
    );
    for header in [
        "Purpose: prefetch",
        "Sec-Purpose: prefetch;prerender",
        "X-Moz: prefetch",
        "Range: bytes=0-0",
        "If-Modified-Since: Thu, 01 Jan 2026 00:00:00 GMT",
    ] {
        let request = format!("GET {told} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n");
        assert_eq!(door.ask(ip(1), &request).await.status, 409, "{header}");
    }
    let request = format!("HEAD {told} HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(door.ask(ip(1), &request).await.status, 405);
    assert_eq!(door.get(ip(2), &told).await.status, 404);
    assert_eq!(door.waist.phase(1), Phase::Installing);
    for _ in 0..2 {
        assert_eq!(door.get(ip(1), &told).await.status, 200, "said twice");
        assert_eq!(door.waist.phase(1), Phase::Installed);
    }
}

#[tokio::test]
async fn what_a_get_tells_is_decoded_and_keeps_no_token() {
    let (door, report, _) = booting(|_| {}).await;
    for (detail, told) in [
        ("half%20of%20it+all", "half of it+all"),
        ("caf%e9", "caf%e9"),
        ("GET%20{}/log", "GET /r/../log"),
    ] {
        let detail = detail.replace("{}", &report.replace('/', "%2F"));
        let path = format!("{report}/progress/extract?detail={detail}");
        assert_eq!(door.get(ip(1), &path).await.status, 200);
        let seen = door.waist.seen();
        let (_, line) = seen.last().expect("a line");
        assert!(line.contains(told), "{line}");
    }
}

#[tokio::test]
async fn what_the_loader_fetches_is_no_sign_of_the_installer() {
    let (door, _, documents) = booting(|pinned| {
        document(pinned, "overlay.cpio");
        pinned.way.modules.push(Module {
            content: Content::Document {
                token: String::new(),
                name: "overlay.cpio".into(),
            },
            name: "overlay.cpio".into(),
            arguments: String::new(),
            path: None,
        });
    })
    .await;
    let got = door.get(ip(1), &format!("{documents}/overlay.cpio")).await;
    assert_eq!((got.status, door.waist.phase(1)), (200, Phase::Booting));
    let got = door.get(ip(1), &format!("{documents}/preseed.cfg")).await;
    assert_eq!((got.status, door.waist.phase(1)), (200, Phase::Installing));
}

#[tokio::test]
async fn a_boot_program_of_its_own_starts_with_its_configuration() {
    let door = open(Limits::default()).await;
    let key = door.flag(1);
    let (kernel, other) = (planned(&door.kernel), planned(&door.initrd));
    door.waist.repin(&key, |pinned| {
        pinned.kind = ProfileKind::Esxi;
        pinned.secure_boot = true;
        pinned.way = Way {
            start: Start::Efi,
            own: Some(Own {
                bios: None,
                uefi: Some(other),
                config: "boot.cfg".into(),
                config_names: vec!["01-MAC/boot.cfg".into()],
                files: [("k.b00".to_string(), kernel)].into(),
                signed: true,
            }),
            ..Way::default()
        };
        document(pinned, "boot.cfg");
    });
    let facts = farrier::model::Facts {
        mac: mac(1),
        ip: Some(ip(1)),
        door: farrier::model::Door::Dhcp,
        firmware: Some(farrier::model::Firmware::UEFI),
        stage: farrier::model::ClientStage::Rom,
    };
    use farrier::serve::Waist;
    let plan = match door.waist.ask(&facts).action {
        farrier::model::Action::Boot(plan) => plan,
        other => panic!("{other:?}"),
    };
    assert_eq!(plan.loader, LoaderKind::Own);
    assert_eq!(door.get(ip(1), "/own/initrd.gz").await.body, b"initrd");
    assert_eq!(door.get(ip(2), "/own/initrd.gz").await.status, 404);
    let config = format!("/own/01-{}/boot.cfg", mac(1).dashed());
    let head = format!("HEAD {config} HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(door.ask(ip(1), &head).await.status, 200);
    assert_eq!(door.waist.phase(1), Phase::Armed, "HEAD changes nothing");
    assert_eq!(door.get(ip(2), &config).await.status, 404);
    door.waist.fail(true);
    assert_eq!(door.get(ip(1), &config).await.status, 404, "not durable");
    door.waist.fail(false);
    let got = door.get(ip(1), &config).await;
    assert_eq!((got.status, door.waist.phase(1)), (200, Phase::Booting));
    assert!(got.text().starts_with("answers "), "{}", got.text());
    assert!(
        !got.text().contains("FARRIER-READ"),
        "the token is filled in"
    );
    assert_eq!(door.get(ip(1), "/own/k.b00").await.body.len(), 3_000_000);
    assert_eq!(door.get(ip(1), "/own/preseed.cfg").await.status, 404);
}

#[tokio::test]
async fn a_platform_that_nobody_knows_is_not_asked_for_again() {
    let door = open(Limits::default()).await;
    door.flag(1);
    door.waist
        .unseen
        .store(true, std::sync::atomic::Ordering::SeqCst);
    let path = format!("/ipxe/{}", mac(1).dashed());
    let asked = door.get(ip(1), &path).await.text();
    assert!(asked.contains("?platform=${platform}"), "{asked}");
    for platform in ["linux", ""] {
        let path = format!("{path}?platform={platform}&arch=riscv64");
        let script = door.get(ip(1), &path).await.text();
        assert!(script.contains("kernel --name linux "), "{script}");
    }
    assert_eq!(door.waist.phase(1), Phase::Booting);
}
