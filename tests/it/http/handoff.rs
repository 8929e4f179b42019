//! The hand-off over TLS: who gets it, how often, and from whom a machine takes it.

use std::path::Path;

use farrier::serve::http::handoff_router;
use farrier::vault::Authority;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::TlsConnector;

use super::*;

/// The door of the hand-off, and what a machine pins.
pub(super) struct Secure {
    running: Running,
    authority: Arc<str>,
}

impl Secure {
    pub(super) fn address(&self) -> std::net::SocketAddr {
        self.running.addresses()[0]
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }
}

pub(super) async fn open(plane: Arc<MachinePlane>, state: &Path, limits: &Limits) -> Secure {
    let authority = Arc::new(Authority::open(state).expect("an authority"));
    let certificate = authority.certificate().clone();
    let now = farrier::model::Timestamp::from_second(1_800_000_000).expect("a time");
    let tls = move || authority.server(&[Ipv4Addr::LOCALHOST], now).ok();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let app = handoff_router(plane);
    let running = accept::start_tls(vec![listener], app, limits.clone(), Arc::new(tls));
    Secure {
        running: running.expect("started"),
        authority: certificate,
    }
}

/// One request over TLS by a client that trusts this authority alone.
async fn speak(
    door: &Door,
    from: Ipv4Addr,
    authority: &str,
    request: &str,
) -> std::io::Result<Got> {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.as_bytes()).expect("PEM"))
        .expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("a loopback address");
    let stream = socket.connect(door.secure.running.addresses()[0]).await?;
    let name = ServerName::from(std::net::IpAddr::from(Ipv4Addr::LOCALHOST));
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    Ok(exchange(&mut stream, request).await)
}

impl Door {
    async fn send(&self, path: &str, body: &str) -> Got {
        self.send_from(ip(1), path, body).await
    }

    /// The same by the machine at this address.
    pub(super) async fn send_from(&self, from: Ipv4Addr, path: &str, body: &str) -> Got {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        let spoken = speak(self, from, &self.secure.authority, &(head + body)).await;
        spoken.expect("trusted")
    }
}

#[tokio::test]
async fn a_machine_takes_its_hand_off_once_and_reports() {
    let door = super::open(Limits::default()).await;
    let key = door.flag(1);
    door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;
    let report = door.waist.token(&key, Scope::Report);
    let r = |verb: &str| format!("/r/{report}/{verb}");
    door.post(ip(1), &r("start"), "").await;

    let open = door.post(ip(1), &r("handoff"), "").await;
    assert_eq!(open.status, 403, "where it is must not be read by others");
    assert!(open.text().contains("HTTPS"), "{}", open.text());
    let handoff = door.send(&r("handoff"), "").await.text();
    let url = handoff
        .strip_prefix("handoff=")
        .expect("a URL")
        .trim()
        .to_string();
    let secret = door.waist.token(&key, Scope::Secret);
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    assert!(url.ends_with(&format!("/h/{secret}")), "{url}");
    assert_eq!(
        door.send(&r("end"), "").await.status,
        404,
        "nothing else is spoken over TLS"
    );
    door.post(ip(1), &r("end"), "").await;
    assert_eq!(door.waist.phase(1), Phase::Installed);

    let h = |verb: &str| format!("/h/{secret}/{verb}");
    let mine = "key=0123456789abcdef\n";
    assert_eq!(door.post(ip(1), &h("bundle"), mine).await.status, 404);
    assert_eq!(door.send(&h("bundle"), "key=short").await.status, 400);
    let got = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", h("bundle"));
    let got = speak(&door, ip(1), &door.secure.authority, &got).await;
    assert_eq!(got.expect("trusted").status, 405);
    for _ in 0..2 {
        let bundle = door.send(&h("bundle"), mine).await;
        assert_eq!(bundle.status, 200);
        let mut archive = tar::Archive::new(&bundle.body[..]);
        let mut entry = archive
            .entries()
            .expect("a tar")
            .next()
            .expect("one")
            .expect("one");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).expect("text");
        assert_eq!(text, format!("echo {secret}\n"));
    }
    let kept = format!("{:?}", door.waist.build(1).expect("a build"));
    assert!(!kept.contains("0123456789abcdef"), "{kept}");
    let thief = door.send(&h("bundle"), "key=fedcba9876543210\n").await;
    assert_eq!(thief.status, 410);
    assert!(door.waist.told().contains(&"handoff-reused"));
    let alarm = door.waist.build(1).and_then(|b| b.alarm);
    assert!(alarm.is_some_and(|a| a.contains("127.0.0.11")));

    let result = "agent=steps code=0 class=ok seconds=3\nhostkey=ssh-ed25519 AAAA\n\nall well\n";
    assert_eq!(door.send(&h("result"), "nonsense").await.status, 400);
    for _ in 0..2 {
        assert_eq!(door.send(&h("result"), result).await.status, 200);
    }
    assert_eq!(door.waist.phase(1), Phase::Ready);
    assert_eq!(
        door.send(&h("bundle"), mine).await.status,
        410,
        "whoever has reported has no more to ask for"
    );
    assert_eq!(
        door.post(ip(1), &r("fail/late"), "").await.status,
        404,
        "the token is dead"
    );
}

/// A build whose hand-off names this agent and was taken, and the path of its result.
async fn handed_over(last: u8, door: &Door, agent: &str, push: bool) -> String {
    let key = door.flag(last);
    door.waist.repin(&key, |pinned| {
        pinned.agent = Some(agent.to_string());
        pinned.push = push.then(|| farrier::model::Push {
            playbook: "/srv/site.yml".into(),
            user: "root".into(),
            key: "/root/key".into(),
            timeout: 60,
        });
    });
    door.get(ip(last), &format!("/ipxe/{}", mac(last).dashed()))
        .await;
    let report = door.waist.token(&key, Scope::Report);
    door.post(ip(last), &format!("/r/{report}/end"), "").await;
    let handoff = format!("/h/{}", door.waist.token(&key, Scope::Secret));
    let mine = "key=0123456789abcdef\n";
    let bundle = format!("{handoff}/bundle");
    assert_eq!(door.send_from(ip(last), &bundle, mine).await.status, 200);
    format!("{handoff}/result")
}

#[tokio::test]
async fn whoever_did_not_run_what_it_was_handed_is_not_ready() {
    let door = super::open(Limits::default()).await;
    // what was handed over, whether this server plays, what is reported, and what is made of it
    for (last, agent, push, said, class, phase) in [
        (1, "puppet", false, "none", "ok", Phase::Failed),
        (2, "puppet", false, "steps", "changed", Phase::Failed),
        (3, "steps", false, "none", "reboot", Phase::Failed),
        (4, "puppet", false, "puppet", "changed", Phase::Ready),
        (5, "ansible", true, "none", "ok", Phase::Configuring),
        (6, "ansible", true, "ansible", "ok", Phase::Configuring),
        (7, "ansible", true, "chef", "ok", Phase::Failed),
        (8, "ansible", false, "none", "ok", Phase::Failed),
    ] {
        let path = handed_over(last, &door, agent, push).await;
        let result = format!("agent={said} code=0 class={class} seconds=0\n");
        let answer = door.send_from(ip(last), &path, &result).await;
        assert_eq!(answer.status, 200, "{agent}: it is recorded");
        let build = door.waist.build(last).expect("a build");
        assert_eq!(build.phase, phase, "{agent}, reported by {said}");
        let reason = build.reason.unwrap_or_default();
        if phase == Phase::Failed {
            assert!(
                reason.contains(&format!("`{said}`")) && reason.contains(&format!("`{agent}`")),
                "{reason}"
            );
            // and nothing that comes later makes it so
            let result = format!("agent={agent} code=0 class=ok seconds=0\n");
            door.send_from(ip(last), &path, &result).await;
            assert_eq!(door.waist.phase(last), Phase::Failed);
        }
    }
    // its own reason is kept, whoever gives it
    let path = handed_over(9, &door, "puppet", false).await;
    let result = "agent=none code=1 class=failed seconds=0\nreason=no disk\n";
    door.send_from(ip(9), &path, result).await;
    let reason = door.waist.build(9).and_then(|b| b.reason);
    assert_eq!(reason.as_deref(), Some("no disk"));
}

#[tokio::test]
async fn a_secret_that_is_gone_costs_a_retry_and_no_redemption() {
    let door = super::open(Limits::default()).await;
    let key = door.flag(1);
    door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;
    let report = door.waist.token(&key, Scope::Report);
    door.post(ip(1), &format!("/r/{report}/end"), "").await;
    door.waist.repin(&key, |pinned| {
        let found = pinned.documents.get_mut("10-motd.sh").expect("a step");
        Arc::make_mut(found).bytes = b"x='FARRIER-SECRET(sh,gone)'\n".to_vec();
    });
    let bundle = format!("/h/{}/bundle", door.waist.token(&key, Scope::Secret));
    let got = door.send(&bundle, "key=0123456789abcdef\n").await;
    assert_eq!(got.status, 503);
    assert!(!got.text().contains("gone"), "{}", got.text());
    assert_eq!(door.waist.phase(1), Phase::Installed);
}

#[tokio::test]
async fn another_authority_is_not_believed_and_plain_speech_gets_nothing() {
    let door = super::open(Limits::default()).await;
    let elsewhere = tempfile::tempdir().expect("a directory");
    let stranger = Authority::open(elsewhere.path()).expect("made");
    let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let refused = speak(&door, ip(1), stranger.certificate(), request).await;
    assert!(refused.is_err(), "{refused:?}");
    let address = door.secure.running.addresses()[0];
    let mut plain = TcpStream::connect(address).await.expect("connected");
    plain.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // a TLS alert at most, then the end
    let _cut_off = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}
