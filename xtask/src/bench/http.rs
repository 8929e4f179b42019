//! HTTP: a large artefact, and boot scripts, with wrk, beside nginx.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use farrier::cli::demo::rack::Pair;
use farrier::model::Digest;

use crate::Setting;
use crate::farrier::Farrier;
use crate::figures::{Cost, Row, Samples, Section, Target, Unit};
use crate::peer::{Peer, Port, command, put};
use crate::site::{CLIENT_NET, SERVER, SERVER_NET, Site, behind_a_router, mac};
use crate::wrk;

/// Bytes of the large artefact.
const LARGE: usize = 40_000_000;
/// Systems whose scripts are asked for in turn.
const SYSTEMS: u32 = 1000;

const METHOD: &[&str] = &[
    "The artefact is the same file for both; nginx sends it with `sendfile` from the page cache, with \
     as many workers as cores and no access log. wrk shares the two cores with the server.",
    "Scripts: wrk asks for the scripts of 1,000 systems in turn over 32 connections (one address may open \
     64, and those of the run before may linger). nginx serves copies of the very scripts as files. Farrier decides and renders each anew. \
     The systems are idle, so each is told to boot its own disk and why. DHCP is off in this part and wrk behind \
     a router, because only then one address may ask for the scripts of several machines.",
];

pub(crate) fn run(setting: &Setting) -> Result<Section> {
    let pair = Pair::new(SERVER_NET, CLIENT_NET)?;
    behind_a_router(&pair)?;
    let contents = noise(LARGE);
    let large = format!("/a/{}/bench/big", Digest::of(&contents).short());
    let root = pair.dir().join("nginx");
    put(&root, large.trim_start_matches('/'), &contents)?;
    let site = Site {
        systems: SYSTEMS,
        dhcp_off: true,
        artefact: Some(contents),
        ..Site::default()
    };
    let lua = put(pair.dir(), "scripts.lua", lua(SYSTEMS, SYSTEMS))?
        .display()
        .to_string();
    let large_url = format!("http://{SERVER}{large}");
    let script_url = format!("http://{SERVER}/");
    let big = ["-t2", "-c16", "-d5s", large_url.as_str()];
    let scripts = [
        "-t2",
        "-c32",
        "-d5s",
        "-s",
        lua.as_str(),
        script_url.as_str(),
    ];

    let mut ours: [Served; 2] = Default::default();
    let mut theirs: [Served; 2] = Default::default();
    for round in 0..setting.rounds {
        let farrier = Farrier::start(setting, &pair, "farrier", &site)?;
        farrier.run(&["distro", "fetch", "bench"])?;
        ours[0].large(wrk::run(&pair, &big)?);
        ours[1].small(wrk::run(&pair, &scripts)?);
        if round == 0 {
            copy_scripts(&pair, &root)?;
        }
        farrier.stop()?;
        let nginx = nginx(&pair, &root)?;
        theirs[0].large(wrk::run(&pair, &big)?);
        theirs[1].small(wrk::run(&pair, &scripts)?);
        nginx.stop()?;
    }
    let [large, rendered] = &ours;
    let [sendfile, small] = &theirs;
    let of = |what, ours, peer, target| Row {
        target: Target::Ratio(target),
        ..Served::row(what, Unit::RequestsPerSecond, ours, peer)
    };
    Ok(Section {
        title: "HTTP",
        method: METHOD.iter().map(ToString::to_string).collect(),
        rows: vec![
            Row {
                target: Target::Ratio(0.9),
                ..Served::row(
                    "40 MB artefact, 16 connections",
                    Unit::MegabytesPerSecond,
                    large,
                    sendfile,
                )
            },
            of(
                "boot script rendered for each machine",
                rendered,
                small,
                0.6,
            ),
        ],
        commands: vec![
            "wrk --timeout=30s -t2 -c16 -d5s http://10.77.0.1/a/DIGEST/bench/big".to_string(),
            "wrk --timeout=30s -t2 -c32 -d5s -s scripts.lua http://10.77.0.1/".to_string(),
            "nginx -c nginx.conf".to_string(),
        ],
    })
}

/// What one server came to, round by round.
#[derive(Debug, Default)]
struct Served {
    rate: Samples,
    cost: Samples,
}

impl Served {
    fn large(&mut self, outcome: wrk::Outcome) {
        self.rate.add(outcome.megabytes);
        self.cost.add(outcome.per_megabyte());
    }

    fn small(&mut self, outcome: wrk::Outcome) {
        self.rate.add(outcome.requests);
        self.cost.add(outcome.per_request());
    }

    fn row(what: &str, unit: Unit, ours: &Served, peer: &Served) -> Row {
        Row {
            what: what.to_string(),
            unit,
            ours: ours.rate.clone(),
            peer: Some(("nginx".to_string(), peer.rate.clone())),
            target: Target::None,
            cost: Some(Cost {
                piece: match unit {
                    Unit::MegabytesPerSecond => "MB",
                    _ => "request",
                },
                ours: ours.cost.clone(),
                peer: peer.cost.clone(),
            }),
        }
    }
}

/// Asks for the scripts of so many systems in turn; every thread begins elsewhere. The list has
/// `length` entries, so that wrk has as much to do for ten systems as for many.
pub(crate) fn lua(systems: u32, length: u32) -> String {
    let mut text = String::from("local paths = {\n");
    for n in (0..systems).cycle().take(length as usize) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\"{}\",", script(n));
    }
    text.push_str(
        "}\nlocal at = 0\nlocal started = 0\nfunction setup(thread) thread:set('first', started); started = started + 1 end\n\
         function init() at = first * math.floor(#paths / 2) end\n\
         function request() at = at % #paths + 1; return wrk.format('GET', paths[at]) end\n",
    );
    text
}

fn script(n: u32) -> String {
    format!("/ipxe/{}", mac(n).replace(':', "-"))
}

/// Bytes that no file system and no network card can shorten.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(length);
    out
}

/// What Farrier answers now, as files for nginx.
fn copy_scripts(pair: &Pair, root: &Path) -> Result<()> {
    std::fs::create_dir_all(root.join("ipxe")).context("nginx's files")?;
    let mut config = String::new();
    for n in 0..SYSTEMS {
        let path = script(n);
        let file = root.join(path.trim_start_matches('/'));
        // Writing to a string cannot fail.
        let _ = writeln!(
            config,
            "url = \"http://{SERVER}{path}\"\noutput = \"{}\"",
            file.display()
        );
    }
    let list = put(pair.dir(), "curl.list", config)?;
    let mut curl = pair.client().command("curl");
    let status = curl
        .args(["--fail", "--silent", "--show-error", "--config"])
        .arg(list)
        .status();
    anyhow::ensure!(
        status.context("curl")?.success(),
        "the scripts could not be fetched"
    );
    Ok(())
}

fn nginx(pair: &Pair, root: &Path) -> Result<Peer> {
    let dir = pair.dir().display();
    let config = format!(
        "daemon off; worker_processes auto; user root; pid {dir}/nginx.pid; error_log stderr error;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000;\n\
         default_type text/plain; open_file_cache max=2000;\n\
         server {{ listen {SERVER}:80 backlog=4096; root {}; }} }}\n",
        root.display()
    );
    let path = put(pair.dir(), "nginx.conf", config)?.display().to_string();
    Peer::start(
        pair,
        "nginx",
        &mut command(pair, &["nginx", "-c", &path]),
        Port::Tcp(80),
    )
}
