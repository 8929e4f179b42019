//! TFTP with the clients that others wrote, and with packets that none of them would send.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use farrier::model::{Artefact, Digest, EventKind, Firmware, Phase, Processor};
use farrier::serve::Hot;
use farrier::serve::tftp::{self, Limits, Running};

mod own;
mod pair;

use crate::standin::{Standin, artefact, ip, mac, planned};

/// What was current before the kernel of [`Door`].
const OLDER: &[u8] = b"an older kernel";

struct Door {
    waist: Arc<Standin>,
    address: SocketAddr,
    running: Option<Running>,
    kernel: Artefact,
    loader: Vec<u8>,
    dir: tempfile::TempDir,
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop();
        }
    }
}

fn open(limits: Limits) -> Door {
    open_with(limits, |_| {})
}

/// The same with something else about the kernel.
fn open_with(limits: Limits, change: impl FnOnce(&mut Artefact)) -> Door {
    let dir = tempfile::tempdir().expect("a directory");
    let kernel: Vec<u8> = (0..2_000_000u32).map(|i| (i >> 2) as u8).collect();
    let loader: Vec<u8> = (0..1468u32 * 20).map(|i| (i * 7) as u8).collect();
    let mut kernel = artefact(dir.path(), "debian-12", "linux", &kernel);
    change(&mut kernel);
    let waist = Standin::new(vec![
        artefact(dir.path(), "debian-12", "linux", OLDER),
        kernel.clone(),
        artefact(dir.path(), "debian-12", "empty", b""),
        artefact(dir.path(), "loaders", "snponly.efi", &loader),
    ]);
    let sockets = tftp::bind("127.0.0.1:0".parse().expect("an address"), 2).expect("bound");
    let hot = Arc::new(Hot::new(16_000_000));
    let running = tftp::start(sockets, waist.clone(), hot, limits).expect("started");
    Door {
        waist,
        address: running.addresses()[0],
        running: Some(running),
        kernel,
        loader,
        dir,
    }
}

/// A client on one address of the loopback.
struct Client {
    socket: UdpSocket,
    server: SocketAddr,
}

#[derive(Debug, PartialEq)]
enum Packet {
    Data(u16, Vec<u8>),
    Oack(String),
    Error(u16),
}

impl Client {
    fn new(door: &Door, from: Ipv4Addr) -> Client {
        let socket = UdpSocket::bind((from, 0)).expect("bound");
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a timeout");
        Client {
            socket,
            server: door.address,
        }
    }

    fn request(&self, opcode: u8, words: &[&str]) {
        let mut packet = vec![0, opcode];
        for word in words {
            packet.extend_from_slice(word.as_bytes());
            packet.push(0);
        }
        self.socket.send_to(&packet, self.server).expect("sent");
    }

    fn receive(&self) -> (Packet, SocketAddr) {
        let mut buffer = vec![0; 65536];
        let (length, from) = self.socket.recv_from(&mut buffer).expect("an answer");
        assert_eq!(
            from.ip(),
            self.server.ip(),
            "from the address that was asked"
        );
        let number = u16::from_be_bytes([buffer[2], buffer[3]]);
        let packet = match buffer[1] {
            3 => Packet::Data(number, buffer[4..length].to_vec()),
            5 => Packet::Error(number),
            6 => Packet::Oack(String::from_utf8_lossy(&buffer[2..length]).replace('\0', " ")),
            other => panic!("opcode {other}"),
        };
        (packet, from)
    }

    fn ack(&self, to: SocketAddr, block: u16) {
        let [high, low] = block.to_be_bytes();
        self.socket.send_to(&[0, 4, high, low], to).expect("sent");
    }

    /// Fetches a file in lockstep.
    fn fetch(&self, name: &str, options: &[&str]) -> Result<Vec<u8>, u16> {
        let mut words = vec![name, "octet"];
        words.extend_from_slice(options);
        self.request(1, &words);
        let mut block_size = 512;
        let mut out = Vec::new();
        loop {
            match self.receive() {
                (Packet::Error(code), _) => return Err(code),
                (Packet::Oack(said), from) => {
                    let mut said = said.split(' ');
                    if said.any(|w| w == "blksize") {
                        block_size = said.next().and_then(|n| n.parse().ok()).expect("a size");
                    }
                    self.ack(from, 0);
                }
                (Packet::Data(number, data), from) => {
                    self.ack(from, number);
                    let last = data.len() < block_size;
                    out.extend_from_slice(&data);
                    if last {
                        return Ok(out);
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_every_size_and_block() {
    let door = open(Limits::default());
    let client = || Client::new(&door, ip(1));
    let kernel = format!("a/{}/debian-12/linux", door.kernel.digest.short());
    let contents = std::fs::read(&door.kernel.path).expect("read");
    let fetch = |name: &str, options: &[&str]| client().fetch(name, options);
    assert_eq!(fetch("snponly.efi", &[]).as_ref(), Ok(&door.loader));
    assert_eq!(
        fetch("/snponly.efi", &["blksize", "1468"]).as_ref(),
        Ok(&door.loader)
    );
    assert_eq!(
        fetch("snponly.efi", &["blksize", "8", "tsize", "0"]).as_ref(),
        Ok(&door.loader)
    );
    assert!(
        fetch(&kernel, &["blksize", "65464"]) == Ok(contents),
        "clamped"
    );
    let empty = format!(
        "a/{}/debian-12/empty",
        farrier::model::Digest::of(b"").short()
    );
    assert_eq!(fetch(&empty, &[]), Ok(Vec::new()));

    let client = client();
    client.request(
        1,
        &[
            "snponly.efi",
            "octet",
            "tsize",
            "0",
            "blksize",
            "65464",
            "windowsize",
            "65535",
            "timeout",
            "255",
        ],
    );
    let (oack, _) = client.receive();
    assert_eq!(
        oack,
        Packet::Oack(format!(
            "blksize 1468 tsize {} windowsize 16 ",
            door.loader.len()
        ))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_in_the_table_is_not_found() {
    let door = open(Limits::default());
    let fetch = |from, name: &str| Client::new(&door, from).fetch(name, &[]);
    for name in [
        "../snponly.efi",
        "/etc/passwd",
        "%2e%2e/x",
        "a\\..\\b",
        "nothing",
        "grub.cfg-zz",
        "a/000000000000/debian-12/linux",
        "snponly.efi/",
        &"x".repeat(2000),
    ] {
        let got = fetch(ip(1), name);
        if name == "snponly.efi/" {
            assert!(got.is_ok(), "an empty segment is none");
        } else {
            assert_eq!(got, Err(1), "{name}");
        }
    }
    assert_eq!(fetch(ip(90), "snponly.efi"), Err(2), "no lease");
    let foreign = format!("grub/grub.cfg-01-{}", mac(1).dashed());
    assert_eq!(fetch(ip(2), &foreign), Err(1), "another machine's");
    let writer = Client::new(&door, ip(1));
    writer.request(2, &["snponly.efi", "octet"]);
    assert_eq!(writer.receive().0, Packet::Error(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_was_superseded_is_served_to_who_pinned_it() {
    let door = open(Limits::default());
    let fetch = |digest: Digest| {
        let name = format!("a/{}/debian-12/linux", digest.short());
        Client::new(&door, ip(1)).fetch(&name, &["blksize", "1468"])
    };
    assert_eq!(fetch(Digest::of(OLDER)), Ok(OLDER.to_vec()));
    assert!(fetch(door.kernel.digest).is_ok());
    assert_eq!(fetch(Digest::of(b"never here")), Err(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_told_of_before_its_first_block() {
    let door = open(Limits::default());
    let file = planned(&door.kernel);
    door.waist.flag(1, file.clone(), vec![file]);
    let name = format!("grub.cfg-{}", mac(1));
    let fetch = || {
        let got = Client::new(&door, ip(1)).fetch(&name, &["tsize", "0"]);
        String::from_utf8(got.expect("a script")).expect("text")
    };
    door.waist.fail(true);
    let withheld = fetch();
    assert!(
        withheld.contains("own disk: it could not be stored"),
        "{withheld}"
    );
    assert!(!withheld.contains("linux ("), "{withheld}");
    door.waist.fail(false);
    assert_eq!(door.waist.phase(1), Phase::Armed);
    let script = fetch();
    let kernel = format!(
        "linux (tftp,127.0.0.1)/a/{}/debian-12/linux",
        door.kernel.digest.short()
    );
    assert!(script.contains(&kernel), "{script}");
    assert_eq!(door.waist.phase(1), Phase::Booting);
    let generic = Client::new(&door, ip(1))
        .fetch("grub/grub.cfg", &[])
        .expect("a script");
    assert!(String::from_utf8_lossy(&generic).contains("grub.cfg-$net_default_mac"));
    let pxelinux = format!("pxelinux.cfg/01-{}", mac(2).dashed());
    let text = Client::new(&door, ip(2))
        .fetch(&pxelinux, &[])
        .expect("a script");
    assert!(String::from_utf8_lossy(&text).contains("LOCALBOOT 0"));
    assert!(
        Client::new(&door, ip(3))
            .fetch("autoexec.ipxe", &[])
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_pxelinux_cfg_does_not_say_what_it_runs_on() {
    let door = open_with(Limits::default(), |kernel| {
        kernel.nature.processor = Some(Processor::Arm64);
    });
    for (last, unseen) in [(1, false), (2, true)] {
        door.waist.flag(last, planned(&door.kernel), Vec::new());
        door.waist.unseen.store(unseen, Ordering::SeqCst);
        let name = format!("pxelinux.cfg/01-{}", mac(last).dashed());
        let got = Client::new(&door, ip(last)).fetch(&name, &["tsize", "0"]);
        let script = String::from_utf8(got.expect("a script")).expect("text");
        assert!(script.contains("KERNEL /a/"), "{script}");
        assert_eq!(door.waist.phase(last), Phase::Booting);
    }
    assert_eq!(
        door.waist.settled(),
        [None, Some(Firmware::BIOS)],
        "as DHCP saw it, else as PXELINUX"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_probe_delays_nobody() {
    let door = open(Limits::default());
    let began = Instant::now();
    for _ in 0..20 {
        let probe = Client::new(&door, ip(1));
        probe.request(
            1,
            &["snponly.efi", "octet", "tsize", "0", "blksize", "1468"],
        );
        let (_, from) = probe.receive();
        probe
            .socket
            .send_to(b"\0\x05\0\x08User aborted\0", from)
            .expect("sent");
        // Every probe stays a transfer until its retries end, so there must be room for them.
        let client = Client::new(&door, ip(2));
        assert!(client.fetch("snponly.efi", &["blksize", "1468"]).is_ok());
        if began.elapsed() > Duration::from_secs(5) {
            break;
        }
    }
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_to_one_address_are_bounded() {
    let door = open(Limits {
        per_address: 2,
        ..Limits::default()
    });
    let stuck: Vec<Client> = (0..2).map(|_| Client::new(&door, ip(1))).collect();
    for client in &stuck {
        client.request(1, &["snponly.efi", "octet"]);
        client.receive();
    }
    assert_eq!(Client::new(&door, ip(1)).fetch("snponly.efi", &[]), Err(0));
    assert!(Client::new(&door, ip(2)).fetch("snponly.efi", &[]).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_stops_nothing() {
    let door = open(Limits::default());
    let client = Client::new(&door, ip(1));
    for junk in [
        &b""[..],
        b"\0",
        b"\0\x01",
        b"\0\x01\0\0",
        b"\0\x01x",
        b"\0\x01\xff\xfe\0octet\0",
        b"\0\x09zzzz",
        b"\0\x01x\0octet\0blksize\0",
        b"\0\x04\0\0",
        &[0xff; 4000],
    ] {
        client.socket.send_to(junk, door.address).expect("sent");
    }
    assert!(Client::new(&door, ip(1)).fetch("snponly.efi", &[]).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_others_wrote() {
    let door = open(Limits::default());
    let port = door.address.port().to_string();
    let out = door.dir.path().join("out");
    let out_text = out.to_str().expect("a path").to_string();
    let kernel = format!("a/{}/debian-12/linux", door.kernel.digest.short());
    let contents = std::fs::read(&door.kernel.path).expect("read");
    let url = format!("tftp://127.0.0.1:{port}/{kernel}");
    let here = "127.0.0.1";
    let runs: [(&str, Vec<&str>); 5] = [
        (
            "curl",
            vec![
                "-s",
                "--interface",
                "127.0.0.11",
                "--tftp-blksize",
                "1468",
                "-o",
                &out_text,
                &url,
            ],
        ),
        (
            "tftp",
            vec!["-m", "octet", here, &port, "-c", "get", &kernel, &out_text],
        ),
        (
            "atftp",
            vec![
                "--option",
                "blksize 1428",
                "-g",
                "-r",
                &kernel,
                "-l",
                &out_text,
                here,
                &port,
            ],
        ),
        (
            "atftp",
            vec![
                "--option",
                "windowsize 8",
                "--option",
                "blksize 1428",
                "-g",
                "-r",
                &kernel,
                "-l",
                &out_text,
                here,
                &port,
            ],
        ),
        (
            "busybox",
            vec![
                "tftp", "-b", "1400", "-g", "-r", &kernel, "-l", &out_text, here, &port,
            ],
        ),
    ];
    // Only curl can choose its own address; the others ask from 127.0.0.1.
    door.waist.lend(Ipv4Addr::LOCALHOST, mac(1));
    let mut fetched = 0;
    for (program, arguments) in runs {
        let _absent_is_fine = std::fs::remove_file(&out);
        let run = Command::new(program).args(&arguments).output();
        let Ok(run) = run else {
            crate::skipped!("{program} is not installed");
            continue;
        };
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        let got = std::fs::read(&out).unwrap_or_default();
        assert!(
            got == contents,
            "{program} {arguments:?}: {said} {} bytes",
            got.len()
        );
        fetched += 1;
    }
    // The last acknowledgement may still be on its way.
    let deadline = Instant::now() + Duration::from_secs(5);
    let whole = || {
        let noted = door.waist.noted();
        noted
            .iter()
            .filter(|e| matches!(e, EventKind::Fetched { via, .. } if via == "tftp"))
            .count()
    };
    while whole() < fetched && Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!(whole(), fetched);
}
