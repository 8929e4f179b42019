//! The machine plane over real sockets: what each client gets, and what the waist was told.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use farrier::boot::Scope;
use farrier::model::{Artefact, EventKind, Phase, PlannedFile};
use farrier::serve::Hot;
use farrier::serve::http::{Limits, MachinePlane, Mirrors, Running, accept, router};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::standin::{Standin, artefact, ip, mac, name, planned};

mod agents;
mod bounds;
mod bundle;
mod crowd;
mod foreign;
mod freebsd;
mod handoff;
mod kinds;
mod mirrored;
mod pair;
pub(crate) mod status;
mod superseded;
mod tree;

struct Door {
    waist: Arc<Standin>,
    address: SocketAddr,
    running: Running,
    secure: handoff::Secure,
    kernel: Artefact,
    initrd: Artefact,
    _dir: tempfile::TempDir,
}

/// A parsed answer.
#[derive(Debug)]
struct Got {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Got {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// By exact case, as GRUB compares.
    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
    }
}

async fn open(limits: Limits) -> Door {
    open_on(limits, Standin::new).await
}

async fn open_on(limits: Limits, waist: impl Fn(Vec<Artefact>) -> Arc<Standin>) -> Door {
    open_with(limits, waist, Arc::new(mirrored::OneFile)).await
}

async fn open_with(
    limits: Limits,
    waist: impl Fn(Vec<Artefact>) -> Arc<Standin>,
    mirrors: Arc<dyn Mirrors>,
) -> Door {
    let dir = tempfile::tempdir().expect("a directory");
    let large: Vec<u8> = (0..3_000_000u32).map(|i| (i >> 3) as u8).collect();
    let kernel = artefact(dir.path(), "debian-12", "linux", &large);
    let initrd = artefact(dir.path(), "debian-12", "initrd.gz", b"initrd");
    let loader = artefact(dir.path(), "loaders", "snponly.efi", b"MZ loader");
    let older = artefact(dir.path(), "debian-12", "linux", superseded::KERNEL);
    let waist = waist(vec![older, kernel.clone(), initrd.clone(), loader]);
    let plane = Arc::new(MachinePlane {
        waist: waist.clone(),
        hot: Arc::new(Hot::new(4_000_000)),
        mirrors,
    });
    let secure = handoff::open(plane.clone(), dir.path(), &limits).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let running = accept::start(vec![listener], router(plane), limits).expect("started");
    Door {
        waist,
        address: running.addresses()[0],
        running,
        secure,
        kernel,
        initrd,
        _dir: dir,
    }
}

impl Door {
    async fn connect(&self, from: Ipv4Addr) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("a loopback address");
        socket.connect(self.address).await.expect("connected")
    }

    /// One request on one connection.
    async fn ask(&self, from: Ipv4Addr, request: &str) -> Got {
        let mut stream = self.connect(from).await;
        exchange(&mut stream, request).await
    }

    async fn get(&self, from: Ipv4Addr, path: &str) -> Got {
        self.ask(from, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await
    }

    async fn post(&self, from: Ipv4Addr, path: &str, body: &str) -> Got {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        self.ask(from, &(head + body)).await
    }

    fn flag(&self, last: u8) -> farrier::model::BuildKey {
        let file = |a: &Artefact| -> PlannedFile { planned(a) };
        self.waist
            .flag(last, file(&self.kernel), vec![file(&self.initrd)])
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: &str) -> Got {
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    let head = String::from_utf8(head).expect("ASCII");
    let status = head[9..12].parse().expect("a status");
    let mut got = Got {
        status,
        head,
        body: Vec::new(),
    };
    let length = if request.starts_with("HEAD") || status == 304 {
        0
    } else {
        got.header("Content-Length")
            .expect("a length")
            .parse()
            .expect("a number")
    };
    got.body = vec![0; length];
    stream.read_exact(&mut got.body).await.expect("a body");
    got
}

#[tokio::test]
async fn a_flagged_machine_gets_its_script_once_that_is_durable() {
    let door = open(Limits::default()).await;
    door.flag(1);
    let path = format!("/ipxe/{}", mac(1).dashed());

    let looked = door
        .ask(ip(1), &format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    assert_eq!(looked.status, 200);
    assert_eq!(door.waist.phase(1), Phase::Armed, "HEAD changes nothing");

    door.waist.fail(true);
    let withheld = door.get(ip(1), &path).await;
    assert_eq!(withheld.status, 200);
    assert!(
        withheld
            .text()
            .contains("boots its own disk: it could not be stored")
    );
    assert!(!withheld.text().contains("kernel"), "{}", withheld.text());
    door.waist.fail(false);

    let got = door.get(ip(1), &path).await;
    assert!(
        got.text().contains("kernel --name linux http://127.0.0.1:"),
        "{}",
        got.text()
    );
    assert_eq!(door.waist.phase(1), Phase::Booting);
    assert_eq!(
        got.header("Content-Length"),
        Some(got.body.len().to_string().as_str())
    );
    assert_eq!(door.waist.told(), ["script-served"]);

    // Every URL of the script is served.
    let mut fetched = 0;
    for word in got
        .text()
        .split_whitespace()
        .filter(|w| w.starts_with("http://"))
    {
        let path = word.splitn(4, '/').nth(3).expect("a path");
        let status = door.get(ip(1), &format!("/{path}")).await.status;
        assert_eq!(status, 200, "{word}");
        fetched += 1;
    }
    assert_eq!(fetched, 3);
}

#[tokio::test]
async fn whoever_is_not_flagged_boots_its_own_disk() {
    let door = open(Limits::default()).await;
    let got = door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;
    assert!(
        got.text().contains("farrier rebuild web01"),
        "{}",
        got.text()
    );
    assert_eq!(door.waist.noted(), [EventKind::LocalServed]);
    let grub = door
        .get(ip(1), &format!("/grub/grub.cfg-01-{}", mac(1).dashed()))
        .await;
    assert!(grub.text().contains("chainloader"), "{}", grub.text());
    let seen = door.waist.seen();
    assert!(
        seen[0].1.contains("own disk: it is not flagged"),
        "{seen:?}"
    );
    assert_eq!(door.get(ip(1), "/autoexec.ipxe").await.status, 200);
    assert_eq!(door.get(ip(1), "//loader//autoexec.ipxe").await.status, 200);
}

#[tokio::test]
async fn a_kernel_that_depends_on_the_firmware_is_sent_once_it_is_known() {
    let door = open(Limits::default()).await;
    let key = door.flag(1);
    let other = planned(&door.initrd);
    door.waist.repin(&key, |pinned| {
        pinned.kernel_uefi = Some(other);
        pinned.initrds.clear();
    });
    let path = format!("/ipxe/{}", mac(1).dashed());
    let first = door.get(ip(1), &path).await;
    assert!(
        first
            .text()
            .contains("?platform=${platform}&arch=${buildarch}")
    );
    assert_eq!(door.waist.phase(1), Phase::Armed);
    let bios = door
        .get(ip(1), &format!("{path}?platform=pcbios&arch=i386"))
        .await;
    assert!(
        bios.text().contains("kernel --name linux "),
        "{}",
        bios.text()
    );
    let uefi = door
        .get(ip(1), &format!("{path}?platform=efi&arch=x86_64"))
        .await;
    assert!(
        uefi.text().contains("kernel --name initrd.gz "),
        "{}",
        uefi.text()
    );
}

#[tokio::test]
async fn what_is_not_yours_does_not_exist() {
    let door = open(Limits::default()).await;
    let key = door.flag(1);
    door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;
    assert_eq!(door.waist.phase(1), Phase::Booting);
    let read = door.waist.token(&key, Scope::Read);
    let report = door.waist.token(&key, Scope::Report);
    let secret = door.waist.token(&key, Scope::Secret);
    let nothing = door.get(ip(1), "/nothing/here").await;
    let wrong = "0".repeat(40);
    for (from, path) in [
        (ip(2), format!("/ipxe/{}", mac(1).dashed())),
        (ip(90), format!("/ipxe/{}", mac(1).dashed())),
        (ip(2), format!("/grub/grub.cfg-01-{}", mac(1).dashed())),
        (ip(2), format!("/b/{read}/preseed.cfg")),
        (ip(1), format!("/b/{wrong}/preseed.cfg")),
        (ip(1), format!("/b/{report}/preseed.cfg")),
        (ip(1), format!("/b/{secret}/preseed.cfg")),
        (ip(1), format!("/b/{read}/other.cfg")),
        (ip(1), format!("/b/{read}/10-motd.sh")),
        (ip(1), format!("/b/{read}")),
        (ip(1), format!("/r/{read}/start")),
        (ip(1), format!("/r/{report}/other")),
        (ip(1), "/a/000000000000/debian-12/linux".to_string()),
        (ip(1), "/a/000000000000/debian-12/..".to_string()),
        (ip(1), "/a/%2e%2e/etc/passwd".to_string()),
        (ip(1), "/mirror/debian/x".to_string()),
        (ip(1), "/metrics".to_string()),
    ] {
        let got = door.get(from, &path).await;
        assert_eq!(
            (got.status, &got.body),
            (404, &nothing.body),
            "{from} {path}"
        );
        let lines = |got: &Got| -> Vec<String> {
            let lines = got.head.lines().filter(|l| !l.starts_with("Date"));
            lines.map(str::to_string).collect()
        };
        assert_eq!(lines(&got), lines(&nothing), "{path}");
    }
    let posted = door.post(ip(2), &format!("/r/{report}/end"), "").await;
    assert_eq!(posted.status, 404);
    let early = door
        .post(ip(1), &format!("/h/{secret}/bundle"), "key=x")
        .await;
    assert_eq!(
        early.status, 404,
        "the hand-off is closed while it installs"
    );
    let forged = format!(
        "GET /b/{read}/preseed.cfg HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {}\r\nForwarded: for={}\r\nX-Real-Ip: {}\r\n\r\n",
        ip(1),
        ip(1),
        ip(1)
    );
    assert_eq!(door.ask(ip(2), &forged).await.status, 404);
    assert_eq!(door.waist.phase(1), Phase::Booting);
    for (_, line) in door.waist.seen() {
        for token in [&read, &report, &secret] {
            assert!(!line.contains(token.as_str()), "{line}");
        }
    }
}

#[tokio::test]
async fn artefacts_come_whole_in_part_and_with_the_headers_firmware_needs() {
    let door = open(Limits::default()).await;
    door.flag(1);
    let path = format!("/a/{}/debian-12/linux", door.kernel.digest.short());
    let etag = format!("\"{}\"", door.kernel.digest);
    let contents = std::fs::read(&door.kernel.path).expect("read");

    let mut stream = door.connect(ip(1)).await;
    let whole = exchange(
        &mut stream,
        &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"),
    )
    .await;
    assert_eq!((whole.status, whole.body.len()), (200, contents.len()));
    assert!(whole.body == contents);
    assert_eq!(
        whole.header("Etag").or(whole.header("ETag")),
        Some(etag.as_str())
    );
    assert_eq!(whole.header("Accept-Ranges"), Some("bytes"));
    assert!(whole.head.starts_with("HTTP/1.1 200 "));
    for line in whole.head.lines().skip(1).filter(|l| !l.is_empty()) {
        let (name, value) = line.split_once(": ").expect(line);
        assert!(
            name.starts_with(|c: char| c.is_ascii_uppercase()) && !value.is_empty(),
            "{line}"
        );
    }

    // The connection is kept alive.
    let ask = |extra: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{extra}\r\n\r\n");
    let part = exchange(
        &mut stream,
        &ask(&format!("Range: bytes=1048570-2000000\r\nIf-Match: {etag}")),
    )
    .await;
    assert_eq!(part.status, 206);
    assert_eq!(
        part.header("Content-Range"),
        Some("bytes 1048570-2000000/3000000")
    );
    assert!(part.body == contents[1_048_570..=2_000_000]);
    let stale = exchange(&mut stream, &ask("Range: bytes=1-2\r\nIf-Range: \"old\"")).await;
    assert_eq!((stale.status, stale.body.len()), (200, contents.len()));
    let outside = exchange(&mut stream, &ask("Range: bytes=3000000-")).await;
    assert_eq!(outside.status, 416);
    assert_eq!(outside.header("Content-Range"), Some("bytes */3000000"));
    assert_eq!(
        exchange(&mut stream, &ask("If-Match: \"old\""))
            .await
            .status,
        412
    );
    assert_eq!(
        exchange(&mut stream, &ask(&format!("If-None-Match: {etag}")))
            .await
            .status,
        304
    );
    let looked = exchange(
        &mut stream,
        &format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n"),
    )
    .await;
    assert_eq!(looked.header("Content-Length"), Some("3000000"));
    let posted = exchange(
        &mut stream,
        &format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
    )
    .await;
    assert_eq!(
        (posted.status, posted.header("Allow")),
        (405, Some("GET, HEAD"))
    );

    let loader = door.get(ip(1), "/loader/snponly.efi").await;
    assert_eq!(loader.header("Content-Type"), Some("application/efi"));
    assert_eq!(loader.text(), "MZ loader");
    let names: Vec<String> = door
        .waist
        .noted()
        .iter()
        .filter_map(|e| match e {
            EventKind::Fetched { name, .. } => Some(name.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["linux", "linux", "snponly.efi"], "whole files only");
}

#[tokio::test]
async fn documents_are_filled_and_their_fetching_is_durable_first() {
    let door = open(Limits::default()).await;
    let key = door.flag(1);
    let read = door.waist.token(&key, Scope::Read);
    let path = format!("/b/{read}/preseed.cfg");
    assert_eq!(
        door.get(ip(1), &path).await.status,
        404,
        "not before the boot script"
    );
    door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;

    door.waist.fail(true);
    let busy = door.get(ip(1), &path).await;
    assert_eq!((busy.status, busy.header("Retry-After")), (503, Some("5")));
    door.waist.fail(false);
    assert_eq!(door.waist.phase(1), Phase::Booting);

    let looked = door
        .ask(ip(1), &format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    assert_eq!(looked.status, 200);
    assert_eq!(door.waist.phase(1), Phase::Booting);
    for _ in 0..3 {
        let got = door.get(ip(1), &path).await;
        let text = got.text();
        assert!(text.contains(&read), "{text}");
        assert!(
            text.contains(Scope::Secret.placeholder()),
            "no secret in an answer: {text}"
        );
    }
    assert_eq!(door.waist.phase(1), Phase::Installing);
    let packed = door.get(ip(1), &format!("/b/{read}/config.tar.gz")).await;
    let mut text = String::new();
    std::io::Read::read_to_string(
        &mut flate2::read::GzDecoder::new(&packed.body[..]),
        &mut text,
    )
    .expect("gzip");
    assert_eq!(text, "tar tar tar");
}

#[tokio::test]
async fn an_installer_reports_to_the_end() {
    let door = open(Limits::default()).await;
    let key = door.flag(1);
    door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;
    let report = door.waist.token(&key, Scope::Report);
    let r = |verb: &str| format!("/r/{report}/{verb}");

    assert_eq!(
        door.post(ip(1), &r("start"), "d-i 20230607").await.text(),
        "ok\n"
    );
    assert_eq!(door.waist.phase(1), Phase::Installing);
    assert_eq!(
        door.post(ip(1), &r("progress/partition"), "").await.status,
        200
    );
    assert_eq!(
        door.get(ip(1), &r("progress/extract?detail=x"))
            .await
            .status,
        200
    );
    assert_eq!(door.get(ip(1), &r("fail/x")).await.status, 405);

    let disks = "path=/dev/vda size=21474836480 serial=ROOT bus=virtio contents=ext4\n";
    door.waist.fail(true);
    assert_eq!(door.post(ip(1), &r("disks"), disks).await.status, 503);
    door.waist.fail(false);
    let permitted = door.post(ip(1), &r("disks"), disks).await;
    assert_eq!(
        (permitted.status, permitted.text()),
        (200, "disk=/dev/vda\n".into())
    );
    let build = door.waist.build(1).expect("a build");
    assert_eq!(build.disk.as_deref(), Some("/dev/vda"));

    let large = "x".repeat(64 * 1024 + 1);
    assert_eq!(door.post(ip(1), &r("log"), &large).await.status, 413);
    let chunked = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        r("log"),
        large.len()
    );
    assert_eq!(door.ask(ip(1), &chunked).await.status, 413);
    assert_eq!(
        door.post(ip(1), &r("log"), "one\ntwo \u{1b}[2J\n")
            .await
            .status,
        200
    );
    assert!(
        door.waist
            .seen()
            .iter()
            .any(|(_, line)| line.starts_with("kept report of build 1: one\ntwo"))
    );
    for _ in 0..3 {
        assert_eq!(
            door.post(ip(1), &r("end"), "").await.status,
            200,
            "said twice is fine"
        );
    }
    assert_eq!(door.waist.phase(1), Phase::Installed);
}

#[tokio::test]
async fn no_disk_is_written_unless_exactly_one_may_be() {
    let door = open(Limits::default()).await;
    let key = door.flag(1);
    door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;
    let path = format!("/r/{}/disks", door.waist.token(&key, Scope::Report));
    let two = "path=/dev/sda size=21474836480 serial=A\npath=/dev/sdb size=21474836480 serial=B\n";
    let refused = door.post(ip(1), &path, two).await;
    assert_eq!(refused.status, 409);
    assert!(
        refused.text().contains("2 disks match"),
        "{}",
        refused.text()
    );
    assert_eq!(door.waist.phase(1), Phase::Failed);
    let reason = door
        .waist
        .build(1)
        .and_then(|b| b.reason)
        .expect("a reason");
    assert!(reason.contains("/dev/sda 20.0 GiB serial `A`"), "{reason}");
}

#[tokio::test]
async fn a_hundred_reports_of_the_end_at_once_are_one_end() {
    let door = Arc::new(open(Limits::default()).await);
    let key = door.flag(1);
    door.get(ip(1), &format!("/ipxe/{}", mac(1).dashed())).await;
    let path = format!("/r/{}/end", door.waist.token(&key, Scope::Report));
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (door, path) = (door.clone(), path.clone());
        asked.spawn(async move { door.post(ip(1), &path, "").await.status });
    }
    assert!(asked.join_all().await.iter().all(|status| *status == 200));
    assert_eq!(door.waist.phase(1), Phase::Installed);
}
