//! TFTP: a rack that is powered on at once, beside dnsmasq and atftpd.

mod load;

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use farrier::cli::demo::rack::Pair;
use farrier::model::Digest;

use crate::Setting;
use crate::farrier::Farrier;
use crate::figures::{Cost, Row, Samples, Section, Target, Unit};
use crate::http::noise;
use crate::peer::{Peer, Port, command, processor, put};
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
     after one second (requests) or two (blocks). There is no TFTP load generator to be had, so the clients are \
     one thread of the bench itself, the same for all servers, on the server's own cores. It takes and sends \
     datagrams by the dozen, for on real hardware every client has a processor of its own. The rate is all bytes by the \
     time from the first request to the last block.",
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
        found[0].add(fetch(&pair, &load)?, farrier.peak());
        farrier.stop()?;
        for (at, words) in [(1, dnsmasq(&root)), (2, atftpd(&root))] {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let peer = Peer::start(&pair, words[0], &mut command(&pair, &words), Port::Udp(69))?;
            found[at].add(fetch(&pair, &load)?, peer.peak());
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
    cost: Samples,
}

impl Found {
    fn add(&mut self, (outcome, cost): (load::Outcome, f64), peak: f64) {
        self.cost.add(cost);
        self.rate.add(outcome.megabytes);
        self.failed.add(f64::from(outcome.failed));
        self.slowest.add(outcome.slowest.as_secs_f64());
        self.peak.add(peak);
    }
}

fn section([ours, dnsmasq, atftpd]: [Found; 3], commands: Vec<String>) -> Section {
    let row = |what: &str, unit, of: fn(&Found) -> &Samples, peer: (&str, &Found), target| Row {
        what: what.to_string(),
        unit,
        ours: of(&ours).clone(),
        peer: Some((peer.0.to_string(), of(peer.1).clone())),
        target,
        cost: None,
    };
    let rate = |peer: (&str, &Found), target| Row {
        cost: Some(Cost {
            piece: "MB",
            ours: ours.cost.clone(),
            peer: peer.1.cost.clone(),
        }),
        ..row(
            "400 clients, 1 MB each, lockstep",
            Unit::MegabytesPerSecond,
            |f| &f.rate,
            peer,
            target,
        )
    };
    let (dnsmasq, atftpd) = (("dnsmasq", &dnsmasq), ("atftpd", &atftpd));
    let memory = |peer, target| row("memory", Unit::Megabytes, |f| &f.peak, peer, target);
    let failed = "clients that failed";
    let slowest = "the slowest client";
    Section {
        title: "TFTP",
        method: METHOD.iter().map(ToString::to_string).collect(),
        rows: vec![
            rate(dnsmasq, Target::Ratio(1.0)),
            rate(atftpd, Target::None),
            row(
                failed,
                Unit::Count,
                |f| &f.failed,
                dnsmasq,
                Target::Below(0.0),
            ),
            memory(dnsmasq, Target::Below(64.0)),
            memory(atftpd, Target::None),
            row(
                slowest,
                Unit::Seconds,
                |f| &f.slowest,
                dnsmasq,
                Target::None,
            ),
        ],
        commands,
    }
}

/// What came of it, and the server's processor time for each megabyte, in microseconds.
fn fetch(pair: &Pair, load: &Load) -> Result<(load::Outcome, f64)> {
    let before = processor(pair);
    let outcome = pair.client().inside(|| load.run(CLIENTS))??;
    let megabytes = (LOADER * CLIENTS as usize) as f64 / 1e6;
    Ok((outcome, (processor(pair) - before) * 1e6 / megabytes))
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
