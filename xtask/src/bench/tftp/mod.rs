//! TFTP: a rack that is powered on at once, beside dnsmasq and atftpd.

mod load;

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use farrier::cli::demo::rack::Pair;
use farrier::model::Digest;

use crate::Setting;
use crate::farrier::Farrier;
use crate::figures::{Row, Samples, Section, Target, Unit};
use crate::http::noise;
use crate::peer::{Peer, Port, command, put};
use crate::site::{CLIENT_NET, SERVER, SERVER_NET, Site, ip};
use load::Load;

/// Clients at once.
const CLIENTS: u32 = 400;
/// Bytes of the loader.
const LOADER: usize = 1_000_000;
/// What EDK2 asks for on Ethernet.
const BLOCK: usize = 1432;

const METHOD: &[&str] = &[
    "Four hundred clients, each with an address of its own, begin within the same millisecond. Each does what \
     UEFI firmware does: a request for the size, broken off with an ERROR 8 when the OACK comes, then a request \
     from another port with blksize 1432 and no window, acknowledging every block. What is not answered is asked for again \
     after one second (requests) or two (blocks). The clients are one thread of the bench itself, for there is no \
     TFTP load generator to be had; it is the same for all servers and shares the two cores with them. The rate is \
     all bytes by the time from the first request to the last block.",
    "A client fails if it gives up or gets other bytes than the file's. Memory is the most that the server held (`VmHWM`). \
     dnsmasq's limit of transfers is raised; atftpd gets a thread for each.",
];

pub(crate) fn run(setting: &Setting) -> Result<Section> {
    let pair = Pair::new(SERVER_NET, CLIENT_NET)?;
    addresses(&pair)?;
    let contents = noise(LOADER);
    let name = format!("a/{}/bench/big", Digest::of(&contents).short());
    let root = pair.dir().join("tftp");
    put(&root, &name, &contents)?;
    let load = Load {
        server: format!("{SERVER}:69").parse().context("an address")?,
        name,
        block_size: BLOCK,
        window: 1,
        contents: contents.clone(),
    };
    let site = Site {
        systems: CLIENTS,
        artefact: Some(contents),
        ..Site::default()
    };
    let mut found: [Found; 3] = Default::default();
    for _ in 0..setting.rounds {
        let farrier = Farrier::start(setting, &pair, "farrier", &site)?;
        farrier.run(&["distro", "fetch", "bench"])?;
        found[0].add(&fetch(&pair, &load)?, farrier.peak());
        farrier.stop()?;
        for (at, words) in [(1, dnsmasq(&root)), (2, atftpd(&root))] {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let peer = Peer::start(&pair, words[0], &mut command(&pair, &words), Port::Udp(69))?;
            found[at].add(&fetch(&pair, &load)?, peer.peak());
            peer.stop()?;
        }
    }
    let commands = vec![
        dnsmasq(Path::new("ROOT")).join(" "),
        atftpd(Path::new("ROOT")).join(" "),
    ];
    Ok(section(found, commands))
}

#[derive(Debug, Default)]
struct Found {
    rate: Samples,
    failed: Samples,
    peak: Samples,
    slowest: Samples,
}

impl Found {
    fn add(&mut self, outcome: &load::Outcome, peak: f64) {
        self.rate.add(outcome.megabytes);
        self.failed.add(f64::from(outcome.failed));
        self.slowest.add(outcome.slowest.as_secs_f64());
        self.peak.add(peak);
    }
}

fn section([ours, dnsmasq, atftpd]: [Found; 3], commands: Vec<String>) -> Section {
    let row = |what: &str, unit, ours: &Samples, peer: (&str, &Samples), target| Row {
        what: what.to_string(),
        unit,
        ours: ours.clone(),
        peer: Some((peer.0.to_string(), peer.1.clone())),
        target,
    };
    let rate = "400 clients, 1 MB each, lockstep";
    Section {
        title: "TFTP",
        method: METHOD.iter().map(ToString::to_string).collect(),
        rows: vec![
            row(
                rate,
                Unit::MegabytesPerSecond,
                &ours.rate,
                ("dnsmasq", &dnsmasq.rate),
                Target::Ratio(1.0),
            ),
            row(
                rate,
                Unit::MegabytesPerSecond,
                &ours.rate,
                ("atftpd", &atftpd.rate),
                Target::None,
            ),
            row(
                "clients that failed",
                Unit::Count,
                &ours.failed,
                ("dnsmasq", &dnsmasq.failed),
                Target::Below(0.0),
            ),
            row(
                "memory",
                Unit::Megabytes,
                &ours.peak,
                ("dnsmasq", &dnsmasq.peak),
                Target::Below(64.0),
            ),
            row(
                "memory",
                Unit::Megabytes,
                &ours.peak,
                ("atftpd", &atftpd.peak),
                Target::None,
            ),
            row(
                "the slowest client",
                Unit::Seconds,
                &ours.slowest,
                ("dnsmasq", &dnsmasq.slowest),
                Target::None,
            ),
        ],
        commands,
    }
}

fn fetch(pair: &Pair, load: &Load) -> Result<load::Outcome> {
    pair.client().inside(|| load.run(CLIENTS))?
}

fn dnsmasq(root: &Path) -> Vec<String> {
    let text = format!(
        "dnsmasq --conf-file=/dev/null --keep-in-foreground --port=0 --user=root --interface=eth0 --bind-interfaces --log-facility=/dev/null --enable-tftp --tftp-max=5000 --tftp-root={}",
        root.display()
    );
    text.split(' ').map(str::to_string).collect()
}

fn atftpd(root: &Path) -> Vec<String> {
    let text = format!(
        "atftpd --daemon --no-fork --user root.root --maxthread 2000 --verbose=1 --logfile /dev/null --bind-address {SERVER} --port 69 {}",
        root.display()
    );
    text.split(' ').map(str::to_string).collect()
}

/// Gives the client an address for each of its machines.
fn addresses(pair: &Pair) -> Result<()> {
    let mut batch = String::new();
    for n in 0..CLIENTS {
        // Writing to a string cannot fail.
        let _ = writeln!(batch, "addr add {}/14 dev eth0", ip(n));
    }
    let path = put(pair.dir(), "addresses", batch)?;
    let mut ip = pair.client().command("ip");
    let out = ip.arg("-batch").arg(path).output().context("ip")?;
    if !out.status.success() {
        bail!("ip -batch: {}", String::from_utf8_lossy(&out.stderr));
    }
    Ok(())
}
